import { at } from './at.js';
import { assert } from '../base/assert.js';
import { asLsn, type Lsn, type Term } from '../base/ids.js';
import type { Entry } from './types.js';

const none: Entry[] = [];

/**
 * The tail of the log that was not handed to the host yet. Where it starts at or below the last stored LSN it hides
 * what is stored from there on: that is how a conflicting suffix is replaced.
 */
export class Unstable {
  #entries: Entry[] = none;

  get empty(): boolean {
    return this.#entries.length === 0;
  }

  /** LSN of the first entry; meaningless when empty. */
  get firstLsn(): Lsn {
    return this.#entries[0]?.lsn ?? asLsn(0);
  }

  /** Whether `lsn` is in here or hidden by it. */
  covers(lsn: Lsn): boolean {
    return this.#entries.length > 0 && lsn >= at(this.#entries, 0).lsn;
  }

  termAt(lsn: Lsn): Term | undefined {
    return this.#entries[lsn - this.firstLsn]?.term;
  }

  /** Adds at `entry.lsn`, dropping what is at or above it. */
  put(entry: Entry): void {
    if (this.#entries.length === 0) {
      this.#entries = [entry];
      return;
    }
    const place = entry.lsn - at(this.#entries, 0).lsn;
    assert(
      place <= this.#entries.length,
      () => `gap in log: ${entry.lsn} after ${this.firstLsn} + ${this.#entries.length}`,
    );
    if (place <= 0) {
      this.#entries = [entry];
      return;
    }
    if (place < this.#entries.length) this.#entries.length = place;
    this.#entries.push(entry);
  }

  /** Entries of [from, to) that are in here. */
  slice(from: Lsn, to: Lsn): readonly Entry[] {
    const first = this.firstLsn;
    return this.#entries.slice(Math.max(0, from - first), Math.max(0, to - first));
  }

  /** Everything, which is the host's from now on. */
  take(): readonly Entry[] {
    const taken = this.#entries;
    this.#entries = none;
    return taken;
  }

  clear(): void {
    this.#entries = none;
  }
}
