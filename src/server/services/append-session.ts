/**
 * One AppendSession: appends pipelined on a stream of messages.
 *
 * - Answers go out in the order of the requests, one each; a refused append is answered and does not end the session.
 * - In flight is an append from its arrival until its answer has left for the network, so that a client that sends and
 *   does not read is held back as well. At the limits the session is not read from, and HTTP/2 flow control holds back
 *   the client.
 * - Batches are verified side by side and proposed in the order received.
 */
import { decodeAppendSessionRequest } from '../wire/requests.js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { CallContext } from '../rpc/calls.js';
import type { SessionAppends, SessionRequest } from './session-appends.js';

export interface AppendSessionOptions {
  readonly inFlightBytesMax: number;
  readonly inFlightItemsMax: number;
  /** Aborts when the node drains: nothing more is read, what is in flight is answered, and the session ends. */
  readonly drain: AbortSignal;
}

type SessionCall = ServerDuplexStream<Buffer, Buffer>;

const noBytes = new Uint8Array(0);

/** Resolves when the client has ended its side and everything is answered; rejects to end the call with an error. */
export function runAppendSession(
  call: SessionCall,
  context: CallContext,
  appends: SessionAppends,
  options: AppendSessionOptions,
): Promise<void> {
  return new AppendSession(call, context, appends, options).run();
}

class AppendSession {
  readonly #call: SessionCall;
  readonly #context: CallContext;
  readonly #appends: SessionAppends;
  readonly #options: AppendSessionOptions;
  /** Settles when the newest append, and all before it, were proposed or refused. */
  #proposed: Promise<void> = Promise.resolve();
  /** Settles when the newest answer was written. */
  #answered: Promise<void> = Promise.resolve();
  #bytes = 0;
  #items = 0;
  #paused = false;
  #ended = false;
  #finish: { resolve: () => void; reject: (error: unknown) => void } | undefined;
  #failure: unknown;

  constructor(call: SessionCall, context: CallContext, appends: SessionAppends, options: AppendSessionOptions) {
    this.#call = call;
    this.#context = context;
    this.#appends = appends;
    this.#options = options;
  }

  run(): Promise<void> {
    const { signal } = this.#context;
    const { drain } = this.#options;
    limitReadAhead(this.#call);
    const onDrain = (): void => this.#end(drain.reason);
    const onAbort = (): void => this.#finish?.reject(signal.reason);
    const promise = new Promise<void>((resolve, reject) => {
      this.#finish = { resolve, reject };
      this.#call.on('data', (message: Buffer) => this.#receive(message));
      this.#call.on('end', () => this.#end(undefined));
      signal.addEventListener('abort', onAbort, { once: true });
      drain.addEventListener('abort', onDrain, { once: true });
      if (drain.aborted) onDrain();
    });
    return promise.finally(() => {
      this.#ended = true;
      signal.removeEventListener('abort', onAbort);
      drain.removeEventListener('abort', onDrain);
      this.#appends.close();
    });
  }

  #receive(message: Buffer): void {
    if (this.#ended) return;
    let request: { requestId: Uint8Array; append: Uint8Array | undefined };
    try {
      request = decodeAppendSessionRequest(message);
    } catch (error) {
      // Without a request id there is nothing to answer to.
      return this.#end(error);
    }
    this.#bytes += message.length;
    this.#items++;
    this.#applyBackPressure();
    const result = this.#append({ message, requestId: request.requestId, append: request.append ?? noBytes });
    this.#answered = this.#answered
      .then(() => result)
      .then((answer) => this.#write(answer))
      .then(() => this.#release(message.length));
  }

  #append(request: SessionRequest): Promise<Buffer> {
    const previous = this.#proposed;
    let done = (): void => {};
    const own = new Promise<void>((resolve) => (done = resolve));
    // Both: a refusal may come before the turn of an append, and must not let the next one overtake those before it.
    this.#proposed = previous.then(() => own);
    return this.#appends.answer(request, this.#context.signal, { previous, done });
  }

  /** Resolves when the message left for the network; never when the call ends before, and nothing waits for it then. */
  #write(message: Buffer): Promise<void> {
    return new Promise((resolve) => this.#call.write(message, () => resolve()));
  }

  #release(bytes: number): void {
    this.#bytes -= bytes;
    this.#items--;
    this.#applyBackPressure();
    if (this.#ended && this.#items === 0) this.#settle();
  }

  /** Nothing more is taken in; the call ends when everything in flight is answered. */
  #end(failure: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#call.pause();
    if (this.#items === 0) this.#settle();
  }

  #settle(): void {
    if (this.#failure === undefined) this.#finish?.resolve();
    else this.#finish?.reject(this.#failure);
  }

  #applyBackPressure(): void {
    const { inFlightBytesMax, inFlightItemsMax } = this.#options;
    const full = this.#bytes >= inFlightBytesMax || this.#items >= inFlightItemsMax;
    if (full === this.#paused || this.#ended) return;
    this.#paused = full;
    if (full) this.#call.pause();
    else this.#call.resume();
  }
}

/**
 * A paused stream of objects still reads sixteen messages ahead, up to sixteen times the largest batch. One is enough: the
 * rest waits in the HTTP/2 window. Node has no public way to say so after the stream was made.
 */
function limitReadAhead(call: SessionCall): void {
  const { _readableState: state } = call as unknown as { _readableState?: { highWaterMark: number } };
  if (state) state.highWaterMark = 1;
}
