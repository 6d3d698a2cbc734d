/** Pages of records, forward and backward, by seq, time, count or token. */
import { LogboomError } from '../base/errors.js';
import { asSeq } from '../base/ids.js';
import type { Seq } from '../base/ids.js';
import type { Compressor } from '../base/ports/compressor.js';
import { Codec } from '../base/ports/compressor.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { StateReader } from '../base/state-machine.js';
import { BackwardCursor, ForwardCursor, RecordsGone } from './batch-cursor.js';
import type { BatchCursor } from './batch-cursor.js';
import { loadBatches } from './batch-loader.js';
import { readContext } from './context.js';
import { beyondEnd, encodePageToken, requireReadable, trimmed } from './page-token.js';
import { acceptedCodecs, pageBytes, pageLimit } from './read-options.js';
import { resolveReadStart } from './read-start.js';
import { sliceBytes, SliceCutter } from './slice-cutter.js';
import { requireEpoch, requireStream } from './stream-table.js';
import type { StreamLookup } from './stream-table.js';
import type {
  ContextPage,
  ContextRequest,
  Direction,
  Page,
  PageOptions,
  PageSlice,
  ReadPosition,
  ReadStart,
  StreamView,
} from './types.js';

export interface PageReaderOptions {
  /** The state machine, or whatever knows its published streams. */
  readonly machine: StreamLookup;
  readonly compressor: Compressor;
  readonly crc32: Crc32;
}

export interface ReadPageRequest extends PageOptions {
  readonly start: ReadStart;
  readonly direction: Direction;
  /** Only when this is the stream's epoch. */
  readonly expectedEpoch?: number | undefined;
}

/** Values read at a time when they have to be decompressed: what they grow to is not known beforehand. */
const decompressedReadBytes = 256 * 1024;
/** How often a read from the oldest record begins anew because retention was faster. */
const restartsMax = 3;

/**
 * Reads streams of one partition; any number of calls at a time. It keeps no state between calls and makes no records:
 * slices are views of stored values. A call holds values of about `maxBytes` and one batch at most.
 */
export class PageReader {
  readonly #machine: StreamLookup;
  readonly #compressor: Compressor;
  readonly #crc32: Crc32;

  constructor(options: PageReaderOptions) {
    this.#machine = options.machine;
    this.#compressor = options.compressor;
    this.#crc32 = options.crc32;
  }

