import type { Clock } from '../../../src/base/ports/clock.js';

/** A clock that moves only when it is told to. */
export class ManualClock implements Clock {
  nowMs = 1_000_000;
  readonly #timers: { atMs: number; callback: () => void }[] = [];

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  setTimer(delayMs: number, callback: () => void): { cancel: () => void } {
    const timer = { atMs: this.nowMs + delayMs, callback };
    this.#timers.push(timer);
    return {
      cancel: () => {
        const index = this.#timers.indexOf(timer);
        if (index >= 0) this.#timers.splice(index, 1);
      },
    };
  }

  /** Fires what is due, and lets what follows from it settle. */
  async advance(byMs: number): Promise<void> {
    this.nowMs += byMs;
    for (const timer of this.#timers.splice(0).toSorted((left, right) => left.atMs - right.atMs)) {
      if (timer.atMs <= this.nowMs) timer.callback();
      else this.#timers.push(timer);
    }
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  }
}
