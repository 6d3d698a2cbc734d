import { LogboomError } from '../base/errors.js';
import { Codec } from '../base/ports/compressor.js';
import { AppendSession } from './append-session.js';
import { BatchBuffer } from './batch-buffer.js';
import type { RecordInput } from './batch-buffer.js';
import { ClientError } from './errors.js';
import { HeaderWriter } from './request-header.js';
import type { AppendTarget } from './request-header.js';
import { abortError } from './retry.js';
import type { Connection } from './connection.js';
import type { AppendResponseMessage } from './messages.js';
import type { ZstdCompressor } from './zstd.js';

/** Where a record was stored. */
export interface AppendResult {
  readonly seq: number;
  readonly streamEpoch: number;
  readonly lsn: number;
  /** The time the server gave to the record, in milliseconds since the Unix epoch. */
  readonly appendTimeMs: number;
  /** The record had been stored before, by an attempt whose answer was lost. */
  readonly repeated: boolean;
}

/** Settings of an appender that have a default. */
export interface AppenderLimits {
  /** A batch is closed before it has more encoded bytes than this; a larger record goes alone. */
  readonly batchBytesMax: number;
  readonly batchRecordsMax: number;
  /** Batches sent and not answered. Always 1 without a producer. */
  readonly inFlightBatchesMax: number;
  /** Encoded bytes accepted and not answered; beyond it `append` refuses. */
  readonly pendingBytesMax: number;
  readonly pendingRecordsMax: number;
  /** All pending records fail when no batch was stored for so long. */
  readonly giveUpAfterMs: number;
}

/** What an appender stands on; made by `LogboomClient.appender`. */
export interface AppenderSetup {
  readonly connection: Connection;
  readonly target: AppendTarget;
  readonly limits: AppenderLimits;
  readonly recordBytesMax: number;
  readonly codec: Codec;
  readonly compressor: ZstdCompressor;
  readonly nextRecordNumber: number;
  readonly expectedNextSeq: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onClose: () => void;
  readonly onInterruption: ((error: Error) => void) | undefined;
  readonly onResumption: (() => void) | undefined;
}

/** Smaller batches are not worth the codec's own bytes and time. */
const compressBytesMin = 512;
/** A codec must save a tenth. */
const compressedShareMax = 0.9;
/** After that many batches at most, incompressible data is given another try. */
const skippedBatchesMax = 64;
const initialCapacityBytes = 64 * 1024;
const keptBuffersMax = 8;

type Resolve = (result: AppendResult) => void;
type Reject = (error: Error) => void;

interface PendingBatch {
  readonly requestId: number;
  readonly recordCount: number;
  readonly payloadBytes: number;
  readonly valueBytes: number;
  request: Buffer | undefined;
  /** By index in the batch; holes for records appended without a promise. */
  readonly resolves: Resolve[];
  readonly rejects: Reject[];
  buffer: BatchBuffer | undefined;
}

// A Promise's executor runs at once: this takes its functions without a closure a record.
let capturedResolve: Resolve;
let capturedReject: Reject;
const capture = (resolve: Resolve, reject: Reject): void => {
  capturedResolve = resolve;
  capturedReject = reject;
};

/**
 * Appends records to one stream, in order, in batches that it makes itself: with nothing in flight a record leaves at the
 * end of the current turn of the event loop; what comes while batches are in flight goes out together as soon as one of
 * them is answered.
 *
 * Made by `LogboomClient.appender`. Unless that was switched off, records are numbered for a producer, and whatever
 * happens to connections and servers each is stored exactly once, in order. A refusal that no retry can change (fenced,
 * stream deleted, conditional append failed, ...) fails the appender: every pending record is rejected with it, and every
 * later call, because nothing may overtake what was refused.
 */
export class Appender {
  readonly #setup: AppenderSetup;
  readonly #header: HeaderWriter;
  readonly #session: AppendSession<PendingBatch>;
  readonly #freeBuffers: BatchBuffer[] = [];
  #open: BatchBuffer;
  #resolves: Resolve[] = [];
  #rejects: Reject[] = [];
  #requestId = 0;
  #nextRecordNumber: number;
  #expectedNextSeq: number | undefined;
  #pendingBytes = 0;
  #flushScheduled = false;
  #skipBatches = 0;
  #skipStep = 0;
  #failure: Error | undefined;
  /** Of records that were enqueued without a promise; told by the next flush. */
  #unreported: Error | undefined;
  #closed = false;
  #readyWaiters: (() => void)[] = [];
  #acceptedRecords = 0;
  #settledRecords = 0;
  readonly #flushWaiters: { readonly acceptedRecords: number; readonly resolve: () => void }[] = [];
  #appendedRecords = 0;
  #appendedBytes = 0;
  #firstSeq: number | undefined;
  #lastSeq: number | undefined;
  readonly #onAbort: () => void;

