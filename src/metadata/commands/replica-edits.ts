/** What commands do to the replicas of a partition. */
import { asReplicaId } from '../../base/ids.js';
import { metadataLimits } from '../limits.js';
import type { PartitionView, RefusedResult, ReplicaState, ReplicaView } from '../types.js';
import { refused } from './apply-context.js';

/** It is to be there in the end. */
export const isDesired = (replica: ReplicaView): boolean => replica.state === 'joining' || replica.state === 'settled';

/** As far as the table knows, the group counts its vote. */
const isCounted = (replica: ReplicaView): boolean => replica.role === 'voter' && replica.state !== 'joining';

/** Whether the group's voters without those of which `isGone` are no majority any more. */
export function losesQuorum(partition: PartitionView, isGone: (replica: ReplicaView) => boolean): boolean {
  const voters = partition.replicas.filter(isCounted);
  const left = voters.filter((replica) => replica.state !== 'lost' && !isGone(replica));
  return left.length < Math.floor(voters.length / 2) + 1;
}

/** The refusal when no majority is left of a partition without those of its replicas. */
export function quorumRefusal(
  partition: PartitionView,
  isGone: (replica: ReplicaView) => boolean,
): RefusedResult | undefined {
  const losesVoter = partition.replicas.some((replica) => isGone(replica) && isCounted(replica));
  if (!losesVoter || !losesQuorum(partition, isGone)) return undefined;
  return refused(
    'QUORUM_WOULD_BE_LOST',
    `Partition ${partition.id} has no majority without this replica: bring its data directory back, or restore the partition.`,
    { partition: partition.id },
  );
}

/** The refusal when a partition has as many replicas, those that are to go included, as it may have. */
export function countRefusal(partition: PartitionView, added: number): RefusedResult | undefined {
  const count = partition.replicas.length + added;
  if (count <= metadataLimits.replicasPerPartitionMax) return undefined;
  return refused(
    'PLACEMENT_IN_PROGRESS',
    `Partition ${partition.id} would have ${count} replicas, those that are leaving included: wait until they are gone.`,
    { partition: partition.id, replicas_max: metadataLimits.replicasPerPartitionMax },
  );
}

/** The data of one replica is gone: it is to go, and one under a new id takes its place where it was still wanted. */
export function makeAnew(partition: PartitionView, replica: ReplicaView): PartitionView {
  if (!isDesired(replica)) return withState(partition, replica, 'lost');
  const fresh: ReplicaView = { ...replica, replicaId: asReplicaId(partition.nextReplicaId), state: 'joining' };
  return {
    ...partition,
    replicas: [...partition.replicas.map((one) => (one === replica ? fresh : one)), { ...replica, state: 'lost' }],
    nextReplicaId: partition.nextReplicaId + 1,
  };
}

export function withState(partition: PartitionView, replica: ReplicaView, state: ReplicaState): PartitionView {
  return {
    ...partition,
    replicas: partition.replicas.map((one) => (one === replica ? { ...one, state } : one)),
  };
}

/** A replica that a command names, or why it cannot be meant: `gone` was there once, `never` was not. */
export function findReplica(partition: PartitionView, replicaId: number): ReplicaView | 'gone' | 'never' {
  const found = partition.replicas.find((replica) => replica.replicaId === replicaId);
  if (found !== undefined) return found;
  return replicaId > 0 && replicaId < partition.nextReplicaId ? 'gone' : 'never';
}

export function replicaNotFound(partition: PartitionView, replicaId: number): RefusedResult {
  return refused('REPLICA_NOT_FOUND', `Partition ${partition.id} never had a replica ${replicaId}.`, {
    partition: partition.id,
    replica: replicaId,
  });
}
