/** What one replica has promised so far, as an outsider keeps book of it; it outlives the replica's crashes. */
import { EntryKind, type ConfState, type HardState, type LogReader, type Persist } from '../../src/raft/types.js';

interface Handover {
  readonly token: number;
  readonly term: number;
  readonly vote: number;
  /** Of the entries written with it; empty when there are none. */
  readonly firstLsn: number;
  readonly terms: readonly number[];
  /** Entries above it were replaced by a later handing-over: the WAL need not write them. */
  validThrough: number;
}

/** How a start compares with what was durable. */
export type StartProblem = string | undefined;

export class ReplicaRecord {
  readonly partitionId: number;
  readonly replicaId: number;
  readonly nodeId: number;
  /** Term of each entry handed over, by LSN; [0] stands for the time before the first. */
  terms: number[] = [0];
  /** The same of what the WAL reported synced. */
  durableTerms: number[] = [0];
  term = 0;
  vote = 0;
  durableTerm = 0;
  durableVote = 0;
  commit = 0;
  applied = 0;
  persisted = 0;
  trimPoint = 0;
  archivedLsn = 0;
  /** Where state and log are about to begin, or have begun, after a snapshot was imported. */
  installing: { readonly lsn: number; readonly term: number; readonly confState: ConfState } | undefined;
  confState: ConfState;
  /** The last configuration entry in its log; it may still come into force. */
  lastConfigurationLsn = 0;
  /** The last configuration entry that came into force; a store that is reopened behind it takes nothing of that back. */
  inForceLsn = 0;
  isLeader = false;
  running = false;
  /** Its node has given it up. */
  discarded = false;
  /** Writes that are not known to be synced, in order. */
  #handovers: Handover[] = [];
  /** What must be found at least: entries above it may never have been written, see `validThrough`. */
  #durableFloor = 0;

  constructor(ids: { partitionId: number; replicaId: number; nodeId: number }, confState: ConfState) {
    this.partitionId = ids.partitionId;
    this.replicaId = ids.replicaId;
    this.nodeId = ids.nodeId;
    this.confState = confState;
  }

  get lastLsn(): number {
    return this.terms.length - 1;
  }

  get durableLsn(): number {
    return this.durableTerms.length - 1;
  }

  /** The newest configuration entry of its log that has not come into force, above every LSN that has; else 0. */
  get pendingConfigurationLsn(): number {
    return this.lastConfigurationLsn > Math.max(this.applied, this.inForceLsn) ? this.lastConfigurationLsn : 0;
  }

  /** For messages. */
  get name(): string {
    return `partition ${this.partitionId} replica ${this.replicaId} (node ${this.nodeId})`;
  }

