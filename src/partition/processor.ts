/** Applies committed entries, in order and in groups, to the state machine and the state store. */
import { assert } from '../base/assert.js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import { asLsn, type Lsn, type Term } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import type { StateMachine } from '../base/state-machine.js';
import { EntryKind, type ConfState, type Entry } from '../raft/types.js';
import { ApplyTransaction, type StateStore, type StateStoreStats } from '../state-store/index.js';
import type { PartitionLog } from '../wal/types.js';
import {
  confStateKey,
  encodeConfState,
  encodeHighestReplicaId,
  highestReplicaId,
  highestReplicaKey,
} from './conf-state.js';
import type { PartitionMetrics } from './metrics.js';
import {
  applyPartitionCommand,
  decodePartitionCommand,
  isPartitionCommand,
  type PartitionCommand,
} from './partition-command.js';
import type { Watermarks } from './watermarks.js';

export interface ProcessorOptions {
  /** One group of applied entries is cut at these. */
  readonly groupEntriesMax: number;
  readonly groupBytesMax: number;
  /** And, at the end of an entry, at this much index: a group is one write, which has to fit a memtable. */
  readonly groupIndexBytesMax: number;
  /** Waiting times between attempts to reopen a failed store. */
  readonly reopenDelayMsMin: number;
  readonly reopenDelayMsMax: number;
  /** A failed store is reopened when this much is free beside what has to be written again. */
  readonly reopenFreeBytesMin: number;
  /** How often the free space is looked at meanwhile. */
  readonly spaceRetryMs: number;
}

export const defaultProcessorOptions: ProcessorOptions = {
  groupEntriesMax: 1024,
  groupBytesMax: 8 << 20,
  groupIndexBytesMax: 4 << 20,
  reopenDelayMsMin: 50,
  reopenDelayMsMax: 5_000,
  reopenFreeBytesMin: 4 << 20,
  spaceRetryMs: 500,
};

/** What the replica around the processor is told, in this order for each group. */
export interface ProcessorEvents<Result> {
  /** Above the memory for unflushed state: wait here before writing more. A promise only when there is something to wait for. */
  awaitRoom(): Promise<void> | undefined;
  /** A configuration entry takes effect; answers the configuration in force after it, on a replay the same once more. */
  onConfChange(entry: Entry): ConfState;
  /** Effects up to `appliedLsn` are readable. */
  onApplied(appliedLsn: Lsn, topics: Iterable<number>): void;
  onResult(lsn: Lsn, term: Term, result: Result): void;
  /**
   * A command of the partition itself is applied. Behind a checkpoint nothing more is applied before this resolves: the store is
   * exactly at `entry.lsn`, on every replica.
   */
  onPartitionCommand(entry: Entry, command: PartitionCommand): Promise<void>;
  /** The store has failed, and the disk has no room to open it again: what is applied is readable, nothing more is applied. */
  onHeldUp(error: LogboomError): void;
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
 * the persisted LSN (rule 3). On a full disk it could be closed but not opened again, and its readers would go with it: a
 * failed write leaves nothing behind in the instance, so it serves them, as of the last group that succeeded, until
 * there is room.
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
  readonly #freeBytes: () => Promise<number>;
  #store: StateStore;
  #reopening = false;
  /** The store is being closed, or is not open yet. */
  #closed = false;
  #heldUp: LogboomError | undefined;
  /** Readers have seen the state of this LSN. */
  #shownLsn = asLsn(0);
  #target: Lsn;
  #appliedBytes = 0;
  /** The last work; undefined when there is none. */
  #running: Promise<void> | undefined;
  /** Counts works, so that one that ends knows whether it is the last. */
  #works = 0;
  /** No further group is to be applied. */
  #stopping = false;
  /** Aborted when a failed store need not be opened again: at a stop, or because another is to take its place. */
  #reopeningEnds = new AbortController();

