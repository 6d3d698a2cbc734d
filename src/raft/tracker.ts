import { at } from './at.js';
import { asLsn, type Lsn, type ReplicaId } from '../base/ids.js';
import { assertValidConf, isJoint, membersOf, votersOf } from './conf-change.js';
import { Progress } from './progress.js';
import { jointReached, jointVote, majorityOf, type VoteResult } from './quorum.js';
import type { ConfState } from './types.js';

/** The configuration in force, the progress of its members, and the votes of an election. */
export class Tracker {
  readonly #inflightMessagesMax: number;
  readonly #inflightBytesMax: number;
  #conf: ConfState;
  /** Ascending by replica, so that messages always leave in the same order. */
  #progress = new Map<ReplicaId, Progress>();
  #votes = new Map<ReplicaId, boolean>();
  /** Mutant only: what a removed leader stores itself and counts as one more copy. */
  extraCopy: (() => number) | undefined;

  readonly #matchOf = (replica: ReplicaId): number => this.#progress.get(replica)?.match ?? 0;
  readonly #ackedRoundOf = (replica: ReplicaId): number => this.#progress.get(replica)?.ackedRound ?? 0;
  readonly #voteOf = (replica: ReplicaId): boolean | undefined => this.#votes.get(replica);
  readonly #activityOf = (replica: ReplicaId): boolean => this.#progress.get(replica)?.recentActive ?? false;

  constructor(conf: ConfState, lastLsn: Lsn, inflightMessagesMax: number, inflightBytesMax: number) {
    this.#inflightMessagesMax = inflightMessagesMax;
    this.#inflightBytesMax = inflightBytesMax;
    this.#conf = conf;
    this.switchTo(conf, lastLsn);
  }

  get conf(): ConfState {
    return this.#conf;
  }

  get progress(): ReadonlyMap<ReplicaId, Progress> {
    return this.#progress;
  }

  get(replica: ReplicaId): Progress | undefined {
    return this.#progress.get(replica);
  }

  /** Keeps the progress of members that stay. */
  switchTo(conf: ConfState, lastLsn: Lsn): void {
    assertValidConf(conf);
    const progress = new Map<ReplicaId, Progress>();
    for (const replica of membersOf(conf)) {
      const learner = conf.learners.includes(replica);
      const known = this.#progress.get(replica) ?? this.#newcomer(lastLsn, learner);
      known.learner = learner;
      progress.set(replica, known);
    }
    this.#conf = conf;
    this.#progress = progress;
  }

  /** Everyone starts from nothing, as after a snapshot. */
  restart(conf: ConfState, lastLsn: Lsn): void {
    this.#progress = new Map();
    this.switchTo(conf, lastLsn);
  }

  #newcomer(lastLsn: Lsn, learner: boolean): Progress {
    const next = asLsn(Math.max(1, lastLsn));
    const progress = new Progress(next, learner, this.#inflightMessagesMax, this.#inflightBytesMax);
    // It gets one check-quorum interval to be heard of; otherwise adding it could depose the leader at once.
    progress.recentActive = true;
    return progress;
  }

  get isSingleVoter(): boolean {
    return this.#conf.voters.length === 1 && !isJoint(this.#conf);
  }

  /** Highest LSN that is durable on a quorum. */
  committed(): number {
    if (this.extraCopy !== undefined) return this.#committedWithExtra(this.extraCopy());
    return jointReached(this.#conf.voters, this.#conf.votersOutgoing, this.#matchOf);
  }

  #committedWithExtra(extra: number): number {
    const copies = [...this.#conf.voters.map((replica) => this.#matchOf(replica)), extra].sort((a, b) => b - a);
    return at(copies, majorityOf(this.#conf.voters.length) - 1);
  }

  /** Highest heartbeat round that a quorum answered. */
  confirmedRound(): number {
    return jointReached(this.#conf.voters, this.#conf.votersOutgoing, this.#ackedRoundOf);
  }

  quorumActive(): boolean {
    return jointVote(this.#conf.voters, this.#conf.votersOutgoing, this.#activityOf) === 'won';
  }

  resetVotes(): void {
    this.#votes.clear();
  }

  /** The first vote of a replica counts. */
  recordVote(replica: ReplicaId, granted: boolean): void {
    if (!this.#votes.has(replica)) this.#votes.set(replica, granted);
  }

  tally(): VoteResult {
    return jointVote(this.#conf.voters, this.#conf.votersOutgoing, this.#voteOf);
  }

  voters(): ReplicaId[] {
    return votersOf(this.#conf);
  }
}
