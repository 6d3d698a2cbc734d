import fc from 'fast-check';
import { expect, test, vi } from 'vitest';

import { asLsn } from '../../src/base/ids.js';
import type { OrderedStore } from '../../src/state-store/index.js';
import { joinRuns, RangeReclaimer, runsOf } from '../../src/state-store/range-reclaimer.js';
import { recordsKey } from '../../src/state-store/sealed-values.js';

const kib = 1024;
const tableBytes = 64 * kib;

/** A store of which only the sizes count: `bytesOf` each LSN from 1 to `last`. */
function storeOf(last: number, bytesOf: (lsn: number) => number) {
  const compacted: [number, number][] = [];
  const numberOf = (key: Uint8Array): number => (key.length === 1 ? Number(key[0] === 0xff) * (last + 1) : lsnOf(key));
  const store = {
    approximateBytes: (from: Uint8Array, to: Uint8Array) => {
      let bytes = 0;
      for (let lsn = Math.max(1, numberOf(from)); lsn < numberOf(to) && lsn <= last; lsn++) bytes += bytesOf(lsn);
      return Promise.resolve(bytes);
    },
    compactRange: (from: Uint8Array, to: Uint8Array) => {
      compacted.push([numberOf(from), numberOf(to) - 1]);
      return Promise.resolve();
    },
  } as unknown as OrderedStore;
  const reclaimer = new RangeReclaimer(store, tableBytes, (error) => {
    throw error;
  });
  return { reclaimer, compacted };
}

const lsnOf = (key: Uint8Array): number => Number(Buffer.from(key).readBigUInt64BE(key.length - 8));
const range = (from: number, to: number): ReturnType<typeof asLsn>[] =>
  Array.from({ length: to + 1 - from }, (_, index) => asLsn(from + index));
const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 10));

test('keys are read back as the test reads them', () => {
  expect(lsnOf(recordsKey(asLsn(4711)))).toBe(4711);
});

test('a dense span as large as a table is compacted, and nothing beside it', async () => {
  const { reclaimer, compacted } = storeOf(10_000, () => kib);
  reclaimer.deleted(range(1000, 1063));
  await vi.waitFor(() => expect(compacted).toEqual([[1000, 1063]]));
});

test('less than a table waits for more', async () => {
  const { reclaimer, compacted } = storeOf(10_000, () => kib);
  reclaimer.deleted(range(1000, 1040));
  await moment();
  expect(compacted).toEqual([]);
  reclaimer.deleted(range(1041, 1070));
  await vi.waitFor(() => expect(compacted).toEqual([[1000, 1070]]));
});

test('a deletion far away kept all later ones from being given back', async () => {
  const { reclaimer, compacted } = storeOf(10_000, () => kib);
  reclaimer.deleted([asLsn(1)]);
  await moment();
  reclaimer.deleted(range(9000, 9100));
  await vi.waitFor(() => expect(compacted).toEqual([[9000, 9100]]));
});

test('a small stream of a small database never gave its space back', async () => {
  const { reclaimer, compacted } = storeOf(100, () => kib);
  reclaimer.deleted(range(1, 20));
  await moment();
  expect(compacted).toEqual([]);
  // A quarter of the database; the floor of the test is the table's size.
  const { reclaimer: larger, compacted: given } = storeOf(400, () => kib);
  larger.deleted(range(1, 40));
  await moment();
  larger.deleted(range(81, 140));
  await vi.waitFor(() => expect(given.length).toBeGreaterThan(0));
});

test('large batches between many small ones count by their bytes, not by their number', async () => {
  const { reclaimer, compacted } = storeOf(2000, (lsn) => (lsn % 20 === 0 ? 40 * kib : 100));
  reclaimer.deleted(range(1, 200).filter((lsn) => lsn % 20 === 0));
  await vi.waitFor(() => expect(compacted[0]?.[0]).toBe(20));
});

test('what is scattered is compacted when it is a quarter of everything', async () => {
  const { reclaimer, compacted } = storeOf(1000, () => kib);
  const scattered = range(1, 1000).filter((lsn) => lsn % 8 === 0);
  reclaimer.deleted(scattered);
  await moment();
  expect(compacted).toEqual([]);
  reclaimer.deleted(range(1, 1000).filter((lsn) => lsn % 8 === 3));
  await vi.waitFor(() => expect(compacted.length).toBeGreaterThan(0));
});

test('the sweep is told what would be given back', async () => {
  const { reclaimer } = storeOf(10_000, () => kib);
  expect(await reclaimer.isWorthwhile(range(1, 63))).toBe(false);
  expect(await reclaimer.isWorthwhile(range(1, 64))).toBe(true);
  expect(await reclaimer.isWorthwhile([])).toBe(false);
});

test('runs cover exactly what was deleted, apart from each other, and joining them loses none', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 1, max: 300 }), { maxLength: 100 }),
      fc.integer({ min: 1, max: 20 }),
      (lsns, max) => {
        const runs = runsOf(lsns);
        expect(runs.flatMap(({ from, to }) => range(from, to))).toEqual(lsns.toSorted((a, b) => a - b));
        for (const { from, to, count } of runs) expect(count).toBe(to + 1 - from);
        const joined = joinRuns(runs, max);
        expect(joined.length).toBeLessThanOrEqual(max);
        expect(joined.reduce((sum, { count }) => sum + count, 0)).toBe(lsns.length);
        for (const lsn of lsns) expect(joined.some(({ from, to }) => from <= lsn && lsn <= to)).toBe(true);
        for (const [index, run] of joined.entries()) {
          expect(run.from).toBeGreaterThan((joined[index - 1]?.to ?? -1) + 1);
          expect(run.count).toBeLessThanOrEqual(run.to + 1 - run.from);
        }
      },
    ),
  );
});
