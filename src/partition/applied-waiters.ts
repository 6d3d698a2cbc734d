import type { Lsn } from '../base/ids.js';

/** Those who wait until an LSN is applied. */
export class AppliedWaiters {
  #waiters: { readonly lsn: Lsn; readonly resolve: () => void }[] = [];

  wait(lsn: Lsn): Promise<void> {
    return new Promise((resolve) => void this.#waiters.push({ lsn, resolve }));
  }

  applied(appliedLsn: Lsn): void {
    for (const { resolve } of this.#take((lsn) => lsn <= appliedLsn)) resolve();
  }

  releaseAll(): void {
    for (const { resolve } of this.#take(() => true)) resolve();
  }

  #take(isDone: (lsn: Lsn) => boolean): readonly { readonly resolve: () => void }[] {
    if (this.#waiters.length === 0) return this.#waiters;
    const done = this.#waiters.filter(({ lsn }) => isDone(lsn));
    this.#waiters = this.#waiters.filter(({ lsn }) => !isDone(lsn));
    return done;
  }
}
