import type { Lsn, ReplicaId, Term } from '../../src/base/ids.js';
import { EntryKind, type ConfState, type Entry, type LogReader, type Message } from '../../src/raft/index.js';

/** What a checker found broken. */
export class SoupViolation extends Error {
  override readonly name = 'SoupViolation';
}

export interface CheckedReplica {
  readonly id: ReplicaId;
  /** What is synced. */
  readonly disk: LogReader;
  /** What was handed over. */
  readonly view: LogReader & { readonly entries: readonly Entry[] };
}

function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new SoupViolation(message());
}

/** Watches a whole group from outside: what no replica can know alone (Raft paper, figure 3). */
export class SoupChecker {
  readonly #leaders = new Map<Term, ReplicaId>();
  readonly #votes = new Map<string, ReplicaId>();
  readonly #committed = new Map<Lsn, Entry>();
  readonly #openReads = new Map<number, number>();
  #maxCommitted = 0;
  commits = 0;
  elections = 0;
  reads = 0;

  /** Highest LSN that any replica has reported committed. */
  get maxCommitted(): number {
    return this.#maxCommitted;
  }

  /** Election safety, and leader completeness. */
  onLeader(replica: CheckedReplica, term: Term): void {
    const known = this.#leaders.get(term);
    check(
      known === undefined || known === replica.id,
      () => `replicas ${known} and ${replica.id} both lead term ${term}`,
    );
    if (known === undefined) this.elections += 1;
    this.#leaders.set(term, replica.id);
    for (let lsn = replica.view.firstLsn; lsn <= this.#maxCommitted; lsn = (lsn + 1) as Lsn) {
      const entry = this.#committed.get(lsn);
      check(
        entry === undefined || replica.view.termAt(lsn) === entry.term,
        () =>
          `leader ${replica.id} of term ${term} has term ${replica.view.termAt(lsn)} at committed LSN ${lsn}, not ${entry?.term}`,
      );
    }
  }

  /**
   * A candidate counts votes under the newest configuration that it knows to be committed. The harm of an older one
   * takes three changes that a stuck replica missed; so that this is found soon, the rule itself is checked.
   */
  onCandidate(replica: CheckedReplica, applied: number, commit: number): void {
    for (let lsn = Math.max(applied + 1, replica.view.firstLsn); lsn <= commit; lsn += 1) {
      const entry = replica.view.entries[lsn - replica.view.firstLsn];
      check(
        entry?.kind === EntryKind.normal,
        () => `replica ${replica.id} campaigns with the configuration change ${lsn} unapplied (applied ${applied})`,
      );
    }
  }

  /** State machine safety: what is committed at an LSN never differs, anywhere, ever. */
  onCommit(replica: CheckedReplica, from: number, to: number): void {
    for (let lsn = Math.max(from + 1, replica.view.firstLsn); lsn <= to; lsn += 1) {
      const entry = replica.view.entries[lsn - replica.view.firstLsn];
      check(entry !== undefined, () => `replica ${replica.id} committed ${lsn} but does not store it`);
      const known = this.#committed.get(entry.lsn);
      check(
        known === undefined || (known.term === entry.term && sameBytes(known.data, entry.data)),
        () => `LSN ${lsn} committed with term ${known?.term}, and by replica ${replica.id} with term ${entry.term}`,
      );
      this.#committed.set(entry.lsn, entry);
      this.commits += 1;
    }
    this.#maxCommitted = Math.max(this.#maxCommitted, to);
  }

  /** A leader's commit rests on synced copies of a quorum of its configuration. */
  onLeaderCommit(replicas: readonly CheckedReplica[], conf: ConfState, lsn: Lsn, term: Term): void {
    for (const half of [conf.voters, conf.votersOutgoing]) {
      if (half.length === 0) continue;
      const copies = half.filter((id) => {
        const disk = replicas.find((replica) => replica.id === id)?.disk;
        return disk !== undefined && (disk.firstLsn > lsn || disk.termAt(lsn) === term);
      });
      check(
        copies.length * 2 > half.length,
        () => `LSN ${lsn} committed with synced copies on ${copies.join()} of ${half.join()}`,
      );
    }
  }

  /** Rule 1 of the design: nothing is applied that the own WAL does not hold synced. */
  onAppliable(replica: CheckedReplica, lsn: Lsn): void {
    check(
      replica.disk.firstLsn > lsn ||
        (replica.disk.lastLsn >= lsn && replica.disk.termAt(lsn) === replica.view.termAt(lsn)),
      () => `replica ${replica.id} is to apply ${lsn}, synced is up to ${replica.disk.lastLsn}`,
    );
  }

  /** A replica votes once a term, also across restarts. */
  onSent(message: Message): void {
    if (message.type !== 'vote-response' || message.rejected) return;
    const key = `${message.from}@${message.term}`;
    const known = this.#votes.get(key);
    check(
      known === undefined || known === message.to,
      () => `replica ${message.from} voted for ${known} and ${message.to} in term ${message.term}`,
    );
    this.#votes.set(key, message.to);
  }

  onRead(context: number): void {
    this.#openReads.set(context, this.#maxCommitted);
  }

  /** Linearizability: a read sees everything that was committed when it was asked for. */
  onReadConfirmed(context: number, lsn: Lsn): void {
    const bound = this.#openReads.get(context);
    if (bound === undefined) return;
    this.#openReads.delete(context);
    this.reads += 1;
    check(lsn >= bound, () => `read ${context} is served at ${lsn}, ${bound} was committed when it came in`);
  }

  onReadLost(context: number): void {
    this.#openReads.delete(context);
  }

  /** Log matching: two logs that agree on an entry agree on everything before it. */
  checkLogMatching(replicas: readonly CheckedReplica[]): void {
    for (const a of replicas) for (const b of replicas) if (a.id < b.id) this.#checkPair(a, b);
  }

  #checkPair(a: CheckedReplica, b: CheckedReplica): void {
    const first = Math.max(a.view.firstLsn, b.view.firstLsn);
    let matching = false;
    for (let lsn = Math.min(a.view.lastLsn, b.view.lastLsn); lsn >= first; lsn -= 1) {
      const one = a.view.entries[lsn - a.view.firstLsn]!;
      const other = b.view.entries[lsn - b.view.firstLsn]!;
      if (one.term === other.term) matching = true;
      check(
        !matching || (one.term === other.term && sameBytes(one.data, other.data)),
        () => `logs of ${a.id} and ${b.id} part at ${lsn} and meet above`,
      );
    }
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
