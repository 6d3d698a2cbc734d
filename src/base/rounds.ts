/** Work that is done again and again in the background, one round at a time, from `run` to `stop`. */
import { sleep, type Clock } from './ports/clock.js';

export class Rounds {
  readonly #clock: Clock;
  readonly #pauseMs: number;
  readonly #round: (signal: AbortSignal) => Promise<void> | void;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  /**
   * @param pauseMs from the end of one round to the beginning of the next
   * @param round the signal aborts when it is to end. What it throws ends the rounds, and is what `stop` rejects with
   */
  constructor(clock: Clock, pauseMs: number, round: (signal: AbortSignal) => Promise<void> | void) {
    this.#clock = clock;
    this.#pauseMs = pauseMs;
    this.#round = round;
  }

  /** The first round begins at once. */
  run(): void {
    this.#running = this.#repeat();
  }

  /** Resolves when no round is under way any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #repeat(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const ended = this.#round(signal);
      // The pause of a round that is over begins now, and not a turn later.
      if (ended !== undefined) await ended;
      await sleep(this.#clock, this.#pauseMs, signal);
    }
  }
}
