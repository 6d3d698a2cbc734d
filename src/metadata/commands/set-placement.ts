import { asNodeId, asReplicaId } from '../../base/ids.js';
import { metadataLimits } from '../limits.js';
import { clusterSettings } from '../settings.js';
import type { PartitionView, RefusedResult, ReplicaView } from '../types.js';
import { acceptedPartition, partitionNotFound, refused, versionRefusal } from './apply-context.js';
import type { ApplyContext, CommandDefinition } from './apply-context.js';
import type { SetPlacementCommand } from './commands.js';
import { countRefusal, isDesired } from './replica-edits.js';

export const setPlacement: CommandDefinition<SetPlacementCommand> = {
  type: 7,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [
    command.partitionId,
    command.requestId,
    command.expectedVersion,
    command.desired.map(({ nodeId, role }) => [nodeId, role === 'learner']),
  ],

  decode: (header) => ({
    type: 'set-placement',
    partitionId: header.integer(),
    requestId: header.integer(),
    expectedVersion: header.integer(),
    desired: header.list((item) => ({ nodeId: item.integer(), role: item.boolean() ? 'learner' : 'voter' })),
  }),

  /**
   * A retry after an unknown outcome finds its own request id, and answers the placement there is. Any other request that
   * read the partition before it finds another version. So no request allocates a replica id twice.
   */
  apply(command, context) {
    const { draft } = context;
    const partition = draft.partition(command.partitionId);
    if (partition === undefined) return partitionNotFound(command.partitionId);
    if (command.requestId !== 0 && command.requestId === partition.lastRequestId) return acceptedPartition(partition);
    const edit = editOf(partition, command);
    const refusal =
      versionRefusal(`Partition ${partition.id}`, partition.version, command.expectedVersion) ??
      listRefusal(partition, command, edit, context) ??
      nodesRefusal(partition, edit, context) ??
      progressRefusal(partition, edit);
    if (refusal !== undefined) return refusal;
    if (edit.isSame) return acceptedPartition(partition);
    draft.putPartition(placed(partition, command, edit));
    return acceptedPartition(partition);
  },
};

/** What a command changes of the desired replicas. */
interface Edit {
  /** Nodes that are to get a replica. */
  readonly added: readonly number[];
  /** Replicas that are to go. */
  readonly removed: readonly ReplicaView[];
  readonly changesRole: boolean;
  readonly isSame: boolean;
}

function editOf({ replicas }: PartitionView, { desired }: SetPlacementCommand): Edit {
  const current = replicas.filter(isDesired);
  const kept = desired.map(({ nodeId }) => current.find((replica) => replica.nodeId === nodeId));
  return {
    added: desired.filter((_, at) => kept[at] === undefined).map(({ nodeId }) => nodeId),
    removed: current.filter((replica) => !kept.includes(replica)),
    changesRole: desired.some(({ role }, at) => kept[at] !== undefined && kept[at].role !== role),
    isSame: current.length === kept.length && current.every((replica, at) => replica === kept[at]),
  };
}

function placed(partition: PartitionView, { desired, requestId }: SetPlacementCommand, edit: Edit): PartitionView {
  let { nextReplicaId } = partition;
  const current = partition.replicas.filter(isDesired);
  const wanted = desired.map(({ nodeId, role }): ReplicaView => {
    const kept = current.find((replica) => replica.nodeId === nodeId);
    if (kept !== undefined) return kept;
    return { replicaId: asReplicaId(nextReplicaId++), nodeId: asNodeId(nodeId), role, state: 'joining' };
  });
  const going = partition.replicas.filter((replica) => !isDesired(replica));
  // One that was joining may have been added to the group by now: it leaves like any other.
  const leaving = edit.removed.map((replica): ReplicaView => ({ ...replica, state: 'leaving' }));
  return {
    ...partition,
    replicas: [...wanted, ...going, ...leaving],
    nextReplicaId,
    lastRequestId: requestId,
  };
}

function listRefusal(
  partition: PartitionView,
  { desired, requestId }: SetPlacementCommand,
  edit: Edit,
  { draft }: ApplyContext,
): RefusedResult | undefined {
  const invalid = (problem: string): RefusedResult =>
    refused('PLACEMENT_INVALID', `Partition ${partition.id}: ${problem}.`, { partition: partition.id });
  if (requestId === 0) return refused('INVALID_ARGUMENT', 'request_id: 0 stands for none.', { field: 'request_id' });
  if (desired.length > metadataLimits.replicasPerPartitionMax)
    return invalid(`${desired.length} replicas are too many`);
  if (new Set(desired.map(({ nodeId }) => nodeId)).size < desired.length) {
    return invalid('two replicas of one partition cannot be on the same node');
  }
  if (edit.changesRole) return invalid('a replica keeps its role; place another one instead');
  const voters = desired.filter(({ role }) => role === 'voter').length;
  const votersNow = partition.replicas.filter((replica) => isDesired(replica) && replica.role === 'voter').length;
  const { replicationFactor } = clusterSettings(draft.settings);
  const votersMin = Math.max(1, Math.min(votersNow, replicationFactor));
  if (voters >= votersMin) return undefined;
  return invalid(
    `${voters} voters are too few; it has ${votersNow}, and the replication factor is ${replicationFactor}`,
  );
}

function nodesRefusal(partition: PartitionView, { added }: Edit, { draft }: ApplyContext): RefusedResult | undefined {
  for (const nodeId of added) {
    const facts = { partition: partition.id, node: nodeId };
    const state = draft.node(nodeId)?.state;
    if (state !== 'active') {
      const what = state === undefined || state === 'removed' ? 'is not in the cluster' : 'is draining';
      return refused('PLACEMENT_INVALID', `Node ${nodeId} ${what}: it cannot get a replica.`, facts);
    }
    if (partition.replicas.some((replica) => replica.nodeId === nodeId && replica.state === 'leaving')) {
      return refused('PLACEMENT_IN_PROGRESS', `The replica that node ${nodeId} had is still leaving.`, facts);
    }
  }
  return undefined;
}

/** At most one replica of a group moves at a time; one that does not arrive may be sent elsewhere. */
function progressRefusal(partition: PartitionView, { added, removed }: Edit): RefusedResult | undefined {
  if (added.length === 0 && removed.length === 0) return undefined;
  const facts = { partition: partition.id };
  if (added.length > 1 || removed.length > 1) {
    return refused('PLACEMENT_INVALID', `Only one replica of partition ${partition.id} can move at a time.`, facts);
  }
  const moving = partition.replicas.filter((replica) => replica.state !== 'settled');
  const isSentElsewhere =
    removed[0]?.state === 'joining' && moving.every((one) => one === removed[0] || !isDesired(one));
  if (moving.length > 0 && !isSentElsewhere) {
    const which = moving.map(({ replicaId, nodeId, state }) => `replica ${replicaId} on node ${nodeId} is ${state}`);
    return refused('PLACEMENT_IN_PROGRESS', `Partition ${partition.id}: ${which.join(', ')}.`, facts);
  }
  return countRefusal(partition, added.length);
}
