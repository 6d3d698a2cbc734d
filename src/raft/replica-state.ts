import { assert } from '../base/assert.js';
import { asLsn, noReplica, type Lsn, type ReplicaId, type Term } from '../base/ids.js';
import { nextInteger } from '../base/ports/random.js';
import { OwnAppends, UncommittedBytes } from './durability.js';
import { Outbox } from './messages.js';
import { isRaftMutant, type RaftMutant } from './mutants.js';
import { RaftLog } from './raft-log.js';
import { leaseTicksFor, ReadIndex } from './read-index.js';
import { Tracker } from './tracker.js';
import {
  defaultRaftLimits,
  type ConfirmedRead,
  type LogStart,
  type RaftLimits,
  type RaftOptions,
  type Refusal,
  type RefusalReason,
  type Role,
  type StorageFault,
} from './types.js';

/** What the parts of the core share: everything a replica knows, and the few changes that have to stay together. */
export class ReplicaState {
  readonly id: ReplicaId;
  readonly options: RaftOptions;
  readonly limits: RaftLimits;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly leases: boolean;
  readonly mutant: RaftMutant | undefined;

  readonly log: RaftLog;
  readonly tracker: Tracker;
  readonly outbox: Outbox;
  readonly reads: ReadIndex;
  readonly ownAppends: OwnAppends;
  readonly uncommitted = new UncommittedBytes();

  role: Role = 'follower';
  /** A vote for itself that waits to be durable or, of a pre-vote, for the next output. */
  selfVote: 'none' | 'pre-vote' | 'vote' = 'none';
  /** Of this term's leader: up to here this replica has answered its appends. */
  answeredLsn: Lsn = asLsn(0);
  storageFault: StorageFault | undefined;
  /** A bootstrap that the host was asked for and did not finish. */
  installing: LogStart | undefined;
  /** The host is replacing state and log by this one: nothing is appended until it is done. */
  installBegun: LogStart | undefined;
  /** The leader that asked for it. */
  installFrom: ReplicaId = noReplica;

  /** Nothing is to be done: time does not pass, and the leader is not watched; see quiet.ts. */
  quiet = false;
  /** A follower that woke by itself asks its leader to wake until it hears of it. */
  asksLeader = false;

  /** See `RaftCore.isMute`. */
  isMute = false;

  /** Ticks since start, but for those that were slept through. */
  ticks = 0;
  electionElapsed = 0;
  electionTimeout = 0;

  snapshotToInstall: LogStart | undefined;
  confirmedReads: ConfirmedRead[] = [];
  droppedReads: number[] = [];
  /** Contexts of reads that the leader was asked for. */
  readonly forwardedReads = new Set<number>();

  /** Never goes back; durable before anything is promised in it. */
  #term: Term;
  /** Within a term it changes once, from none. */
  #vote: ReplicaId;
  #leader: ReplicaId = noReplica;

  constructor(options: RaftOptions) {
    checkOptions(options);
    this.options = options;
    this.id = options.id;
    this.limits = { ...defaultRaftLimits, ...options.limits };
    this.preVote = options.preVote ?? true;
    this.checkQuorum = options.checkQuorum ?? true;
    this.leases = options.readMode === 'lease';
    this.mutant = options.mutant as RaftMutant | undefined;
    assert(!this.leases || this.checkQuorum, () => 'lease reads need checkQuorum');

    const { hardState, applied } = options;
    const commit = hardState.commit > applied ? hardState.commit : applied;
    this.log = new RaftLog(options.log, commit, applied, this.mutant === 'accept-stale-append');
    const { inflightMessagesMax, inflightBytesMax } = this.limits;
    this.tracker = new Tracker(options.confState, this.log.lastLsn, inflightMessagesMax, inflightBytesMax);
    this.outbox = new Outbox(this.id, this.mutant === 'vote-before-durable');
    this.reads = new ReadIndex(this.#leaseTicks());
    this.ownAppends = new OwnAppends(options.acknowledgeEachAppend ?? false);
    this.#term = hardState.term;
    this.#vote = hardState.vote;
  }

  #leaseTicks(): number {
    if (!this.leases) return 0;
    if (this.mutant === 'ignore-lease-drift-bound') return this.options.electionTicks;
    return leaseTicksFor(this.options.electionTicks, this.options.clockDriftBound ?? 2);
  }

  get term(): Term {
    return this.#term;
  }

  get vote(): ReplicaId {
    return this.#vote;
  }

  /** 0 when none is known. */
  get leader(): ReplicaId {
    return this.#leader;
  }

  set leader(leader: ReplicaId) {
    if (leader === this.#leader) return;
    this.#leader = leader;
    // Whoever was asked for a read does not lead any more: no answer has to be expected.
    for (const context of this.forwardedReads) this.droppedReads.push(context);
    this.forwardedReads.clear();
  }

  castVote(candidate: ReplicaId): void {
    assert(
      this.#vote === noReplica || this.#vote === candidate,
      () => `vote for ${candidate} in term ${this.#term} after one for ${this.#vote}`,
    );
    this.#vote = candidate;
  }

  /** Common start of every role in a term: nothing of the role before is left. */
  reset(term: Term): void {
    assert(term >= this.#term, () => `term ${term} after ${this.#term}`);
    if (term !== this.#term) {
      this.#term = term;
      this.#vote = noReplica;
    }
    this.leader = noReplica;
    this.selfVote = 'none';
    this.quiet = false;
    this.asksLeader = false;
    this.answeredLsn = asLsn(0);
    this.electionElapsed = 0;
    this.electionTimeout = this.options.electionTicks + nextInteger(this.options.random, this.options.electionTicks);
    this.tracker.resetVotes();
    this.uncommitted.reset();
    this.ownAppends.take();
    for (const read of this.reads.reset()) if (read.origin === this.id) this.droppedReads.push(read.context);
    const next = asLsn(this.log.lastLsn + 1);
    for (const [replica, progress] of this.tracker.progress) {
      // Of its own log a replica counts what is durable: the rest is counted when the WAL reports it.
      progress.reset(next, replica === this.id ? this.log.durable : asLsn(0));
    }
  }

  refuse(reason: RefusalReason, leader: ReplicaId = this.#leader): Refusal {
    return { ok: false, reason, leader };
  }

  confirmRead(lsn: Lsn, context: number): void {
    this.confirmedReads.push({ lsn, context });
  }
}

function checkOptions(options: RaftOptions): void {
  const { id, electionTicks, heartbeatTicks, clockDriftBound, mutant } = options;
  assert(id > 0, () => `replica id ${id}`);
  assert(heartbeatTicks > 0, () => `heartbeat every ${heartbeatTicks} ticks`);
  assert(
    electionTicks > heartbeatTicks,
    () => `election after ${electionTicks} ticks, heartbeat every ${heartbeatTicks}`,
  );
  assert(clockDriftBound === undefined || clockDriftBound > 1, () => `clock drift bound ${clockDriftBound}`);
  assert(mutant === undefined || isRaftMutant(mutant), () => `no mutant ${mutant}`);
}
