import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asLsn } from '../../src/base/ids.js';
import type { IndexEntry } from '../../src/base/state-machine.js';
import { retentionCommand, type StreamsCommand } from '../../src/streams/index.js';
import { MemoryStore } from './support/memory-store.js';
import { TestPartition } from './support/partition.js';

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

const names = ['a', 'b', 'c'] as const;
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append'),
      name: fc.constantFrom(...names),
      records: fc.integer({ min: 1, max: 4 }),
      producer: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('retain'), name: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('delete'), name: fc.constantFrom(...names) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart') }) },
);

class Run {
  readonly partition = new TestPartition();
  readonly numbers = new Map<string, number>();

  async step(action: { do: string; name?: string; records?: number; producer?: boolean }): Promise<void> {
    const { partition } = this;
    const name = action.name ?? '';
    partition.timeMs += 3;
    if (action.do === 'clear') return void (await partition.clear());
    if (action.do === 'restart') return partition.restart();
    if (partition.machine.streamByName(name) === undefined) {
      if (action.do !== 'append') return;
      const { epoch } = partition.create(name, { retentionAgeMs: 20, retentionBytes: 100 });
      this.numbers.set(name, 0);
      expect(epoch).toBeGreaterThan(0);
    }
    if (action.do === 'append') await this.append(name, action.records ?? 1, action.producer ?? false);
    else if (action.do === 'delete')
      partition.run({ type: 'delete-stream', streamId: partition.view(name).id } as StreamsCommand);
    else {
      const command = await retentionCommand(partition.store, partition.view(name), partition.timeMs);
      if (command !== undefined) partition.run(command);
    }
  }

  async append(name: string, records: number, withProducer: boolean): Promise<void> {
    const first = this.numbers.get(name) ?? 0;
    const texts = Array.from({ length: records }, (_, at) => `${name} ${first + at}`);
    await this.partition.append(
      name,
      texts,
      withProducer ? { producer: { id: 'p', epoch: 0, firstRecordNumber: first } } : {},
    );
    if (withProducer) this.numbers.set(name, first + records);
  }
}

describe('the logical view of a stored state', () => {
  test('is the same before and after any physical deletion, and a copy of it goes on as the original does', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 40 }),
        fc.array(step, { maxLength: 15 }),
        async (before, after) => {
          const run = new Run();
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
