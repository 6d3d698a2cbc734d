import type { CallOptions, Connection } from './connection.js';
import { method } from './connection.js';
import { ClientError } from './errors.js';
import { getContextRequest, getContextResponse, readRequest, readResponse } from './messages.js';
import { unpackBatches } from './records.js';
import type { BatchRecords, LogRecord } from './records.js';
import type { Compressor } from '../base/ports/compressor.js';

/** Where a read begins: at most one of these; without any at the oldest record, or backward at the newest. */
export interface ReadStart {
  /** This record first. */
  readonly fromSeq?: number | undefined;
  /** Records appended at or after this time, in milliseconds since the Unix epoch. */
  readonly sinceMs?: number | undefined;
  /** The newest so many records. */
  readonly last?: number | undefined;
  /** Where an earlier page ended. */
  readonly pageToken?: string | undefined;
}

export interface ReadPageOptions extends ReadStart, CallOptions {
  /** Newest first. */
  readonly reverse?: boolean | undefined;
  /** Most records of the page: 1 to 10,000, by default 1,000. */
  readonly limit?: number | undefined;
  /** Most bytes of the page: 1 KiB to 64 MiB, by default 3 MiB; a page holds at least one record. */
  readonly maxBytes?: number | undefined;
  /** Only when this is the stream's epoch. */
  readonly expectedEpoch?: number | undefined;
}

export interface ReadOptions extends ReadPageOptions {
  /** Most records of the whole read, over all its pages; without it until the end of the stream. */
  readonly limit?: number | undefined;
}

/** One page of a stream. Iterating it gives its records in reading order. */
export class Page implements Iterable<LogRecord> {
  readonly batches: readonly BatchRecords[];
  readonly backward: boolean;
  readonly recordCount: number;
  /** Never empty: at the end of the stream it continues with what is appended later. */
  readonly nextPageToken: string;
  /** `limit`: there is more. `stream`: it ended at the newest record, or backward at the oldest. */
  readonly end: 'limit' | 'stream';
  /** Positions of the stream at the time of the read. */
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly streamEpoch: number;

  constructor(response: ReturnType<typeof readResponse.decode>, batches: readonly BatchRecords[], backward: boolean) {
    this.batches = batches;
    this.backward = backward;
    this.recordCount = batches.reduce((sum, batch) => sum + batch.recordCount, 0);
    if (this.recordCount !== response.recordCount)
      throw new ClientError('PROTOCOL', `a page says ${response.recordCount} records and holds ${this.recordCount}`);
    this.nextPageToken = response.nextPageToken;
    this.end = response.end === 2 ? 'stream' : 'limit';
    this.firstSeq = response.firstSeq;
    this.nextSeq = response.nextSeq;
    this.streamEpoch = response.streamEpoch;
  }

  *[Symbol.iterator](): Generator<LogRecord> {
    for (const batch of this.batches) yield* batch.records(this.backward);
  }
}

/** The records around one record. */
export interface ContextRecords {
  /** Ascending; the record itself is among them. */
  readonly records: readonly LogRecord[];
  readonly beforeCount: number;
  readonly afterCount: number;
  readonly moreBefore: boolean;
  readonly moreAfter: boolean;
  readonly firstSeq: number;
  readonly nextSeq: number;
  readonly streamEpoch: number;
}

export interface ContextOptions extends CallOptions {
  /** Records before and after; 10 each by default, at most 5,000. */
  readonly before?: number | undefined;
  readonly after?: number | undefined;
  /** Only records of the same producer, in its own numbering. */
  readonly sameProducer?: boolean | undefined;
  readonly maxBytes?: number | undefined;
  readonly expectedEpoch?: number | undefined;
}

/** What reading stands on. */
export interface ReaderSetup {
  readonly connection: Connection;
  readonly compressor: Compressor;
  readonly acceptCodecs: readonly number[];
}

const pageRecordsMax = 10_000;

/** @throws RangeError when more than one start is given */
export function checkStart(start: ReadStart): void {
  const given = (['fromSeq', 'sinceMs', 'last', 'pageToken'] as const).filter((name) => start[name] !== undefined);
  if (given.length > 1) throw new RangeError(`a read begins at one place, given are ${given.join(' and ')}`);
}

export async function readPage(setup: ReaderSetup, stream: string, options: ReadPageOptions): Promise<Page> {
  checkStart(options);
  const value = {
    stream,
    fromSeq: options.fromSeq,
    sinceUnixMs: options.sinceMs === undefined ? undefined : Math.trunc(options.sinceMs),
    last: options.last,
    pageToken: options.pageToken,
    direction: options.reverse ? 1 : 0,
    limit: options.limit,
    maxBytes: options.maxBytes,
    acceptCodecs: setup.acceptCodecs,
    expectedEpoch: options.expectedEpoch,
  };
  const response = await setup.connection.unary(method.read, { message: readRequest, value }, readResponse, {
    stream,
    signal: options.signal,
    deadlineMs: options.deadlineMs,
    idempotent: true,
  });
  const batches = await unpackBatches(response.batches, setup.compressor);
  return new Page(response, batches, options.reverse ?? false);
}

/** Pages one after another until the limit or the end of the stream; the next is fetched while one is being used. */
export async function* readPages(setup: ReaderSetup, stream: string, options: ReadOptions): AsyncGenerator<Page> {
  let remaining = options.limit ?? Number.POSITIVE_INFINITY;
  if (remaining <= 0) return;
  const limit = (): number => Math.min(remaining, pageRecordsMax);
  // A consumer that stops early must not leave a request running.
  const stopped = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stopped.signal]) : stopped.signal;
  const { deadlineMs, maxBytes, reverse, expectedEpoch } = options;
  let upcoming: Promise<Page> | undefined = readPage(setup, stream, { ...options, limit: limit(), signal });
  try {
    while (upcoming) {
      const page: Page = await upcoming;
      remaining -= page.recordCount;
      upcoming = undefined;
      if (page.end === 'limit' && remaining > 0) {
        const continuation = { deadlineMs, maxBytes, reverse, expectedEpoch, pageToken: page.nextPageToken };
        upcoming = readPage(setup, stream, { ...continuation, limit: limit(), signal });
        // Its failure is told when its turn comes.
        upcoming.catch(() => {});
      }
      yield page;
    }
  } finally {
    stopped.abort();
  }
}

export async function readContext(
  setup: ReaderSetup,
  stream: string,
  seq: number,
  options: ContextOptions,
): Promise<ContextRecords> {
  const value = {
    stream,
    seq,
    before: options.before ?? 10,
    after: options.after ?? 10,
    scope: options.sameProducer ? 1 : 0,
    maxBytes: options.maxBytes,
    acceptCodecs: setup.acceptCodecs,
    expectedEpoch: options.expectedEpoch,
  };
  const response = await setup.connection.unary(
    method.getContext,
    { message: getContextRequest, value },
    getContextResponse,
    { stream, signal: options.signal, deadlineMs: options.deadlineMs, idempotent: true },
  );
  const batches = await unpackBatches(response.batches, setup.compressor);
  const { beforeCount, afterCount, moreBefore, moreAfter, firstSeq, nextSeq, streamEpoch } = response;
  const records = batches.flatMap((batch) => [...batch.records()]);
  return { records, beforeCount, afterCount, moreBefore, moreAfter, firstSeq, nextSeq, streamEpoch };
}
