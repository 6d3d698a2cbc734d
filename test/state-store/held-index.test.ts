import fc from 'fast-check';
import { expect, test } from 'vitest';

import { asLsn } from '../../src/base/ids.js';
import { HeldIndex, heldBatch, limitBelow, mergeHeld } from '../../src/state-store/held-index.js';
import type { StoreEntry, StoreOperation } from '../../src/state-store/ordered-store.js';
import { SortedKeys } from '../../src/state-store/sorted-keys.js';
import { text } from './support.js';

const key = fc.integer({ min: 0, max: 40 }).map((number) => Buffer.from([1 + (number >> 3), number & 7]));
const operation: fc.Arbitrary<StoreOperation> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key, value: fc.nat().map((number) => Buffer.from(String(number))) }),
  fc.record({ type: fc.constant('del' as const), key }),
);

/** Entries of a naive store, in order. */
const entriesOf = (operations: readonly StoreOperation[]): StoreEntry[] => {
  const entries = new Map<string, StoreEntry>();
  for (const each of operations) {
    const name = Buffer.from(each.key).toString('hex');
    if (each.type === 'put') entries.set(name, { key: each.key, value: each.value });
    else entries.delete(name);
  }
  return [...entries.values()].sort((a, b) => Buffer.compare(a.key, b.key));
};

test('a store seen through held writes is the store that has them, in every range, direction and limit', () => {
  fc.assert(
    fc.property(
      fc.array(operation, { maxLength: 40 }),
      fc.array(fc.array(operation, { maxLength: 6 }), { maxLength: 12 }),
      fc.nat(12),
      key,
      key,
      fc.integer({ min: 1, max: 12 }),
      fc.boolean(),
      (stored, batches, released, from, to, limit, reverse) => {
        const held = new HeldIndex();
        for (const batch of batches) held.add(heldBatch(batch, undefined));
        const count = Math.min(released, batches.length);
        held.release(count);
        const within = ({ key: at }: StoreEntry): boolean =>
          Buffer.compare(at, from) >= 0 && Buffer.compare(at, to) < 0;
        const ordered = (entries: StoreEntry[]): StoreEntry[] => (reverse ? entries.reverse() : entries);
        const below = ordered(entriesOf([...stored, ...batches.slice(0, count).flat()]).filter(within));
        const above = held.range(from, to);
        const merged = mergeHeld(below.slice(0, limitBelow(above, limit)), above, limit, reverse);
        expect(merged).toEqual(ordered(entriesOf([...stored, ...batches.flat()]).filter(within)).slice(0, limit));
      },
    ),
    { numRuns: 2000 },
  );
});

test('batches come out in their order, in portions, and leave nothing behind', () => {
  const held = new HeldIndex();
  for (let lsn = 1; lsn <= 50; lsn++) {
    held.add(heldBatch([{ type: 'put', key: Buffer.from('k'), value: Buffer.from(String(lsn)) }], asLsn(lsn)));
  }
  let released = 0;
  for (let portion = held.peek(1000); portion !== undefined; portion = held.peek(1000)) {
    expect(portion.count === 1 || portion.charge <= 1000).toBe(true);
    expect(portion.appliedLsn).toBe(released + portion.count);
    expect(text(held.get(Buffer.from('k'))?.value)).toBe('50');
    released += portion.count;
    held.release(portion.count);
  }
  expect(released).toBe(50);
  expect(held).toMatchObject({ charge: 0, empty: true });
  expect(held.get(Buffer.from('k'))).toBeUndefined();
  expect(held.range(Buffer.from([1]), Buffer.from([255]))).toEqual([]);
});

test('sorted keys are a sorted set', () => {
  const keys = new SortedKeys();
  const oracle = new Set<string>();
  let seed = 1;
  const next = (): number => (seed = (seed * 48271) % 0x7fffffff);
  for (let round = 0; round < 20_000; round++) {
    const name = String(next() % 3000).padStart(4, '0');
    if (next() % 3 === 0) {
      keys.delete(name);
      oracle.delete(name);
    } else {
      keys.add(name);
      oracle.add(name);
    }
    if (round % 500 > 0) continue;
    const sorted = [...oracle].sort();
    expect(keys.range('', '~')).toEqual(sorted);
    expect(keys.range('1000', '2000')).toEqual(sorted.filter((each) => each >= '1000' && each < '2000'));
    expect(keys.range(name, name)).toEqual([]);
  }
});
