import { at } from './at.js';
import { assert } from '../base/assert.js';
import { asLsn, asTerm, type Lsn, type Term } from '../base/ids.js';
import { EntryKind, type Entry, type LogReader, type LogStart } from './types.js';
import { Unstable } from './unstable.js';

const noEntries: readonly Entry[] = [];

/**
 * The log as the algorithm sees it: what the host stores (synced or not) and, on top, what was not handed over yet.
 * Kept here are the watermarks of this replica: applied <= commit <= last and, as far as it may be applied, durable.
 */
export class RaftLog {
  readonly #reader: LogReader;
  readonly #unstable = new Unstable();
  #lastLsn: Lsn;
  #lastTerm: Term;
  /** Never goes back; at or below the last entry; in time equal on all replicas. */
  #commit: Lsn;
  /** Never goes back; at or below commit. */
  #applied: Lsn;
  /** Synced here, and still what the log holds. Goes back only when a suffix that was not committed is replaced. */
  #durable: Lsn;
  /**
   * Configuration entries above `applied`, ascending. They are counted here because the entries themselves need not
   * be in memory when an election asks.
   */
  #confChangeLsns: Lsn[] = [];
  /** At or below it there may be configuration entries that were not in memory at start. */
  #unscannedUpTo: Lsn;
  readonly #acceptStaleAppend: boolean;

