/** Runs asynchronous functions one after another, in the order of the calls. A rejection does not stop those behind it. */
export class SerialGate {
  #last: Promise<unknown> = Promise.resolve();

  run<Result>(task: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => {});
    return result;
  }
}
