import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { encodeError } from '../error-codec.js';
import { linkFailure, tooLarge } from '../failures.js';
import {
  encodeFrame,
  FrameAssembler,
  frameHeaderBytes,
  FrameKind,
  LinkFormatError,
  type EncodedFrame,
} from '../frame.js';
import type { Hello } from '../identity.js';
import type { CallContext, CallMethod, LinkParts } from '../types.js';
import { readFirstFrame, roomIn, writeFrames } from './frame-stream.js';
import { timeoutHeader } from './sessions.js';

const nothing = new Uint8Array(0);

/** One call of another node, from its admission to the end of its answer. */
export class IncomingCall {
  readonly #parts: LinkParts;
  readonly #stream: ServerHttp2Stream;
  readonly #name: string;
  readonly #method: CallMethod;
  readonly #abort = new AbortController();
  /** `OK`, or the reason of a failure. */
  #outcome = 'OK';
  #isFinished = false;

  constructor(parts: LinkParts, stream: ServerHttp2Stream, name: string, method: CallMethod) {
    this.#parts = parts;
    this.#stream = stream;
    this.#name = name;
    this.#method = method;
  }

  /** Resolves, and never rejects, when the call is over; answers `OK` or the reason. */
  async serve(
    hello: Hello,
    headers: IncomingHttpHeaders,
    isCertifiedFor: CallContext['isCertifiedFor'],
  ): Promise<string> {
    const timeoutMs = readTimeout(headers);
    const timer =
      timeoutMs === undefined
        ? undefined
        : this.#parts.environment.clock.setTimer(timeoutMs, () =>
            this.cancel(new LogboomError('DEADLINE_EXCEEDED', `${this.#name} was to end within ${timeoutMs} ms`)),
          );
    const onGone = (): void => {
      // The caller of a call that is over ends its half as well.
      if (!this.#isFinished) this.cancel(new LogboomError('CANCELLED', `the caller of ${this.#name} gave up`));
    };
    this.#stream.once('end', onGone);
    this.#stream.once('close', onGone);
    try {
      await this.#answer({ hello, signal: this.#abort.signal, timeoutMs, isCertifiedFor });
    } catch (error) {
      this.#fail(this.#failure(error));
    } finally {
      timer?.cancel();
    }
    return this.#outcome;
  }

  /** Answers the caller at once, and tells the handler. */
  cancel(reason: LogboomError): void {
    if (this.#isFinished) return;
    this.#fail(reason);
    this.#abort.abort(reason);
  }

  async #answer(context: CallContext): Promise<void> {
    const { crc32 } = this.#parts.environment;
    const method = this.#method;
    const request = await this.#request();
    const end = encodeFrame(crc32, FrameKind.end, nothing);
    if (method.kind === 'unary') {
      const answer = await method.handle(request, context);
      context.signal.throwIfAborted();
      return this.#finish([encodeFrame(crc32, FrameKind.payload, answer), end]);
    }
    for await (const message of method.handle(request, context)) {
      context.signal.throwIfAborted();
      const hasRoom = writeFrames(this.#stream, [encodeFrame(crc32, FrameKind.payload, message)]);
      if (!hasRoom) await roomIn(this.#stream);
      context.signal.throwIfAborted();
    }
    context.signal.throwIfAborted();
    this.#finish([end]);
  }

  async #request(): Promise<Uint8Array> {
    const { requestBytesMax } = this.#method;
    const assembler = new FrameAssembler(this.#parts.environment.crc32, requestBytesMax + frameHeaderBytes);
    try {
      const { kind, body } = await readFirstFrame(this.#stream, assembler);
      if (kind !== FrameKind.payload) throw new LinkFormatError('kind', `a frame of kind ${kind} as a request`);
      return body;
    } catch (error) {
      const isTooLarge = error instanceof LinkFormatError && error.fault === 'length';
      throw isTooLarge ? tooLarge(`the request of ${this.#name}`, requestBytesMax) : linkFailure(error, 'not-sent');
    }
  }

  #failure(error: unknown): LogboomError {
    if (isLogboomError(error)) return error;
    if (this.#abort.signal.aborted) return this.#abort.signal.reason as LogboomError;
    this.#parts.environment.logger.error('a call of another node failed', { method: this.#name, error });
    return new LogboomError('INTERNAL', `${this.#name} failed on the other node; its log has the details`);
  }

  #fail(error: LogboomError): void {
    if (this.#isFinished) return;
    this.#outcome = error.reason;
    this.#finish([encodeFrame(this.#parts.environment.crc32, FrameKind.error, encodeError(error))]);
  }

  /** The caller ends its own half when it has the answer. */
  #finish(frames: readonly EncodedFrame[]): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    if (this.#stream.closed || this.#stream.destroyed) return;
    writeFrames(this.#stream, frames);
    this.#stream.end();
  }
}

function readTimeout(headers: IncomingHttpHeaders): number | undefined {
  const value = headers[timeoutHeader];
  return typeof value === 'string' && /^[1-9]\d{0,14}$/.test(value) ? Number(value) : undefined;
}
