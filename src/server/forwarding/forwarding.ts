/** Methods of StreamService that are carried out on the node that leads the partition of their stream. */
import { authorizationOf, forwardedHeader } from './remote-calls.js';
import { ArrivedAppends } from './arrived-appends.js';
import { RoutedAppends } from './routed-appends.js';
import { streamNameOf } from './stream-name.js';
import type { LogboomError } from '../../base/errors.js';
import type { PartitionId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { AppendAdmission } from '../admission.js';
import type { CallContext, StreamMethod, UnaryMethod } from '../rpc/calls.js';
import type { SessionAppends } from '../services/session-appends.js';
import type { Leaders } from './leaders.js';
import type { ForwardedCall, RemoteCalls } from './remote-calls.js';

export interface ForwardingParts {
  readonly leaders: Leaders;
  readonly remote: RemoteCalls;
  readonly clock: Clock;
  readonly admission: AppendAdmission;
  readonly partitionOf: (stream: string) => PartitionId;
  readonly publicError: (error: unknown) => LogboomError;
  /** Aborts when the node drains. */
  readonly drain: AbortSignal;
}

export interface ForwardedMethod {
  readonly name: string;
  readonly isIdempotent: boolean;
  /** It is about the leadership itself: that another node has come to lead is no sign that no answer will come. */
  readonly outlivesLeadership?: boolean;
  /** Takes a share of what the node may hold in memory; it is given back when nothing is left of the call. */
  readonly reserve?: (request: Buffer, context: CallContext) => Promise<() => void> | (() => void);
}

export const isForwarded = (context: CallContext): boolean => context.header(forwardedHeader) !== undefined;

/** How a method finds the node that carries it out. */
export interface Forward {
  /** A method of which only the bytes are known. */
  bytes(method: ForwardedMethod, local: UnaryMethod<Buffer, Buffer>): UnaryMethod<Buffer, Buffer>;
  /** A method whose request was decoded. */
  decoded<Request, Response>(
    method: ForwardedMethod,
    streamOf: (request: Request) => string,
    local: UnaryMethod<Request, Response>,
  ): (request: Request, bytes: Buffer, context: CallContext) => Promise<Response | Buffer>;
  /** A method of ClusterService that the leader of the partition it names carries out. */
  ofPartition<Request, Response>(
    method: ForwardedMethod,
    partitionOf: (request: Request) => PartitionId,
    local: UnaryMethod<Request, Response>,
  ): (request: Request, bytes: Buffer, context: CallContext) => Promise<Response | Buffer>;
  tail(local: StreamMethod<Buffer, Buffer>): StreamMethod<Buffer, Buffer>;
  /** @param local carries out what is led here */
  session(local: SessionAppends, context: CallContext): SessionAppends;
}

export class Forwarding implements Forward {
  readonly #parts: ForwardingParts;

  constructor(parts: ForwardingParts) {
    this.#parts = parts;
  }

  bytes(method: ForwardedMethod, local: UnaryMethod<Buffer, Buffer>): UnaryMethod<Buffer, Buffer> {
    return (bytes, context) => this.#unary(method, streamNameOf(bytes), bytes, context, () => local(bytes, context));
  }

  decoded<Request, Response>(
    method: ForwardedMethod,
    streamOf: (request: Request) => string,
    local: UnaryMethod<Request, Response>,
  ): (request: Request, bytes: Buffer, context: CallContext) => Promise<Response | Buffer> {
    return (request, bytes, context) =>
      this.#unary<Response | Buffer>(method, streamOf(request), bytes, context, () => local(request, context));
  }

  ofPartition<Request, Response>(
    method: ForwardedMethod,
    partitionOf: (request: Request) => PartitionId,
    local: UnaryMethod<Request, Response>,
  ): (request: Request, bytes: Buffer, context: CallContext) => Promise<Response | Buffer> {
    return (request, bytes, context) => {
      const call = { ...method, service: 'ClusterService' as const };
      return this.#toLeader<Response | Buffer>(call, partitionOf(request), bytes, context, () =>
        local(request, context),
      );
    };
  }

  tail(local: StreamMethod<Buffer, Buffer>): StreamMethod<Buffer, Buffer> {
    return async (bytes, sink, context) => {
      const { leaders, remote, partitionOf } = this.#parts;
      const stream = streamNameOf(bytes);
      if (stream === undefined) return local(bytes, sink, context);
      const partitionId = partitionOf(stream);
      let hasWritten = false;
      const counting = {
        write: (message: Buffer): Promise<void> => {
          hasWritten = true;
          return sink.write(message);
        },
      };
      await this.#untilDrained(context.signal, async (signal) => {
        const forwarded = forwardedCall({ name: 'Tail', isIdempotent: true }, partitionId, context, signal);
        // What was written cannot be taken back: the caller resumes behind it.
        const once = async <Answer>(carry: () => Promise<Answer>): Promise<Answer> => {
          if (hasWritten) throw leaders.notLeader(partitionId);
          return carry();
        };
        await leaders.run(
          partitionId,
          { signal, isForwarded: isForwarded(context) },
          {
            local: () => once(() => local(bytes, counting, context)),
            remote: (node) => once(() => remote.stream(node, forwarded, bytes, counting)),
          },
        );
      });
    };
  }

  session(local: SessionAppends, context: CallContext): SessionAppends {
    return isForwarded(context)
      ? new ArrivedAppends(this.#parts, local)
      : new RoutedAppends({ ...this.#parts, local, authorization: authorizationOf(context) });
  }

  #unary<Answer>(
    method: ForwardedMethod,
    stream: string | undefined,
    bytes: Buffer,
    context: CallContext,
    local: () => Promise<Answer>,
  ): Promise<Answer | Buffer> {
    if (stream === undefined) return local();
    return this.#toLeader(method, this.#parts.partitionOf(stream), bytes, context, local);
  }

  #toLeader<Answer>(
    method: ForwardedMethod & { readonly service?: 'ClusterService' },
    partitionId: PartitionId,
    bytes: Buffer,
    context: CallContext,
    local: () => Promise<Answer>,
  ): Promise<Answer | Buffer> {
    const { leaders, remote } = this.#parts;
    const { signal } = context;
    let isReserved = false;
    return leaders.run<Answer | Buffer>(
      partitionId,
      { signal, isForwarded: isForwarded(context) },
      {
        local,
        remote: async (node) => {
          if (!isReserved && method.reserve) {
            isReserved = true;
            context.onFinished(await method.reserve(bytes, context));
          }
          return remote.unary(node, forwardedCall(method, partitionId, context, signal), bytes);
        },
      },
    );
  }

  /** Not AbortSignal.any: in Node 20 each of its signals leaves something behind in the sources, and `drain` lives long. */
  async #untilDrained(signal: AbortSignal, carry: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { drain } = this.#parts;
    const either = new AbortController();
    const onAbort = (): void => either.abort(signal.aborted ? signal.reason : drain.reason);
    const sources = [signal, drain];
    for (const source of sources) source.addEventListener('abort', onAbort, { once: true });
    if (sources.some(({ aborted }) => aborted)) onAbort();
    try {
      await carry(either.signal);
    } finally {
      for (const source of sources) source.removeEventListener('abort', onAbort);
    }
  }
}

function forwardedCall(
  {
    name,
    isIdempotent,
    service,
    outlivesLeadership = false,
  }: ForwardedMethod & { readonly service?: 'ClusterService' },
  partitionId: PartitionId,
  context: CallContext,
  signal: AbortSignal,
): ForwardedCall {
  const { deadlineUnixMs } = context;
  const authorization = authorizationOf(context);
  return {
    path: `/logboom.v1.${service ?? 'StreamService'}/${name}`,
    partitionId,
    isIdempotent,
    outlivesLeadership,
    signal,
    deadlineUnixMs,
    authorization,
  };
}
