/** What bounds the memory of a node under load: appends in flight, and pages being read or sent. */
import { LogboomError } from '../base/errors.js';
import { assert } from '../base/assert.js';

export interface AppendAdmissionOptions {
  readonly inFlightBytesMax: number;
  readonly inFlightItemsMax: number;
  /** Hint of a refusal; about the time that a full window takes to drain. */
  readonly retryAfterMs?: number;
}

/**
 * Appends that were taken and are not yet answered, of the whole node. A full window refuses at once: a queue in front
 * of it would only hold more memory and make every answer late.
 */
export class AppendAdmission {
  readonly #bytesMax: number;
  readonly #itemsMax: number;
  readonly #retryAfterMs: number;
  #bytes = 0;
  #items = 0;
  #closed = false;
  #diskFull: { freeBytes: number; lowWaterMarkBytes: number } | undefined;
  #idle: (() => void)[] = [];

  constructor(options: AppendAdmissionOptions) {
    this.#bytesMax = options.inFlightBytesMax;
    this.#itemsMax = options.inFlightItemsMax;
    this.#retryAfterMs = options.retryAfterMs ?? 20;
  }

  get inFlight(): { readonly bytes: number; readonly items: number } {
    return { bytes: this.#bytes, items: this.#items };
  }

  /**
   * Takes in an append; the answered function, called once it is answered, gives its share back.
   *
   * @throws LogboomError SHUTTING_DOWN, DISK_FULL, QUEUE_FULL
   */
  admit(bytes: number): () => void {
    if (this.#closed) throw shuttingDown();
    this.assertDiskHasRoom();
    if (this.#items >= this.#itemsMax) throw this.#full('append.inFlightItems', this.#items, this.#itemsMax);
    if (this.#bytes + bytes > this.#bytesMax) throw this.#full('append.inFlightBytes', this.#bytes, this.#bytesMax);
    this.#bytes += bytes;
    this.#items++;
    let released = false;
    return () => {
      assert(!released, () => 'an append was released twice');
      released = true;
      this.#bytes -= bytes;
      this.#items--;
      if (this.#items === 0) for (const resolve of this.#idle.splice(0)) resolve();
    };
  }

  /** For what takes space without being an append. @throws LogboomError DISK_FULL */
  assertDiskHasRoom(): void {
    if (this.#diskFull) throw diskFull(this.#diskFull);
  }

  /** Refuses appends with DISK_FULL until called with undefined. */
  setDiskFull(state: { freeBytes: number; lowWaterMarkBytes: number } | undefined): void {
    this.#diskFull = state;
  }

  /** Refuses every further append; resolves when those in flight are answered. */
  close(): Promise<void> {
    this.#closed = true;
    if (this.#items === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #full(setting: string, used: number, limit: number): LogboomError {
    return new LogboomError(
      'QUEUE_FULL',
      `the node has as many appends in flight as it may (${setting}: ${used} of ${limit}); send again after the hint`,
      { facts: { limit: setting, used, max: limit }, retryAfterMs: this.#retryAfterMs },
    );
  }
}

export function shuttingDown(): LogboomError {
  return new LogboomError('SHUTTING_DOWN', 'the node is stopping; send again, to it or to another', {
    retryAfterMs: 500,
  });
}

function diskFull({ freeBytes, lowWaterMarkBytes }: { freeBytes: number; lowWaterMarkBytes: number }): LogboomError {
  return new LogboomError(
    'DISK_FULL',
    `the disk has ${freeBytes} bytes left, less than disk.lowWaterMarkBytes (${lowWaterMarkBytes}): appends are refused ` +
      'until there is space; reads go on',
    { facts: { free_bytes: freeBytes, low_water_mark_bytes: lowWaterMarkBytes }, retryAfterMs: 5000 },
  );
}

interface Waiter {
  readonly bytes: number;
  readonly signal: AbortSignal;
  readonly resolve: (release: () => void) => void;
  readonly reject: (error: unknown) => void;
  readonly onAbort: () => void;
}

/** Bytes that pages may hold at once. Requests are small, so a bounded number of them waits, first come first served. */
export class ReadBudget {
  readonly #bytesMax: number;
  readonly #waitersMax: number;
  readonly #waiters: Waiter[] = [];
  #bytes = 0;

  constructor(options: { readonly inFlightBytesMax: number; readonly waitingItemsMax: number }) {
    this.#bytesMax = options.inFlightBytesMax;
    this.#waitersMax = options.waitingItemsMax;
  }

  get usedBytes(): number {
    return this.#bytes;
  }

  /**
   * Resolves with a function that gives the bytes back. One page larger than the whole budget is let through alone.
   *
   * @throws LogboomError QUEUE_FULL; the signal's reason when it aborts first
   */
  acquire(bytes: number, signal: AbortSignal): Promise<() => void> {
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#waiters.length === 0 && this.#fits(bytes)) return Promise.resolve(this.#take(bytes));
    if (this.#waiters.length >= this.#waitersMax) {
      return Promise.reject(
        new LogboomError(
          'QUEUE_FULL',
          `${this.#waiters.length} reads wait already (read.waitingItems); send again after the hint`,
          {
            facts: { limit: 'read.waitingItems', used: this.#waiters.length, max: this.#waitersMax },
            retryAfterMs: 50,
          },
        ),
      );
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
        reject(signal.reason as Error);
        this.#serve();
      };
      const waiter: Waiter = { bytes, signal, resolve, reject, onAbort };
      this.#waiters.push(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }

  #take(bytes: number): () => void {
    this.#bytes += bytes;
    let released = false;
    return () => {
      assert(!released, () => 'a page was released twice');
      released = true;
      this.#bytes -= bytes;
      this.#serve();
    };
  }

  #serve(): void {
    for (let next = this.#waiters[0]; next && this.#fits(next.bytes); next = this.#waiters[0]) {
      this.#waiters.shift();
      next.signal.removeEventListener('abort', next.onAbort);
      next.resolve(this.#take(next.bytes));
    }
  }
}
