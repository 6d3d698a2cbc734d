import { method } from './connection.js';
import type { CallOptions, Connection } from './connection.js';
import { ClientError } from './errors.js';
import * as messages from './messages.js';
import type { MessageValue } from './schema.js';
import { messages as messagesOf } from './tail.js';

export type NodeInfo = MessageValue<typeof messages.node>;
export type Limits = MessageValue<typeof messages.limits>;
export type ReplicaInfo = MessageValue<typeof messages.replica>;
export type PartitionInfo = MessageValue<typeof messages.partition>;

export type SnapshotInfo = MessageValue<typeof messages.snapshot>;
export type CreatedSnapshot = MessageValue<typeof messages.createSnapshotResponse>;
export type SnapshotList = MessageValue<typeof messages.listSnapshotsResponse>;
export type LeadershipTransfer = MessageValue<typeof messages.transferLeadershipResponse>;
export type TrimOutcome = MessageValue<typeof messages.trimResponse>;

export type Membership = MessageValue<typeof messages.describeMembershipResponse>;
export type MemberInfo = MessageValue<typeof messages.member>;
export type PartitionPlacement = MessageValue<typeof messages.partitionPlacement>;
export type ClusterSetting = MessageValue<typeof messages.clusterSetting>;

export interface ClusterInfo {
  readonly clusterId: string;
  readonly nodes: readonly NodeInfo[];
  /** Partition of each hash slot. */
  readonly slotPartitions: readonly number[];
  /** Who leads which partition, as far as the node that answered knows. */
  readonly leaders: readonly { readonly partition: number; readonly node: number; readonly term: number }[];
  /** The node that answered. */
  readonly answeredBy: number;
  readonly limits: Limits;
}

export interface VerificationProgress {
  readonly values: number;
  readonly bytes: number;
  /** Roughly, of all that is to be read; 0 when unknown. */
  readonly totalBytes: number;
}

export interface Verification extends VerificationProgress {
  /** Of the logical content, at `appliedLsn`. */
  readonly digest: string;
  readonly appliedLsn: number;
  readonly damaged: readonly { readonly database: string; readonly keyHex: string; readonly problem: string }[];
}

/** The cluster, its nodes and partitions; `client.cluster`. */
export class Cluster {
  readonly #connection: Connection;
  #limits: Limits | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** What one node knows with `ownView`; without it all nodes are asked how they are. */
  async describe(options: CallOptions & { readonly ownView?: boolean | undefined } = {}): Promise<ClusterInfo> {
    const { ownView, signal, deadlineMs } = options;
    const request = { message: messages.describeClusterRequest, value: { ownView } };
    const bounds = { signal, deadlineMs, idempotent: true };
    const answer = messages.describeClusterResponse;
    const response = await this.#connection.unary(method.describeCluster, request, answer, bounds);
    this.#connection.learned(response);
    if (!response.limits) throw new ClientError('PROTOCOL', 'a description of the cluster without its limits');
    this.#limits = response.limits;
    return { ...response, limits: response.limits };
  }

  /** The limits of the server, asked once. */
  async limits(options: CallOptions = {}): Promise<Limits> {
    return this.#limits ?? (await this.describe({ ...options, ownView: true })).limits;
  }

