/** Which leaderships should move. Pure. */
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import { clusterSettings } from '../settings.js';
import type { ClusterSettings } from '../settings.js';
import type { ClusterState, PartitionView, ReplicaView } from '../types.js';
import { isEligible, isSteady } from './liveness.js';
import type { Liveness } from './liveness.js';

export interface LeaderTransfer {
  /** `leaving-node`: the leader's node is draining, or its replica is to go. `preferred`: back to the preferred leader. */
  readonly reason: 'leaving-node' | 'preferred';
  readonly partitionId: PartitionId;
  readonly fromNodeId: NodeId;
  readonly toNodeId: NodeId;
  readonly toReplicaId: ReplicaId;
}

/**
 * At most `limit` transfers, those that leave a node first. Each is a request to the partition's leader, which refuses while
 * the other has not caught up.
 *
 * Ends by itself: every partition is led by its preferred replica then, or by the best that is there; and preferred leaders
 * are even (see `nextMove`).
 *
 * @param leaders node that leads each partition, as far as known
 */
export function leaderTransfers(
  state: ClusterState,
  liveness: Liveness,
  leaders: ReadonlyMap<PartitionId, NodeId>,
  limit: number,
): readonly LeaderTransfer[] {
  const settings = clusterSettings(state.settings);
  const transfers: LeaderTransfer[] = [];
  for (const partition of state.partitions.values()) {
    const fromNodeId = leaders.get(partition.id);
    if (fromNodeId === undefined) continue;
    const transfer = transferOf(state, partition, fromNodeId, liveness, settings);
    if (transfer !== undefined) transfers.push(transfer);
  }
  const urgency = { 'leaving-node': 0, preferred: 1 };
  return transfers.toSorted((one, other) => urgency[one.reason] - urgency[other.reason]).slice(0, limit);
}

function transferOf(
  state: ClusterState,
  partition: PartitionView,
  fromNodeId: NodeId,
  liveness: Liveness,
  settings: ClusterSettings,
): LeaderTransfer | undefined {
  const voters = partition.replicas.filter(
    ({ role, state: replicaState }) => role === 'voter' && replicaState === 'settled',
  );
  const leader = voters.find(({ nodeId }) => nodeId === fromNodeId);
  const mustLeave = leader === undefined || state.nodes.get(fromNodeId)?.state !== 'active';
  const canLead = ({ nodeId }: ReplicaView): boolean => {
    const node = state.nodes.get(nodeId);
    return node !== undefined && nodeId !== fromNodeId && isEligible(node, liveness, settings);
  };
  const [preferred] = voters;
  const to = mustLeave ? voters.find(canLead) : preferred;
  if (to === undefined || !canLead(to)) return undefined;
  // One that has just come back may go again: only who must not stay goes to it.
  if (!mustLeave && !isSteady(to.nodeId, liveness, settings)) return undefined;
  return {
    reason: mustLeave ? 'leaving-node' : 'preferred',
    partitionId: partition.id,
    fromNodeId,
    toNodeId: to.nodeId,
    toReplicaId: to.replicaId,
  };
}
