import { assert } from '../base/assert.js';
import type { Lsn } from '../base/ids.js';
import { HeldIndex, heldBatch, type HeldBatch } from './held-index.js';
import type { OrderedStore, StoreOperation } from './ordered-store.js';

export interface PairFlushOptions {
  /** Index bytes that may wait in memory while a flush runs; writes wait above it. */
  readonly heldBytesMax: number;
  /** The index is flushed before its memtable holds more; below its write buffer, so that LevelDB never flushes it by itself. */
  readonly indexMemtableBytesMax: number;
}

/** What the releases of held batches write at once, so that a release holds a pool thread for a few milliseconds. */
const releaseBytes = 1 << 20;

/**
 * The two databases of a replica as one durable prefix: what is durable of the index never goes beyond what is durable
 * of the records.
 *
 * A flush runs in this order:
 *
 *  1. From now on index writes are *held* in memory; readers see the index through them. Let A be the applied LSN that
 *     the index database has when the write in flight, if any, is done. Nothing beyond A reaches it until step 4.
 *  2. Flush the records. Records are written before the index entries that point to them, so every record up to A was
 *     written before, and is durable after this step.
 *  3. Flush the index: it makes A durable, exactly. A is the new persisted LSN.
 *  4. Release the held writes to the index database, in order; when none is left, stop holding.
 *
 * Outside of steps 1 to 4 the index database gets writes, but nothing makes them durable: LevelDB flushes a memtable by
 * itself only when it is full, and here the flush is started, and writes are held, before it can be
 * (`indexMemtableBytesMax` by the upper bound {@link memtableCharge}); compaction touches tables only; and the log is
 * deleted before each open. So an index that survives a crash is one of step 3, whose records survived step 2. If a
 * step fails, the later ones do not run and the store is finished.
 *
 * Applies go on all the while: a held write is a map insertion. Only when a flush is slower than `heldBytesMax` of index
 * writes, they wait.
 */
export class PairFlush {
  readonly #records: OrderedStore;
  readonly #index: OrderedStore;
  readonly #options: PairFlushOptions;
  readonly #onStart: () => void;
  readonly #onPersisted: (lsn: Lsn) => void;
  readonly #onFailure: (error: Error) => void;
  /** Readers look here first. */
  readonly held = new HeldIndex();
  #holding = false;
  /** The direct index write under way. */
  #inFlight: Promise<void> | undefined;
  /** Upper bound of what the index memtable holds. */
  #memtableBytes = 0;
  /** What the index database holds, without held writes. */
  #indexLsn: Lsn;
  #current: Promise<void> | undefined;
  #next: Promise<Lsn> | undefined;
  #roomWaiters: (() => void)[] = [];
  #failure: Error | undefined;

  constructor(parts: {
    records: OrderedStore;
    index: OrderedStore;
    options: PairFlushOptions;
    appliedLsn: Lsn;
    /** Called when a flush begins: it covers what was written before. */
    onStart: () => void;
    /** Called when the LSN is durable, before writes are released. */
    onPersisted: (lsn: Lsn) => void;
    /** Called once, with the first error. */
    onFailure: (error: Error) => void;
  }) {
    this.#records = parts.records;
    this.#index = parts.index;
    this.#options = parts.options;
    this.#indexLsn = parts.appliedLsn;
    this.#onStart = parts.onStart;
    this.#onPersisted = parts.onPersisted;
    this.#onFailure = parts.onFailure;
  }

  /**
   * One call at a time. The records that these operations point to were written before. Answers a promise only when
   * there is something to wait for: a write that is held is done at once.
   */
  writeIndex(operations: readonly StoreOperation[], appliedLsn: Lsn | undefined): Promise<void> | undefined {
    const batch = heldBatch(operations, appliedLsn);
    const { indexMemtableBytesMax } = this.#options;
    assert(
      batch.charge <= indexMemtableBytesMax,
      () =>
        `one write to the index takes ${batch.charge} bytes of memory, at most ${indexMemtableBytesMax} are possible`,
    );
    this.#throwFailure();
    if (!this.#holding && this.#memtableBytes + batch.charge <= indexMemtableBytesMax)
      return this.#writeDirectly(batch);
    if (this.#mayHold(batch)) {
      this.held.add(batch);
      return undefined;
    }
    return this.#writeWhenPossible(batch);
  }

  #mayHold({ charge }: HeldBatch): boolean {
    return this.#holding && (this.held.empty || this.held.charge + charge <= this.#options.heldBytesMax);
  }

