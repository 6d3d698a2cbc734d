/** Hands the leadership of a group to another replica, without an append that fails. */
import { LogboomError } from '../base/errors.js';
import type { PartitionId, ReplicaId } from '../base/ids.js';
import { sleep, type Clock } from '../base/ports/clock.js';
import type { Leadership, RaftStatus } from '../raft/types.js';
import { notLeader, partitionStopped } from './refusals.js';
import { behindEntriesMax, unfitnessOf, type Unfitness } from './successors.js';

export interface TransferOptions {
  /** For all of it. */
  readonly timeoutMs: number;
  /** What messages call the successor; by default the replica. */
  readonly successorName?: string;
}

export interface LeadershipTransferParts {
  readonly partitionId: PartitionId;
  readonly clock: Clock;
  readonly raftStatus: () => RaftStatus;
  readonly leadership: () => Leadership;
  /** Why the replica has stopped; undefined when it has not. */
  readonly fault: () => Error | undefined;
  readonly proposalsUnderWay: () => number;
  /** Tells the core. @throws LogboomError */
  readonly transferInCore: (to: ReplicaId) => void;
  /** `isRefusing` has changed. */
  readonly onRefusing: () => void;
}

/** A successor that is silent or behind for no longer than this was only not heard of yet. */
const unfitMsMax = 1000;
/** Appends wait elsewhere for about this long, and not for longer than requests wait for a leader (3 s). */
const refusingMsMax = 1000;
const lookAgainMs = 2;

/**
 * The core's own transfer (dissertation 3.10) tells the successor to campaign as soon as that has the whole log. What is not
 * committed then is left to the successor, and whoever waits for it here hears LEADERSHIP_LOST: an outcome that only producers
 * with an id can deal with. So the transfer takes three steps:
 *
 * 1. Wait until the successor answers and lacks little. Appends go on.
 * 2. Take no proposals (NOT_LEADER: certainly not done, so they follow the leader by themselves), until those under way are applied
 *    and the successor has the whole log.
 * 3. Tell the core, and wait until somebody leads.
 *
 * Safety does not rest on any of it: it only asks, and refuses; who leads is decided by votes. Liveness: refusing ends with the
 * leadership or after `refusingMsMax`, whatever becomes of the successor; the core gives up after an election timeout.
 */
export class LeadershipTransfer {
  readonly #parts: LeadershipTransferParts;
  #underWay: { readonly to: ReplicaId; readonly done: Promise<void> } | undefined;
  #isRefusing = false;

  constructor(parts: LeadershipTransferParts) {
    this.#parts = parts;
  }

  /** Nothing is proposed now: it would be refused, or lost sight of. */
  get isRefusing(): boolean {
    return this.#isRefusing;
  }

