import type { ClientReadableStream } from '@grpc/grpc-js';
import { ClientError, isClientError, isRetryable } from './errors.js';
import { method } from './connection.js';
import type { CallOptions, Connection } from './connection.js';
import { getStreamRequest, getStreamResponse, tailRequest, tailResponse } from './messages.js';
import { unpackBatches } from './records.js';
import type { BatchRecords, LogRecord } from './records.js';
import { checkStart } from './reader.js';
import type { ReaderSetup, ReadStart } from './reader.js';
import { abortError, backoffMs, pause } from './retry.js';
import type { Route } from './routes.js';
import { SilenceWatch } from './silence-watch.js';
import type { CallFailure } from './status.js';

export interface TailOptions extends ReadStart, CallOptions {
  /** Bounds each message of the server, as in a read. */
  readonly maxBytes?: number | undefined;
  /** How long to try to resume after a lost connection; without it until the signal aborts. */
  readonly resumeForMs?: number | undefined;
  /** Called when the connection is lost, and is now being resumed. */
  readonly onInterruption?: ((error: Error) => void) | undefined;
  /** Called when records flow again after an interruption. */
  readonly onResumption?: (() => void) | undefined;
}

/** What one message of a tail brought. */
export interface TailPage extends Iterable<LogRecord> {
  readonly batches: readonly BatchRecords[];
  readonly recordCount: number;
  /** Continues behind this page, here or in a read. */
  readonly nextPageToken: string;
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly streamEpoch: number;
}

/** A tail waits for appends most of the time: that alone says little. */
const silenceMs = 5000;

type Position =
  { readonly fromSeq: number; readonly expectedEpoch: number } | { readonly pageToken: string } | ReadStart;

/**
 * Records from a position on, and then what is appended, as it is appended. It never ends by itself: break out of it, or
 * abort its signal. A lost connection is resumed behind the last page that was handed out, so that the sequence has
 * neither a gap nor a repeat; until the first page came, from a position that was fixed before the first connection
 * (`last` and "from now on" move with every append, so they are turned into a seq first).
 *
 * A consumer that is slower than the stream holds at most what the flow control of its connection lets through.
 *
 * @throws LogboomError RECORD_TRIMMED when retention overtook the reader, STREAM_NOT_FOUND when the stream was deleted
 */
export async function* tailPages(setup: ReaderSetup, stream: string, options: TailOptions): AsyncGenerator<TailPage> {
  checkStart(options);
  const { connection } = setup;
  const { retry, random, logger } = connection.options;
  const { signal } = options;
  // It stays where it goes: the leader is to be known before.
  let position = (await Promise.all([resolveStart(setup, stream, options), connection.ready(stream)]))[0];
  let failures = 0;
  let reached = false;
  let interruptedAtMs: number | undefined;
  for (;;) {
    const route = connection.route(stream);
    let lost: Error;
    try {
      for await (const page of tailOnce(setup, stream, position, options, route)) {
        if (interruptedAtMs !== undefined) options.onResumption?.();
        interruptedAtMs = undefined;
        failures = 0;
        reached = true;
        connection.answered(route);
        if (page.recordCount > 0) yield page;
        position = { pageToken: page.nextPageToken };
      }
      lost = new ClientError('CONNECTION_LOST', 'the server ended the tail');
    } catch (error) {
      if (signal?.aborted) throw abortError(signal);
      if (connection.closed) throw new ClientError('CLOSED', 'the client was closed', { cause: error });
      if (!isRetryable(error, true)) throw error;
      lost = error as Error;
    }
    failures += 1;
    // Before it ever worked this is a call like any other, with an end to its attempts.
    if (!reached && failures >= retry.attemptsMax) throw lost;
    if (reached && interruptedAtMs === undefined) options.onInterruption?.(lost);
    interruptedAtMs ??= Date.now();
    if (Date.now() - interruptedAtMs > (options.resumeForMs ?? Number.POSITIVE_INFINITY)) throw lost;
    connection.failed(route, lost);
    const delayMs = backoffMs(retry, failures, lost, random);
    logger.debug('tail interrupted, resuming', { stream, failures, delayMs, error: lost });
    await pause(delayMs, signal);
  }
}

/** A position that means the same on every attempt. */
async function resolveStart(setup: ReaderSetup, stream: string, options: TailOptions): Promise<Position> {
  const { fromSeq, sinceMs, pageToken, last, signal, deadlineMs } = options;
  if (pageToken !== undefined) return { pageToken };
  if (sinceMs !== undefined) return { sinceMs: Math.trunc(sinceMs) };
  const request = { message: getStreamRequest, value: { name: stream } };
  const bounds = { stream, signal, deadlineMs, idempotent: true };
  const { stream: found } = await setup.connection.unary(method.getStream, request, getStreamResponse, bounds);
  if (!found) throw new ClientError('PROTOCOL', 'an answer without the stream');
  const from = fromSeq ?? Math.max(found.firstSeq, found.nextSeq - (last ?? 0));
  return { fromSeq: from, expectedEpoch: found.epoch };
}

async function* tailOnce(
  setup: ReaderSetup,
  stream: string,
  position: Position,
  options: TailOptions,
  route: Route,
): AsyncGenerator<TailPage> {
  const { sinceMs, ...start } = position as ReadStart & { expectedEpoch?: number };
  const { maxBytes, signal } = options;
  const request = { stream, ...start, sinceUnixMs: sinceMs, maxBytes, acceptCodecs: setup.acceptCodecs };
  const call = setup.connection.serverStream(method.tail, tailRequest.encode(request), route);
  const onAbort = (): void => call.cancel();
  const watch = new SilenceWatch(setup.connection, route, onAbort, silenceMs);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    for await (const bytes of messages(setup.connection, call, route.address)) {
      watch.heard();
      const response = tailResponse.decode(bytes);
      const batches = await unpackBatches(response.batches, setup.compressor);
      yield {
        batches,
        recordCount: response.recordCount,
        nextPageToken: response.nextPageToken,
        firstSeq: response.firstSeq,
        nextSeq: response.nextSeq,
        streamEpoch: response.streamEpoch,
        *[Symbol.iterator]() {
          for (const batch of batches) yield* batch.records();
        },
      };
    }
  } finally {
    watch.end();
    signal?.removeEventListener('abort', onAbort);
    call.cancel();
  }
}

/** The messages of a call; reads no further ahead than the stream's own small buffer. */
export async function* messages(
  connection: Connection,
  call: ClientReadableStream<Buffer>,
  address: string,
): AsyncGenerator<Buffer> {
  try {
    for await (const bytes of call) yield bytes as Buffer;
  } catch (error) {
    if (!isServiceError(error)) throw error;
    throw connection.errorOfStream(call, error, address);
  } finally {
    // The consumer may stop early: a late status must not become an unhandled error.
    call.on('error', () => {});
  }
}

function isServiceError(error: unknown): error is Error & CallFailure {
  return error instanceof Error && !isClientError(error) && 'code' in error && 'details' in error;
}
