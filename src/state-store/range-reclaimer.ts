import { asLsn, type Lsn } from '../base/ids.js';
import type { OrderedStore } from './ordered-store.js';
import { recordsKey } from './sealed-values.js';

/** Part of the LSNs of a span that must be deleted: the rest of the span is written anew. */
const densityMin = 0.25;

/**
 * Gives back the space of deleted records. LevelDB drops a deleted value only when a compaction passes over it, and
 * over a range that is written once it never passes by itself. A compaction rewrites what lives in the tables that its
 * range touches, so it waits until the deletions are as large as a table or two. One at a time; they share LevelDB's
 * one background thread with the flushes. A restart forgets what was collected; a later span that covers it takes it
 * along.
 */
export class RangeReclaimer {
  readonly #records: OrderedStore;
  readonly #bytesMin: number;
  readonly #onFailure: (error: unknown) => void;
  #from = Number.POSITIVE_INFINITY;
  #to = 0;
  #count = 0;
  #running = false;

  /** @param bytesMin deleted bytes that make a compaction worth its while */
  constructor(records: OrderedStore, bytesMin: number, onFailure: (error: unknown) => void) {
    this.#records = records;
    this.#bytesMin = bytesMin;
    this.#onFailure = onFailure;
  }

  deleted(lsns: readonly Lsn[]): void {
    for (const lsn of lsns) {
      this.#from = Math.min(this.#from, lsn);
      this.#to = Math.max(this.#to, lsn);
    }
    this.#count += lsns.length;
    if (!this.#running && lsns.length > 0) void this.#reclaim();
  }

  async #reclaim(): Promise<void> {
    this.#running = true;
    try {
      while (this.#count > 0) {
        const from = recordsKey(asLsn(this.#from));
        const to = recordsKey(asLsn(this.#to + 1));
        const density = this.#count / (this.#to + 1 - this.#from);
        if (density < densityMin) break;
        if ((await this.#records.approximateBytes(from, to)) * density < this.#bytesMin) break;
        this.#from = Number.POSITIVE_INFINITY;
        this.#to = 0;
        this.#count = 0;
        await this.#records.compactRange(from, to);
      }
    } catch (error) {
      this.#onFailure(error);
    }
    this.#running = false;
  }
}