  /**
   * Where a read begins. A tail calls it once, and then `readPageAt` from `page.next` on.
   *
   * @throws LogboomError STREAM_NOT_FOUND, STREAM_EPOCH_MISMATCH, PAGE_TOKEN_INVALID, PAGE_TOKEN_WRONG_STREAM,
   * PAGE_TOKEN_WRONG_DIRECTION, RECORD_TRIMMED, SEQ_BEYOND_END, INVALID_ARGUMENT
   */
  async resolveStart(
    reader: StateReader,
    name: string,
    start: ReadStart,
    direction: Direction,
    expectedEpoch?: number,
  ): Promise<{ readonly stream: StreamView; readonly position: ReadPosition }> {
    const stream = requireStream(this.#machine, name);
    requireEpoch(stream, expectedEpoch);
    return { stream, position: await resolveReadStart(reader, stream, start, direction, this.#crc32) };
  }

  /**
   * One page: `resolveStart` and `readPageAt` together.
   *
   * @throws LogboomError as both
   */
  async readPage(reader: StateReader, name: string, request: ReadPageRequest): Promise<Page> {
    const { start, direction, expectedEpoch } = request;
    const isRelative = start.type === 'edge' || start.type === 'last' || start.type === 'since';
    for (let restarts = 0; ; restarts++) {
      const { stream, position } = await this.resolveStart(reader, name, start, direction, expectedEpoch);
      try {
        return await this.readPageAt(reader, stream.id, position, request);
      } catch (error) {
        const isTrimmed = error instanceof LogboomError && error.reason === 'RECORD_TRIMMED';
        if (!isTrimmed || !isRelative || restarts === restartsMax) throw error;
      }
    }
  }

  /**
   * The page at a position; an empty one, with a token that goes on from there, when there is nothing (yet).
   *
   * @throws LogboomError STREAM_NOT_FOUND, RECORD_TRIMMED, SEQ_BEYOND_END, INVALID_ARGUMENT, DATA_CORRUPT
   */
  async readPageAt(reader: StateReader, streamId: number, position: ReadPosition, options: PageOptions): Promise<Page> {
    const limit = pageLimit(options.limit);
    const bytesMax = pageBytes(options.maxBytes);
    const stream = this.#requireStreamById(streamId);
    requireReadable(position, stream);
    const cutter = new SliceCutter(this.#compressor, acceptedCodecs(options.acceptCodecs));
    const page = new PageInProgress(stream, position, limit, bytesMax);
    try {
      await this.#fill(page, reader, cutter, options);
    } catch (error) {
      if (!(error instanceof RecordsGone)) throw error;
      // What was read before is complete; the next page meets the gap again.
      if (page.slices.length === 0) throw this.#gone(streamId, error.seq);
    }
    const next = { ...position, seq: page.seq };
    return {
      slices: page.slices,
      recordCount: limit - page.recordsLeft,
      next,
      nextPageToken: encodePageToken(stream, next, this.#crc32),
      end: page.isAtEnd ? 'stream' : 'limit',
      stream,
    };
  }

  /**
   * The records around one record.
   *
   * @throws LogboomError STREAM_NOT_FOUND, STREAM_EPOCH_MISMATCH, RECORD_TRIMMED, SEQ_BEYOND_END, PRODUCER_NOT_FOUND,
   * INVALID_ARGUMENT, DATA_CORRUPT
   */
  async getContext(
    reader: StateReader,
    name: string,
    request: ContextRequest & { readonly expectedEpoch?: number | undefined },
  ): Promise<ContextPage> {
    const stream = requireStream(this.#machine, name);
    requireEpoch(stream, request.expectedEpoch);
    if (request.seq < stream.firstSeq) throw trimmed(request.seq, stream);
    if (request.seq >= stream.nextSeq) throw beyondEnd(request.seq, stream);
    const cutter = new SliceCutter(this.#compressor, acceptedCodecs(request.acceptCodecs));
    try {
      return await readContext({ reader, stream, cutter }, request);
    } catch (error) {
      throw error instanceof RecordsGone ? this.#gone(stream.id, error.seq) : error;
    }
  }

  /** Takes batches until the page is full or the stream is read. */
  async #fill(page: PageInProgress, reader: StateReader, cutter: SliceCutter, options: PageOptions): Promise<void> {
    const cursor = page.cursor(reader);
    const acceptsAll = acceptedCodecs(options.acceptCodecs).includes(Codec.zstd);
    while (page.recordsLeft > 0 && !page.isAtEnd) {
      const refs = await cursor.take(
        page.recordsLeft,
        acceptsAll ? page.bytesLeft : Math.min(page.bytesLeft, decompressedReadBytes),
      );
      for (const batch of await loadBatches(reader, page.stream.id, refs)) {
        const window = page.windowOf(batch.records);
        if (window.to <= window.from) return;
        const cutting = cutter.cut(batch, window, page.budget);
        const slice = cutting instanceof Promise ? await cutting : cutting;
        if (slice === undefined) return;
        page.add(slice, sliceBytes(batch, slice));
        if (slice.windowCount < window.to - window.from) return;
      }
    }
  }

  #requireStreamById(streamId: number): StreamView {
    const stream = this.#machine.streamById(streamId);
    if (stream !== undefined) return stream;
    throw new LogboomError('STREAM_NOT_FOUND', 'The stream was deleted.', { facts: { stream_id: streamId } });
  }

  /** Records that the index or the store did not have: deleted meanwhile, or damage. */
  #gone(streamId: number, seq: number): LogboomError {
    const stream = this.#requireStreamById(streamId);
    if (seq < stream.firstSeq) return trimmed(seq, stream);
    const facts = { stream: stream.name, seq, first_seq: stream.firstSeq };
    return new LogboomError(
      'DATA_CORRUPT',
      `Seq ${seq} of stream ${JSON.stringify(stream.name)} is missing in the store.`,
      { facts },
    );
  }
}

/** A page while it fills. Its position moves over every record that was taken, in reading order. */
class PageInProgress {
  readonly stream: StreamView;
  readonly slices: PageSlice[] = [];
  seq: Seq;
  recordsLeft: number;
  bytesLeft: number;
  readonly #bytesMax: number;
  readonly #isBackward: boolean;
  /** Backward: the last record that belongs to the read. */
  readonly #lowest: number;

  constructor(stream: StreamView, position: ReadPosition, limit: number, bytesMax: number) {
    this.stream = stream;
    this.seq = position.seq;
    this.recordsLeft = limit;
    this.bytesLeft = bytesMax;
    this.#bytesMax = bytesMax;
    this.#isBackward = position.direction === 'backward';
    this.#lowest = Math.max(position.boundSeq, stream.firstSeq);
  }

  get isAtEnd(): boolean {
    return this.#isBackward ? this.seq <= this.#lowest : this.seq >= this.stream.nextSeq;
  }

  get budget(): { bytesLeft: number; bytesMax: number; fromEnd: boolean } {
    return { bytesLeft: this.bytesLeft, bytesMax: this.#bytesMax, fromEnd: this.#isBackward };
  }

  cursor(reader: StateReader): BatchCursor {
    return this.#isBackward
      ? new BackwardCursor(reader, this.stream, this.seq, this.#lowest)
      : new ForwardCursor(reader, this.stream, this.seq);
  }

  /** The records of a batch that the page may still take. */
  windowOf(batch: { readonly firstSeq: number; readonly recordCount: number }): { from: number; to: number } {
    if (this.#isBackward) {
      const to = this.seq - batch.firstSeq;
      return { from: Math.max(0, this.#lowest - batch.firstSeq, to - this.recordsLeft), to };
    }
    const from = this.seq - batch.firstSeq;
    return { from, to: Math.min(batch.recordCount, from + this.recordsLeft) };
  }

  add(slice: PageSlice, bytes: number): void {
    this.slices.push(slice);
    this.bytesLeft -= bytes;
    this.recordsLeft -= slice.windowCount;
    const first = slice.firstSeq + slice.windowOffset;
    this.seq = asSeq(this.#isBackward ? first : first + slice.windowCount);
  }
}
