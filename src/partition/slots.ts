/** A number of places, each for one at a time; whoever finds none free waits. */
export class Slots {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Answers what gives the place back. Rejects with the reason of `signal` when that aborts. */
  async take(signal: AbortSignal): Promise<() => void> {
    while (this.#taken >= this.#max) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.push(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    signal.throwIfAborted();
    this.#taken += 1;
    let isTaken = true;
    return () => {
      if (!isTaken) return;
      isTaken = false;
      this.#taken -= 1;
      for (const wake of this.#waiting.splice(0)) wake();
    };
  }
}
