import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asLsn } from '../../src/base/ids.js';
import type { IndexEntry } from '../../src/base/state-machine.js';
import { MemoryStore } from './support/memory-store.js';
import { TestPartition } from './support/partition.js';
import { RandomRun, randomSteps } from './support/random-run.js';

const everything = { from: Uint8Array.of(0x10), to: Uint8Array.of(0xff), limit: 1_000_000 };

/** What a snapshot carries to another replica. */
async function liveCopy(partition: TestPartition): Promise<MemoryStore> {
  const { store } = partition;
  const view = await partition.machine.logicalView(store);
  const copy = new MemoryStore();
  copy.appliedLsn = store.appliedLsn;
  const live = (await store.scanIndex(everything)).filter(({ key, value }) => view.isLive(key, value));
  copy.write(live);
  const pointers = new Map<number, IndexEntry>();
  for (const entry of live) {
    const lsn = view.recordsLsn(entry.key, entry.value);
    if (lsn === undefined) continue;
    expect(pointers.has(lsn)).toBe(false);
    pointers.set(lsn, entry);
    expect(store.records.has(lsn)).toBe(true);
  }
  for (const [lsn, records] of store.records) {
    const owner = view.ownerOf(asLsn(lsn), records);
    const entry = live.find(({ key }) => Buffer.compare(key, owner) === 0);
    const isAlive = entry !== undefined && view.recordsLsn(entry.key, entry.value) === lsn;
    expect(isAlive).toBe(pointers.has(lsn));
    if (isAlive) copy.records.set(lsn, records);
  }
  expect(copy.records.size).toBe(pointers.size);
  return copy;
}

describe('the logical view of a stored state', () => {
  test('is the same before and after any physical deletion, and a copy of it goes on as the original does', async () => {
    await fc.assert(
      fc.asyncProperty(
        randomSteps({ minLength: 5, maxLength: 40 }),
        randomSteps({ maxLength: 15 }),
        async (before, after) => {
          const run = new RandomRun();
          for (const action of before) await run.step(action);
          const copy = await liveCopy(run.partition);
          await run.partition.clear();
          const cleared = await liveCopy(run.partition);
          expect(cleared.dump()).toEqual(copy.dump());
          expect([...cleared.records.keys()]).toEqual([...copy.records.keys()]);

          const imported = new TestPartition();
          imported.store = copy;
          imported.log.push(...run.partition.log);
          await imported.restart();
          const logged = run.partition.log.length;
          for (const action of after) await run.step(action);
          const later = run.partition.log.slice(logged);
          for (const entry of later) imported.applyEntries([entry]);
          const one = await liveCopy(run.partition);
          const other = await liveCopy(imported);
          expect(other.dump()).toEqual(one.dump());
          expect([...other.records.keys()]).toEqual([...one.records.keys()]);
        },
      ),
      { numRuns: 150 },
    );
  });
});
