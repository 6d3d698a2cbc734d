/** Cuts windows out of stored batches under a budget of bytes, in the codec that the client accepts. */
import { LogboomError } from '../base/errors.js';
import { asSeq } from '../base/ids.js';
import type { Lsn } from '../base/ids.js';
import { Codec, CompressionError } from '../base/ports/compressor.js';
import type { Compressor } from '../base/ports/compressor.js';
import { encodeUtf8 } from '../base/bytes.js';
import { recordOffsets, sliceRecords } from './record-walk.js';
import type { StoredRecords } from './stored-records.js';
import type { PageSlice } from './types.js';

/** A stored batch that was read. */
export interface LoadedBatch {
  readonly lsn: Lsn;
  readonly records: StoredRecords;
}

/** Records `[from, to)` of a batch, counted from its first. */
export interface Window {
  readonly from: number;
  readonly to: number;
}

/** A batch whose records can be cut apart. */
export interface PlainBatch extends LoadedBatch {
  readonly recordSet: Uint8Array;
  /** As `recordOffsets` answers them. */
  readonly offsets: Uint32Array;
}

/** What a page has left. */
export interface PageBudget {
  readonly bytesLeft: number;
  readonly bytesMax: number;
  readonly fromEnd: boolean;
}

/** The most bytes that the fields of an encoded BatchSlice take beside payload and producer id: tags, lengths, varints. */
const sliceFieldsBytes = 96;

/** Bytes of a slice beside its payload, at most. */
export function sliceOverheadBytes({ records }: LoadedBatch): number {
  return sliceFieldsBytes + (records.producer === undefined ? 0 : encodeUtf8(records.producer.id).length);
}

/** Bytes of a slice when it is sent, at most. */
export const sliceBytes = (batch: LoadedBatch, slice: PageSlice): number =>
  sliceOverheadBytes(batch) + slice.payload.length;

export class SliceCutter {
  readonly #compressor: Compressor;
  readonly #acceptCodecs: readonly number[];

  constructor(compressor: Compressor, acceptCodecs: readonly number[]) {
    this.#compressor = compressor;
    this.#acceptCodecs = acceptCodecs;
  }

  /** Whether the batch goes out compressed when it fits. */
  staysCompressed({ records }: LoadedBatch): boolean {
    return records.codec !== Codec.none && this.#acceptCodecs.includes(records.codec);
  }

  /**
   * As many records of the window as fit into `bytesLeft`, from its beginning or, `fromEnd`, from its end. A compressed
   * batch is sent whole with its window when an empty page could take it; undefined when it has to wait for the next
   * page, or when not one record fits. Into an empty page (`bytesLeft` is `bytesMax`) goes at least one record.
   * A promise only when there is something to decompress: a page has many batches, and most of them have nothing.
   */
  cut(batch: LoadedBatch, window: Window, budget: PageBudget): PageSlice | undefined | Promise<PageSlice | undefined> {
    const { bytesLeft, bytesMax } = budget;
    if (this.staysCompressed(batch)) {
      const bytes = sliceOverheadBytes(batch) + batch.records.payload.length;
      if (bytes <= bytesLeft) return compressedSlice(batch, window);
      if (bytes <= bytesMax) return undefined;
    }
    const { records } = batch;
    if (records.codec === Codec.none) return cutRecordSet(batch, records.payload, window, budget);
    return this.#recordSet(records).then((recordSet) => cutRecordSet(batch, recordSet, window, budget));
  }

  /** The batch with its records' offsets, decompressed where it is compressed. */
  async plain(batch: LoadedBatch): Promise<PlainBatch> {
    return plainBatch(batch, await this.#recordSet(batch.records));
  }

  async #recordSet(records: StoredRecords): Promise<Uint8Array> {
    if (records.codec === Codec.none) return records.payload;
    let recordSet: Uint8Array;
    try {
      recordSet = await this.#compressor.decompress(records.codec, records.payload, records.uncompressedBytes);
    } catch (error) {
      if (!(error instanceof CompressionError)) throw error;
      throw new LogboomError('DATA_CORRUPT', `A stored batch cannot be decompressed: ${error.message}`, {
        cause: error,
      });
    }
    if (recordSet.length === records.uncompressedBytes) return recordSet;
    throw new LogboomError(
      'DATA_CORRUPT',
      `A stored batch has ${recordSet.length} bytes, its header says ${records.uncompressedBytes}.`,
    );
  }
}

function plainBatch(batch: LoadedBatch, recordSet: Uint8Array): PlainBatch {
  return { ...batch, recordSet, offsets: recordOffsets(recordSet, batch.records.recordCount) };
}

function cutRecordSet(
  batch: LoadedBatch,
  recordSet: Uint8Array,
  window: Window,
  { bytesLeft, bytesMax, fromEnd }: PageBudget,
): PageSlice | undefined {
  const payloadBytesMax = bytesLeft - sliceOverheadBytes(batch);
  const { records } = batch;
  if (window.from === 0 && window.to === records.recordCount && records.uncompressedBytes <= payloadBytesMax) {
    return plainSlice(batch, recordSet, window);
  }
  const plain = plainBatch(batch, recordSet);
  const fitting = fit(plain.offsets, window, payloadBytesMax, fromEnd, bytesLeft === bytesMax ? 1 : 0);
  return fitting.to === fitting.from ? undefined : cutPlain(plain, fitting);
}

/** The slice of a window of a batch that is not compressed any more; without copy. */
export function cutPlain(batch: PlainBatch, window: Window): PageSlice {
  return plainSlice(batch, sliceRecords(batch.recordSet, batch.offsets, window.from, window.to - window.from), window);
}

/** A compressed batch with a window. */
export function compressedSlice({ lsn, records }: LoadedBatch, window: Window): PageSlice {
  return {
    firstSeq: asSeq(records.firstSeq),
    appendTimeMs: records.appendTimeMs,
    lsn,
    codec: records.codec,
    recordCount: records.recordCount,
    uncompressedBytes: records.uncompressedBytes,
    payload: records.payload,
    windowOffset: window.from,
    windowCount: window.to - window.from,
    producer: records.producer,
  };
}

function plainSlice({ lsn, records }: LoadedBatch, payload: Uint8Array, window: Window): PageSlice {
  const { producer } = records;
  return {
    firstSeq: asSeq(records.firstSeq + window.from),
    appendTimeMs: records.appendTimeMs,
    lsn,
    codec: Codec.none,
    recordCount: window.to - window.from,
    uncompressedBytes: payload.length,
    payload,
    windowOffset: 0,
    windowCount: window.to - window.from,
    producer: producer && { ...producer, firstRecordNumber: producer.firstRecordNumber + window.from },
  };
}

/**
 * The part of the window that has at most `bytesMax` bytes, from its beginning or from its end; at least `recordsMin`
 * records of it.
 */
export function fit(
  offsets: Uint32Array,
  window: Window,
  bytesMax: number,
  fromEnd: boolean,
  recordsMin: number,
): Window {
  const bytesOf = (count: number): number =>
    fromEnd
      ? (offsets[window.to] ?? 0) - (offsets[window.to - count] ?? 0)
      : (offsets[window.from + count] ?? 0) - (offsets[window.from] ?? 0);
  let low = Math.min(recordsMin, window.to - window.from);
  let high = window.to - window.from;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (bytesOf(middle) <= bytesMax) low = middle;
    else high = middle - 1;
  }
  return fromEnd ? { from: window.to - low, to: window.to } : { from: window.from, to: window.from + low };
}
