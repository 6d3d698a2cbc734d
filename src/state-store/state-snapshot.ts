import { asLsn, type Lsn } from '../base/ids.js';
import type { IndexEntry } from '../base/state-machine.js';
import { type HeldEntry, limitBelow, mergeHeld } from './held-index.js';
import type { StoreSnapshot } from './ordered-store.js';
import {
  type AppliedMark,
  type DatabaseName,
  indexKey,
  logicalIndexKey,
  lsnOfRecordsKey,
  recordsKey,
} from './sealed-values.js';
import type { RecordsEntry, StateHash, StateSnapshot } from './types.js';

interface Parts {
  readonly records: StoreSnapshot;
  readonly index: StoreSnapshot;
  /** All index writes that the index snapshot does not show, ascending. */
  readonly held: readonly HeldEntry[];
  readonly mark: AppliedMark;
  /** Verifies a value; throws LogboomError DATA_CORRUPT. */
  readonly open: (database: DatabaseName, key: Uint8Array, sealed: Uint8Array) => Uint8Array;
  /** Turns the failures of a database into those of a state store. */
  readonly reading: <Value>(read: Promise<Value>) => Promise<Value>;
  readonly readingNow: <Value>(read: () => Value) => Value;
}

/** One applied LSN of both databases, with what was held in memory at that moment. */
export class PairSnapshot implements StateSnapshot {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  get appliedLsn(): Lsn {
    return this.#parts.mark.appliedLsn;
  }
  get stateHash(): StateHash {
    return this.#parts.mark.stateHash;
  }

  async scanRecords(range: { from: Lsn; to: Lsn; limit: number; maxBytes: number }): Promise<RecordsEntry[]> {
    const entries: RecordsEntry[] = [];
    for (const { key, value } of await this.#parts.reading(this.sealedRecords(range))) {
      const lsn = lsnOfRecordsKey(key);
      const content = this.#parts.open('records', key, value);
      if (lsn !== undefined) entries.push({ lsn, value: content });
    }
    return entries;
  }

  getIndex(key: Uint8Array): Uint8Array | undefined {
    const physical = indexKey(key);
    const { held } = this.#parts;
    const entry = held[firstNotBelow(held, physical)];
    const isHeld = entry !== undefined && Buffer.compare(entry.key, physical) === 0;
    const sealed = isHeld ? entry.value : this.#parts.readingNow(() => this.#parts.index.get(physical));
    return sealed === undefined ? undefined : this.#parts.open('index', physical, sealed);
  }

  async scanIndex(range: {
    from: Uint8Array;
    to: Uint8Array;
    reverse?: boolean;
    limit: number;
  }): Promise<IndexEntry[]> {
    const physical = { ...range, from: indexKey(range.from), to: indexKey(range.to) };
    const entries = await this.#parts.reading(this.sealedIndex(physical));
    return entries.map(({ key, value }) => ({
      key: logicalIndexKey(key),
      value: this.#parts.open('index', key, value),
    }));
  }

  /** Keys and values as stored, unchecked. */
  sealedRecords(range: { from: Lsn; to: Lsn; limit: number; maxBytes: number }): ReturnType<StoreSnapshot['scan']> {
    const to = asLsn(Math.min(range.to, this.appliedLsn + 1));
    if (range.from >= to) return Promise.resolve([]);
    const { limit, maxBytes } = range;
    return this.#parts.records.scan({ from: recordsKey(range.from), to: recordsKey(to), limit, maxBytes });
  }

  /** Keys and values as stored, unchecked; a range of physical keys. */
  async sealedIndex(range: {
    from: Uint8Array;
    to: Uint8Array;
    reverse?: boolean;
    limit: number;
  }): ReturnType<StoreSnapshot['scan']> {
    const reverse = range.reverse ?? false;
    const held = this.#heldWithin(range.from, range.to);
    const stored = await this.#parts.index.scan({ ...range, reverse, limit: limitBelow(held, range.limit) });
    return mergeHeld(stored, held, range.limit, reverse);
  }

  sealedRecordsAt(lsn: Lsn): Uint8Array | undefined {
    return this.#parts.records.get(recordsKey(lsn));
  }

  #heldWithin(from: Uint8Array, to: Uint8Array): readonly HeldEntry[] {
    const { held } = this.#parts;
    return held.slice(firstNotBelow(held, from), firstNotBelow(held, to));
  }

  async close(): Promise<void> {
    await Promise.all([this.#parts.records.close(), this.#parts.index.close()]);
  }
}

function firstNotBelow(entries: readonly HeldEntry[], key: Uint8Array): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle];
    if (entry !== undefined && Buffer.compare(entry.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