  /** Keeps book of a handing-over; answers whether it replaced entries. */
  handedOver(persist: Persist): boolean {
    if (persist.hardState !== undefined) {
      this.term = persist.hardState.term;
      this.vote = persist.hardState.vote;
    }
    const first = persist.entries[0];
    const truncated = first !== undefined && first.lsn <= this.lastLsn;
    if (first !== undefined && truncated) {
      this.terms.length = first.lsn;
      if (this.lastConfigurationLsn >= first.lsn) this.lastConfigurationLsn = 0;
      for (const handover of this.#handovers) handover.validThrough = Math.min(handover.validThrough, first.lsn - 1);
      this.#durableFloor = Math.min(this.#durableFloor, first.lsn - 1);
    }
    for (const entry of persist.entries) {
      this.terms.push(entry.term);
      if (entry.kind !== EntryKind.normal) this.lastConfigurationLsn = entry.lsn;
    }
    this.#handovers.push({
      token: persist.token,
      term: this.term,
      vote: this.vote,
      firstLsn: first?.lsn ?? 0,
      terms: persist.entries.map((entry) => entry.term),
      validThrough: Number.POSITIVE_INFINITY,
    });
    return truncated;
  }

  /** Everything handed over up to a token is synced. */
  durable(token: number): void {
    let done = 0;
    for (const handover of this.#handovers) {
      if (handover.token > token) break;
      applyTo(this.durableTerms, handover);
      this.#durableFloor = Math.min(this.durableLsn, handover.validThrough);
      this.durableTerm = handover.term;
      this.durableVote = handover.vote;
      done += 1;
    }
    if (done > 0) this.#handovers.splice(0, done);
  }

  /** State and log were replaced by a snapshot; `terms` are those of the committed entries up to its LSN. */
  installed(terms: readonly number[]): void {
    const start = this.installing;
    if (start === undefined) return;
    this.installing = undefined;
    this.terms = terms.slice(0, start.lsn + 1);
    this.durableTerms = [...this.terms];
    this.#handovers = [];
    this.#durableFloor = start.lsn;
    if (start.term > this.term) this.vote = 0;
    this.term = Math.max(this.term, start.term);
    this.durableTerm = this.term;
    this.durableVote = this.vote;
    this.commit = start.lsn;
    this.applied = start.lsn;
    this.persisted = start.lsn;
    this.trimPoint = start.lsn;
    this.confState = start.confState;
    this.lastConfigurationLsn = 0;
    this.inForceLsn = 0;
  }

  /** Whether a start that finds this log was preceded by the whole of the installation under way. */
  wasInstalledBefore(log: LogReader): boolean {
    return this.installing !== undefined && log.firstLsn === this.installing.lsn + 1;
  }

  /**
   * The replica starts again: what it found must be what was durable, or that and the first few of the writes that were
   * under way, the last of them in part (a large one takes several commit groups). Answers what is wrong.
   */
  restarted(log: LogReader, hardState: HardState): StartProblem {
    const lastLsn = log.lastLsn as number;
    const possible = { terms: [...this.durableTerms], term: this.durableTerm, vote: this.durableVote };
    const describe = (): string =>
      `term ${possible.term}, vote ${possible.vote}, last entry ${possible.terms.length - 1}`;
    const before = describe();
    /** Whether it was found as this says, with at least the entries up to `floor`. */
    const isFound = (floor: number): boolean => {
      if (possible.term !== hardState.term || possible.vote !== hardState.vote) return false;
      if (lastLsn < floor || lastLsn > possible.terms.length - 1) return false;
      return lastLsn < log.firstLsn || log.termAt(log.lastLsn) === possible.terms[lastLsn];
    };
    let matches = isFound(this.#durableFloor);
    for (const handover of this.#handovers) {
      if (matches) break;
      applyTo(possible.terms, handover);
      possible.term = handover.term;
      possible.vote = handover.vote;
      matches = isFound(handover.terms.length === 0 ? possible.terms.length - 1 : handover.firstLsn - 1);
    }
    const underWay = this.#handovers.length;
    this.#handovers = [];
    if (this.lastConfigurationLsn > lastLsn) this.lastConfigurationLsn = 0;
    if (!matches) {
      return (
        `started with term ${hardState.term}, vote ${hardState.vote}, last entry ${lastLsn}; durable were ${before}, and ` +
        `${underWay} writes under way would have led to ${describe()}`
      );
    }
    possible.terms.length = lastLsn + 1;
    this.#durableFloor = lastLsn;
    for (let lsn = log.firstLsn as number; lsn <= lastLsn; lsn += 1) {
      const term = log.termAt(lsn as typeof log.lastLsn);
      if (term !== possible.terms[lsn])
        return `started with term ${term} at LSN ${lsn}, which had term ${possible.terms[lsn]}`;
    }
    this.terms = possible.terms;
    this.durableTerms = [...possible.terms];
    Object.assign(this, {
      term: possible.term,
      vote: possible.vote,
      durableTerm: possible.term,
      durableVote: possible.vote,
    });
    return undefined;
  }
}

function applyTo(terms: number[], handover: Handover): void {
  if (handover.terms.length === 0) return;
  terms.length = handover.firstLsn;
  for (const term of handover.terms) terms.push(term);
}
