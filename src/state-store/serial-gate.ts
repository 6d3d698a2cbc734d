/** Runs asynchronous functions one after another, in the order of the calls. A rejection does not stop those behind it. */
export class SerialGate {
  /** Undefined when nothing runs. */
  #last: Promise<void> | undefined;

  /** Calls `task`, which does not throw but reject, at once when nothing else runs. */
  run<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#last === undefined ? task() : this.#last.then(task);
    const settled = (): void => {
      if (this.#last === last) this.#last = undefined;
    };
    const last = result.then(settled, settled);
    this.#last = last;
    return result;
  }
}
