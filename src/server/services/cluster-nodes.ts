/** Asks every other node of the cluster what only it can tell. */
import { status as grpcStatus } from '@grpc/grpc-js';
import { callerOf } from '../rpc/definitions.js';
import { authorizationOf, unaryCall } from '../forwarding/remote-calls.js';
import type { ServiceError } from '@grpc/grpc-js';
import { metadataPartition } from '../replicas.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { ClusterState, NodeView, PartitionView } from '../../metadata/index.js';
import type { CallContext } from '../rpc/calls.js';
import type { RemoteCalls } from '../forwarding/remote-calls.js';

/** A node that is well answers within milliseconds; who asks wants to see the others meanwhile. */
const answerMs = 1000;

export interface ClusterNodesParts {
  readonly nodeId: NodeId;
  readonly remote: RemoteCalls;
  /** The newest table; undefined before there is one. */
  readonly state: () => ClusterState | undefined;
  /** Of a partition without a replica here: the term in which it was last heard to be led. */
  readonly termOf: (partitionId: PartitionId) => number;
}

export interface PlacedReplica {
  readonly partitionId: number;
  readonly replicaId: number;
  readonly nodeId: NodeId;
}

/** What a node answered, or why it did not. */
export type NodeAnswer<Answer> =
  { readonly node: NodeView; readonly answer: Answer } | { readonly node: NodeView; readonly failure: string };

export class ClusterNodes {
  readonly #parts: ClusterNodesParts;

  constructor(parts: ClusterNodesParts) {
    this.#parts = parts;
  }

  /** Where the metadata wants replicas, whether or not they answer. */
  get replicas(): readonly PlacedReplica[] {
    return [...(this.#parts.state()?.partitions.values() ?? [])].flatMap(({ id, replicas }) =>
      replicas.map(({ replicaId, nodeId }) => ({ partitionId: id, replicaId, nodeId })),
    );
  }

  /** All partitions of streams. */
  get partitions(): readonly PartitionView[] {
    return [...(this.#parts.state()?.partitions.values() ?? [])].filter(({ id }) => id !== metadataPartition);
  }

  termOf(partitionId: PartitionId): number {
    return this.#parts.termOf(partitionId);
  }

  /** The nodes of the cluster but this one. */
  get known(): readonly NodeView[] {
    const nodes = [...(this.#parts.state()?.nodes.values() ?? [])];
    return nodes.filter(({ id, state }) => id !== this.#parts.nodeId && state !== 'removed');
  }

  /** The nodes but this one, asked for the same, with the token of the caller; each answers for itself alone. */
  ask<Answer>(method: string, context: CallContext): Promise<NodeAnswer<Answer>[]> {
    return Promise.all(this.known.map((node) => this.#askOne<Answer>(node, method, context)));
  }

  async #askOne<Answer>(node: NodeView, method: string, context: CallContext): Promise<NodeAnswer<Answer>> {
    const { remote } = this.#parts;
    const { path, responseDeserialize } = callerOf('ClusterService', method);
    const [address] = node.advertisedAddresses;
    if (address === undefined) return { node, failure: 'it has no address' };
    const options = { deadline: Date.now() + answerMs };
    try {
      const client = remote.client({ nodeId: node.id, address });
      const bytes = await unaryCall(client, path, Buffer.alloc(0), remote.headers(authorizationOf(context)), options);
      return { node, answer: responseDeserialize(bytes) as Answer };
    } catch (error) {
      const { code, details } = error as Partial<ServiceError>;
      const silence = `it does not answer at ${address}`;
      if (code === grpcStatus.UNAVAILABLE) return { node, failure: `${silence}: ${details}` };
      if (code === grpcStatus.DEADLINE_EXCEEDED) return { node, failure: `${silence} within ${answerMs} ms` };
      return { node, failure: details ?? String(error) };
    }
  }
}
