/**
 * Walks the stored batches of a stream, or of one producer, in either direction, many index entries a scan. How many is
 * learned on the way from their average size.
 */
import type { Lsn } from '../base/ids.js';
import { asLsn } from '../base/ids.js';
import type { StateReader } from '../base/state-machine.js';
import { scanBatches, scanBatchesBackward } from './batch-index.js';
import type { BatchEntry } from './batch-index.js';
import { decodeProducerBatchValue } from './index-values.js';
import { keyFirstNumber, producerBatchRange } from './keys.js';
import type { StreamView } from './types.js';

export interface BatchRef {
  readonly lsn: Lsn;
  readonly firstSeq: number;
  readonly recordCount: number;
  /** Bytes that its value has, at most or roughly. */
  readonly bytes: number;
}

/** The index or the records do not have what they should at `seq`: retention was there, or the data is damaged. */
export class RecordsGone extends Error {
  override readonly name = 'RecordsGone';
  readonly seq: number;

  constructor(seq: number) {
    super(`no batch at seq ${seq}`);
    this.seq = seq;
  }
}

const scanFirst = 16;
const scanMin = 4;
const scanMax = 1024;

export abstract class BatchCursor {
  #buffer: readonly BatchRef[] = [];
  #next = 0;
  #ended = false;
  #seen = 0;
  #seenRecords = 0;
  #seenBytes = 0;

  /** The next batches, at most `limit`; fewer only at the end. */
  protected abstract scan(limit: number): Promise<readonly BatchRef[]>;

  /**
   * The next batches: as few as reach so many records or bytes, at least one, none at the end.
   *
   * @throws RecordsGone
   */
  async take(records: number, bytes: number): Promise<BatchRef[]> {
    const taken: BatchRef[] = [];
    let recordsLeft = records;
    let bytesLeft = bytes;
    do {
      if (this.#mustScan) await this.#scan(recordsLeft, bytesLeft);
      const batch = this.#buffer[this.#next];
      if (batch === undefined) break;
      this.#next += 1;
      taken.push(batch);
      recordsLeft -= batch.recordCount;
      bytesLeft -= batch.bytes;
    } while (recordsLeft > 0 && bytesLeft > 0);
    return taken;
  }

  async hasMore(): Promise<boolean> {
    if (this.#mustScan) await this.#scan(1, 1);
    return this.#next < this.#buffer.length;
  }

  get #mustScan(): boolean {
    return this.#next === this.#buffer.length && !this.#ended;
  }

  async #scan(recordsLeft: number, bytesLeft: number): Promise<void> {
    const limit = this.#scanLimit(recordsLeft, bytesLeft);
    this.#buffer = await this.scan(limit);
    this.#next = 0;
    this.#ended = this.#buffer.length < limit;
    this.#seen += this.#buffer.length;
    for (const batch of this.#buffer) {
      this.#seenRecords += batch.recordCount;
      this.#seenBytes += batch.bytes;
    }
  }

