/** The methods of ClusterService that change who belongs to the cluster and where replicas are; carried out where the metadata is led. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { nextIdentity } from '../../base/ports/random.js';
import { clusterSettings, settingRules } from '../../metadata/index.js';
import { metadataPartition } from '../replicas.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { Random } from '../../base/ports/random.js';
import type { AppliedResult, ClusterState, MetadataCommand, NodeView, PartitionView } from '../../metadata/index.js';

/** The cluster's own view of its members, on the node that leads the metadata. */
export interface MembershipDesk {
  /** @throws LogboomError NOT_LEADER */
  readonly state: () => ClusterState;
  /** Nodes that wait for an operator. */
  readonly pending: () => readonly { readonly node: NodeSketch; readonly kind: 'add' | 'replace' }[];
  /** What holds up a group on its way to its placement, in a word; empty when nothing does. */
  readonly waitReason: (partitionId: PartitionId) => string;
  /** @throws LogboomError the reason of a refusal */
  readonly propose: (command: MetadataCommand) => Promise<AppliedResult>;
  readonly approve: (nodeId: NodeId) => Promise<void>;
  readonly replace: (nodeId: NodeId) => Promise<void>;
}

type NodeSketch = Pick<NodeView, 'id' | 'name' | 'linkAddress' | 'incarnation'>;

interface NodeRequest {
  readonly node: number;
}

export class MembershipMethods {
  readonly #desk: MembershipDesk;
  readonly #random: Random;

  constructor(desk: MembershipDesk, random: Random) {
    this.#desk = desk;
    this.#random = random;
  }

  async describe(): Promise<object> {
    const state = this.#desk.state();
    return {
      clusterId: state.clusterId,
      tableVersion: state.tableVersion,
      featureLevel: state.featureLevel,
      members: [...state.nodes.values()].map((node) => memberMessage(state, node)),
      pending: this.#desk.pending().map(({ node, kind }) => ({
        id: node.id,
        name: node.name,
        kind,
        linkAddress: node.linkAddress,
        incarnation: node.incarnation,
      })),
      placements: [...state.partitions.values()].map((partition) => this.#placementMessage(partition)),
      settings: settingRules.map(({ name }) => settingMessage(state, name)),
    };
  }

  async add({ node }: NodeRequest): Promise<object> {
    await this.#settled(this.#desk.approve(node as NodeId));
    return this.#member(node);
  }

  async drain({ node, cancel }: NodeRequest & { readonly cancel: boolean }): Promise<object> {
    await this.#propose({ type: 'drain-node', nodeId: node, drain: !cancel, expectedVersion: undefined });
    return this.#member(node);
  }

  async remove({ node }: NodeRequest): Promise<object> {
    await this.#propose({ type: 'remove-node', nodeId: node, expectedVersion: undefined });
    return this.#member(node);
  }

  async replace({ node }: NodeRequest): Promise<object> {
    await this.#settled(this.#desk.replace(node as NodeId));
    return this.#member(node);
  }

  async move({
    partition: partitionId,
    fromNode,
    toNode,
  }: {
    readonly partition: number;
    readonly fromNode: number;
    readonly toNode: number;
  }): Promise<object> {
    const partition = this.#partition(partitionId);
    const current = partition.replicas.filter(({ state }) => state === 'joining' || state === 'settled');
    const isMoving = current.some(({ nodeId, state }) => nodeId === toNode && state === 'joining');
    const hasLeft = !current.some(({ nodeId }) => nodeId === fromNode);
    if (isMoving && hasLeft) return this.#placementMessage(partition);
    if (hasLeft) {
      throw invalid('from_node', `node ${fromNode} has no replica of partition ${partitionId} that could move`);
    }
    if (current.some(({ nodeId }) => nodeId === toNode)) {
      throw invalid('to_node', `node ${toNode} has a replica of partition ${partitionId} already`);
    }
    await this.#propose({
      type: 'set-placement',
      partitionId,
      requestId: nextIdentity(this.#random),
      expectedVersion: partition.version,
      desired: current.map(({ nodeId, role }) => ({ nodeId: nodeId === fromNode ? toNode : nodeId, role })),
    });
    return this.#placementMessage(this.#partition(partitionId));
  }

  async set({ name, value }: { readonly name: string; readonly value?: string | undefined }): Promise<object> {
    await this.#propose({ type: 'set-setting', name, value, expectedVersion: undefined });
    return settingMessage(this.#desk.state(), name);
  }

  async #propose(command: MetadataCommand): Promise<void> {
    await this.#settled(this.#desk.propose(command));
  }

  /** Each of these changes is the same when it is made twice: when it is not known whether it was, the next leader makes it. */
  async #settled(change: Promise<unknown>): Promise<void> {
    try {
      await change;
    } catch (error) {
      if (!isLogboomError(error, 'LEADERSHIP_LOST')) throw error;
      throw new LogboomError('NOT_LEADER', 'the metadata is led by another node now', {
        facts: { partition: metadataPartition },
        retryAfterMs: 100,
        cause: error,
      });
    }
  }

  #partition(id: number): PartitionView {
    if (id === metadataPartition) throw invalid('partition', 'partition 0 is the metadata, which is on every node');
    const partition = this.#desk.state().partitions.get(id as PartitionId);
    if (partition !== undefined) return partition;
    throw new LogboomError('PARTITION_NOT_FOUND', `there is no partition ${id}`, { facts: { partition: id } });
  }

  #member(nodeId: number): object {
    const state = this.#desk.state();
    const node = state.nodes.get(nodeId as NodeId);
    return node === undefined ? { id: nodeId } : memberMessage(state, node);
  }

  #placementMessage({ id, replicas }: PartitionView): object {
    return {
      partition: id,
      replicas: replicas.map(({ replicaId, nodeId: node, role, state }) => ({ replicaId, node, role, state })),
      waitsFor: this.#desk.waitReason(id),
    };
  }
}

function memberMessage({ partitions }: ClusterState, node: NodeView): object {
  const { id, name, zone, state, stateSinceMs, linkAddress, incarnation, featureLevel } = node;
  const held = [...partitions.values()].filter(({ id: partition, replicas }) => {
    return partition !== metadataPartition && replicas.some(({ nodeId }) => nodeId === id);
  });
  return {
    id,
    name,
    zone,
    state,
    stateSinceUnixMs: stateSinceMs,
    linkAddress,
    incarnation,
    replicas: held.length,
    featureLevel,
  };
}

function settingMessage({ settings }: ClusterState, name: string): object {
  const field = settingRules.find((rule) => rule.name === name)?.field;
  const value = field === undefined ? '' : String(clusterSettings(settings)[field]);
  return { name, value, isDefault: !settings.has(name) };
}

function invalid(field: string, problem: string): LogboomError {
  return new LogboomError('INVALID_ARGUMENT', problem, { facts: { field } });
}
