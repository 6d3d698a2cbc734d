/** From a stream's name to the replica that serves it. */
import { LogboomError } from '../../base/errors.js';
import { slotOf } from '../../streams/index.js';
import type { PartitionId } from '../../base/ids.js';
import type { Crc32 } from '../../base/ports/environment.js';
import type { PartitionReplica } from '../../partition/types.js';
import type { StreamsResult, StreamsStateMachine } from '../../streams/index.js';

export type StreamsReplica = PartitionReplica<StreamsResult, StreamsStateMachine>;

/** What the services need of a node's partitions; `PartitionManager` is one. */
export interface Partitions {
  /** Partition of each hash slot. */
  readonly slotPartitions: readonly PartitionId[];
  /** Ascending. */
  readonly partitionIds: readonly PartitionId[];
  replicaOf(partitionId: PartitionId): StreamsReplica | undefined;
}

export class Router {
  readonly #partitions: Partitions;
  readonly #crc32: Crc32;

  constructor(partitions: Partitions, crc32: Crc32) {
    this.#partitions = partitions;
    this.#crc32 = crc32;
  }

  partitionOf(stream: string): PartitionId {
    const { slotPartitions } = this.#partitions;
    const partitionId = slotPartitions[slotOf(stream, slotPartitions.length, this.#crc32)];
    if (partitionId === undefined) throw new LogboomError('INTERNAL', 'the table of hash slots is empty');
    return partitionId;
  }

  /**
   * The replica that holds a stream, whether the stream exists or not.
   *
   * @throws LogboomError PARTITION_STOPPED, PARTITION_NOT_FOUND
   */
  replicaOfStream(stream: string): StreamsReplica {
    return this.replica(this.partitionOf(stream));
  }

  /** @throws LogboomError PARTITION_STOPPED, PARTITION_NOT_FOUND */
  replica(partitionId: PartitionId): StreamsReplica {
    const replica = this.#partitions.replicaOf(partitionId);
    if (!replica) {
      throw new LogboomError('PARTITION_NOT_FOUND', `there is no partition ${partitionId} on this node`, {
        facts: { partition: partitionId },
      });
    }
    return replica;
  }

  /** All replicas of streams, by partition. */
  *replicas(): Iterable<StreamsReplica> {
    for (const partitionId of this.#partitions.partitionIds) {
      const replica = this.#partitions.replicaOf(partitionId);
      if (replica) yield replica;
    }
  }
}
