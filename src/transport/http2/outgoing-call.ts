import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { LogboomError } from '../../base/errors.js';
import type { NodeId } from '../../base/ids.js';
import { decodeError } from '../error-codec.js';
import { linkFailure, tooLarge, type CallOutcome } from '../failures.js';
import { encodeFrame, FrameAssembler, frameHeaderBytes, FrameKind, LinkFormatError } from '../frame.js';
import { helloHeaders } from '../identity.js';
import type { CallOptions, LinkParts } from '../types.js';
import { FrameReader, writeFrames } from './frame-stream.js';
import { callPathPrefix, destroySoon, NGHTTP2_REFUSED_STREAM, timeoutHeader } from './sessions.js';

export interface OutgoingCall {
  readonly method: string;
  readonly request: Uint8Array;
  /** Undefined: whoever answers at the address. */
  readonly toNodeId: NodeId | undefined;
  readonly options: CallOptions;
}

/** The one message that a unary method answers. */
export async function callOnce(parts: LinkParts, session: ClientHttp2Session, call: OutgoingCall): Promise<Uint8Array> {
  const timeoutMs = call.options.timeoutMs ?? parts.options.callDeadlineMs;
  let answer: Uint8Array | undefined;
  for await (const message of callMany(parts, session, { ...call, options: { ...call.options, timeoutMs } })) {
    if (answer !== undefined) throw new LogboomError('LINK_CORRUPT', `${call.method} answered more than one message`);
    answer = message;
  }
  if (answer === undefined) throw new LogboomError('LINK_CORRUPT', `${call.method} answered no message`);
  return answer;
}

/**
 * The messages that a method answers, as they come; when the caller stops reading, so does the method. Leaving the loop
 * early cancels it.
 *
 * This side's half of the stream stays open for as long as the answer is wanted, and its end says that it is not: HTTP/2's
 * own way, a reset, is limited to so few a second that a burst of deadlines would cost the whole session.
 */
export async function* callMany(
  parts: LinkParts,
  session: ClientHttp2Session,
  call: OutgoingCall,
): AsyncGenerator<Uint8Array, void, void> {
  const { crc32 } = parts.environment;
  const responseBytesMax = call.options.responseBytesMax ?? parts.options.callResponseBytesMax;
  const stream = openCall(parts, session, call);
  const reader = new FrameReader(stream, new FrameAssembler(crc32, responseBytesMax + frameHeaderBytes));
  const stopWatching = watchLimits(parts, call, (failure) => reader.fail(failure));
  try {
    writeFrames(stream, [encodeFrame(crc32, FrameKind.payload, call.request)]);
    for (;;) {
      const frame = await reader.next();
      if (frame === undefined) throw new Error(`the connection ended before the answer of ${call.method} did`);
      const { kind, body } = frame;
      if (kind === FrameKind.end) return;
      if (kind === FrameKind.error) throw decodeError(body);
      if (kind !== FrameKind.payload) throw new LinkFormatError('kind', `a frame of kind ${kind} in an answer`);
      yield body;
    }
  } catch (error) {
    throw answerFailure(call.method, error, outcomeOf(stream), responseBytesMax);
  } finally {
    stopWatching();
    stream.end();
    reader.discard();
  }
}

function answerFailure(method: string, error: unknown, outcome: CallOutcome, bytesMax: number): LogboomError {
  const isTooLarge = error instanceof LinkFormatError && error.fault === 'length';
  return isTooLarge ? tooLarge(`the answer of ${method}`, bytesMax) : linkFailure(error, outcome);
}

function openCall(parts: LinkParts, session: ClientHttp2Session, call: OutgoingCall): ClientHttp2Stream {
  const { method, toNodeId, options } = call;
  if (options.signal?.aborted) throw cancelled(method);
  const headers = {
    ':method': 'POST',
    ':path': callPathPrefix + method,
    ...helloHeaders(parts.host.identity(), toNodeId),
    ...(options.timeoutMs === undefined ? {} : { [timeoutHeader]: String(Math.max(1, Math.round(options.timeoutMs))) }),
  };
  try {
    return session.request(headers, { endStream: false });
  } catch (error) {
    // Of a session that can open no more streams ever, the rest of its life is of no use.
    if (error instanceof Error && 'code' in error && error.code === 'ERR_HTTP2_OUT_OF_STREAMS') destroySoon(session);
    throw linkFailure(error, 'not-sent');
  }
}

/** Calls back when the deadline passes or the caller gives up, until the answered function is called. */
function watchLimits(
  { environment }: LinkParts,
  { method, options: { timeoutMs, signal } }: OutgoingCall,
  giveUp: (failure: LogboomError) => void,
): () => void {
  const onAbort = (): void => giveUp(cancelled(method));
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer =
    timeoutMs === undefined
      ? undefined
      : environment.clock.setTimer(timeoutMs, () => giveUp(deadlineExceeded(method, timeoutMs)));
  return () => {
    timer?.cancel();
    signal?.removeEventListener('abort', onAbort);
  };
}

function outcomeOf(stream: ClientHttp2Stream): CallOutcome {
  return stream.pending || stream.rstCode === NGHTTP2_REFUSED_STREAM ? 'not-sent' : 'unknown';
}

function cancelled(method: string): LogboomError {
  return new LogboomError('CANCELLED', `the caller of ${method} gave up`);
}

function deadlineExceeded(method: string, timeoutMs: number): LogboomError {
  return new LogboomError('DEADLINE_EXCEEDED', `${method} did not answer within ${timeoutMs} ms`, {
    facts: { timeoutMs },
  });
}
