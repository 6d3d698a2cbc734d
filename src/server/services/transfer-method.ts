/** TransferLeadership: carried out on the node that leads the partition, answered when another one does. */
import { LogboomError } from '../../base/errors.js';
import { asNodeId, asPartitionId } from '../../base/ids.js';
import { chooseSuccessor, otherVoters, unfitError, unfitnessOf } from '../../partition/index.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { RaftStatus } from '../../raft/types.js';
import type { TransferOptions } from '../../partition/index.js';
import type { CallContext } from '../rpc/calls.js';

/** What is used of a replica; `Replica` is one. */
export interface TransferredReplica {
  readonly raftStatus: RaftStatus;
  handOver(to: ReplicaId, options: TransferOptions): Promise<void>;
}

export interface TransferParts {
  readonly clock: Clock;
  readonly nodeId: () => NodeId;
  /** Any partition, that of the metadata too. @throws LogboomError PARTITION_NOT_FOUND */
  readonly replicaOf: (id: PartitionId) => TransferredReplica;
  /** Undefined of an unknown replica, and on a node that is alone. */
  readonly nodeOf: (partitionId: PartitionId, replicaId: ReplicaId) => NodeId | undefined;
}

export interface TransferRequest {
  readonly partition: number;
  /** 0: whichever voter lacks least. */
  readonly node: number;
}

/** For all of it: the successor to catch up (1 s), appends under way to end (1 s), and an election timeout. */
const transferMs = 5000;

export class TransferMethod {
  readonly #parts: TransferParts;

  constructor(parts: TransferParts) {
    this.#parts = parts;
  }

  /**
   * Answers when the other node leads, also when it led before.
   *
   * @throws LogboomError NOT_LEADER, PARTITION_NOT_FOUND, NODE_HAS_NO_REPLICA, REPLICA_IS_LEARNER, REPLICA_NOT_ANSWERING,
   * REPLICA_BEHIND, TRANSFER_IN_PROGRESS, TRANSFER_FAILED
   */
  async transfer({ partition, node }: TransferRequest, context: Pick<CallContext, 'deadlineUnixMs'>): Promise<object> {
    const { clock, nodeId, replicaOf, nodeOf } = this.#parts;
    const partitionId = asPartitionId(partition);
    const replica = replicaOf(partitionId);
    const formerNode = nodeId();
    const { term } = replica.raftStatus;
    if (node === formerNode) return { node, formerNode, term };
    const to = node === 0 ? this.#best(partitionId, replica) : this.#replicaOn(partitionId, replica, asNodeId(node));
    const successor = nodeOf(partitionId, to);
    const timeoutMs = Math.min(transferMs, context.deadlineUnixMs - clock.wallMs());
    await replica.handOver(to, {
      timeoutMs,
      successorName: successor === undefined ? `replica ${to}` : `node ${successor}`,
    });
    return { node: successor ?? 0, formerNode, term: replica.raftStatus.term };
  }

  #replicaOn(partitionId: PartitionId, { raftStatus }: TransferredReplica, node: NodeId): ReplicaId {
    const { nodeOf } = this.#parts;
    const found = raftStatus.progress.find(({ replica }) => nodeOf(partitionId, replica) === node);
    if (found !== undefined) return found.replica;
    throw unfitError('no-member', { partitionId, name: `node ${node}`, lacks: 0 });
  }

  /** Without one that is fit, the one that would be best: it may be fit in a moment, and the error says what it lacks. */
  #best(partitionId: PartitionId, { raftStatus }: TransferredReplica): ReplicaId {
    const chosen = chooseSuccessor(raftStatus, partitionId);
    if (chosen !== undefined) return chosen;
    const [best] = otherVoters(raftStatus).toSorted(
      (left, right) =>
        Number(unfitnessOf(raftStatus, left) === 'silent') - Number(unfitnessOf(raftStatus, right) === 'silent'),
    );
    if (best !== undefined) return best;
    throw new LogboomError('NODE_HAS_NO_REPLICA', `partition ${partitionId} has no other replica that could lead it`, {
      facts: { partition: partitionId },
    });
  }
}
