/** Applies committed entries, in order and in groups, to the state machine and the state store. */
import { assert } from '../base/assert.js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import { asLsn, type Lsn, type Term } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import type { StateMachine } from '../base/state-machine.js';
import { EntryKind, type ConfState, type Entry } from '../raft/types.js';
import { ApplyTransaction, type StateStore } from '../state-store/index.js';
import type { PartitionLog } from '../wal/types.js';
import { confStateKey, encodeConfState } from './conf-state.js';
import type { PartitionMetrics } from './metrics.js';
import type { Watermarks } from './watermarks.js';

export interface ProcessorOptions {
  /** One group of applied entries is cut at these. */
  readonly groupEntriesMax: number;
  readonly groupBytesMax: number;
  /** Waiting times between attempts to reopen a failed store. */
  readonly reopenDelayMsMin: number;
  readonly reopenDelayMsMax: number;
}

export const defaultProcessorOptions: ProcessorOptions = {
  groupEntriesMax: 1024,
  groupBytesMax: 8 << 20,
  reopenDelayMsMin: 50,
  reopenDelayMsMax: 5_000,
};

/** What the replica around the processor is told, in this order for each group. */
export interface ProcessorEvents<Result> {
  /** Above the memory for unflushed state: wait here before writing more. */
  awaitRoom(): Promise<void>;
  /** A configuration entry takes effect; answers the configuration in force after it, on a replay the same once more. */
  onConfChange(entry: Entry): ConfState;
  /** Effects up to `appliedLsn` are readable. */
  onApplied(appliedLsn: Lsn, topics: Iterable<number>): void;
  onResult(lsn: Lsn, term: Term, result: Result): void;
  /** The store failed and was opened again at this LSN; what comes after is applied once more. */
  onStoreReopened(appliedLsn: Lsn): void;
  /** The processor has stopped for good, and why. */
  onFault(error: Error): void;
}

/**
 * One loop, one group at a time: read entries, apply them in memory, write their effects as one batch, publish, answer.
 * What commits while a group is written forms the next one, so groups grow with load.
 *
 * A store that fails is closed, reopened at its persisted LSN, and the log is replayed from there (rule 7); nothing was
 * acknowledged of the group that failed, and what was acknowledged before is in the log, which keeps all entries above
 * the persisted LSN (rule 3).
 */
export class Processor<Result> {
  readonly #environment: Environment;
  readonly #options: ProcessorOptions;
  readonly #log: PartitionLog;
  readonly #machine: StateMachine<Result>;
  readonly #watermarks: Watermarks;
  readonly #metrics: PartitionMetrics;
  readonly #events: ProcessorEvents<Result>;
  readonly #openStore: () => Promise<StateStore>;
  #store: StateStore;
  #reopening = false;
  /** Readers have seen the state of this LSN. */
  #shownLsn = asLsn(0);
  #target: Lsn;
  #running: Promise<void> | undefined;
  readonly #stopping = new AbortController();
  #faulted = false;

  /** `store` is open and `machine` loaded from it. */
  constructor(parts: {
    environment: Environment;
    options: ProcessorOptions;
    log: PartitionLog;
    machine: StateMachine<Result>;
    store: StateStore;
    openStore: () => Promise<StateStore>;
    watermarks: Watermarks;
    metrics: PartitionMetrics;
    events: ProcessorEvents<Result>;
  }) {
    this.#environment = parts.environment;
    this.#options = parts.options;
    this.#log = parts.log;
    this.#machine = parts.machine;
    this.#store = parts.store;
    this.#openStore = parts.openStore;
    this.#watermarks = parts.watermarks;
    this.#metrics = parts.metrics;
    this.#events = parts.events;
    this.#target = parts.store.appliedLsn;
  }

  /**
   * For readers. A reopened store shows an older state until the replay is back where it was; reading it would take back
   * what was shown before.
   *
   * @throws LogboomError STATE_STORE_FAILED while a failed store is being reopened and replayed
   */
  get store(): StateStore {
    if (this.#reopening || this.#watermarks.applied < this.#shownLsn) {
      throw new LogboomError('STATE_STORE_FAILED', 'the state store of the partition is being reopened', {
        retryAfterMs: 200,
      });
    }
    return this.#store;
  }

  /** The instance that is, or was last, in use: for figures, and for closing it. */
  get lastStore(): StateStore {
    return this.#store;
  }

