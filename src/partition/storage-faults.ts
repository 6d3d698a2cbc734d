/** What a replica does about the disk of its node that hangs or is full: see the core's `onStorageFault`. */
import type { ReplicaId } from '../base/ids.js';
import type { Logger } from '../base/ports/logger.js';
import { isQuorum, type RaftCore } from '../raft/index.js';
import type { RaftStatus, StorageFault } from '../raft/types.js';

export interface StorageFaultsParts {
  readonly core: Pick<RaftCore, 'status' | 'onStorageFault' | 'onStorageFaultCleared'>;
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

  constructor(parts: StorageFaultsParts) {
    this.#parts = parts;
  }

  /** What the core was told of. */
  get reported(): StorageFault | undefined {
    return this.#reported;
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
function othersCanGoOn({ id, confState, commit, progress }: RaftStatus): boolean {
  const able = new Set<ReplicaId>();
  for (const { replica, recentActive, match } of progress) {
    if (replica !== id && recentActive && match >= commit) able.add(replica);
  }
  return isQuorum(confState, (voter) => able.has(voter));
}