  /**
   * Resolves when `to` leads. Also when it does already.
   *
   * @throws LogboomError NOT_LEADER; NODE_HAS_NO_REPLICA, REPLICA_IS_LEARNER, REPLICA_NOT_ANSWERING, REPLICA_BEHIND;
   * TRANSFER_IN_PROGRESS to another one; TRANSFER_FAILED; PARTITION_STOPPED
   */
  run(to: ReplicaId, options: TransferOptions): Promise<void> {
    const { partitionId, leadership } = this.#parts;
    if (this.#underWay?.to === to) return this.#underWay.done;
    if (this.#underWay !== undefined) {
      const message = `partition ${partitionId} is being handed to replica ${this.#underWay.to} already`;
      const facts = { partition: partitionId };
      return Promise.reject(new LogboomError('TRANSFER_IN_PROGRESS', message, { facts, retryAfterMs: 500 }));
    }
    const { role, leader } = leadership();
    if (role !== 'leader') return Promise.reject(notLeader(partitionId, leader));
    if (leader === to) return Promise.resolve();
    const done = this.#transfer(to, options).finally(() => {
      this.#underWay = undefined;
      this.#refuse(false);
    });
    this.#underWay = { to, done };
    return done;
  }

  async #transfer(to: ReplicaId, options: TransferOptions): Promise<void> {
    const { clock, leadership, raftStatus, proposalsUnderWay, transferInCore } = this.#parts;
    const { term } = leadership();
    const startedMs = clock.monotonicMs();
    const name = options.successorName ?? `replica ${to}`;
    const left = (): number => startedMs + options.timeoutMs - clock.monotonicMs();

    const isFit = (): boolean => this.#fitness(to, name) === undefined;
    if (!(await this.#until(isFit, term, Math.min(left(), unfitMsMax)))) throw this.#unfit(to, name);

    this.#refuse(true);
    const isReady = (): boolean => {
      const status = raftStatus();
      const match = status.progress.find(({ replica }) => replica === to)?.match ?? 0;
      return proposalsUnderWay() === 0 && match === status.lastLsn;
    };
    if (!(await this.#until(isReady, term, Math.min(left(), refusingMsMax)))) {
      const why = proposalsUnderWay() > 0 ? 'what was under way is not applied' : `${name} does not catch up`;
      throw this.#failed(name, `${why} within ${refusingMsMax} ms`);
    }
    transferInCore(to);
    await this.#elected(to, term, name, left);
  }

  /** The core ends it after an election timeout: by then somebody else leads, or this replica goes on. */
  async #elected(to: ReplicaId, term: number, name: string, left: () => number): Promise<void> {
    const { leadership, raftStatus } = this.#parts;
    const isOver = (): boolean => {
      const { role, leader } = leadership();
      return role === 'leader' ? raftStatus().transferee !== to : leader !== 0;
    };
    await this.#until(isOver, undefined, left());
    const { role, leader, term: newTerm } = leadership();
    if (leader === to && newTerm > term) return;
    if (role === 'leader') throw this.#failed(name, 'it did not come to lead in time');
    throw this.#failed(name, leader === 0 ? 'nobody has come to lead yet' : `replica ${leader} leads now`);
  }

  /**
   * Looks until it holds, or the time is over.
   *
   * @param term of the leadership without which it is of no use
   * @returns whether it holds
   * @throws LogboomError when the leadership or the replica is lost meanwhile
   */
  async #until(holds: () => boolean, term: number | undefined, timeoutMs: number): Promise<boolean> {
    const { clock, partitionId, leadership, fault } = this.#parts;
    const untilMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      const stopped = fault();
      if (stopped !== undefined) throw partitionStopped(partitionId, stopped);
      const now = leadership();
      if (term !== undefined && (now.role !== 'leader' || now.term !== term)) throw notLeader(partitionId, now.leader);
      if (holds()) return true;
      if (clock.monotonicMs() >= untilMs) return false;
      await sleep(clock, lookAgainMs);
    }
  }

  /** @throws LogboomError for what does not pass by waiting */
  #fitness(to: ReplicaId, name: string): Unfitness | undefined {
    const why = unfitnessOf(this.#parts.raftStatus(), to);
    if (why === 'no-member' || why === 'learner') throw this.#unfit(to, name);
    return why;
  }

  #unfit(to: ReplicaId, name: string): LogboomError {
    const { partitionId, raftStatus } = this.#parts;
    const status = raftStatus();
    const why = unfitnessOf(status, to);
    const lacks = status.lastLsn - (status.progress.find(({ replica }) => replica === to)?.match ?? 0);
    return unfitError(why ?? 'silent', { partitionId, name, lacks });
  }

  #failed(name: string, why: string): LogboomError {
    const { partitionId } = this.#parts;
    return new LogboomError('TRANSFER_FAILED', `partition ${partitionId} was not handed to ${name}: ${why}`, {
      facts: { partition: partitionId },
      retryAfterMs: 1000,
    });
  }

  #refuse(isRefusing: boolean): void {
    if (this.#isRefusing === isRefusing) return;
    this.#isRefusing = isRefusing;
    this.#parts.onRefusing();
  }
}

/** What a caller is told of a successor that is not fit. */
export function unfitError(
  why: Unfitness,
  { partitionId, name, lacks }: { readonly partitionId: PartitionId; readonly name: string; readonly lacks: number },
): LogboomError {
  const facts = { partition: partitionId };
  switch (why) {
    case 'no-member':
      return new LogboomError('NODE_HAS_NO_REPLICA', `${name} has no replica of partition ${partitionId}`, { facts });
    case 'learner':
      return new LogboomError(
        'REPLICA_IS_LEARNER',
        `${name} does not vote in partition ${partitionId} yet, and cannot lead it`,
        { facts },
      );
    case 'silent':
      return new LogboomError(
        'REPLICA_NOT_ANSWERING',
        `${name} does not answer the leader of partition ${partitionId}: it is down, cut off, or hangs`,
        { facts, retryAfterMs: 1000 },
      );
    case 'behind':
      return new LogboomError(
        'REPLICA_BEHIND',
        `${name} lacks ${lacks} entries of partition ${partitionId}, and may lack ${behindEntriesMax} to lead it; it catches up by itself`,
        { facts: { ...facts, lacks, lacksMax: behindEntriesMax }, retryAfterMs: 1000 },
      );
  }
}
