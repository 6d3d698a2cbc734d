import { LogboomError } from '../../base/errors.js';
import { encodeAppendSessionError } from '../wire/responses.js';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import type { PartitionId } from '../../base/ids.js';
import type { SessionRequest } from '../services/session-appends.js';
import type { RemoteNode } from './leaders.js';
import type { RemoteCalls } from './remote-calls.js';

const path = '/logboom.v1.StreamService/AppendSession';
const passThrough = (bytes: Buffer): Buffer => bytes;

interface Pending {
  readonly requestId: Uint8Array;
  readonly partitionId: PartitionId;
  /** A second call does nothing. */
  readonly resolve: (answer: Buffer) => void;
}

/**
 * An AppendSession to another node, which answers in the order of the requests. What is in flight is bounded by the
 * session in front of it. Every request gets an answer: the other node's, or that the outcome is not known here.
 */
export class UpstreamSession {
  readonly #remote: RemoteCalls;
  readonly #node: RemoteNode;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #onEnd: () => void;
  /** Without an answer of the other node, in the order sent; given up ones among them. */
  readonly #pending: Pending[] = [];
  #hasEnded = false;

  constructor(
    { remote, authorization }: { readonly remote: RemoteCalls; readonly authorization: string | undefined },
    node: RemoteNode,
    onEnd: () => void,
  ) {
    this.#remote = remote;
    this.#node = node;
    this.#onEnd = onEnd;
    const headers = remote.headers(authorization);
    this.#call = remote.client(node).makeBidiStreamRequest(path, passThrough, passThrough, headers, {});
    this.#call.on('data', (answer: Buffer) => this.#pending.shift()?.resolve(answer));
    this.#call.on('error', (error: ServiceError) => this.#end(error));
    // The status follows, as an error when it is one.
    this.#call.on('end', () => setImmediate(() => this.#end(undefined)));
  }

  send(partitionId: PartitionId, { message, requestId }: SessionRequest): Promise<Buffer> {
    return new Promise((resolve) => {
      this.#pending.push({ requestId, partitionId, resolve });
      this.#call.write(message);
    });
  }

  /** Answers what waits for a partition that somebody else leads now. */
  giveUp(partitionId: PartitionId): void {
    for (const pending of this.#pending) {
      if (pending.partitionId === partitionId) this.#fail(pending, this.#outcomeUnknown(partitionId));
    }
  }

  /** The session in front of it is gone. What waits is answered all the same: it holds a share of the node's memory. */
  end(): void {
    this.#end(undefined);
    this.#call.cancel();
  }

  #end(error: ServiceError | undefined): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#onEnd();
    for (const pending of this.#pending.splice(0)) {
      const { partitionId } = pending;
      const failure = error && this.#remote.failureOf(error, this.#node, { partitionId, isIdempotent: false });
      this.#fail(pending, failure instanceof LogboomError ? failure : this.#outcomeUnknown(partitionId));
    }
  }

  #fail({ requestId, resolve }: Pending, error: LogboomError): void {
    resolve(encodeAppendSessionError(requestId, error));
  }

  #outcomeUnknown(partitionId: PartitionId): LogboomError {
    const { nodeId, address } = this.#node;
    return new LogboomError(
      'LEADERSHIP_LOST',
      `node ${nodeId} (${address}), which led partition ${partitionId}, did not answer; whether the append is stored is not known here`,
      { facts: { partition: partitionId }, retryAfterMs: 100 },
    );
  }
}