  /** Entries up to `lsn` are committed and durable here. */
  advanceTo(lsn: Lsn): void {
    assert(lsn >= this.#target, () => `processor target goes back from ${this.#target} to ${lsn}`);
    this.#target = lsn;
    if (this.#faulted || this.#stopping.signal.aborted) return;
    this.#running ??= this.#run().finally(() => this.#ran());
  }

  /** What came between the last look at the target and now must not be left lying. */
  #ran(): void {
    this.#running = undefined;
    if (this.#target > this.#watermarks.applied && !this.#reopening) this.advanceTo(this.#target);
  }

  /** Finishes the group under way and applies no further one; the store stays open. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** `failed` has failed outside of an apply (in a flush): it is replaced before the next group. */
  async reopenStore(failed: StateStore, cause: Error): Promise<void> {
    if (this.#store !== failed || this.#reopening || this.#faulted) return;
    this.#reopening = true;
    await this.#running;
    // A write that failed at the same time has replaced it already.
    if (this.#store !== failed || this.#faulted || this.#stopping.signal.aborted) return;
    this.#running = this.#guard(() => this.#reopen(cause)).finally(() => this.#ran());
    await this.#running;
  }

  async #run(): Promise<void> {
    // What is committed in this turn of the event loop joins the first group.
    await Promise.resolve();
    await this.#guard(async () => {
      while (this.#watermarks.applied < this.#target && !this.#stopping.signal.aborted && !this.#reopening) {
        await this.#applyGroup();
      }
    });
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#faulted = true;
      this.#events.onFault(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #applyGroup(): Promise<void> {
    const from = asLsn(this.#watermarks.applied + 1);
    const to = asLsn(Math.min(this.#target + 1, from + this.#options.groupEntriesMax));
    const entries =
      this.#log.entriesInMemory(from, to, this.#options.groupBytesMax) ??
      (await this.#log.read(from, to, this.#options.groupBytesMax));
    assert(entries[0]?.lsn === from, () => `asked the log for entry ${from}, got ${entries[0]?.lsn}`);
    await this.#events.awaitRoom();
    if (this.#reopening) return;

    const startedMs = this.#environment.clock.monotonicMs();
    const transaction = new ApplyTransaction(this.#store, this.#environment.crc32);
    const results = entries.map((entry) => this.#applyEntry(entry, transaction));
    const batch = transaction.finish();
    try {
      await this.#store.write(batch);
    } catch (error) {
      if (!isLogboomError(error, 'STATE_STORE_FAILED')) throw error;
      this.#reopening = true;
      await this.#reopen(error);
      return;
    }
    this.#watermarks.appliedAdvanced(batch.appliedLsn);
    this.#events.onApplied(batch.appliedLsn, this.#machine.publish());
    for (const [index, entry] of entries.entries()) {
      const result = results[index];
      if (result !== undefined) this.#events.onResult(entry.lsn, entry.term, result);
    }
    this.#metrics.groupApplied(entries.length, this.#environment.clock.monotonicMs() - startedMs);
  }

  /** The result, or undefined for entries that are none of the state machine's. */
  #applyEntry(entry: Entry, transaction: ApplyTransaction): Result | undefined {
    transaction.begin(entry.lsn);
    let result: Result | undefined;
    if (entry.kind !== EntryKind.normal) {
      transaction.putIndex(confStateKey, encodeConfState(this.#events.onConfChange(entry)));
    } else if (entry.data.length > 0) {
      result = this.#machine.apply(entry.lsn, entry.data, transaction);
    }
    transaction.end();
    return result;
  }

  async #reopen(cause: Error): Promise<void> {
    const { logger, clock } = this.#environment;
    logger.error('state store failed; it is reopened at its persisted LSN and the log replayed', {
      persistedLsn: this.#watermarks.persisted,
      appliedLsn: this.#watermarks.applied,
      error: cause.message,
    });
    this.#metrics.storeReopened();
    await this.#store.close({ flush: false }).catch((error: unknown) => {
      logger.warn('closing the failed state store failed as well', { error: String(error) });
    });
    let delayMs = this.#options.reopenDelayMsMin;
    while (!this.#stopping.signal.aborted) {
      try {
        const store = await this.#openStore();
        await this.#machine.load(store);
        this.#store = store;
        this.#shownLsn = asLsn(Math.max(this.#shownLsn, this.#watermarks.applied));
        this.#watermarks.storeReopened(store.appliedLsn);
        this.#events.onStoreReopened(store.appliedLsn);
        this.#reopening = false;
        logger.info('state store reopened', { appliedLsn: store.appliedLsn, target: this.#target });
        return;
      } catch (error) {
        // A full disk passes; damage does not, and is not retried.
        if (isLogboomError(error, 'STATE_STORE_CORRUPT')) throw error;
        logger.error('the state store cannot be reopened yet', { error: String(error), retryInMs: delayMs });
        await sleep(clock, delayMs, this.#stopping.signal);
        delayMs = Math.min(delayMs * 2, this.#options.reopenDelayMsMax);
      }
    }
  }
}
