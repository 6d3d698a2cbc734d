/** Between grpc-js and the services: cancellation, deadlines, errors, metrics, and the gate of a stopping node. */
import { LogboomError } from '../../base/errors.js';
import { latencyBoundsSeconds } from '../../base/ports/metrics.js';
import { shuttingDown } from '../admission.js';
import { streamNameOf } from '../forwarding/stream-name.js';
import { methodRequirements } from '../security/rights.js';
import { toServiceError } from './errors.js';
import type {
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { Clock } from '../../base/ports/clock.js';
import type { Counter, Gauge, Histogram, Metrics } from '../../base/ports/metrics.js';
import type { CallGate, Caller } from '../security/gate.js';
import type { MethodName, Requirement } from '../security/rights.js';
import type { Decoded } from './definitions.js';
import type { ErrorReporter } from './errors.js';

export interface CallContext {
  /** Aborts when the caller is gone or its deadline passed, with a LogboomError as reason. Also after the call ended. */
  readonly signal: AbortSignal;
  /** Calls back once when nothing of the call is left in the node: the answer was sent, or the caller is gone. */
  readonly onFinished: (callback: () => void) => void;
  /** Milliseconds since the Unix epoch; Infinity when the caller gave none. */
  readonly deadlineUnixMs: number;
  /** What the caller sent along under a name; undefined when there is none. */
  readonly header: (name: string) => string | undefined;
  /** Who calls. That they may call the method, and on its stream, was checked; what a session's messages name was not. */
  readonly caller: Caller;
}

/** Messages of a server stream. */
export interface MessageSink<Message> {
  /** Resolves when the message left for the network, so that at most one is held; rejects when the caller is gone. */
  write(message: Message): Promise<void>;
}

export type UnaryMethod<Request, Response> = (request: Request, context: CallContext) => Promise<Response>;
export type StreamMethod<Request, Message> = (
  request: Request,
  sink: MessageSink<Message>,
  context: CallContext,
) => Promise<void>;
export type SessionMethod = (call: ServerDuplexStream<Buffer, Buffer>, context: CallContext) => Promise<void>;

type AnyCall = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

/** Makes grpc-js handlers of methods, each of which requires the right that security/rights.ts says. One a node. */
export class Calls {
  readonly #errors: ErrorReporter;
  readonly #clock: Clock;
  readonly #gate: CallGate;
  readonly #count: Counter;
  readonly #seconds: Histogram;
  readonly #open: Gauge;
  readonly #active = new Set<AbortController>();
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(parts: {
    readonly errors: ErrorReporter;
    readonly clock: Clock;
    readonly metrics: Metrics;
    readonly gate: CallGate;
  }) {
    this.#errors = parts.errors;
    this.#clock = parts.clock;
    this.#gate = parts.gate;
    this.#count = parts.metrics.counter(
      'logboom_grpc_calls_total',
      'Calls that ended, by method and reason (OK or an error reason).',
    );
    this.#seconds = parts.metrics.histogram(
      'logboom_grpc_call_seconds',
      'Duration of unary calls that succeeded.',
      latencyBoundsSeconds,
    );
    this.#open = parts.metrics.gauge('logboom_grpc_open_calls', 'Calls being served.');
  }

  /** Refuses further calls with SHUTTING_DOWN; resolves when those under way have ended. */
  close(): Promise<void> {
    this.#closed = true;
    if (this.#active.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Aborts the calls that are still under way. What they asked for may be done all the same, and their callers are told so. */
  abortAll(): void {
    for (const controller of this.#active) controller.abort(abortedByStop());
  }

  /** A hot method: bytes in, bytes out. */
  unaryBytes(name: MethodName, method: UnaryMethod<Buffer, Buffer>): handleUnaryCall<Buffer, Buffer> {
    return (call, callback) => this.#answer(name, call, callback, (context) => method(call.request, context));
  }

  unary<Request, Response>(
    name: MethodName,
    method: UnaryMethod<Request, Response>,
  ): handleUnaryCall<Decoded, Response> {
    return (call, callback) =>
      this.#answer(name, call, callback, async (context) => method(requestOf<Request>(call.request), context));
  }

  /** A decoded request whose bytes may have to go elsewhere; what comes back from there is passed on as it is. */
  unaryEither<Request, Response>(
    name: MethodName,
    method: (request: Request, bytes: Buffer, context: CallContext) => Promise<Response | Buffer>,
  ): handleUnaryCall<Decoded, Response | Buffer> {
    return (call, callback) =>
      this.#answer(name, call, callback, async (context) => {
        const { message, bytes } = decodedOf(call.request);
        return method(message as Request, bytes, context);
      });
  }

  streamBytes(name: MethodName, method: StreamMethod<Buffer, Buffer>): handleServerStreamingCall<Buffer, Buffer> {
    return (call) => {
      this.#runStream(name, call, (context) => method(call.request, sinkOf(call, context), context));
    };
  }

  stream<Request, Message>(
    name: MethodName,
    method: StreamMethod<Request, Message>,
  ): handleServerStreamingCall<Decoded, Message> {
    return (call) => {
      this.#runStream(name, call, async (context) =>
        method(requestOf<Request>(call.request), sinkOf(call, context), context),
      );
    };
  }

  session(name: MethodName, method: SessionMethod): handleBidiStreamingCall<Buffer, Buffer> {
    return (call) => this.#runStream(name, call, (context) => method(call, context));
  }

  #answer<Response>(
    name: MethodName,
    call: ServerUnaryCall<unknown, unknown>,
    callback: sendUnaryData<Response>,
    method: (context: CallContext) => Promise<Response>,
  ): void {
    const startedMs = this.#clock.monotonicMs();
    this.#run(name, call, method).then(
      (response) => {
        this.#seconds.observe((this.#clock.monotonicMs() - startedMs) / 1000, { method: name });
        callback(null, response);
      },
      (error: LogboomError) => callback(toServiceError(error)),
    );
  }

  #runStream(
    name: MethodName,
    call: ServerWritableStream<unknown, unknown> | ServerDuplexStream<Buffer, Buffer>,
    method: (context: CallContext) => Promise<void>,
  ): void {
    this.#run(name, call as AnyCall, method).then(
      () => call.end(),
      // grpc-js takes an error event for the status of the call.
      (error: LogboomError) => call.emit('error', toServiceError(error)),
    );
  }

  /** Rejects with nothing but LogboomErrors that a caller may see. */
  async #run<Result>(
    name: MethodName,
    call: AnyCall,
    method: (context: CallContext) => Promise<Result>,
  ): Promise<Result> {
    const controller = new AbortController();
    const finished: (() => void)[] = [];
    // grpc-js emits it at the end of every call, whether it was cancelled, answered or cut off.
    call.once('cancelled', () => {
      controller.abort(this.#whyCancelled(call));
      for (const callback of finished.splice(0)) callback();
    });
    const onFinished = (callback: () => void): void => {
      if (call.cancelled) callback();
      else finished.push(callback);
    };
    this.#active.add(controller);
    this.#open.set(this.#active.size);
    let reason = 'OK';
    let caller: Caller | undefined;
    try {
      if (this.#closed) throw shuttingDown();
      const facts = factsOf(call);
      caller = this.#gate.enter(name, facts.header('authorization'), (error) => controller.abort(error));
      requireRight(caller, methodRequirements[name], call);
      return await method({ signal: controller.signal, onFinished, caller, ...facts });
    } catch (error) {
      const known = this.#errors.publicError(error, name);
      reason = known.reason;
      throw known;
    } finally {
      caller?.leave();
      this.#count.add(1, { method: name, reason });
      this.#active.delete(controller);
      this.#open.set(this.#active.size);
      if (this.#active.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #whyCancelled(call: AnyCall): LogboomError {
    return factsOf(call).deadlineUnixMs <= this.#clock.wallMs()
      ? new LogboomError('DEADLINE_EXCEEDED', 'the deadline of the call has passed')
      : new LogboomError('CANCELLED', 'the caller gave up');
  }
}

/** @throws LogboomError PERMISSION_DENIED; INVALID_ARGUMENT for a request whose stream cannot be told */
function requireRight(caller: Caller, requirement: Requirement, call: AnyCall): void {
  if (caller.isUnlimited) return;
  switch (requirement.on) {
    case 'token':
    case 'cluster':
      return caller.require(requirement, '');
    case 'stream':
      return caller.require(requirement, streamOf(call.request as Buffer | Decoded));
    case 'each-message':
      return;
  }
}

/** From the bytes that the method, or another node, will read it from too. */
function streamOf(request: Buffer | Decoded): string {
  const bytes = Buffer.isBuffer(request) ? request : decodedOf(request).bytes;
  const stream = streamNameOf(bytes);
  if (stream !== undefined) return stream;
  throw new LogboomError('INVALID_ARGUMENT', 'the bytes are no request that names a stream');
}

function factsOf(call: AnyCall): Pick<CallContext, 'deadlineUnixMs' | 'header'> {
  const deadline = call.getDeadline();
  return {
    deadlineUnixMs: deadline instanceof Date ? deadline.getTime() : deadline,
    header: (name) => call.metadata.get(name)[0]?.toString(),
  };
}

function decodedOf(decoded: Decoded): { readonly message: unknown; readonly bytes: Buffer } {
  if ('refusal' in decoded) throw decoded.refusal;
  return decoded;
}

function requestOf<Request>(decoded: Decoded): Request {
  // proto-loader made it from the method's request type.
  return decodedOf(decoded).message as Request;
}

/** At most one message of a call is in memory here: HTTP/2 flow control holds back `write` while the client does not read. */
function sinkOf<Message>(
  call: ServerWritableStream<never, Message> | ServerWritableStream<unknown, Message>,
  context: CallContext,
): MessageSink<Message> {
  return {
    write: (message) =>
      new Promise((resolve, reject) => {
        const { signal } = context;
        if (signal.aborted) return reject(signal.reason as Error);
        const onAbort = (): void => reject(signal.reason as Error);
        signal.addEventListener('abort', onAbort, { once: true });
        (call as ServerWritableStream<unknown, Message>).write(message, () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        });
      }),
  };
}

/** Waits for `promise`, but not beyond the signal. What `promise` does goes on. */
export function orAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    // Nobody else listens to `promise`: without a handler, its rejection would end the process, also when it comes late.
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

function abortedByStop(): LogboomError {
  const { message, retryAfterMs } = shuttingDown();
  const options = { facts: { outcome: 'unknown' }, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  return new LogboomError('SHUTTING_DOWN', message, options);
}
