import type { Lsn } from '../base/ids.js';
import type { Clock } from '../base/ports/clock.js';
import type { OrderedStore, StoreOperation } from './ordered-store.js';
import { RangeReclaimer } from './range-reclaimer.js';
import { deletionKey, recordsKey } from './sealed-values.js';
import type { SerialGate } from './serial-gate.js';

/** Few and small deletions wait for more of them, or for an idle moment, but no longer than this. */
const sweepAgeMs = 60_000;
/** One sweep takes no more at once. */
const sweepDeletionsMax = 16_384;
/** Tombstones of one write, so that building it does not hold the JavaScript thread for long. */
const tombstonesPerWrite = 2048;
/** Requests that one write to the index takes out. */
const requestsPerWrite = 128;
/** A flush of the records that is this quick found little to write, and so will the next one. */
const quickFlushMs = 30;
const quickFlushAttempts = 4;

/**
 * Records values that wait for their physical deletion. A request is an entry of the index database, written in one
 * batch with the index part of the deletion, so a crash forgets neither. A *sweep* carries requests out later, many at
 * once:
 *
 *  - only requests that a completed flush covers. What allowed the deletion was applied before the request was written,
 *    so the index that pointed to the value cannot come back, and the replay, which begins above that flush, does not
 *    write the value again;
 *  - tombstones go into a table of their own: they lie at old LSNs, and in one table with new records they would make
 *    it overlap all tables in between, which compaction then rewrites (measured: 4 bytes written for each byte appended
 *    instead of 1). So writes are held up while the memtable is emptied, tombstones are written, and it is emptied
 *    again; flushes before that make the memtable small first, so that this takes tens of milliseconds;
 *  - a request goes only after its tombstones are flushed.
 */
export class PhysicalDeletions {
  readonly #records: OrderedStore;
  readonly #gate: SerialGate;
  readonly #clock: Clock;
  readonly #writeIndex: (operations: readonly StoreOperation[]) => Promise<void>;
  readonly #onSwept: (count: number) => void;
  readonly #onFailure: (error: unknown) => void;
  readonly #reclaimer: RangeReclaimer;
  readonly #sweepDeletionsMin: number;
  /** In the order of the requests. */
  readonly #requested = new Set<Lsn>();
  /** How many of them, from the front, the flush under way covers; and how many a completed one has covered. */
  #flushing = 0;
  #covered = 0;
  #coveredSinceMs = 0;
  #sweeping: Promise<void> | undefined;
  #measuring = false;
  #closed = false;

  constructor(parts: {
    records: OrderedStore;
    gate: SerialGate;
    clock: Clock;
    /** A sweep of so many is worth the moment for which it holds writes up. */
    sweepDeletionsMin: number;
    /** Deleted bytes that are worth a compaction. */
    reclaimBytesMin: number;
    /** Requests that the index held when it was opened. */
    requested: Iterable<Lsn>;
    /** Called within the gate. */
    writeIndex: (operations: readonly StoreOperation[]) => Promise<void>;
    onSwept: (count: number) => void;
    onFailure: (error: unknown) => void;
  }) {
    this.#records = parts.records;
    this.#gate = parts.gate;
    this.#clock = parts.clock;
    this.#sweepDeletionsMin = parts.sweepDeletionsMin;
    this.#writeIndex = parts.writeIndex;
    this.#onSwept = parts.onSwept;
    this.#onFailure = parts.onFailure;
    this.#reclaimer = new RangeReclaimer(parts.records, parts.reclaimBytesMin, parts.onFailure);
    for (const lsn of parts.requested) this.#requested.add(lsn);
    this.#covered = this.#requested.size;
    this.#coveredSinceMs = this.#clock.monotonicMs();
  }

  has(lsn: Lsn): boolean {
    return this.#requested.has(lsn);
  }

  get count(): number {
    return this.#requested.size;
  }

  /** These requests are in the index database, or held for it. */
  requested(lsns: readonly Lsn[]): void {
    for (const lsn of lsns) this.#requested.add(lsn);
  }

  /** @param heldEmpty whether all requests made so far are in the database, and none is held in memory */
  flushStarted(heldEmpty: boolean): void {
    this.#flushing = heldEmpty ? this.#requested.size : 0;
  }

  /** @param idle nothing was written since that flush began: a sweep is in nobody's way */
  flushCompleted(idle: boolean): void {
    if (this.#covered === 0) this.#coveredSinceMs = this.#clock.monotonicMs();
    this.#covered = Math.max(this.#covered, this.#flushing);
    this.#flushing = 0;
    if (this.#covered === 0) return;
    const isDue =
      this.#covered >= this.#sweepDeletionsMin || this.#clock.monotonicMs() - this.#coveredSinceMs >= sweepAgeMs;
    if (idle || isDue) this.#startSweep();
    else void this.#sweepIfLarge();
  }

  /** Few deletions can be many bytes: batches go up to megabytes. */
  async #sweepIfLarge(): Promise<void> {
    if (this.#measuring || this.#sweeping !== undefined || this.#closed) return;
    this.#measuring = true;
    try {
      const covered = [...this.#requested].slice(0, this.#covered);
      if ((await this.#reclaimer.isWorthwhile(covered)) && this.#covered > 0) this.#startSweep();
    } catch (error) {
      if (!this.#closed) this.#onFailure(error);
    } finally {
      this.#measuring = false;
    }
  }

  /** Carries out what is covered, now, and waits for it. */
  async sweep(): Promise<void> {
    if (this.#covered > 0) this.#startSweep();
    await this.#sweeping;
  }

  #startSweep(): void {
    if (this.#sweeping !== undefined || this.#closed) return;
    this.#sweeping = this.#sweep()
      .catch((error: unknown) => {
        if (!this.#closed) this.#onFailure(error);
      })
      .finally(() => {
        this.#sweeping = undefined;
      });
  }

  async #sweep(): Promise<void> {
    const lsns = [...this.#requested].slice(0, Math.min(this.#covered, sweepDeletionsMax));
    for (let attempt = 0; attempt < quickFlushAttempts; attempt++) {
      const startedMs = this.#clock.monotonicMs();
      await this.#records.flush();
      if (this.#clock.monotonicMs() - startedMs < quickFlushMs) break;
    }
    await this.#gate.run(async () => {
      await this.#records.flush();
      for (let at = 0; at < lsns.length; at += tombstonesPerWrite) {
        const step = lsns.slice(at, at + tombstonesPerWrite);
        await this.#records.write(step.map((lsn) => ({ type: 'del', key: recordsKey(lsn) })));
      }
      await this.#records.flush();
    });
    for (let at = 0; at < lsns.length; at += requestsPerWrite) {
      const step = lsns.slice(at, at + requestsPerWrite);
      await this.#gate.run(() => this.#writeIndex(step.map((lsn) => ({ type: 'del', key: deletionKey(lsn) }))));
      for (const lsn of step) this.#requested.delete(lsn);
      this.#covered -= step.length;
      this.#flushing = Math.max(0, this.#flushing - step.length);
    }
    this.#reclaimer.deleted(lsns);
    this.#onSwept(lsns.length);
  }

  /** Starts no further sweep and waits for the one under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#sweeping;
  }
}
