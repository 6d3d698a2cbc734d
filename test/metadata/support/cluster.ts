/** A cluster's state machine over a store in memory, and states made up for the pure functions. */
import { asLsn, asNodeId, asPartitionId, asReplicaId } from '../../../src/base/ids.js';
import {
  encodeCommand,
  initialPlacement,
  initialSlotPattern,
  MetadataMachine,
  supportedFeatureLevel,
} from '../../../src/metadata/index.js';
import type {
  AppliedResult,
  ClusterState,
  InitializeClusterCommand,
  MetadataCommand,
  MetadataResult,
  NodeDescription,
  PartitionView,
} from '../../../src/metadata/index.js';
import { MemoryStore, MemoryTransaction } from '../../streams/support/memory-store.js';

export const clusterId = '0123456789abcd';

export function describeNode(id: number, fields: Partial<NodeDescription> = {}): NodeDescription {
  return {
    id: asNodeId(id),
    name: `node-${id}`,
    zone: '',
    incarnation: `incarnation-${id}`,
    advertisedAddresses: [`node-${id}.example:7440`],
    linkAddress: `10.0.0.${id}:7441`,
    softwareVersion: '1.0.0',
    featureLevel: supportedFeatureLevel,
    repositoryId: '',
    ...fields,
  };
}

/** `partitionCount` stream partitions and partition 0, placed on the nodes. */
export function initialize(
  nodes: readonly NodeDescription[],
  partitionCount = 2,
  replicationFactor = Math.min(3, nodes.length),
): InitializeClusterCommand {
  const ids = Array.from({ length: partitionCount + 1 }, (_, id) => asPartitionId(id));
  const placement = initialPlacement(nodes, ids, replicationFactor);
  return {
    type: 'initialize-cluster',
    clusterId,
    featureLevel: 1,
    replicationFactor,
    slotPattern: initialSlotPattern(partitionCount),
    nodes,
    partitions: ids.map((id) => ({
      id,
      replicas: (placement.get(id) ?? []).map((nodeId, at) => ({ replicaId: asReplicaId(at + 1), nodeId })),
    })),
  };
}

export class Cluster {
  readonly store = new MemoryStore();
  readonly machine: MetadataMachine;
  /** Every write in order. */
  readonly effects: string[] = [];
  timeMs = 1_000;

  constructor(supported = supportedFeatureLevel) {
    this.machine = new MetadataMachine({ supportedFeatureLevel: supported });
  }

  /** With as many nodes, in one zone each unless told otherwise, and their replicas settled. */
  static of(nodeCount: number, options: { partitions?: number; replicationFactor?: number; supported?: number } = {}) {
    const cluster = new Cluster(options.supported);
    const nodes = Array.from({ length: nodeCount }, (_, at) => describeNode(at + 1, { zone: `zone-${at + 1}` }));
    cluster.accept(initialize(nodes, options.partitions, options.replicationFactor));
    return cluster;
  }

  apply(command: MetadataCommand): MetadataResult {
    return this.applyEntry(encodeCommand(command, { timeMs: this.timeMs }));
  }

  applyEntry(entry: Uint8Array): MetadataResult {
    const transaction = new MemoryTransaction(this.store);
    transaction.lsn = asLsn(this.store.appliedLsn + 1);
    const result = this.machine.apply(transaction.lsn, entry, transaction);
    transaction.commit();
    this.effects.push(...transaction.effects);
    for (const _topic of this.machine.publish());
    return result;
  }

  accept(command: MetadataCommand): AppliedResult {
    const result = this.apply(command);
    if (result.type === 'refused') throw new Error(`${result.reason}: ${result.message}`);
    return result;
  }

  /** The reason of the refusal, or `applied`; a refusal leaves everything as it was. */
  reasonOf(command: MetadataCommand): string {
    const before = this.store.dump();
    const state = this.machine.state;
    const result = this.apply(command);
    if (result.type === 'applied') return 'applied';
    if (this.store.dump().join() !== before.join() || this.machine.state !== state) throw new Error('it has changed');
    return result.reason;
  }

  get state(): ClusterState {
    if (this.machine.state === undefined) throw new Error('not initialized');
    return this.machine.state;
  }

  partition(id: number): PartitionView {
    return this.state.partitions.get(asPartitionId(id))!;
  }

  /** Replicas as `id@node role state`. */
  replicas(id: number): string[] {
    return this.partition(id).replicas.map(
      ({ replicaId, nodeId, role, state }) => `${replicaId}@${nodeId} ${role} ${state}`,
    );
  }

  /** Proposes a placement of voters on these nodes, as read now. */
  place(partitionId: number, nodeIds: readonly number[], requestId: number): string {
    return this.reasonOf({
      type: 'set-placement',
      partitionId,
      requestId,
      expectedVersion: this.partition(partitionId).version,
      desired: nodeIds.map((nodeId) => ({ nodeId, role: 'voter' })),
    });
  }
}
