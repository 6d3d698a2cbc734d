/**
 * Work that is due at the end of the turn of the event loop, in the order in which it came up; what comes up meanwhile is part of it.
 * One microtask for all of it: a tick of a node with hundreds of replicas, or a frame of messages for them, would make hundreds.
 */
export class TurnQueue {
  #due: (() => void)[] = [];

  /** @param work does not throw */
  add(work: () => void): void {
    this.#due.push(work);
    if (this.#due.length === 1) queueMicrotask(() => this.#run());
  }

  #run(): void {
    let at = 0;
    try {
      for (; at < this.#due.length; at += 1) this.#due[at]?.();
    } finally {
      // After an error, which ends the process unless somebody catches it, the rest has its turn all the same.
      this.#due = this.#due.slice(at + 1);
      if (this.#due.length > 0) queueMicrotask(() => this.#run());
    }
  }
}
