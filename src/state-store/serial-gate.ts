/** One at a time, in the order of the calls. */
export class SerialGate {
  #busy = false;
  /** Those who wait for their turn, oldest first. */
  readonly #waiting: (() => void)[] = [];

  /** A promise only when somebody is inside: it resolves when it is the caller's turn. `leave` ends the turn. */
  enter(): Promise<void> | undefined {
    if (!this.#busy) {
      this.#busy = true;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** The next one is inside at once: nobody else gets in between. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#busy = false;
    else next();
  }

  /** Runs `task` in a turn of its own, at once when nobody is inside. A rejection does not stop those behind it. */
  async run<Result>(task: () => Promise<Result>): Promise<Result> {
    const turn = this.enter();
    if (turn !== undefined) await turn;
    try {
      return await task();
    } finally {
      this.leave();
    }
  }
}