  /** `store` is open and `machine` loaded from it. */
  constructor(parts: {
    environment: Environment;
    options: ProcessorOptions;
    log: PartitionLog;
    machine: StateMachine<Result>;
    store: StateStore;
    openStore: () => Promise<StateStore>;
    /** Of the file system that the store is on. */
    freeBytes: () => Promise<number>;
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
    this.#freeBytes = parts.freeBytes;
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
    this.throwIfBehind();
    return this.#store;
  }

  /** The same for those who read the machine. */
  throwIfBehind(): void {
    if (!this.#closed && this.#watermarks.applied >= this.#shownLsn) return;
    throw new LogboomError('STATE_STORE_FAILED', 'the state store of the partition is being reopened', {
      retryAfterMs: 200,
    });
  }

  /** Why nothing is applied: a failed store waits for space. Undefined when that is not so. */
  get heldUp(): LogboomError | undefined {
    return this.#heldUp;
  }

  /** The instance that is, or was last, in use: for figures, and for closing it. */
  get lastStore(): StateStore {
    return this.#store;
  }

  /**
   * What a failed store had not flushed will never be. If it still counted, applies would wait for that room: of other
   * partitions, and its own, which the reopening waits for in turn.
   */
  get storeStats(): StateStoreStats {
    return this.#reopening ? nothingUnflushed : this.#store.stats;
  }

  /** Bytes of the entries applied since the start, those of a replay included and the partition's own commands not. */
  get appliedBytes(): number {
    return this.#appliedBytes;
  }

  /** Entries up to `lsn` are committed and durable here. */
  advanceTo(lsn: Lsn): void {
    assert(lsn >= this.#target, () => `processor target goes back from ${this.#target} to ${lsn}`);
    this.#target = lsn;
    if (this.#running === undefined) void this.#run(() => this.#applyGroups());
  }

  /** Applies no further group. */
  halt(): void {
    this.#stopping = true;
    this.#reopeningEnds.abort();
  }

  /** Finishes the group under way and applies no further one; the store stays open. */
  async stop(): Promise<void> {
    this.halt();
    await this.#running;
  }

  /** `failed` has failed outside of an apply (in a flush): it is replaced before the next group. */
  async reopenStore(failed: StateStore, cause: Error): Promise<void> {
    if (this.#store !== failed || this.#reopening || this.#stopping) return;
    // Ends the groups under way, after the present one.
    this.#reopening = true;
    await this.#run(async () => {
      // A write that failed at the same time has replaced it already.
      if (this.#store === failed) await this.#reopen(cause);
    });
  }

  /**
   * Replaces state and log by an imported snapshot: closes the store after the group under way, and goes on with the one that
   * `swap` puts in its place, which begins at another LSN. What fails in between ends the processor. Does not wait for a failed
   * store to be opened again: that may never be, and is not needed any more.
   */
  async replaceStore(swap: () => Promise<void>): Promise<void> {
    this.#reopening = true;
    this.#reopeningEnds.abort();
    await this.#run(async () => {
      if (!this.#stopping) this.#reopeningEnds = new AbortController();
      this.#closed = true;
      await this.#store.close({ flush: false }).catch((error: unknown) => {
        this.#environment.logger.warn('closing the state store that is replaced failed', { error: String(error) });
      });
      await swap();
      const store = await this.#openAndLoad();
      this.#store = store;
      this.#watermarks.installed(store.appliedLsn);
      this.#target = store.appliedLsn;
      this.#shownLsn = store.appliedLsn;
      this.#reopening = false;
      this.#closed = false;
      this.#heldUp = undefined;
    });
  }

  /** One work at a time, after the one under way; `stop` waits for all. The first that fails is the last. */
  #run(work: () => Promise<void>): Promise<void> {
    this.#works += 1;
    this.#running = this.#runAfter(this.#running, work, this.#works);
    return this.#running;
  }

