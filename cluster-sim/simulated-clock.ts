/** The clock port over simulated time, and a way to run asynchronous code in it. */
import type { Clock, Timer } from '../src/base/ports/clock.js';
import type { World } from './engine/world.js';

/** Wall time runs with the world's, from `startWallMs` on, until something sets it. */
export class SimulatedClock implements Clock {
  /** Set it to make the wall clock jump; monotonic time does not. */
  wallOffsetMs: number;
  readonly #world: World;

  constructor(world: World, startWallMs = 1_700_000_000_000) {
    this.#world = world;
    this.wallOffsetMs = startWallMs;
  }

  wallMs(): number {
    return this.#world.nowMs + this.wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#world.nowMs;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    return this.#world.after(delayMs, callback);
  }
}

/**
 * Runs `work` in the world until it settles. To be called from outside promise reactions, as `World.run` is.
 *
 * @throws what `work` rejects with; an error when it has not settled after `limitMs` of simulated time
 */
export function settle<Result>(world: World, work: () => Promise<Result>, limitMs = 3_600_000): Result {
  let outcome: { readonly result: Result } | { readonly error: unknown } | undefined;
  world.after(0, () => {
    work().then(
      (result) => {
        outcome = { result };
        world.stop();
      },
      (error: unknown) => {
        outcome = { error };
        world.stop();
      },
    );
  });
  world.run(world.nowMs + limitMs);
  if (outcome === undefined) throw new Error(`not settled within ${limitMs} ms of simulated time`);
  if ('error' in outcome) throw outcome.error;
  return outcome.result;
}

/** The same for callers inside promise reactions, such as asynchronous tests. */
export function settleLater<Result>(world: World, work: () => Promise<Result>, limitMs?: number): Promise<Result> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(settle(world, work, limitMs));
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}