  async #writeWhenPossible(batch: HeldBatch): Promise<void> {
    for (;;) {
      this.#throwFailure();
      if (!this.#holding) {
        if (this.#memtableBytes + batch.charge <= this.#options.indexMemtableBytesMax) break;
        // Holds from here on, synchronously. A failure reaches the owner by onFailure, and this write in the next round.
        this.flush().catch(() => {});
      } else if (this.#mayHold(batch)) {
        this.held.add(batch);
        return;
      } else {
        await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
      }
    }
    await this.#writeDirectly(batch);
  }

  #writeDirectly({ operations, appliedLsn, charge }: HeldBatch): Promise<void> {
    this.#memtableBytes += charge;
    this.#inFlight = this.#writeNow(operations, appliedLsn);
    return this.#inFlight;
  }

  async #writeNow(operations: readonly StoreOperation[], appliedLsn: Lsn | undefined): Promise<void> {
    try {
      await this.#index.write(operations);
      this.#indexLsn = appliedLsn ?? this.#indexLsn;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /**
   * Makes durable what was written before the call, and answers up to which LSN. Calls made while one runs share the
   * next, which begins when the held writes of the current one are released: only then it covers them.
   */
  flush(): Promise<Lsn> {
    if (this.#current === undefined) return this.#start();
    this.#next ??= this.#current.then(() => {
      this.#next = undefined;
      return this.flush();
    });
    return this.#next;
  }

  /** Resolves when no flush is under way and nothing is held; does not reject. */
  async settled(): Promise<void> {
    while (this.#current !== undefined) await this.#current;
  }

  #start(): Promise<Lsn> {
    const persisted = this.#persist();
    this.#current = this.#finish(persisted);
    return persisted;
  }

  /** Steps 1 to 3. */
  async #persist(): Promise<Lsn> {
    this.#throwFailure();
    this.#holding = true;
    this.#onStart();
    try {
      const inFlight = this.#inFlight;
      await this.#records.flush();
      await inFlight;
      const lsn = this.#indexLsn;
      await this.#index.flush();
      assert(this.#indexLsn === lsn, () => `the index moved from LSN ${lsn} to ${this.#indexLsn} while it was flushed`);
      this.#memtableBytes = 0;
      this.#onPersisted(lsn);
      return lsn;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** Step 4; with another flush in between when what is released does not fit one memtable. */
  async #finish(persisted: Promise<unknown>): Promise<void> {
    try {
      await persisted;
      while (!(await this.#release())) await this.#persist();
    } catch (error) {
      this.#fail(error);
      this.#current = undefined;
    }
    this.#wakeWaiters();
  }

  /** @returns false when the memtable is full before all is released */
  async #release(): Promise<boolean> {
    for (;;) {
      const roomBytes = this.#options.indexMemtableBytesMax - this.#memtableBytes;
      const batch = this.held.peek(Math.min(releaseBytes, roomBytes));
      if (batch === undefined) {
        // At once with having found nothing: a write between the two would be held for good.
        this.#holding = false;
        this.#current = undefined;
        return true;
      }
      if (batch.charge > roomBytes) return false;
      this.#memtableBytes += batch.charge;
      await this.#writeNow(batch.operations, batch.appliedLsn);
      this.held.release(batch.count);
      this.#wakeWaiters();
    }
  }

  #wakeWaiters(): void {
    const waiters = this.#roomWaiters;
    this.#roomWaiters = [];
    for (const resolve of waiters) resolve();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #fail(error: unknown): Error {
    if (this.#failure === undefined) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#onFailure(this.#failure);
      this.#wakeWaiters();
    }
    return this.#failure;
  }
}
