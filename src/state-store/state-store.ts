import { assert, InvariantViolation } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import { asLsn, type Lsn } from '../base/ids.js';
import type { Clock } from '../base/ports/clock.js';
import type { Crc32 } from '../base/ports/environment.js';
import { type Logger, noLogger } from '../base/ports/logger.js';
import { type MetricLabels, noMetrics } from '../base/ports/metrics.js';
import type { IndexEntry, IndexWrite, LogicalView } from '../base/state-machine.js';
import { limitBelow, mergeHeld } from './held-index.js';
import { type StateStoreMetrics, stateStoreMetrics } from './metrics.js';
import type { StateStoreOptions, StateStoreSizes } from './options.js';
import { type OrderedStore, StoreCorruption, type StoreOperation } from './ordered-store.js';
import { PairFlush } from './pair-flush.js';
import { PhysicalDeletions } from './physical-deletions.js';
import { crc32OfAll } from './pieces.js';
import {
  type AppliedMark,
  contentOf,
  corruptValue,
  deletionKey,
  type DatabaseName,
  encodeMark,
  endOfKeys,
  firstIndexKey,
  indexKey,
  logicalIndexKey,
  markKey,
  recordsKey,
  replaceAdvice,
  seal,
  sealAll,
  startOfKeys,
  unsealed,
} from './sealed-values.js';
import { SerialGate } from './serial-gate.js';
import { PairSnapshot } from './state-snapshot.js';
import type {
  AppliedBatch,
  RecordsWrite,
  StateHash,
  StateSnapshot,
  StateStore,
  StateStoreStats,
  StateStoreVerification,
} from './types.js';
import { verifySnapshot } from './verification.js';

/**
 * A {@link StateStore} of two ordered databases. {@link PairFlush} keeps what is durable of them one prefix; this class
 * adds checksums, the applied mark, and the life cycle.
 */
