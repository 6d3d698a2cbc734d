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
    for (let at = 0; at < this.#due.length; at += 1) this.#due[at]?.();
    this.#due = [];
  }
}
