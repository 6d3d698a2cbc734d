import { type Clock, sleep } from '../base/ports/clock.js';

/** Spreads transfers so that they take no more than so many bytes a second on average. */
export class Bandwidth {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  #freeAtMs = 0;

  /** @param bytesPerSecondMax undefined: no limit */
  constructor(clock: Clock, bytesPerSecondMax: number | undefined) {
    this.#clock = clock;
    this.#bytesPerMs = (bytesPerSecondMax ?? Number.POSITIVE_INFINITY) / 1000;
  }

  /** Resolves when a transfer of so many bytes may begin, or when `signal` aborts. */
  async admit(bytes: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const startMs = Math.max(nowMs, this.#freeAtMs);
    this.#freeAtMs = startMs + bytes / this.#bytesPerMs;
    if (startMs > nowMs) await sleep(this.#clock, startMs - nowMs, signal);
  }
}
