/** The log as the core reads it: what is asked for and not in memory is brought there. */
import type { Lsn, Term } from '../base/ids.js';
import type { Entry, LogReader } from '../raft/types.js';
import type { PartitionLog } from '../wal/types.js';

interface Wanted {
  readonly from: Lsn;
  readonly to: Lsn;
  readonly maxBytes: number;
}

/**
 * One load at a time, of what was asked for last: a leader asks again for the rest when it is told. Several followers
 * that are behind at different places take turns, for each load wakes all of them.
 */
export class LoadingLog implements LogReader {
  readonly #log: PartitionLog;
  readonly #onLoaded: () => void;
  readonly #onFailed: (error: Error) => void;
  #wanted: Wanted | undefined;
  #isLoading = false;

  constructor(log: PartitionLog, events: { onLoaded: () => void; onFailed: (error: Error) => void }) {
    this.#log = log;
    this.#onLoaded = events.onLoaded;
    this.#onFailed = events.onFailed;
  }

  get firstLsn(): Lsn {
    return this.#log.firstLsn;
  }

  get lastLsn(): Lsn {
    return this.#log.lastLsn;
  }

  termAt(lsn: Lsn): Term | undefined {
    return this.#log.termAt(lsn);
  }

  entriesInMemory(from: Lsn, to: Lsn, maxBytes: number): readonly Entry[] | undefined {
    const entries = this.#log.entriesInMemory(from, to, maxBytes);
    if (entries === undefined) this.#want({ from, to, maxBytes });
    return entries;
  }

  #want(wanted: Wanted): void {
    this.#wanted = wanted;
    if (this.#isLoading) return;
    this.#isLoading = true;
    void this.#load();
  }

  async #load(): Promise<void> {
    // The core is in the middle of what it does: it is told later, not from within.
    await Promise.resolve();
    for (let wanted = this.#wanted; wanted !== undefined; wanted = this.#wanted) {
      this.#wanted = undefined;
      try {
        await this.#log.load(wanted.from, wanted.to, wanted.maxBytes);
      } catch (error) {
        // Gone meanwhile, trimmed or replaced by another leader's: whoever still needs it will ask again.
        const isGone = wanted.from < this.#log.firstLsn || wanted.from > this.#log.lastLsn;
        if (!isGone) {
          this.#isLoading = false;
          return this.#onFailed(error instanceof Error ? error : new Error(String(error)));
        }
      }
      this.#onLoaded();
    }
    this.#isLoading = false;
  }
}