export class PairedStateStore implements StateStore {
  readonly #records: OrderedStore;
  readonly #index: OrderedStore;
  readonly #options: StateStoreOptions;
  readonly #crc32: Crc32;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: StateStoreMetrics;
  readonly #labels: MetricLabels;
  readonly #databaseLabels: Readonly<Record<DatabaseName, MetricLabels>>;
  readonly #pair: PairFlush;
  readonly #deletions: PhysicalDeletions;
  /** One write, deletion or snapshot at a time. */
  readonly #gate = new SerialGate();
  #mark: AppliedMark;
  #persistedLsn: Lsn;
  #writing = false;
  #dirtyBytes = 0;
  #dirtySinceMs: number | undefined;
  #flushing: { bytes: number; startedMs: number; newestMs: number | undefined } | undefined;
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: {
    records: OrderedStore;
    index: OrderedStore;
    /** What the index holds; it was checked against the records. */
    mark: AppliedMark;
    /** Requests of physical deletions that the index holds. */
    deletions: readonly Lsn[];
    sizes: StateStoreSizes;
    options: StateStoreOptions;
  }) {
    const { records, index, mark, sizes, options } = parts;
    this.#records = records;
    this.#index = index;
    this.#mark = mark;
    this.#persistedLsn = mark.appliedLsn;
    this.#options = options;
    this.#crc32 = options.crc32;
    this.#clock = options.clock;
    this.#logger = options.logger ?? noLogger;
    this.#metrics = stateStoreMetrics(options.metrics ?? noMetrics);
    this.#labels = options.labels ?? {};
    this.#databaseLabels = {
      records: { ...this.#labels, database: 'records' },
      index: { ...this.#labels, database: 'index' },
    };
    this.#deletions = new PhysicalDeletions({
      records,
      gate: this.#gate,
      clock: options.clock,
      sweepDeletionsMin: sizes.sweepDeletionsMin ?? sweepDeletionsMinDefault,
      reclaimBytesMin: sizes.records.tableBytes,
      requested: parts.deletions,
      writeIndex: (operations) => this.#writeBoth([], operations, undefined),
      onSwept: (count) => this.#metrics.physicalDeletions.add(count, this.#labels),
      onFailure: (error) => this.#fail(error),
    });
    this.#pair = new PairFlush({
      records,
      index,
      options: sizes,
      appliedLsn: mark.appliedLsn,
      onStart: () => this.#flushStarted(),
      onPersisted: (lsn) => this.#flushCompleted(lsn),
      onFailure: (error) => this.#fail(error),
    });
  }

  get appliedLsn(): Lsn {
    return this.#mark.appliedLsn;
  }
  get stateHash(): StateHash {
    return this.#mark.stateHash;
  }
  get persistedLsn(): Lsn {
    return this.#persistedLsn;
  }
  get stats(): StateStoreStats {
    return {
      dirtyBytes: this.#dirtyBytes,
      // A flush that failed is over, and whoever looks for one to start finds out that this instance is finished.
      flushingBytes: this.#failure === undefined ? (this.#flushing?.bytes ?? 0) : 0,
      dirtySinceMs: this.#dirtySinceMs,
      heldBytes: this.#pair.held.charge,
    };
  }

  /** In one function, not several: applies wait for every promise on the way, once for each small group. */
  async write(batch: AppliedBatch): Promise<void> {
    assert(!this.#writing, () => `a write to LSN ${batch.appliedLsn} began while another was under way`);
    this.#writing = true;
    const turn = this.#gate.enter();
    if (turn !== undefined) await turn;
    try {
      this.#throwFailure();
      const startedMs = this.#clock.monotonicMs();
      const mark = this.#markAfter(batch);
      const records = batch.records.map((write) => this.#putRecords(write));
      const index = this.#indexOperations(batch.index);
      index.push(this.#put(markKey, encodeMark(mark)));
      try {
        await this.#writeBoth(records, index, batch.appliedLsn);
      } catch (error) {
        throw this.#fail(error);
      }
      this.#mark = mark;
      this.#metrics.writeSeconds.observe((this.#clock.monotonicMs() - startedMs) / 1000, this.#labels);
    } finally {
      this.#writing = false;
      this.#gate.leave();
    }
  }

  #markAfter(batch: AppliedBatch): AppliedMark {
    const { appliedLsn, lastRecordsLsn } = this.#mark;
    assert(batch.appliedLsn > appliedLsn, () => `LSN ${batch.appliedLsn} is written after ${appliedLsn}`);
    let last: Lsn = appliedLsn;
    for (const { lsn } of batch.records) {
      assert(
        lsn > last && lsn <= batch.appliedLsn,
        () => `records of LSN ${lsn} are written after ${last}, in a batch up to ${batch.appliedLsn}`,
      );
      last = lsn;
    }
    return {
      appliedLsn: batch.appliedLsn,
      stateHash: batch.stateHash,
      lastRecordsLsn: batch.records.length > 0 ? last : lastRecordsLsn,
    };
  }

  async #writeBoth(
    records: readonly StoreOperation[],
    index: readonly StoreOperation[],
    appliedLsn: Lsn | undefined,
  ): Promise<void> {
    if (records.length > 0) {
      await this.#records.write(records);
      this.#noteDirty('records', records);
    }
    if (index.length > 0) {
      const writing = this.#pair.writeIndex(index, appliedLsn);
      if (writing !== undefined) await writing;
      this.#noteDirty('index', index);
    }
  }

  #put(key: Uint8Array, value: Uint8Array): StoreOperation {
    return { type: 'put', key, value: seal(this.#crc32, key, value) };
  }

  #putRecords({ lsn, pieces, crc32 = crc32OfAll(this.#crc32, pieces) }: RecordsWrite): StoreOperation {
    const key = recordsKey(lsn);
    return { type: 'put', key, value: sealAll(this.#crc32, key, pieces, crc32) };
  }

  #indexOperations(writes: readonly IndexWrite[]): StoreOperation[] {
    return writes.map(({ key, value }) =>
      value === undefined ? { type: 'del', key: indexKey(key) } : this.#put(indexKey(key), value),
    );
  }

  /** After the write, so that a flush that began before it does not count it as covered. */
  #noteDirty(database: DatabaseName, operations: readonly StoreOperation[]): void {
    let bytes = 0;
    for (const operation of operations)
      bytes += operation.key.length + (operation.type === 'put' ? operation.value.length : 0);
    this.#dirtyBytes += bytes;
    const nowMs = this.#clock.monotonicMs();
    this.#dirtySinceMs ??= nowMs;
    if (this.#flushing !== undefined) this.#flushing.newestMs ??= nowMs;
    this.#metrics.writtenBytes.add(bytes, this.#databaseLabels[database]);
  }

  getIndex(key: Uint8Array): Uint8Array | undefined {
    const physical = indexKey(key);
    const held = this.#pair.held.get(physical);
    if (held !== undefined) return held.value === undefined ? undefined : contentOf(held.value);
    const sealed = this.#reading(() => this.#index.get(physical));
    return sealed === undefined ? undefined : this.#open('index', physical, sealed);
  }

  async scanIndex(range: {
    from: Uint8Array;
    to: Uint8Array;
    reverse?: boolean;
    limit: number;
  }): Promise<IndexEntry[]> {
    const from = indexKey(range.from);
    const to = indexKey(range.to);
    const reverse = range.reverse ?? false;
    // Both views are taken here, at one moment.
    const held = this.#pair.held.range(from, to);
    const scan = this.#index.scan({ from, to, reverse, limit: limitBelow(held, range.limit) });
    const stored = await this.#readingAsync(scan);
    return mergeHeld(stored, held, range.limit, reverse).map(({ key, value }) => ({
      key: logicalIndexKey(key),
      value: this.#open('index', key, value),
    }));
  }

  async getRecords(lsns: readonly Lsn[]): Promise<(Uint8Array | undefined)[]> {
    const keys = lsns.map(recordsKey);
    const values = await this.#readingAsync(this.#records.getMany(keys));
    return values.map((sealed, at) => {
      const key = keys[at];
      const lsn = lsns[at];
      if (sealed === undefined || key === undefined || lsn === undefined || this.#deletions.has(lsn)) return undefined;
      return this.#open('records', key, sealed);
    });
  }

  #open(database: DatabaseName, key: Uint8Array, sealed: Uint8Array): Uint8Array {
    const value = unsealed(this.#crc32, key, sealed);
    if (value !== undefined) return value;
    this.#metrics.corruptValues.add(1, this.#databaseLabels[database]);
    throw corruptValue(database, this.#options.directory, key);
  }

  #reading<Value>(read: () => Value): Value {
    try {
      return read();
    } catch (error) {
      throw this.#readError(error);
    }
  }

  async #readingAsync<Value>(read: Promise<Value>): Promise<Value> {
    try {
      return await read;
    } catch (error) {
      throw this.#readError(error);
    }
  }

  #readError(error: unknown): LogboomError {
    const directory = this.#options.directory;
    if (error instanceof StoreCorruption) {
      return new LogboomError('DATA_CORRUPT', `${error.message}. ${replaceAdvice}`, {
        facts: { directory },
        cause: error,
      });
    }
    return new LogboomError('STATE_STORE_FAILED', `reading the state store in ${directory} failed: ${String(error)}`, {
      facts: { directory },
      cause: error,
    });
  }

  async flush(): Promise<Lsn> {
    this.#throwFailure();
    if (this.#dirtyBytes === 0) return this.#persistedLsn;
    try {
      return await this.#pair.flush();
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** What is held at the start is not covered. Its charge is above its bytes: what stays dirty is an upper bound. */
  #flushStarted(): void {
    const startedMs = this.#clock.monotonicMs();
    const { held } = this.#pair;
    this.#deletions.flushStarted(held.empty);
    this.#flushing = {
      bytes: Math.max(0, this.#dirtyBytes - held.charge),
      startedMs,
      newestMs: held.empty ? undefined : startedMs,
    };
  }

  #flushCompleted(lsn: Lsn): void {
    const flushing = this.#flushing;
    assert(
      flushing !== undefined && lsn >= this.#persistedLsn,
      () => `persisted LSN ${lsn} after ${this.#persistedLsn}`,
    );
    this.#persistedLsn = lsn;
    this.#dirtyBytes -= flushing.bytes;
    this.#dirtySinceMs = flushing.newestMs;
    this.#flushing = undefined;
    this.#metrics.flushes.add(1, this.#labels);
    this.#metrics.flushedBytes.add(flushing.bytes, this.#labels);
    this.#metrics.flushSeconds.observe((this.#clock.monotonicMs() - flushing.startedMs) / 1000, this.#labels);
    this.#metrics.heldBytes.set(this.#pair.held.charge, this.#labels);
    this.#metrics.persistedLsn.set(lsn, this.#labels);
    this.#options.onPersisted?.(lsn);
    this.#deletions.flushCompleted(this.#dirtySinceMs === undefined);
  }

  async deletePhysically(deletion: { recordLsns: readonly Lsn[]; index: readonly IndexWrite[] }): Promise<void> {
    const { recordLsns, index } = deletion;
    for (let at = 0; at < Math.max(recordLsns.length, index.length); at += deletionStep) {
      const step = { recordLsns: recordLsns.slice(at, at + deletionStep), index: index.slice(at, at + deletionStep) };
      await this.#gate.run(() => this.#requestDeletion(step.recordLsns, step.index));
    }
    // More requests than memory should hold: a flush covers them, and a sweep carries some of them out.
    while (this.#deletions.count > deletionsMax) {
      await this.flush();
      await this.#deletions.sweep();
    }
  }

  async #requestDeletion(recordLsns: readonly Lsn[], index: readonly IndexWrite[]): Promise<void> {
    this.#throwFailure();
    const { appliedLsn, lastRecordsLsn } = this.#mark;
    const operations = this.#indexOperations(index);
    let mark = this.#mark;
    for (const lsn of recordLsns) {
      assert(lsn <= appliedLsn, () => `the records of LSN ${lsn} are deleted at applied LSN ${appliedLsn}`);
      operations.push(this.#put(deletionKey(lsn), nothing));
      // The check at the start looks for the last records value: the mark must no longer name it when it goes.
      if (lsn === lastRecordsLsn) mark = { ...mark, lastRecordsLsn: asLsn(0) };
    }
    if (mark !== this.#mark) operations.push(this.#put(markKey, encodeMark(mark)));
    try {
      await this.#writeBoth([], operations, undefined);
    } catch (error) {
      throw this.#fail(error);
    }
    this.#mark = mark;
    this.#deletions.requested(recordLsns);
  }

  snapshot(): Promise<StateSnapshot> {
    return this.#gate.run(async () => this.#snapshot());
  }

  #snapshot(): PairSnapshot {
    this.#throwFailure();
    return new PairSnapshot({
      records: this.#records.snapshot(),
      index: this.#index.snapshot(),
      held: this.#pair.held.range(firstIndexKey, endOfKeys),
      mark: this.#mark,
      open: (database, key, sealed) => this.#open(database, key, sealed),
      reading: (read) => this.#readingAsync(read),
      readingNow: (read) => this.#reading(read),
    });
  }

  async verify(
    onProgress: (done: { values: number; bytes: number }) => void = () => {},
    signal?: AbortSignal,
    view?: LogicalView,
  ): Promise<StateStoreVerification> {
    const snapshot = await this.#gate.run(async () => this.#snapshot());
    try {
      return await verifySnapshot(snapshot, this.#crc32, onProgress, signal, view);
    } finally {
      await snapshot.close();
    }
  }

  async sizeBytes(): Promise<number> {
    const sizes = [this.#records, this.#index].map((store) => store.approximateBytes(startOfKeys, endOfKeys));
    const [records = 0, index = 0] = await this.#readingAsync(Promise.all(sizes));
    return records + index + this.#dirtyBytes;
  }

  close({ flush = true }: { flush?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#close(flush);
    return this.#closing;
  }

  async #close(flush: boolean): Promise<void> {
    try {
      while (flush && this.#failure === undefined && this.#dirtyBytes > 0) await this.flush();
    } finally {
      this.#failure ??= new LogboomError(
        'STATE_STORE_FAILED',
        `the state store in ${this.#options.directory} is closed`,
      );
      await this.#deletions.close();
      if (flush) await this.#pair.settled();
      await this.#gate.run(async () => {});
      await Promise.all([this.#records.close(), this.#index.close()]);
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The first failure is the instance's end; what follows from it reports the same. A broken invariant is never hidden by it. */
  #fail(error: unknown): Error {
    if (error instanceof InvariantViolation) return (this.#failure = error);
    if (this.#failure === undefined) {
      const { directory } = this.#options;
      this.#failure = new LogboomError(
        'STATE_STORE_FAILED',
        `the state store in ${directory} failed: ${String(error)}`,
        {
          facts: { directory, persistedLsn: this.#persistedLsn },
          cause: error,
        },
      );
      this.#metrics.failures.add(1, this.#labels);
      this.#logger.error('state store failed', { directory, persistedLsn: this.#persistedLsn, error: String(error) });
    }
    return this.#failure;
  }
}

/** Requests that one write takes, so that writes of applied entries get their turn in between. */
const deletionStep = 512;
const sweepDeletionsMinDefault = 1024;
/** Requests that may wait for a sweep before those who make them wait. */
const deletionsMax = 65_536;
const nothing = new Uint8Array(0);
