import type { Lsn } from '../base/ids.js';
import { keyString } from './key-strings.js';
import { memtableCharge, type StoreEntry, type StoreOperation } from './ordered-store.js';
import { SortedKeys } from './sorted-keys.js';

/** Operations on the index database that wait in memory, in their order. */
export interface HeldBatch {
  readonly operations: readonly StoreOperation[];
  /** The applied LSN that these operations bring the index to; undefined when they do not move it. */
  readonly appliedLsn: Lsn | undefined;
  readonly charge: number;
}

/** A key that held operations have written; `value` (sealed) is undefined when it was deleted. */
export interface HeldEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/**
 * Index writes that may not reach the database yet, because a flush is under way. Readers see the database through it.
 * A batch leaves only after the database has it, so that at no moment a reader misses a write.
 */
export class HeldIndex {
  #batches: { batch: HeldBatch; number: number }[] = [];
  /** The newest held write of each key, and the number of its batch. */
  readonly #newest = new Map<string, HeldEntry & { readonly number: number }>();
  readonly #keys = new SortedKeys();
  #number = 0;
  #charge = 0;

  /** Upper bound of the memtable bytes that the held batches will take. */
  get charge(): number {
    return this.#charge;
  }

  get empty(): boolean {
    return this.#batches.length === 0;
  }

  add(batch: HeldBatch): void {
    const number = ++this.#number;
    this.#batches.push({ batch, number });
    this.#charge += batch.charge;
    for (const operation of batch.operations) {
      const text = keyString(operation.key);
      if (!this.#newest.has(text)) this.#keys.add(text);
      this.#newest.set(text, {
        key: operation.key,
        value: operation.type === 'put' ? operation.value : undefined,
        number,
      });
    }
  }

  /** The oldest batches as one, at least one when there is any, not above `chargeMax` with more than one. */
  peek(chargeMax: number): (HeldBatch & { readonly count: number }) | undefined {
    const operations: StoreOperation[] = [];
    let charge = 0;
    let count = 0;
    let appliedLsn: Lsn | undefined;
    for (const { batch } of this.#batches) {
      if (count > 0 && charge + batch.charge > chargeMax) break;
      for (const operation of batch.operations) operations.push(operation);
      charge += batch.charge;
      appliedLsn = batch.appliedLsn ?? appliedLsn;
      count++;
    }
    return count === 0 ? undefined : { operations, charge, appliedLsn, count };
  }

  /** Forgets the `count` oldest batches: the database has them. */
  release(count: number): void {
    const released = this.#batches.splice(0, count);
    for (const { batch, number } of released) {
      this.#charge -= batch.charge;
      for (const { key } of batch.operations) {
        const text = keyString(key);
        if (this.#newest.get(text)?.number !== number) continue;
        this.#newest.delete(text);
        this.#keys.delete(text);
      }
    }
  }

  get(key: Uint8Array): HeldEntry | undefined {
    return this.#newest.size === 0 ? undefined : this.#newest.get(keyString(key));
  }

  /** Held entries with `from <= key < to`, ascending; a copy that later changes do not touch. */
  range(from: Uint8Array, to: Uint8Array): HeldEntry[] {
    if (this.#newest.size === 0) return [];
    const entries: HeldEntry[] = [];
    for (const text of this.#keys.range(keyString(from), keyString(to))) {
      const entry = this.#newest.get(text);
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }
}

/** The charge of operations that go to the index as one batch. */
export function heldBatch(operations: readonly StoreOperation[], appliedLsn: Lsn | undefined): HeldBatch {
  return { operations, appliedLsn, charge: memtableCharge(operations) };
}

/** How many entries a scan below `held` must ask for, to have `limit` left when the held deletions are taken out. */
export function limitBelow(held: readonly HeldEntry[], limit: number): number {
  let deletions = 0;
  for (const { value } of held) if (value === undefined) deletions++;
  return limit + deletions;
}

/**
 * The entries of a scan as seen through held ones of the same range: the first `limit` of both, the held one where both
 * have a key. `stored` holds the first {@link limitBelow} entries in scan order, so it ends no sooner than the answer.
 */
export function mergeHeld(
  stored: readonly StoreEntry[],
  held: readonly HeldEntry[],
  limit: number,
  reverse: boolean,
): StoreEntry[] {
  if (held.length === 0) return stored.slice(0, limit);
  const ordered = reverse ? held.toReversed() : held;
  const direction = reverse ? -1 : 1;
  const merged: StoreEntry[] = [];
  let s = 0;
  let h = 0;
  while (merged.length < limit) {
    const below = stored[s];
    const above = ordered[h];
    if (below === undefined && above === undefined) break;
    const order = below === undefined ? 1 : above === undefined ? -1 : Buffer.compare(below.key, above.key) * direction;
    if (order <= 0) s++;
    if (order >= 0) h++;
    if (order < 0 && below !== undefined) merged.push(below);
    else if (above?.value !== undefined) merged.push({ key: above.key, value: above.value });
  }
  return merged;
}
