/** What a replica does about the disk of its node that hangs or is full: see the core's `onStorageFault`. */
import type { ReplicaId } from '../base/ids.js';
import type { Logger } from '../base/ports/logger.js';
import { isQuorum, type RaftCore } from '../raft/index.js';
import type { RaftStatus, StorageFault } from '../raft/types.js';

export interface StorageFaultsParts {
  readonly core: Pick<RaftCore, 'status' | 'transferLeader' | 'onStorageFault' | 'onStorageFaultCleared'>;
  /** So long a group is without a leader before a replica whose disk is full takes part in elections again. */
  readonly leaderlessTicksMax: number;
  readonly logger: Logger;
  readonly onLeadershipGivenUp: (fault: StorageFault) => void;
}

/**
 * Tells the core of a fault, once a tick, in groups that can do without this replica: where the other voters are no
 * quorum, nothing would be won, and reads, which need no disk, would be lost.
 *  - A leader steps down only for others that answer and hold what is committed. Those whose disks have the same fault
 *    take no entries, so they fall behind.
 *  - A replica with a fault neither votes nor campaigns. When the disks of all fill up while nothing is appended, nobody
 *    can tell, and the group is left without leader: then those that are full, which still can store a vote, take part
 *    again until they are well. Reads go on, and appends are refused, as on a single node.
 */
export class StorageFaults {
  readonly #parts: StorageFaultsParts;
  #reported: StorageFault | undefined;
  #leaderlessTicks = 0;
  /** Full, and nobody leads without it: it takes part although it is. */
  #takesPart = false;
  /** Until then leadership is not handed on for lack of space once more. */
  #staysTicks = 0;

  constructor(parts: StorageFaultsParts) {
    this.#parts = parts;
  }

  /** What the core was told of. */
  get reported(): StorageFault | undefined {
    return this.#reported;
  }

  /**
   * The node is about to run out of space, and takes no appends: entries, votes and what frees space still have room, so
   * nothing is wrong with the replica. A leader hands over to the next voter, in the order of their ids, that can go
   * on, and seldom: of nodes that are all short of space, the one that is asked last stays.
   */
  tickShortOfSpace(): void {
    this.#staysTicks -= 1;
    if (this.#staysTicks > 0 || this.#reported !== undefined) return;
    const { core, logger, onLeadershipGivenUp, leaderlessTicksMax } = this.#parts;
    const status = core.status();
    if (status.role !== 'leader' || !othersCanGoOn(status)) return;
    const able = ableOthers(status).sort((a, b) => a - b);
    const next = able.find((replica) => replica > status.id) ?? able[0];
    if (next === undefined || !core.transferLeader(next).ok) return;
    this.#staysTicks = 40 * leaderlessTicksMax;
    onLeadershipGivenUp('full');
    logger.warn('leadership is given up, because the node is short of disk space', { term: status.term, to: next });
  }

  tick(fault: StorageFault | undefined): void {
    if (fault !== 'full') this.#takesPart = false;
    if (fault === undefined && this.#reported === undefined) return;
    const status = this.#parts.core.status();
    if (fault === undefined || !othersAreQuorum(status)) this.#clear();
    else if (fault !== this.#reported) this.#report(fault, status);
    else if (fault === 'full') this.#awaitLeader(status);
  }

  #report(fault: StorageFault, status: RaftStatus): void {
    const { core, logger, onLeadershipGivenUp } = this.#parts;
    if (this.#takesPart) return;
    const leads = status.role === 'leader';
    if (leads && !othersCanGoOn(status)) return;
    this.#reported = fault;
    this.#leaderlessTicks = 0;
    core.onStorageFault(fault);
    if (!leads) return;
    onLeadershipGivenUp(fault);
    logger.warn(`leadership is given up, because ${describeStorageFault(fault)}`, { term: status.term });
  }

  #clear(): void {
    if (this.#reported === undefined) return;
    this.#reported = undefined;
    this.#parts.core.onStorageFaultCleared();
  }

  #awaitLeader({ leader }: RaftStatus): void {
    this.#leaderlessTicks = leader === 0 ? this.#leaderlessTicks + 1 : 0;
    if (this.#leaderlessTicks <= this.#parts.leaderlessTicksMax) return;
    this.#takesPart = true;
    this.#clear();
    this.#parts.logger.warn('nobody leads: the replica takes part in elections again, although its disk is full');
  }
}

export function describeStorageFault(fault: StorageFault): string {
  return fault === 'hang' ? "the node's disk hangs" : "the node's disk is full";
}

/** Whether the group can elect, and commit, without this replica. */
function othersAreQuorum({ id, confState }: RaftStatus): boolean {
  return isQuorum(confState, (voter) => voter !== id);
}

/** The same of those that are there now, and whose disks took what was committed. */
function othersCanGoOn(status: RaftStatus): boolean {
  const able = new Set(ableOthers(status));
  return isQuorum(status.confState, (voter) => able.has(voter));
}

function ableOthers({ id, commit, progress }: RaftStatus): ReplicaId[] {
  return progress
    .filter(
      ({ replica, learner, recentActive, match }) => replica !== id && !learner && recentActive && match >= commit,
    )
    .map(({ replica }) => replica);
}