  constructor(setup: AppenderSetup) {
    this.#setup = setup;
    this.#header = new HeaderWriter(setup.target);
    this.#nextRecordNumber = setup.nextRecordNumber;
    this.#expectedNextSeq = setup.expectedNextSeq;
    this.#open = this.#takeBuffer();
    this.#session = new AppendSession<PendingBatch>(
      setup.connection,
      {
        stream: setup.target.stream,
        idempotent: setup.target.producer !== undefined,
        inFlightBatchesMax: setup.target.producer === undefined ? 1 : setup.limits.inFlightBatchesMax,
        giveUpAfterMs: setup.limits.giveUpAfterMs,
      },
      {
        stored: (batch, response) => this.#stored(batch, response),
        failed: (batch, error, fatal) => this.#batchFailed(batch, error, fatal),
        interrupted: (cause) => setup.onInterruption?.(cause),
        resumed: () => setup.onResumption?.(),
      },
    );
    this.#onAbort = () => this.abort(abortError(setup.signal as AbortSignal));
    setup.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get stream(): string {
    return this.#setup.target.stream;
  }
  /** Number that the next record gets in the producer's numbering. */
  get nextRecordNumber(): number {
    return this.#nextRecordNumber;
  }
  /** The producer that the records are numbered for; undefined when that was switched off. */
  get producer(): { readonly id: string; readonly epoch: number } | undefined {
    return this.#setup.target.producer;
  }
  /** Records accepted and not answered. */
  get pendingRecords(): number {
    return this.#acceptedRecords - this.#settledRecords;
  }
  get pendingBytes(): number {
    return this.#pendingBytes;
  }
  /** Records stored by this appender; with the positions of the first and the last of them. */
  get appendedRecords(): number {
    return this.#appendedRecords;
  }
  /** Bytes of their values. */
  get appendedBytes(): number {
    return this.#appendedBytes;
  }
  get firstSeq(): number | undefined {
    return this.#firstSeq;
  }
  get lastSeq(): number | undefined {
    return this.#lastSeq;
  }
  /** Whether `append` would refuse with APPENDER_FULL. */
  get full(): boolean {
    const { limits } = this.#setup;
    return this.#pendingBytes >= limits.pendingBytesMax || this.pendingRecords >= limits.pendingRecordsMax;
  }

