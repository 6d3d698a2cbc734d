/**
 * Calls to other nodes, bytes in and bytes out: deadline and cancellation go along, answers and errors come back as they
 * were given, details included.
 */
import { Metadata, status } from '@grpc/grpc-js';
import { LogboomError } from '../../base/errors.js';
import { neverSent } from '../../client/channels.js';
import { decodeErrorInfo } from '../wire/status.js';
import { ForwardedError } from '../rpc/forwarded-error.js';
import type { CallOptions, Client, ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import type { PartitionId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { CallContext, MessageSink } from '../rpc/calls.js';
import type { Leaders, RemoteNode } from './leaders.js';
import type { Channels } from '../../client/channels.js';

/** Says that another node sent the call, and which one. */
export const forwardedHeader = 'logboom-forwarded-by';

/** After a change of leaders, the answers of the old one may still be on their way. */
const lateAnswerMs = 250;

/** What the caller showed of itself, to be shown to the next node. */
export const authorizationOf = (context: CallContext): string | undefined => context.header('authorization');

const passThrough = (bytes: Buffer): Buffer => bytes;

export interface ForwardedCall {
  readonly path: string;
  readonly partitionId: PartitionId;
  /** Whether to do it twice is no more than to do it once. */
  readonly isIdempotent: boolean;
  /** Whether its answer is waited for also when another node has come to lead. */
  readonly outlivesLeadership: boolean;
  readonly signal: AbortSignal;
  /** Milliseconds since the Unix epoch; Infinity when there is none. */
  readonly deadlineUnixMs: number;
  readonly authorization: string | undefined;
}

export interface RemoteCallsParts {
  readonly nodeId: number;
  readonly channels: Channels;
  readonly leaders: Leaders;
  readonly clock: Clock;
}

export class RemoteCalls {
  readonly #parts: RemoteCallsParts;

  constructor(parts: RemoteCallsParts) {
    this.#parts = parts;
  }

  client(node: RemoteNode): Client {
    return this.#parts.channels.to(node.address);
  }

  /** @param authorization of whoever made the call: the other node checks it again, and trusts nobody's word for it */
  headers(authorization: string | undefined): Metadata {
    const metadata = new Metadata();
    metadata.set(forwardedHeader, String(this.#parts.nodeId));
    if (authorization !== undefined) metadata.set('authorization', authorization);
    return metadata;
  }

  /** @throws LogboomError NOT_LEADER when it was certainly not carried out, or may be done twice; LEADERSHIP_LOST */
  async unary(node: RemoteNode, call: ForwardedCall, request: Buffer): Promise<Buffer> {
    const ending = this.#ending(node, call);
    try {
      return await unaryCall(this.client(node), call.path, request, this.headers(call.authorization), {
        deadline: call.deadlineUnixMs,
        signal: ending.signal,
      });
    } catch (error) {
      if (call.signal.aborted) throw call.signal.reason;
      throw this.failureOf(error as ServiceError, node, call);
    } finally {
      ending.end();
    }
  }

  /** Passes messages on, one at a time: the other node is not read from while this node's caller does not read. */
  async stream(node: RemoteNode, call: ForwardedCall, request: Buffer, sink: MessageSink<Buffer>): Promise<void> {
    const ending = this.#ending(node, call);
    const options = { deadline: call.deadlineUnixMs };
    const client = this.client(node);
    const stream = client.makeServerStreamRequest(
      call.path,
      passThrough,
      passThrough,
      request,
      this.headers(call.authorization),
      options,
    );
    limitReadAhead(stream);
    const cancel = (): void => stream.cancel();
    ending.signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const message of stream) await sink.write(message as Buffer);
    } catch (error) {
      if (call.signal.aborted) throw call.signal.reason;
      throw this.failureOf(error as ServiceError, node, call);
    } finally {
      // The status may come after the loop was left: it must not become an unhandled error.
      stream.on('error', () => {});
      stream.cancel();
      ending.end();
    }
  }

  /** What the caller is told of a failed call: the other node's own words, or that it cannot be reached. */
  failureOf(error: ServiceError, node: RemoteNode, call: Pick<ForwardedCall, 'partitionId' | 'isIdempotent'>): Error {
    if (typeof error.code !== 'number') return error;
    const info = decodeErrorInfo(error.metadata?.get('grpc-status-details-bin')[0]);
    if (info !== undefined) return new ForwardedError(error, info);
    if (error.code === status.DEADLINE_EXCEEDED) {
      return new LogboomError('DEADLINE_EXCEEDED', 'the deadline of the call has passed');
    }
    const isConnectionLost = [status.UNAVAILABLE, status.CANCELLED, status.INTERNAL].includes(error.code);
    if (!isConnectionLost) return new ForwardedError(error, undefined);
    const facts = { partition: call.partitionId };
    if (neverSent.test(error.details) || call.isIdempotent) {
      const message = `node ${node.nodeId} (${node.address}) led partition ${call.partitionId} and does not answer`;
      return new LogboomError('NOT_LEADER', message, { facts, retryAfterMs: 100, cause: error });
    }
    return new LogboomError(
      'LEADERSHIP_LOST',
      `the connection to node ${node.nodeId} (${node.address}), which led partition ${call.partitionId}, was lost while ` +
        'the request was under way; whether it was carried out is not known here',
      { facts, retryAfterMs: 100, cause: error },
    );
  }

  /** Ends with the caller, and some time after another node has come to lead: the old one may answer nothing any more. */
  #ending(
    node: RemoteNode,
    { partitionId, signal, outlivesLeadership }: ForwardedCall,
  ): { signal: AbortSignal; end: () => void } {
    const { leaders, clock } = this.#parts;
    const controller = new AbortController();
    const abort = (): void => controller.abort();
    const timers: { cancel(): void }[] = [];
    const unwatch = leaders.watch(partitionId, () => {
      const route = leaders.routeOf(partitionId);
      const hasMoved = route !== undefined && (route.type === 'local' || route.nodeId !== node.nodeId);
      if (hasMoved && !outlivesLeadership && timers.length === 0) timers.push(clock.setTimer(lateAnswerMs, abort));
    });
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    const end = (): void => {
      signal.removeEventListener('abort', abort);
      unwatch();
      for (const timer of timers) timer.cancel();
    };
    return { signal: controller.signal, end };
  }
}

/** @throws ServiceError */
export function unaryCall(
  client: Client,
  path: string,
  request: Buffer,
  headers: Metadata,
  { signal, ...options }: CallOptions & { readonly signal?: AbortSignal },
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => call.cancel();
    const call = client.makeUnaryRequest(
      path,
      passThrough,
      passThrough,
      request,
      headers,
      options,
      (error, response) => {
        signal?.removeEventListener('abort', cancel);
        if (error) reject(error);
        else resolve(response as Buffer);
      },
    );
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
  });
}

/** One message ahead is enough; the rest waits in the HTTP/2 window. Node has no public way to say so afterwards. */
function limitReadAhead(stream: ClientReadableStream<Buffer>): void {
  const { _readableState: state } = stream as unknown as { _readableState?: { highWaterMark: number } };
  if (state) state.highWaterMark = 1;
}