  async partitions(options: CallOptions = {}): Promise<readonly PartitionInfo[]> {
    const request = { message: messages.listPartitionsRequest, value: {} };
    const response = await this.#connection.unary(method.listPartitions, request, messages.listPartitionsResponse, {
      ...options,
      idempotent: true,
    });
    return response.partitions;
  }

  /**
   * Takes a snapshot of a partition, or joins the one that is under way, and resolves when it is complete in the repository,
   * confirmed by a quorum and committed. Takes as long as there is new data, so it has no deadline unless one is given;
   * `partitions` tells how far it is.
   *
   * @throws LogboomError REPOSITORY_NOT_CONFIGURED, REPOSITORY_UNAVAILABLE, REPOSITORY_REFUSED, SNAPSHOT_NOT_CONFIRMED, ...
   */
  async createSnapshot(partition: number, options: CallOptions = {}): Promise<CreatedSnapshot> {
    const { signal, deadlineMs = Infinity } = options;
    const request = { message: messages.createSnapshotRequest, value: { partition } };
    // One more snapshot does no harm, so a lost answer is asked for again.
    return this.#connection.unary(method.createSnapshot, request, messages.createSnapshotResponse, {
      signal,
      deadlineMs,
      idempotent: true,
    });
  }

  /** Of a partition, as the repository lists them, the newest first. */
  async listSnapshots(partition: number, options: CallOptions = {}): Promise<SnapshotList> {
    const request = { message: messages.listSnapshotsRequest, value: { partition } };
    return this.#connection.unary(method.listSnapshots, request, messages.listSnapshotsResponse, {
      ...options,
      idempotent: true,
    });
  }

  /** Lets the log of a partition go as far as is safe now; with `dryRun` only says what would be done. */
  async trim(
    partition: number,
    options: CallOptions & { readonly dryRun?: boolean | undefined } = {},
  ): Promise<TrimOutcome> {
    const { dryRun, ...bounds } = options;
    const request = { message: messages.trimRequest, value: { partition, dryRun } };
    return this.#connection.unary(method.trim, request, messages.trimResponse, { ...bounds, idempotent: true });
  }

  /**
   * Lets another node lead a partition, and resolves when it does; without `node`, whichever voter lacks least.
   *
   * @throws LogboomError NODE_HAS_NO_REPLICA, REPLICA_IS_LEARNER, REPLICA_NOT_ANSWERING, REPLICA_BEHIND, TRANSFER_IN_PROGRESS,
   * TRANSFER_FAILED, PARTITION_NOT_FOUND
   */
  async transferLeadership(
    partition: number,
    options: CallOptions & { readonly node?: number | undefined } = {},
  ): Promise<LeadershipTransfer> {
    const { node, ...bounds } = options;
    const request = { message: messages.transferLeadershipRequest, value: { partition, node } };
    const answer = messages.transferLeadershipResponse;
    // Without a node, a second one would hand over once more; and why it was refused is what the caller wants to know.
    return this.#connection.unary(method.transferLeadership, request, answer, { ...bounds, idempotent: false });
  }

  /**
   * Who belongs to the cluster, and where replicas are to be.
   *
   * @throws LogboomError CLUSTER_NOT_FORMED of a node alone, as all that follow
   */
  async membership(options: CallOptions = {}): Promise<Membership> {
    const request = { message: messages.describeMembershipRequest, value: {} };
    const answer = messages.describeMembershipResponse;
    return this.#connection.unary(method.describeMembership, request, answer, { ...options, idempotent: true });
  }

  /** Lets in a node that waits to be approved. @throws LogboomError NODE_NOT_FOUND, NODE_LIMIT_REACHED, ... */
  async addNode(node: number, options: CallOptions = {}): Promise<MemberInfo> {
    const request = { message: messages.addNodeRequest, value: { node } };
    return this.#connection.unary(method.addNode, request, messages.member, { ...options, idempotent: false });
  }

  /** Begins to move everything off a node, or with `cancel` lets it be used again. @throws LogboomError NODE_NOT_FOUND, REPLICATION_FACTOR_TOO_HIGH */
  async drainNode(
    node: number,
    options: CallOptions & { readonly cancel?: boolean | undefined } = {},
  ): Promise<MemberInfo> {
    const { cancel, ...bounds } = options;
    const request = { message: messages.drainNodeRequest, value: { node, cancel } };
    return this.#connection.unary(method.drainNode, request, messages.member, { ...bounds, idempotent: true });
  }

  /** Takes an empty node out for good. @throws LogboomError NODE_NOT_FOUND, NODE_HAS_REPLICAS, QUORUM_WOULD_BE_LOST, ... */
  async removeNode(node: number, options: CallOptions = {}): Promise<MemberInfo> {
    const request = { message: messages.removeNodeRequest, value: { node } };
    return this.#connection.unary(method.removeNode, request, messages.member, { ...options, idempotent: true });
  }

  /** Gives up the data of a node for an empty one that waits under its id. @throws LogboomError NODE_NOT_FOUND, QUORUM_WOULD_BE_LOST */
  async replaceNode(node: number, options: CallOptions = {}): Promise<MemberInfo> {
    const request = { message: messages.replaceNodeRequest, value: { node } };
    return this.#connection.unary(method.replaceNode, request, messages.member, { ...options, idempotent: false });
  }

  /** Decides that a replica is to move; `membership` tells when it has. @throws LogboomError PLACEMENT_INVALID, PLACEMENT_IN_PROGRESS */
  async movePartition(
    move: { readonly partition: number; readonly fromNode: number; readonly toNode: number },
    options: CallOptions = {},
  ): Promise<PartitionPlacement> {
    const request = { message: messages.movePartitionRequest, value: move };
    const answer = messages.partitionPlacement;
    return this.#connection.unary(method.movePartition, request, answer, { ...options, idempotent: false });
  }

  /** @param value undefined: back to the default. @throws LogboomError CONFIGURATION_INVALID, REPLICATION_FACTOR_TOO_HIGH */
  async setSetting(name: string, value: string | undefined, options: CallOptions = {}): Promise<ClusterSetting> {
    const request = { message: messages.setClusterSettingRequest, value: { name, value } };
    const answer = messages.clusterSetting;
    return this.#connection.unary(method.setClusterSetting, request, answer, { ...options, idempotent: true });
  }

  /**
   * Reads every stored value of a partition and verifies its checksum. Takes as long as there is data, so it has no
   * deadline of its own.
   */
  async verifyPartition(
    partition: number,
    options: CallOptions & { readonly onProgress?: ((progress: VerificationProgress) => void) | undefined } = {},
  ): Promise<Verification> {
    const { signal, deadlineMs, onProgress } = options;
    signal?.throwIfAborted();
    const request = messages.verifyPartitionRequest.encode({ partition });
    return this.#connection.retrying({ what: 'VerifyPartition', idempotent: true }, { signal }, async (route) => {
      const { address } = route;
      const call = this.#connection.serverStream(method.verifyPartition, request, route, deadlineMs);
      const onAbort = (): void => call.cancel();
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        for await (const bytes of messagesOf(this.#connection, call, address)) {
          const progress = messages.verifyPartitionResponse.decode(bytes);
          if (progress.done) return progress;
          onProgress?.(progress);
        }
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      } finally {
        signal?.removeEventListener('abort', onAbort);
        call.cancel();
      }
      throw new ClientError('CONNECTION_LOST', 'the verification ended without an outcome');
    });
  }
}
