/** The two kinds of partitions of a node: partition 0 holds metadata, all others streams. */
import { assert } from '../base/assert.js';
import { asPartitionId } from '../base/ids.js';
import { MetadataMachine, metadataPartitionId } from '../metadata/index.js';
import { StreamsStateMachine } from '../streams/index.js';
import type { PartitionId } from '../base/ids.js';
import type { MetadataResult } from '../metadata/index.js';
import type { PartitionManager, Replica } from '../partition/index.js';
import type { StreamsResult } from '../streams/index.js';

type NodeResult = StreamsResult | MetadataResult;
type NodeMachine = StreamsStateMachine | MetadataMachine;

export type NodeManager = PartitionManager<NodeResult, NodeMachine>;
export type NodeReplica = Replica<NodeResult, NodeMachine>;
export type MetadataReplica = Replica<MetadataResult, MetadataMachine>;
export type OwnStreamsReplica = Replica<StreamsResult, StreamsStateMachine>;

export const metadataPartition: PartitionId = asPartitionId(metadataPartitionId);

/** The only place that decides; the casts below rest on it. */
export function createMachine(partitionId: PartitionId): NodeMachine {
  return partitionId === metadataPartition ? new MetadataMachine() : new StreamsStateMachine();
}

export const holdsStreams = ({ partitionId }: NodeReplica): boolean => partitionId !== metadataPartition;

export function asStreamsReplica(replica: NodeReplica): OwnStreamsReplica {
  assert(holdsStreams(replica), () => `partition ${replica.partitionId} has no streams`);
  return replica as unknown as OwnStreamsReplica;
}

export function asMetadataReplica(replica: NodeReplica): MetadataReplica {
  assert(!holdsStreams(replica), () => `partition ${replica.partitionId} is not metadata`);
  return replica as unknown as MetadataReplica;
}