  /** Does not reject. */
  async #runAfter(before: Promise<void> | undefined, work: () => Promise<void>, number: number): Promise<void> {
    // Without anything before: what is committed in this turn of the event loop joins the first group.
    await before;
    try {
      if (!this.#stopping) await work();
    } catch (error) {
      this.halt();
      this.#events.onFault(error instanceof Error ? error : new Error(String(error)));
    }
    if (this.#works !== number) return;
    this.#running = undefined;
    // What came between the last look at the target and now must not be left lying.
    if (!this.#stopping && this.#target > this.#watermarks.applied) this.advanceTo(this.#target);
  }

  async #applyGroups(): Promise<void> {
    while (this.#watermarks.applied < this.#target && !this.#stopping && !this.#reopening) await this.#applyGroup();
  }

  async #applyGroup(): Promise<void> {
    const from = asLsn(this.#watermarks.applied + 1);
    const to = asLsn(Math.min(this.#target + 1, from + this.#options.groupEntriesMax));
    const entries =
      this.#log.entriesInMemory(from, to, this.#options.groupBytesMax) ??
      (await this.#log.read(from, to, this.#options.groupBytesMax));
    assert(entries[0]?.lsn === from, () => `asked the log for entry ${from}, got ${entries[0]?.lsn}`);
    const room = this.#events.awaitRoom();
    if (room !== undefined) await room;
    if (this.#reopening || this.#stopping) return;

    const startedMs = this.#environment.clock.monotonicMs();
    const transaction = new ApplyTransaction(this.#store, this.#environment.crc32);
    const applied = this.#applyEntries(entries, transaction);
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
    for (const { entry, result, command } of applied) {
      if (result !== undefined) this.#events.onResult(entry.lsn, entry.term, result);
      if (command !== undefined) await this.#events.onPartitionCommand(entry, command);
    }
    this.#metrics.groupApplied(applied.length, this.#environment.clock.monotonicMs() - startedMs);
  }

  /** As many of them as make one group, which a checkpoint ends. */
  #applyEntries(entries: readonly Entry[], transaction: ApplyTransaction): AppliedEntry<Result>[] {
    const applied = [];
    for (const entry of entries) {
      const outcome = this.#applyEntry(entry, transaction);
      applied.push(outcome);
      if (outcome.command === undefined) this.#appliedBytes += entry.data.length;
      if (outcome.command?.type === 'checkpoint') break;
      if (transaction.indexBytes >= this.#options.groupIndexBytesMax) break;
    }
    return applied;
  }

  #applyEntry(entry: Entry, transaction: ApplyTransaction): AppliedEntry<Result> {
    transaction.begin(entry.lsn);
    let result: Result | undefined;
    let command: PartitionCommand | undefined;
    if (entry.kind !== EntryKind.normal) {
      const confState = this.#events.onConfChange(entry);
      const highest = highestReplicaId(transaction.getIndex(highestReplicaKey), confState, entry);
      transaction.putIndex(confStateKey, encodeConfState(confState));
      transaction.putIndex(highestReplicaKey, encodeHighestReplicaId(highest));
    } else if (isPartitionCommand(entry.data)) {
      command = decodePartitionCommand(entry.data);
      applyPartitionCommand(command, entry.lsn, transaction);
    } else if (entry.data.length > 0) {
      result = this.#machine.apply(entry.lsn, entry.data, transaction);
    }
    transaction.end();
    return { entry, result, command };
  }

  async #reopen(cause: Error): Promise<void> {
    const { logger, clock } = this.#environment;
    logger.error('state store failed; it is reopened at its persisted LSN and the log replayed', {
      persistedLsn: this.#watermarks.persisted,
      appliedLsn: this.#watermarks.applied,
      error: cause.message,
    });
    await this.#awaitSpace();
    if (this.#reopeningEnds.signal.aborted) return;
    this.#closed = true;
    this.#metrics.storeReopened();
    await this.#store.close({ flush: false }).catch((error: unknown) => {
      logger.warn('closing the failed state store failed as well', { error: String(error) });
    });
    let delayMs = this.#options.reopenDelayMsMin;
    while (!this.#reopeningEnds.signal.aborted) {
      try {
        return this.#adopt(await this.#openAndLoad());
      } catch (error) {
        // A full disk passes. Damage does not, and a broken invariant is not to be carried on with.
        if (!isLogboomError(error, 'STATE_STORE_FAILED')) throw error;
        logger.error('the state store cannot be reopened yet', { error: error.message, retryInMs: delayMs });
        this.#holdUp(
          new LogboomError(error.reason, `the state store cannot be reopened yet: ${error.message}`, {
            facts: error.facts,
            retryAfterMs: delayMs,
          }),
        );
        await sleep(clock, delayMs, this.#reopeningEnds.signal);
        delayMs = Math.min(delayMs * 2, this.#options.reopenDelayMsMax);
      }
    }
  }

  /** A store as of its last flush, and the machine as the store has it. */
  async #openAndLoad(): Promise<StateStore> {
    const store = await this.#openStore();
    try {
      await this.#machine.load(store);
      return store;
    } catch (error) {
      // Left open, it would keep the next attempt from opening it.
      await store.close({ flush: false }).catch((failure: unknown) => {
        this.#environment.logger.warn('closing a state store that cannot be loaded failed', { error: String(failure) });
      });
      throw error;
    }
  }

  #adopt(store: StateStore): void {
    this.#store = store;
    this.#shownLsn = asLsn(Math.max(this.#shownLsn, this.#watermarks.applied));
    this.#watermarks.storeReopened(store.appliedLsn);
    this.#events.onStoreReopened(store.appliedLsn);
    // When another store is to take the place of this one, nothing more is applied to it.
    this.#reopening = this.#reopeningEnds.signal.aborted;
    this.#closed = false;
    this.#heldUp = undefined;
    this.#environment.logger.info('state store reopened', { appliedLsn: store.appliedLsn, target: this.#target });
  }

  /** Resolves when there is room to open the store again and to write anew what it had not flushed. */
  async #awaitSpace(): Promise<void> {
    const { reopenFreeBytesMin, spaceRetryMs } = this.#options;
    while (!this.#reopeningEnds.signal.aborted) {
      // Unknown is no reason to wait: the attempt will tell.
      const free = await this.#freeBytes().catch(() => Number.POSITIVE_INFINITY);
      const needed = reopenFreeBytesMin + this.#store.stats.dirtyBytes;
      if (free >= needed) return;
      this.#holdUp(
        new LogboomError(
          'DISK_FULL',
          `the disk has ${free} bytes left, and the state store of the partition, which failed, needs ${needed} to go on: ` +
            'appends are refused until there is space, reads go on',
          { facts: { free_bytes: free, needed_bytes: needed }, retryAfterMs: 1000 },
        ),
      );
      await sleep(this.#environment.clock, spaceRetryMs, this.#reopeningEnds.signal);
    }
  }

  #holdUp(error: LogboomError): void {
    const isNew = this.#heldUp?.reason !== error.reason;
    this.#heldUp = error;
    if (!isNew) return;
    this.#environment.logger.error('nothing is applied until the state store goes on', { error: error.message });
    this.#events.onHeldUp(error);
  }
}

interface AppliedEntry<Result> {
  readonly entry: Entry;
  /** Undefined for entries that are none of the state machine's. */
  readonly result: Result | undefined;
  readonly command: PartitionCommand | undefined;
}

const nothingUnflushed: StateStoreStats = { dirtyBytes: 0, flushingBytes: 0, dirtySinceMs: undefined, heldBytes: 0 };