  /**
   * Appends one record. Resolves when it is stored as durably as the server promises.
   *
   * @throws LogboomError RECORD_TOO_LARGE at once, without harm to the others; or why the appender failed
   * @throws ClientError APPENDER_FULL: wait for {@link ready}; OUTCOME_UNKNOWN without a producer; CLOSED
   */
  append(record: RecordInput): Promise<AppendResult> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    try {
      this.#makeRoom(this.#open.measure(record)).add(record);
    } catch (error) {
      return Promise.reject(asError(error));
    }
    const index = this.#open.recordCount - 1;
    const promise = new Promise<AppendResult>(capture);
    this.#resolves[index] = capturedResolve;
    this.#rejects[index] = capturedReject;
    this.#accepted();
    return promise;
  }

  /**
   * Appends one record without a promise of its own: for bulk, where {@link flush} tells whether all went well. Throws
   * what `append` would reject with at once.
   */
  enqueue(record: RecordInput): void {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    this.#makeRoom(this.#open.measure(record)).add(record);
    this.#accepted();
  }

  /** The same for the bytes `[start, end)` of a buffer. */
  enqueueBytes(source: Buffer, start: number, end: number): void {
    const refusal = this.#refusal();
    if (refusal) throw refusal;
    this.#makeRoom(this.#open.measureBytes(end - start)).addBytes(source, start, end);
    this.#accepted();
  }

  /** Resolves when there is room again, or the appender failed (the next call tells): what a producer awaits in its loop. */
  async ready(): Promise<void> {
    while (this.full && !this.#failure && !this.#closed)
      await new Promise<void>((resolve) => this.#readyWaiters.push(resolve));
  }

  /**
   * Sends what is pending and resolves when everything appended before is answered.
   *
   * @throws why the appender failed, or the first failure of an enqueued record since the last flush
   */
  async flush(): Promise<void> {
    if (this.#open.recordCount > 0) this.#seal();
    const acceptedRecords = this.#acceptedRecords;
    if (this.#settledRecords < acceptedRecords)
      await new Promise<void>((resolve) => this.#flushWaiters.push({ acceptedRecords, resolve }));
    const error = this.#failure ?? this.#unreported;
    this.#unreported = undefined;
    if (error) throw error;
  }

  /** Flushes and ends the session; afterwards `append` refuses with CLOSED. Rejects as `flush` does, closed all the same. */
  async close(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.flush();
    } finally {
      this.#end();
    }
  }

  /** Ends at once: pending records are rejected, though some of them may still be stored. */
  abort(reason: Error = new ClientError('CLOSED', 'the appender was aborted')): void {
    this.#fail(reason);
    this.#end();
  }

  #refusal(): Error | undefined {
    if (this.#failure) return this.#failure;
    if (this.#closed) return new ClientError('CLOSED', 'the appender is closed');
    if (!this.full) return undefined;
    const message = `${this.pendingRecords} records with ${this.#pendingBytes} bytes are pending; await ready() before appending more`;
    return new ClientError('APPENDER_FULL', message);
  }

  /** Closes the open batch when a record of that many bytes does not fit; answers the one to add it to. */
  #makeRoom(encodedBytes: number): BatchBuffer {
    const { limits, recordBytesMax } = this.#setup;
    const open = this.#open;
    if (open.measuredRecordBytes > recordBytesMax) {
      const bytes = open.measuredRecordBytes;
      const message = `the record has ${bytes} bytes encoded, the limit is ${recordBytesMax}; split it or raise the server's limit`;
      throw new LogboomError('RECORD_TOO_LARGE', message, { facts: { bytes, bytes_max: recordBytesMax } });
    }
    this.#pendingBytes += encodedBytes;
    if (
      open.recordCount > 0 &&
      (open.recordCount >= limits.batchRecordsMax || open.payloadBytes + encodedBytes > limits.batchBytesMax)
    ) {
      this.#seal();
      this.#open.copyMeasure(open);
    }
    return this.#open;
  }

  #accepted(): void {
    this.#acceptedRecords += 1;
    if (!this.#flushScheduled) this.#scheduleFlush();
  }

  /**
   * At the end of this turn, behind all promise reactions: what the code that is running now appends, and what those
   * append who wait for the answers that just came, goes out in one batch.
   */
  #scheduleFlush(): void {
    this.#flushScheduled = true;
    queueMicrotask(() => process.nextTick(this.#flushTurn));
  }

  readonly #flushTurn = (): void => {
    this.#flushScheduled = false;
    if (this.#open.recordCount === 0 || this.#failure) return;
    const inFlightMax = this.#setup.target.producer === undefined ? 1 : this.#setup.limits.inFlightBatchesMax;
    if (this.#session.unsettledCount < inFlightMax) this.#seal();
  };

  /** Closes the open batch and hands it to the session. */
  #seal(): void {
    const buffer = this.#open;
    this.#requestId += 1;
    const batch: PendingBatch = {
      requestId: this.#requestId,
      recordCount: buffer.recordCount,
      payloadBytes: buffer.payloadBytes,
      valueBytes: buffer.valueBytes,
      request: undefined,
      resolves: this.#resolves,
      rejects: this.#rejects,
      buffer,
    };
    const firstRecordNumber = this.#nextRecordNumber;
    const expectedNextSeq = this.#expectedNextSeq;
    this.#nextRecordNumber += buffer.recordCount;
    if (expectedNextSeq !== undefined) this.#expectedNextSeq = expectedNextSeq + buffer.recordCount;
    this.#resolves = [];
    this.#rejects = [];
    this.#open = this.#takeBuffer();
    this.#encode(batch, buffer, firstRecordNumber, expectedNextSeq);
    this.#session.offer(batch);
  }

  #encode(
    batch: PendingBatch,
    buffer: BatchBuffer,
    firstRecordNumber: number,
    expectedNextSeq: number | undefined,
  ): void {
    const header = {
      requestId: batch.requestId,
      firstRecordNumber,
      expectedNextSeq,
      recordCount: batch.recordCount,
      uncompressedBytes: batch.payloadBytes,
    };
    const uncompressed = (): Buffer => {
      const end = buffer.headroomBytes;
      const complete = { ...header, codec: Codec.none, payloadBytes: batch.payloadBytes };
      return buffer.bytes.subarray(this.#header.writeBefore(buffer.bytes, end, complete), buffer.position);
    };
    const finish = (compressed: Uint8Array): void => {
      if (!this.#worthCompressing(compressed.length, batch.payloadBytes)) batch.request = uncompressed();
      else {
        const request = Buffer.allocUnsafe(this.#header.bytesMax + compressed.length);
        const complete = { ...header, codec: Codec.zstd, payloadBytes: compressed.length };
        const start = this.#header.writeBefore(request, this.#header.bytesMax, complete);
        request.set(compressed, this.#header.bytesMax);
        batch.request = request.subarray(start);
        this.#recycle(batch);
      }
    };
    if (!this.#compresses(batch.payloadBytes)) {
      batch.request = uncompressed();
      return;
    }
    const { compressor } = this.#setup;
    const now = compressor.compressNow(buffer.payload);
    if (now) return finish(now);
    void compressor
      .compress(Codec.zstd, buffer.payload)
      .then(finish, (error: unknown) => {
        // The server takes it as it is; only bytes are lost.
        this.#setup.connection.options.logger.warn('compression failed, sending uncompressed', { error });
        batch.request = uncompressed();
      })
      .finally(() => this.#session.pump());
  }

  #compresses(payloadBytes: number): boolean {
    if (this.#setup.codec === Codec.none || payloadBytes < compressBytesMin) return false;
    if (this.#skipBatches === 0) return true;
    this.#skipBatches -= 1;
    return false;
  }

  /** Decides, and learns: data that does not shrink is tried ever more rarely. */
  #worthCompressing(compressedBytes: number, payloadBytes: number): boolean {
    const worth = compressedBytes <= payloadBytes * compressedShareMax;
    this.#skipStep = worth ? 0 : Math.min(skippedBatchesMax, this.#skipStep * 2 || 4);
    this.#skipBatches = this.#skipStep;
    return worth;
  }

  #takeBuffer(): BatchBuffer {
    const free = this.#freeBuffers.pop();
    if (free) {
      free.reset();
      return free;
    }
    const capacityBytes = Math.min(initialCapacityBytes, this.#setup.limits.batchBytesMax);
    return new BatchBuffer(this.#header.bytesMax, capacityBytes, this.#setup.codec !== Codec.none);
  }

  #recycle(batch: PendingBatch): void {
    if (batch.buffer && this.#freeBuffers.length < keptBuffersMax) this.#freeBuffers.push(batch.buffer);
    batch.buffer = undefined;
  }

  #stored(batch: PendingBatch, response: AppendResponseMessage): void {
    const { firstSeq, streamEpoch, lsn, appendTimeUnixMs, repeated } = response;
    this.#firstSeq ??= firstSeq;
    this.#lastSeq = response.lastSeq;
    this.#appendedRecords += batch.recordCount;
    this.#appendedBytes += batch.valueBytes;
    const { resolves } = batch;
    for (let index = 0; index < resolves.length; index += 1) {
      resolves[index]?.({ seq: firstSeq + index, streamEpoch, lsn, appendTimeMs: appendTimeUnixMs, repeated });
    }
    this.#settled(batch);
    if (this.#open.recordCount > 0 && !this.#flushScheduled) this.#scheduleFlush();
  }

  #batchFailed(batch: PendingBatch, error: Error, fatal: boolean): void {
    if (fatal) this.#fail(error);
    if (batch.rejects.length < batch.recordCount) this.#unreported ??= error;
    // Without a producer numbers do not matter; positions of a conditional append are checked by the server.
    for (const reject of batch.rejects) reject?.(error);
    this.#settled(batch);
    if (this.#open.recordCount > 0 && !this.#failure && !this.#flushScheduled) this.#scheduleFlush();
  }

  #settled(batch: PendingBatch): void {
    // A worker may still be reading the buffer of a batch that failed: only answered ones are used again.
    if (batch.request) this.#recycle(batch);
    this.#release(batch.recordCount, batch.payloadBytes);
  }

  #release(recordCount: number, payloadBytes: number): void {
    this.#settledRecords += recordCount;
    this.#pendingBytes -= payloadBytes;
    if (this.#readyWaiters.length > 0 && !this.full) this.#wake(this.#readyWaiters.splice(0));
    // Batches are settled in order, so that a count says which.
    while (this.#flushWaiters[0] && this.#flushWaiters[0].acceptedRecords <= this.#settledRecords)
      this.#flushWaiters.shift()?.resolve();
  }

  #fail(error: Error): void {
    if (this.#failure || this.#closed) return;
    this.#failure = error;
    const rejects = this.#rejects;
    const open = this.#open;
    const { recordCount, payloadBytes } = open;
    open.reset();
    this.#resolves = [];
    this.#rejects = [];
    for (const reject of rejects) reject?.(error);
    this.#session.fail(error);
    this.#release(recordCount, payloadBytes);
    this.#wake(this.#readyWaiters.splice(0));
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#setup.signal?.removeEventListener('abort', this.#onAbort);
    this.#session.end();
    this.#wake(this.#readyWaiters.splice(0));
    this.#setup.onClose();
  }

  #wake(waiters: (() => void)[]): void {
    for (const resolve of waiters) resolve();
  }
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
