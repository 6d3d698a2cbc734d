/** Which replicas a node is to make, and which to give up, to have what the table gives to it. */
import { metadataPartition } from '../replicas.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { ClusterState, PartitionView, ReplicaView } from '../../metadata/index.js';
import type { ReplicaPlacement } from '../../partition/index.js';
import type { ConfState } from '../../raft/types.js';

interface HeldReplica {
  readonly partitionId: PartitionId;
  readonly replicaId: ReplicaId;
}

export interface ReplicaWork {
  readonly remove: readonly HeldReplica[];
  /** Each once nothing else is held of its partition. */
  readonly make: readonly ReplicaPlacement[];
}

/**
 * Pure. Why it is safe with any table, however old: a replica is given up only when the table has allocated its id and does not
 * have it any more, or says that it is lost; what was allocated later is another table's work. And a replica that is made
 * here was never here before: the ids that were are kept out by `wasRemoved`.
 */
export function replicaWork(
  state: ClusterState,
  nodeId: NodeId,
  held: readonly HeldReplica[],
  wasRemoved: (replica: HeldReplica) => boolean,
): ReplicaWork {
  const remove = held.filter(({ partitionId, replicaId }) => {
    const partition = state.partitions.get(partitionId);
    return partition !== undefined && isDropped(partition, replicaId);
  });
  const staying = new Set(held.filter((replica) => !remove.includes(replica)).map(({ partitionId }) => partitionId));
  const make = [...state.partitions.values()].flatMap((partition): ReplicaPlacement[] => {
    const own = ownReplica(partition, nodeId);
    if (own === undefined || staying.has(partition.id)) return [];
    const placement = placementOf(partition, own);
    return wasRemoved(placement) ? [] : [placement];
  });
  return { remove, make };
}

function isDropped({ replicas, nextReplicaId }: PartitionView, replicaId: ReplicaId): boolean {
  const found = replicas.find((replica) => replica.replicaId === replicaId);
  return found === undefined ? replicaId < nextReplicaId : found.state === 'lost';
}

/** The newest that is not lost: where one was made anew, the one before it may still be in the table. */
export function ownReplica({ replicas }: PartitionView, nodeId: NodeId): ReplicaView | undefined {
  return replicas
    .filter((replica) => replica.nodeId === nodeId && replica.state !== 'lost')
    .toSorted((one, other) => other.replicaId - one.replicaId)[0];
}

function placementOf({ id, initialVoters }: PartitionView, { replicaId }: ReplicaView): ReplicaPlacement {
  return { partitionId: id, replicaId, confState: confStateOf(initialVoters) };
}

/** Of a group before its first entry. What came later is in its log, or in the snapshot that takes the place of that. */
export function confStateOf(voters: readonly ReplicaId[]): ConfState {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}

export const isMetadata = ({ partitionId }: HeldReplica): boolean => partitionId === metadataPartition;
