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
/** How often to look when nobody applies, while something is due or under way: also flushes that others start make room. */
const busyIntervalMs = 250;
/** How often to look for age alone: a store is flushed a tenth of its age late at most. */
const idleIntervalMsMax = 1000;
/** After a failed flush, its store is left alone for so long. */
const restMs = 1000;

interface Entry {
  readonly target: FlushTarget;
  flushing: Promise<void> | undefined;
  demand: number | undefined;
  restsUntilMs: number;
  /** As of the last look; written anew in place, because looks are as frequent as applies. */
  readonly candidate: { -readonly [Field in keyof FlushCandidate]: FlushCandidate[Field] };
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
  /** Those of the entries. */
  #candidates: FlushCandidate[] = [];
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
    const candidate = {
      id,
      dirtyBytes: 0,
      dirtySinceMs: undefined,
      flushingBytes: undefined,
      demand: undefined,
      resting: false,
    };
    this.#entries.set(id, { target, flushing: undefined, demand: undefined, restsUntilMs: 0, candidate });
    this.#candidates.push(candidate);
  }

  remove(id: PartitionId): void {
    this.#entries.delete(id);
    this.#candidates = this.#candidates.filter((candidate) => candidate.id !== id);
    this.#look();
  }

  /** Begins to look at the stores now and then, until `stop`. */
  run(): void {
    if (this.#stopped) return;
    this.#look();
    this.#timer = this.#clock.setTimer(this.#intervalMs, () => this.run());
  }

  get #intervalMs(): number {
    const isBusy =
      !this.#hasRoom() ||
      this.#dirtyBytes > this.#options.budgetBytes ||
      this.#candidates.some(
        ({ flushingBytes, demand, resting }) => flushingBytes !== undefined || demand !== undefined || resting,
      );
    if (isBusy) return busyIntervalMs;
    return Math.min(idleIntervalMsMax, Math.max(busyIntervalMs, this.#options.ageMs / 10));
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
    let dirtyBytes = 0;
    for (const entry of this.#entries.values()) dirtyBytes += updateCandidate(entry, nowMs);
    this.#dirtyBytes = dirtyBytes;
    this.#metrics.dirtyBytes.set(this.#dirtyBytes);
    if (this.#hasRoom()) this.#wakeWaiters();
    if (this.#stopped) return;
    for (const { id, reason } of chooseFlushes(this.#candidates, this.#options, nowMs)) {
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

/** Answers the unflushed bytes. */
function updateCandidate(entry: Entry, nowMs: number): number {
  const { candidate } = entry;
  const { dirtyBytes, dirtySinceMs, flushingBytes } = entry.target.stats();
  // Asked for, and clean: what was to be flushed is.
  if (dirtyBytes === 0) entry.demand = undefined;
  candidate.dirtyBytes = dirtyBytes;
  candidate.dirtySinceMs = dirtySinceMs;
  candidate.flushingBytes = entry.flushing !== undefined || flushingBytes > 0 ? flushingBytes : undefined;
  candidate.demand = entry.demand;
  candidate.resting = nowMs < entry.restsUntilMs;
  return dirtyBytes;
}
