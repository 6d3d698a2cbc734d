import { asNodeId, asPartitionId, asReplicaId } from '../../base/ids.js';
import type { HeaderReader } from '../../base/header-reader.js';
import { metadataLimits, metadataPartitionId, slotCount } from '../limits.js';
import { settingProblem } from '../settings.js';
import { slotsOfPattern } from '../slots.js';
import type { RefusedResult } from '../types.js';
import { accepted, refused } from './apply-context.js';
import type { ApplyContext, CommandDefinition, Verdict } from './apply-context.js';
import type { InitialPartition, InitializeClusterCommand } from './commands.js';
import {
  decodeDescription,
  descriptionRefusal,
  encodeDescription,
  invalid,
  newNode,
  textRefusal,
} from './node-description.js';

export const initializeCluster: CommandDefinition<InitializeClusterCommand> = {
  type: 1,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [
    command.clusterId,
    command.featureLevel,
    command.replicationFactor,
    command.slotPattern,
    command.nodes.map(encodeDescription),
    command.partitions.map(({ id, replicas }) => [
      id,
      replicas.map((replica) => replica.replicaId),
      replicas.map((replica) => replica.nodeId),
    ]),
  ],

  decode: (header) => ({
    type: 'initialize-cluster',
    clusterId: header.text(),
    featureLevel: header.integer(),
    replicationFactor: header.integer(),
    slotPattern: header.integers(),
    nodes: header.list(decodeDescription),
    partitions: header.list(decodeInitialPartition),
  }),

  /** The cluster id is the natural key: whoever has lost the answer proposes the same again. */
  apply(command, context) {
    const { draft } = context;
    if (draft.cluster?.clusterId === command.clusterId) return accepted;
    if (draft.cluster !== undefined) {
      return refused('CLUSTER_ALREADY_INITIALIZED', `This is cluster ${draft.cluster.clusterId} already.`, {
        cluster_id: draft.cluster.clusterId,
      });
    }
    return clusterRefusal(command) ?? nodesRefusal(command) ?? partitionsRefusal(command) ?? create(command, context);
  },
};

function decodeInitialPartition(header: HeaderReader): InitialPartition {
  const id = header.integer();
  const replicaIds = header.integers();
  const nodeIds = header.integers();
  // Lists of different lengths become replica or node 0, which apply refuses.
  const length = Math.max(replicaIds.length, nodeIds.length);
  const replicas = Array.from({ length }, (_, at) => ({ replicaId: replicaIds[at] ?? 0, nodeId: nodeIds[at] ?? 0 }));
  return { id, replicas };
}

function create(command: InitializeClusterCommand, context: ApplyContext): Verdict {
  const { draft, timeMs } = context;
  draft.putCluster({
    clusterId: command.clusterId,
    featureLevel: command.featureLevel,
    repositoryId: '',
    entryTimeMs: timeMs,
    tableVersion: 0,
  });
  draft.putSetting('replication-factor', String(command.replicationFactor));
  draft.putSlots(slotsOfPattern(command.slotPattern));
  for (const node of command.nodes) draft.putNode(newNode(node, [], context));
  for (const { id, replicas } of command.partitions) {
    draft.putPartition({
      id: asPartitionId(id),
      replicas: replicas.map(({ replicaId, nodeId }) => ({
        replicaId: asReplicaId(replicaId),
        nodeId: asNodeId(nodeId),
        role: 'voter',
        state: 'settled',
      })),
      initialVoters: replicas.map(({ replicaId }) => asReplicaId(replicaId)).toSorted((one, other) => one - other),
      nextReplicaId: 1 + Math.max(...replicas.map(({ replicaId }) => replicaId)),
      lastRequestId: 0,
      version: draft.nextVersion,
    });
  }
  return accepted;
}

function clusterRefusal(command: InitializeClusterCommand): RefusedResult | undefined {
  if (command.clusterId === '') return invalid('cluster_id', 'a cluster has an id');
  if (command.featureLevel < 1) return invalid('feature_level', 'the first is 1');
  const factorProblem = settingProblem('replication-factor', String(command.replicationFactor), command.featureLevel);
  if (factorProblem !== undefined) return refused('CONFIGURATION_INVALID', factorProblem);
  // A node alone is to be joined by others.
  if (command.nodes.length > 1 && command.replicationFactor > command.nodes.length) {
    return refused(
      'REPLICATION_FACTOR_TOO_HIGH',
      `Replication factor ${command.replicationFactor} needs as many nodes; there are ${command.nodes.length}.`,
      { replication_factor: command.replicationFactor, nodes: command.nodes.length },
    );
  }
  return textRefusal('cluster_id', command.clusterId);
}

function nodesRefusal({ nodes, featureLevel }: InitializeClusterCommand): RefusedResult | undefined {
  if (nodes.length > metadataLimits.nodesMax) {
    return refused('NODE_LIMIT_REACHED', `A cluster has at most ${metadataLimits.nodesMax} nodes.`);
  }
  if (new Set(nodes.map((node) => node.id)).size < nodes.length) return invalid('nodes', 'two have the same id');
  for (const node of nodes) {
    const refusal = descriptionRefusal(node);
    if (refusal !== undefined) return refusal;
    if (node.featureLevel < featureLevel) {
      return refused('FEATURE_LEVEL_UNSUPPORTED', `Node ${node.id} supports feature level ${node.featureLevel}.`, {
        node: node.id,
        supported: node.featureLevel,
        feature_level: featureLevel,
      });
    }
  }
  return undefined;
}

function partitionsRefusal(command: InitializeClusterCommand): RefusedResult | undefined {
  const { partitions, slotPattern } = command;
  const ids = new Set(partitions.map((partition) => partition.id));
  if (ids.size < partitions.length) return invalid('partitions', 'two have the same id');
  if (ids.size > metadataLimits.partitionsMax) {
    return invalid('partitions', `there are at most ${metadataLimits.partitionsMax}, not ${ids.size}`);
  }
  if (!ids.has(metadataPartitionId)) return invalid('partitions', 'partition 0 is missing');
  if (slotPattern.length < 1 || slotPattern.length > slotCount) return invalid('slot_pattern', '1 to 4096 partitions');
  if (!slotPattern.every((id) => id !== metadataPartitionId && ids.has(id))) {
    return invalid('slot_pattern', 'it names partitions that do not exist, or partition 0, which has no streams');
  }
  const nodeIds = new Set<number>(command.nodes.map((node) => node.id));
  for (const { id, replicas } of partitions) {
    if (id > metadataLimits.partitionIdMax) return invalid('partitions', `there can be no partition ${id}`);
    // Every node needs the metadata; of its founders all vote.
    const replicasMax = id === metadataPartitionId ? command.nodes.length : command.replicationFactor;
    if (replicas.length < 1 || replicas.length > replicasMax) {
      return invalid('partitions', `partition ${id} has ${replicas.length} replicas`);
    }
    const onNodes = new Set(replicas.map((replica) => replica.nodeId));
    const replicaIds = new Set(replicas.map((replica) => replica.replicaId));
    if (onNodes.size < replicas.length || replicaIds.size < replicas.length || replicaIds.has(0)) {
      return invalid('partitions', `the replicas of partition ${id} need nodes and ids of their own`);
    }
    if (![...onNodes].every((nodeId) => nodeIds.has(nodeId))) {
      return invalid('partitions', `partition ${id} has replicas on nodes that are not in the list`);
    }
    if (Math.max(...replicaIds) > metadataLimits.initialReplicaIdMax)
      return invalid('partitions', 'a replica id is too large');
  }
  return undefined;
}
