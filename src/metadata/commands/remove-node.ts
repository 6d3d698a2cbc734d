import { metadataPartitionId } from '../limits.js';
import type { NodeView, PartitionView, RefusedResult, ReplicaView } from '../types.js';
import { acceptedNode, nodeNotFound, refused, versionRefusal } from './apply-context.js';
import type { ApplyContext, CommandDefinition } from './apply-context.js';
import type { RemoveNodeCommand } from './commands.js';
import { tooFewNodesRefusal } from './drain-node.js';
import { isDesired, losesQuorum, quorumRefusal } from './replica-edits.js';

export const removeNode: CommandDefinition<RemoveNodeCommand> = {
  type: 5,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.nodeId, command.expectedVersion ?? null],

  decode: (header) => ({
    type: 'remove-node',
    nodeId: header.integer(),
    expectedVersion: header.optionalInteger(),
  }),

  apply(command, context) {
    const { draft, lsn, timeMs } = context;
    const node = draft.node(command.nodeId);
    if (node === undefined) return nodeNotFound(command.nodeId);
    if (node.state === 'removed') return acceptedNode(node);
    const refusal =
      versionRefusal(`Node ${node.id}`, node.version, command.expectedVersion) ??
      replicasRefusal(node, context) ??
      tooFewNodesRefusal(node.id, context);
    if (refusal !== undefined) return refusal;
    const metadata = draft.partition(metadataPartitionId);
    if (metadata !== undefined) draft.putPartition(withoutNode(metadata, node.id));
    draft.putNode({ ...node, state: 'removed', stateLsn: lsn, stateSinceMs: timeMs });
    return acceptedNode(node);
  },
};

/** Every node has the metadata for as long as it is one: its replica of that leaves with it. */
function withoutNode(partition: PartitionView, nodeId: number): PartitionView {
  const replicas = partition.replicas.map((replica) => {
    return replica.nodeId === nodeId && isDesired(replica) ? { ...replica, state: 'leaving' as const } : replica;
  });
  return { ...partition, replicas: [...replicas.filter(isDesired), ...replicas.filter((one) => !isDesired(one))] };
}

/** One that its group still counts is held too, lost or not: only the group's own removal ends that. */
function replicasRefusal(node: NodeView, { draft }: ApplyContext): RefusedResult | undefined {
  const isOnNode = (replica: ReplicaView): boolean => replica.nodeId === node.id;
  const metadata = draft.partition(metadataPartitionId);
  const held = draft.partitions().filter(({ id, replicas }) => id !== metadataPartitionId && replicas.some(isOnNode));
  if (held.length === 0) return metadata && quorumRefusal(metadata, isOnNode);
  const lost = held.filter((partition) => losesQuorum(partition, isOnNode));
  const facts = { node: node.id, partitions: idsOf(held) };
  if (lost.length > 0) {
    return refused(
      'QUORUM_WOULD_BE_LOST',
      `Without node ${node.id} partitions ${idsOf(lost)} have no majority: drain it first, and wait until it is empty.`,
      { ...facts, without_majority: idsOf(lost) },
    );
  }
  return refused(
    'NODE_HAS_REPLICAS',
    `Node ${node.id} holds replicas of partitions ${idsOf(held)}: drain it first, and wait until it is empty.`,
    facts,
  );
}

const idsShownMax = 20;

function idsOf(partitions: readonly PartitionView[]): string {
  const ids = partitions.slice(0, idsShownMax).map((partition) => partition.id);
  return ids.join(', ') + (partitions.length > idsShownMax ? ` and ${partitions.length - idsShownMax} more` : '');
}
