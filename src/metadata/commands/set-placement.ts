import { asNodeId, asReplicaId } from '../../base/ids.js';
import { metadataLimits } from '../limits.js';
import { clusterSettings } from '../settings.js';
import type { PartitionView, RefusedResult, ReplicaRole, ReplicaView } from '../types.js';
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
    const { draft, mutant } = context;
    const partition = draft.partition(command.partitionId);
    if (partition === undefined) return partitionNotFound(command.partitionId);
    if (command.requestId !== 0 && command.requestId === partition.lastRequestId) return acceptedPartition(partition);
    const edit = editOf(partition, command);
    const refusal =
      versionRefusal(`Partition ${partition.id}`, partition.version, command.expectedVersion) ??
      listRefusal(partition, command, edit, context) ??
      nodesRefusal(partition, edit, context) ??
      (mutant === 'replicas-move-at-once' ? undefined : progressRefusal(partition, edit));
    if (refusal !== undefined) return refusal;
    if (edit.isSame) return acceptedPartition(partition);
    draft.putPartition(placed(partition, command, edit));
    return acceptedPartition(partition);
  },
};

/** What a command changes of the desired replicas. */
interface Edit {
  /** Nodes that are to get a replica. */
  readonly added: readonly { readonly nodeId: number; readonly role: ReplicaRole }[];
  /** Replicas that are to go. */
  readonly removed: readonly ReplicaView[];
  /** Learners that are to vote. */
  readonly promoted: readonly ReplicaView[];
  /** Voters that are to be learners. */
  readonly demoted: readonly ReplicaView[];
  readonly isSame: boolean;
}

function editOf({ replicas }: PartitionView, { desired }: SetPlacementCommand): Edit {
  const current = replicas.filter(isDesired);
  const kept = desired.map(({ nodeId }) => current.find((replica) => replica.nodeId === nodeId));
  const changed = (to: ReplicaRole): ReplicaView[] =>
    desired.flatMap(({ role }, at) => (kept[at] !== undefined && role === to && kept[at].role !== to ? kept[at] : []));
  const [promoted, demoted] = [changed('voter'), changed('learner')];
  return {
    added: desired.filter((_, at) => kept[at] === undefined),
    removed: current.filter((replica) => !kept.includes(replica)),
    promoted,
    demoted,
    isSame:
      promoted.length + demoted.length === 0 &&
      current.length === kept.length &&
      current.every((replica, at) => replica === kept[at]),
  };
}

function placed(partition: PartitionView, { desired, requestId }: SetPlacementCommand, edit: Edit): PartitionView {
  let { nextReplicaId } = partition;
  const current = partition.replicas.filter(isDesired);
  const wanted = desired.map(({ nodeId, role }): ReplicaView => {
    const kept = current.find((replica) => replica.nodeId === nodeId);
    // In its new role it is yet to be had.
    if (kept !== undefined) return kept.role === role ? kept : { ...kept, role, state: 'joining' };
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
  if (edit.demoted.length > 0) return invalid('a voter does not become a learner; place another replica instead');
  const voters = desired.filter(({ role }) => role === 'voter').length;
  const votersNow = partition.replicas.filter((replica) => isDesired(replica) && replica.role === 'voter').length;
  const { replicationFactor } = clusterSettings(draft.settings);
  const votersMin = Math.max(1, Math.min(votersNow, replicationFactor));
  if (voters >= votersMin) return undefined;
  return invalid(
    `${voters} voters are too few; it has ${votersNow}, and the replication factor is ${replicationFactor}`,
  );
}

function nodesRefusal(
  partition: PartitionView,
  { added, promoted }: Edit,
  { draft }: ApplyContext,
): RefusedResult | undefined {
  for (const { nodeId } of [...added, ...promoted]) {
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

/**
 * At most one voter of a group moves at a time; one that does not arrive may be sent elsewhere. Learners have no vote that
 * could be missed: they come and go beside it.
 */
function progressRefusal(partition: PartitionView, { added, removed, promoted }: Edit): RefusedResult | undefined {
  const coming = added.length + promoted.length;
  if (coming === 0 && removed.length === 0) return undefined;
  const facts = { partition: partition.id };
  if (coming > 1 || removed.length > 1) {
    return refused('PLACEMENT_INVALID', `Only one replica of partition ${partition.id} can move at a time.`, facts);
  }
  const movesVoter = promoted.length > 0 || [...added, ...removed].some(({ role }) => role === 'voter');
  const moving = partition.replicas.filter((replica) => replica.state !== 'settled' && replica.role === 'voter');
  const isSentElsewhere =
    removed[0]?.state === 'joining' && moving.every((one) => one === removed[0] || !isDesired(one));
  if (movesVoter && moving.length > 0 && !isSentElsewhere) {
    const which = moving.map(({ replicaId, nodeId, state }) => `replica ${replicaId} on node ${nodeId} is ${state}`);
    return refused('PLACEMENT_IN_PROGRESS', `Partition ${partition.id}: ${which.join(', ')}.`, facts);
  }
  return countRefusal(partition, added.length);
}