  #scanLimit(recordsLeft: number, bytesLeft: number): number {
    if (this.#seen === 0) return scanFirst;
    const byRecords = (recordsLeft * this.#seen) / this.#seenRecords;
    const byBytes = (bytesLeft * this.#seen) / this.#seenBytes;
    return Math.max(scanMin, Math.min(scanMax, Math.ceil(Math.min(byRecords, byBytes)) + 1));
  }
}

const refOf = (entry: BatchEntry): BatchRef => ({
  lsn: asLsn(entry.lsn),
  firstSeq: entry.firstSeq,
  recordCount: entry.recordCount,
  bytes: entry.storedBytes,
});

/** Batches from the one that holds `from` on, up to the end of `stream`. Checks that no position is left out. */
export class ForwardCursor extends BatchCursor {
  readonly #reader: StateReader;
  readonly #stream: StreamView;
  #position: number;
  #isInside = true;

  constructor(reader: StateReader, stream: StreamView, from: number) {
    super();
    this.#reader = reader;
    this.#stream = stream;
    this.#position = from;
  }

  protected override async scan(limit: number): Promise<readonly BatchRef[]> {
    const { id, nextSeq } = this.#stream;
    if (this.#position >= nextSeq) return [];
    const entries = await scanBatches(this.#reader, id, this.#position, nextSeq, limit);
    if (this.#isInside && entries[0]?.firstSeq !== this.#position) {
      // The position lies inside of a batch that begins before it.
      const [around] = await scanBatchesBackward(this.#reader, id, 0, this.#position, 1);
      if (around === undefined || around.endSeq <= this.#position) throw new RecordsGone(this.#position);
      if (entries.length === limit) entries.pop();
      entries.unshift(around);
      this.#position = around.firstSeq;
    }
    this.#isInside = false;
    for (const entry of entries) {
      if (entry.firstSeq !== this.#position) throw new RecordsGone(this.#position);
      this.#position = entry.endSeq;
    }
    if (entries.length < limit && this.#position < nextSeq) throw new RecordsGone(this.#position);
    return entries.map(refOf);
  }
}

/** Batches from the one that holds `upTo - 1` down to the one that holds `downTo`. Checks that no position is left out. */
export class BackwardCursor extends BatchCursor {
  readonly #reader: StateReader;
  readonly #streamId: number;
  readonly #downTo: number;
  #position: number;

  constructor(reader: StateReader, stream: StreamView, upTo: number, downTo: number) {
    super();
    this.#reader = reader;
    this.#streamId = stream.id;
    this.#position = upTo;
    this.#downTo = downTo;
  }

  protected override async scan(limit: number): Promise<readonly BatchRef[]> {
    if (this.#position <= this.#downTo) return [];
    const found = await scanBatchesBackward(this.#reader, this.#streamId, 0, this.#position, limit);
    const entries: BatchEntry[] = [];
    for (const entry of found) {
      if (this.#position <= this.#downTo) break;
      if (entry.endSeq < this.#position) throw new RecordsGone(this.#position - 1);
      entries.push(entry);
      this.#position = entry.firstSeq;
    }
    if (entries.length < limit && this.#position > this.#downTo) throw new RecordsGone(this.#position - 1);
    return entries.map(refOf);
  }
}

/** The retained batches of one producer, by its own numbering, up or down from a record number. */
export class ProducerCursor extends BatchCursor {
  readonly #reader: StateReader;
  readonly #stream: StreamView;
  readonly #producerLsn: number;
  readonly #isReverse: boolean;
  /** Upward: the next first number, or one below. Downward: one above the next first number, or more. */
  #number: number;

  /** Upward batches that begin at `number` or above, downward those that begin below it. */
  constructor(reader: StateReader, stream: StreamView, producerLsn: number, number: number, isReverse: boolean) {
    super();
    this.#reader = reader;
    this.#stream = stream;
    this.#producerLsn = producerLsn;
    this.#number = number;
    this.#isReverse = isReverse;
  }

  protected override async scan(limit: number): Promise<readonly BatchRef[]> {
    const from = this.#isReverse ? 0 : this.#number;
    const to = this.#isReverse ? this.#number : Number.MAX_SAFE_INTEGER;
    if (from >= to) return [];
    const range = producerBatchRange(this.#stream.id, this.#producerLsn, from, to);
    const refs: BatchRef[] = [];
    for (const { key, value } of await this.#reader.scanIndex({ ...range, reverse: this.#isReverse, limit })) {
      const batch = decodeProducerBatchValue(value);
      if (batch.firstSeq < this.#stream.firstSeq || batch.firstSeq >= this.#stream.nextSeq) break;
      refs.push({
        lsn: asLsn(batch.lsn),
        firstSeq: batch.firstSeq,
        recordCount: batch.recordCount,
        bytes: batch.uncompressedBytes,
      });
      this.#number = keyFirstNumber(key) + (this.#isReverse ? 0 : 1);
    }
    return refs;
  }
}