  constructor(reader: LogReader, commit: Lsn, applied: Lsn, acceptStaleAppend: boolean) {
    this.#reader = reader;
    this.#lastLsn = reader.lastLsn;
    const lastTerm = reader.termAt(reader.lastLsn);
    assert(lastTerm !== undefined, () => `no term for the last entry ${reader.lastLsn}`);
    this.#lastTerm = lastTerm;
    this.#commit = commit;
    this.#applied = applied;
    this.#durable = this.#lastLsn;
    this.#unscannedUpTo = applied;
    this.#acceptStaleAppend = acceptStaleAppend;
    assert(applied <= commit, () => `applied ${applied} above commit ${commit}`);
    assert(commit <= this.#lastLsn, () => `commit ${commit} above the last entry ${this.#lastLsn}`);
    assert(applied >= reader.firstLsn - 1, () => `applied ${applied} below the start of the log ${reader.firstLsn}`);
    this.#scanConfChanges();
  }

  get firstLsn(): Lsn {
    return this.#reader.firstLsn;
  }

  get lastLsn(): Lsn {
    return this.#lastLsn;
  }

  get lastTerm(): Term {
    return this.#lastTerm;
  }

  get commit(): Lsn {
    return this.#commit;
  }

  get applied(): Lsn {
    return this.#applied;
  }

  get durable(): Lsn {
    return this.#durable;
  }

  /** What may be applied: committed, and synced in this replica's own WAL (rule 1 of the design). */
  get appliable(): Lsn {
    return this.#commit < this.#durable ? this.#commit : this.#durable;
  }

  get hasUnstable(): boolean {
    return !this.#unstable.empty;
  }

  /** Term of an entry in [firstLsn - 1, lastLsn]; undefined outside. */
  termAt(lsn: Lsn): Term | undefined {
    if (lsn === this.#lastLsn) return this.#lastTerm;
    if (lsn > this.#lastLsn) return undefined;
    return this.#unstable.covers(lsn) ? this.#unstable.termAt(lsn) : this.#reader.termAt(lsn);
  }

  matches(lsn: Lsn, term: Term): boolean {
    return this.termAt(lsn) === term;
  }

  /** Whether a log that ends at (term, lsn) may lead this one (dissertation 3.6.1). */
  isUpToDate(term: Term, lsn: Lsn): boolean {
    return term > this.#lastTerm || (term === this.#lastTerm && lsn >= this.#lastLsn);
  }

  /** A committed configuration entry is not applied yet, as far as can be known. */
  get hasUnappliedConfChange(): boolean {
    if (this.#applied < this.#unscannedUpTo && this.#applied < this.#commit) return true;
    const first = this.#confChangeLsns[0];
    return first !== undefined && first <= this.#commit;
  }

  /** Appends one entry of the leader itself. */
  append(term: Term, kind: EntryKind, data: Uint8Array): Lsn {
    const lsn = asLsn(this.#lastLsn + 1);
    this.#put({ term, lsn, kind, data });
    return lsn;
  }

  /**
   * Follower side of AppendEntries (dissertation 3.5): when the log holds (previousLsn, previousTerm), stores what it
   * does not hold yet and answers the last LSN that is now known to match; otherwise undefined.
   */
  tryAppend(previousLsn: Lsn, previousTerm: Term, entries: readonly Entry[], leaderCommit: Lsn): Lsn | undefined {
    if (!this.#matchesPrevious(previousLsn, previousTerm)) return undefined;
    const lastNew = asLsn(previousLsn + entries.length);
    for (let i = 0; i < entries.length; i += 1) {
      const entry = at(entries, i);
      if (!this.#acceptStaleAppend && entry.lsn <= this.#lastLsn && this.matches(entry.lsn, entry.term)) continue;
      assert(
        entry.lsn > this.#commit || this.#acceptStaleAppend,
        () => `entry ${entry.lsn} of term ${entry.term} conflicts below commit ${this.#commit}`,
      );
      for (let j = i; j < entries.length; j += 1) this.#put(at(entries, j));
      break;
    }
    if (this.#acceptStaleAppend) this.#commit = leaderCommit < lastNew ? leaderCommit : lastNew;
    else this.commitTo(leaderCommit < lastNew ? leaderCommit : lastNew);
    return lastNew;
  }

  #matchesPrevious(lsn: Lsn, term: Term): boolean {
    if (this.#acceptStaleAppend && lsn < this.#commit && lsn >= this.firstLsn - 1) return true;
    return this.matches(lsn, term);
  }

  /** Raises the commit LSN; a lower one is old news. */
  commitTo(lsn: Lsn): void {
    if (lsn <= this.#commit) return;
    assert(
      lsn <= this.#lastLsn,
      () => `commit ${lsn} above the last entry ${this.#lastLsn}: was the log damaged or truncated?`,
    );
    this.#commit = lsn;
  }

  /** A deliberate bug, see mutants.ts: nothing ever lowers the commit LSN. */
  commitDownTo(lsn: Lsn): void {
    if (lsn < this.#commit) this.#commit = lsn;
  }

  appliedTo(lsn: Lsn): void {
    if (lsn <= this.#applied) return;
    assert(lsn <= this.#commit, () => `applied ${lsn} above commit ${this.#commit}`);
    this.#applied = lsn;
    let gone = 0;
    while (gone < this.#confChangeLsns.length && at(this.#confChangeLsns, gone) <= lsn) gone += 1;
    if (gone > 0) this.#confChangeLsns.splice(0, gone);
  }

  durableTo(lsn: Lsn): void {
    if (lsn <= this.#durable) return;
    assert(lsn <= this.#lastLsn, () => `durable ${lsn} above the last entry ${this.#lastLsn}`);
    this.#durable = lsn;
  }

  /**
   * The highest (lsn, term) at or below `lsn` whose term is at or below `term`: where logs may still match, skipping
   * whole terms at a time (dissertation 5.3 calls for one round trip a term).
   */
  lastAtOrBelowTerm(lsn: Lsn, term: Term): { lsn: Lsn; term: Term } {
    for (let candidate = lsn; candidate > 0; candidate = asLsn(candidate - 1)) {
      const own = this.termAt(candidate);
      if (own === undefined) return { lsn: candidate, term: asTerm(0) };
      if (own <= term) return { lsn: candidate, term: own };
    }
    return { lsn: asLsn(0), term: asTerm(0) };
  }

  /**
   * Entries from `from` to the end, at least one if there is one, cut at `bytesMax` of data. Undefined when the host
   * has to load them first.
   */
  entriesFrom(from: Lsn, bytesMax: number): readonly Entry[] | undefined {
    if (from > this.#lastLsn) return noEntries;
    const stored = this.#unstable.empty ? asLsn(this.#lastLsn + 1) : this.#unstable.firstLsn;
    if (from >= stored) return limitBytes(this.#unstable.slice(from, asLsn(this.#lastLsn + 1)), bytesMax);
    const head = this.#reader.entriesInMemory(from, stored, bytesMax);
    if (head === undefined || head.length === 0) return undefined;
    assert(at(head, 0).lsn === from, () => `asked the log for ${from}, got ${at(head, 0).lsn}`);
    if (head.length < stored - from || this.#unstable.empty) return head;
    let bytes = 0;
    for (const entry of head) bytes += entry.data.length;
    return limitBytes(
      [...head, ...this.#unstable.slice(stored, asLsn(this.#lastLsn + 1))],
      bytesMax,
      bytes,
      head.length,
    );
  }

  /** Hands the unstable entries over. From now on the reader must show them. */
  takeUnstable(): readonly Entry[] {
    return this.#unstable.take();
  }

  /** The host replaced log and state by a snapshot: everything before `start` is gone, nothing is after it. */
  restart(start: LogStart): void {
    assert(start.lsn > this.#commit, () => `snapshot at ${start.lsn} is not above commit ${this.#commit}`);
    const reader = this.#reader;
    assert(
      reader.firstLsn === start.lsn + 1 && reader.lastLsn === start.lsn && reader.termAt(start.lsn) === start.term,
      () => `log [${reader.firstLsn}, ${reader.lastLsn}] does not start after the snapshot at ${start.lsn}`,
    );
    this.#unstable.clear();
    this.#lastLsn = start.lsn;
    this.#lastTerm = start.term;
    this.#commit = start.lsn;
    this.#applied = start.lsn;
    this.#durable = start.lsn;
    this.#confChangeLsns = [];
    this.#unscannedUpTo = start.lsn;
  }

  #put(entry: Entry): void {
    if (entry.lsn <= this.#lastLsn) this.#truncateFrom(entry.lsn);
    assert(
      entry.lsn === this.#lastLsn + 1 && entry.term >= this.#lastTerm,
      () => `entry ${entry.lsn} of term ${entry.term} after ${this.#lastLsn} of term ${this.#lastTerm}`,
    );
    this.#unstable.put(entry);
    this.#lastLsn = entry.lsn;
    this.#lastTerm = entry.term;
    if (entry.kind !== EntryKind.normal) this.#confChangeLsns.push(entry.lsn);
  }

  #truncateFrom(lsn: Lsn): void {
    const before = asLsn(lsn - 1);
    const term = this.termAt(before);
    assert(term !== undefined, () => `truncation at ${lsn} leaves no entry before it`);
    this.#lastLsn = before;
    this.#lastTerm = term;
    if (this.#durable > before) this.#durable = before;
    if (this.#unscannedUpTo > before) this.#unscannedUpTo = before;
    while ((this.#confChangeLsns.at(-1) ?? before) > before) this.#confChangeLsns.pop();
  }

  /** At start: notes configuration entries above `applied`, as far as the log is in memory. */
  #scanConfChanges(): void {
    let from = asLsn(this.#applied + 1);
    const end = asLsn(this.#lastLsn + 1);
    while (from < end) {
      const page = this.#reader.entriesInMemory(from, end, 1 << 20);
      if (page === undefined || page.length === 0) {
        // The rest is unknown: no campaign until all of it that is committed is applied.
        this.#unscannedUpTo = this.#lastLsn;
        return;
      }
      for (const entry of page) if (entry.kind !== EntryKind.normal) this.#confChangeLsns.push(entry.lsn);
      from = asLsn(from + page.length);
    }
  }
}

/** The longest prefix under `bytesMax` of data, at least one entry; the first `known` entries hold `bytes` and stay. */
function limitBytes(entries: readonly Entry[], bytesMax: number, bytes = 0, known = 0): readonly Entry[] {
  let total = bytes;
  for (let i = known; i < entries.length; i += 1) {
    total += at(entries, i).data.length;
    if (total > bytesMax && i > 0) return entries.slice(0, i);
  }
  return entries;
}
