import { assert } from '../base/assert.js';
import type { PartitionId } from '../base/ids.js';
import type { Clock, Timer } from '../base/ports/clock.js';
import type { Logger } from '../base/ports/logger.js';
import type { Metrics } from '../base/ports/metrics.js';
import {
  chooseFlushes,
  defaultFlushSchedulerOptions,
  type FlushCandidate,
  type FlushSchedulerOptions,
} from './flush-decision.js';
import { type FlushSchedulerMetrics, flushSchedulerMetrics } from './metrics.js';
import type { StateStoreStats } from './types.js';

/** A state store as far as the scheduler needs it; the store behind it may be closed and reopened meanwhile. */
export interface FlushTarget {
  stats(): StateStoreStats;
  flush(): Promise<unknown>;
}

/** Applies of all partitions call `awaitRoom`; looking at all stores each time would cost them more than it tells. */
const lookIntervalMs = 10;
/** How often to look when nobody applies: for age, and for flushes that others start. */
const idleIntervalMs = 250;
/** After a failed flush, its store is left alone for so long. */
const restMs = 1000;

interface Entry {
  readonly target: FlushTarget;
  flushing: Promise<void> | undefined;
  demand: number | undefined;
  restsUntilMs: number;
}

/**
 * One budget of unflushed bytes for all state stores of a node, so that memory does not grow with the number of
 * partitions. Decides by {@link chooseFlushes}; at most one flush a store, and `concurrentMax` a node.
 */
export class FlushScheduler {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #metrics: FlushSchedulerMetrics;
  readonly #options: FlushSchedulerOptions;
  readonly #entries = new Map<PartitionId, Entry>();
  #demands = 0;
  #timer: Timer | undefined;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  /** Of the last look. */
  #dirtyBytes = 0;
  #waiters: (() => void)[] = [];
  #stopped = false;

  constructor(
    environment: { clock: Clock; logger: Logger; metrics: Metrics },
    options: Partial<FlushSchedulerOptions> = {},
  ) {
    this.#clock = environment.clock;
    this.#logger = environment.logger;
    this.#metrics = flushSchedulerMetrics(environment.metrics);
    this.#options = { ...defaultFlushSchedulerOptions, ...options };
    const { budgetBytes, hardLimitBytes } = this.#options;
    assert(
      hardLimitBytes > budgetBytes,
      () => `applies wait at ${hardLimitBytes} unflushed bytes, flushes start at ${budgetBytes}`,
    );
  }

  add(id: PartitionId, target: FlushTarget): void {
    assert(!this.#entries.has(id), () => `partition ${id} was added already`);
    this.#entries.set(id, { target, flushing: undefined, demand: undefined, restsUntilMs: 0 });
  }

  remove(id: PartitionId): void {
    this.#entries.delete(id);
    this.#look();
  }

  /** Begins to look at the stores now and then, until `stop`. */
  run(): void {
    if (this.#stopped) return;
    this.#look();
    this.#timer = this.#clock.setTimer(idleIntervalMs, () => this.run());
  }

  /** Asks for a flush of a store, before those that are due for other reasons. */
  flushSoon(id: PartitionId): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.demand ??= ++this.#demands;
    this.#look();
  }

  /** Answers a promise only when the node has too many unflushed bytes: it resolves when flushes have made room. */
  awaitRoom(): Promise<void> | undefined {
    const startedMs = this.#clock.monotonicMs();
    if (startedMs - this.#lookedAtMs >= lookIntervalMs) this.#look();
    return this.#hasRoom() ? undefined : this.#awaitRoom(startedMs);
  }

  async #awaitRoom(startedMs: number): Promise<void> {
    while (!this.#hasRoom()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.#metrics.roomWaitSeconds.observe((this.#clock.monotonicMs() - startedMs) / 1000);
  }

  /** Starts no further flush, lets waiting applies go, and waits for the flushes under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#wakeWaiters();
    for (const { flushing } of this.#entries.values()) await flushing;
  }

  #hasRoom(): boolean {
    return this.#stopped || this.#dirtyBytes <= this.#options.hardLimitBytes;
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#lookedAtMs = nowMs;
    const candidates: FlushCandidate[] = [];
    let dirtyBytes = 0;
    for (const [id, entry] of this.#entries) {
      const candidate = candidateOf(id, entry, nowMs);
      candidates.push(candidate);
      dirtyBytes += candidate.dirtyBytes;
    }
    this.#dirtyBytes = dirtyBytes;
    this.#metrics.dirtyBytes.set(this.#dirtyBytes);
    if (this.#hasRoom()) this.#wakeWaiters();
    if (this.#stopped) return;
    for (const { id, reason } of chooseFlushes(candidates, this.#options, nowMs)) {
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      entry.demand = undefined;
      entry.flushing = this.#flush(id, entry);
      this.#metrics.started.add(1, { reason });
    }
  }

  async #flush(id: PartitionId, entry: Entry): Promise<void> {
    try {
      await entry.target.flush();
    } catch (error) {
      // Its owner closes the store and reopens it.
      entry.restsUntilMs = this.#clock.monotonicMs() + restMs;
      this.#logger.warn('a scheduled flush failed', { partition: id, error: String(error) });
    }
    entry.flushing = undefined;
    this.#look();
  }

  #wakeWaiters(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }
}

function candidateOf(id: PartitionId, entry: Entry, nowMs: number): FlushCandidate {
  const { dirtyBytes, dirtySinceMs, flushingBytes } = entry.target.stats();
  const flushing = entry.flushing !== undefined || flushingBytes > 0;
  // Asked for, and clean: what was to be flushed is.
  if (dirtyBytes === 0) entry.demand = undefined;
  return {
    id,
    dirtyBytes,
    dirtySinceMs,
    flushingBytes: flushing ? flushingBytes : undefined,
    demand: entry.demand,
    resting: nowMs < entry.restsUntilMs,
  };
}
