import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { asLsn } from '../../src/base/ids.js';
import { ClearingWork } from '../../src/streams/clearing-work.js';
import { expiredProducers, getProducer, nextPhysicalDeletion, retentionCommand } from '../../src/streams/index.js';
import { seqAtTime } from '../../src/streams/batch-index.js';
import { Keyspace } from '../../src/streams/keys.js';
import { TestPartition } from './support/partition.js';

let partition: TestPartition;
beforeEach(() => {
  partition = new TestPartition();
});

/** One batch a millisecond from 1,000,000 on, each of `counts[i]` records. */
async function fill(counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    await partition.mustAppend(
      's',
      Array.from({ length: count }, () => 'x'),
    );
    partition.timeMs += 1;
  }
}
/** Proposes what retention asks for, and answers the first seq after it. */
async function retain(nowMs = partition.timeMs): Promise<number> {
  const command = await retentionCommand(partition.store, partition.view('s'), nowMs);
  if (command !== undefined)
    expect(partition.run(command)).toEqual({ type: 'first-seq-set', firstSeq: command.firstSeq });
  return partition.view('s').firstSeq;
}

describe('retention', () => {
  test('by age: batches whose append time is longer ago than allowed', async () => {
    partition.create('s', { retentionAgeMs: 10 });
    await fill([1, 2, 3, 4]);
    expect(await retain(1_000_010)).toBe(0);
    expect(await retain(1_000_011)).toBe(1);
    expect(await retain(1_000_012)).toBe(3);
    expect(await retain(1_000_000)).toBe(3);
    expect(await retain(9_000_000)).toBe(10);
    expect(partition.view('s')).toMatchObject({ firstSeq: 10, nextSeq: 10, storedBytes: 0 });
    await fill([1]);
    expect(partition.view('s')).toMatchObject({ firstSeq: 10, nextSeq: 11 });
  });

  test('by bytes: the oldest batches until the rest is small enough', async () => {
    partition.create('s', { retentionBytes: 30 });
    // Five bytes a record.
    await fill([1, 2, 3]);
    expect(partition.view('s').storedBytes).toBe(30);
    expect(await retain()).toBe(0);
    await fill([1]);
    expect(await retain()).toBe(1);
    expect(partition.view('s').storedBytes).toBe(30);
    await fill([7]);
    expect(await retain()).toBe(14);
    expect(partition.view('s').storedBytes).toBe(0);
    await partition.restart();
    expect(partition.view('s')).toMatchObject({ firstSeq: 14, nextSeq: 14, storedBytes: 0 });
  });

  test('without configuration, and of an empty stream, nothing', async () => {
    partition.create('s');
    await fill([1]);
    expect(await retentionCommand(partition.store, partition.view('s'), 9_000_000)).toBeUndefined();
    partition.create('t', { retentionAgeMs: 1, retentionBytes: 1 });
    expect(await retentionCommand(partition.store, partition.view('t'), 9_000_000)).toBeUndefined();
  });

  test('first seq moves only to where a batch begins, and never back', async () => {
    partition.create('s');
    await fill([2, 2]);
    const set = (firstSeq: number): unknown => partition.run({ type: 'set-first-seq', streamId: 1, firstSeq });
    expect(set(1)).toMatchObject({ reason: 'INVALID_ARGUMENT' });
    expect(set(5)).toMatchObject({ reason: 'INVALID_ARGUMENT' });
    expect(set(2)).toEqual({ type: 'first-seq-set', firstSeq: 2 });
    expect(set(0)).toEqual({ type: 'first-seq-set', firstSeq: 2 });
    expect(set(4)).toEqual({ type: 'first-seq-set', firstSeq: 4 });
  });

  test('both rules are what a naive search finds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.nat({ max: 3 })), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 2500 }),
        async (batches, retentionAgeMs, retentionBytes) => {
          partition = new TestPartition();
          partition.create('s', { retentionAgeMs, retentionBytes });
          const list: { firstSeq: number; time: number; bytes: number }[] = [];
          for (const [count, elapsed] of batches) {
            partition.timeMs += elapsed;
            const { firstSeq } = await partition.mustAppend(
              's',
              Array.from({ length: count }, () => 'x'),
            );
            list.push({ firstSeq, time: partition.timeMs, bytes: count * 5 });
          }
          const kept = list.findIndex((batch, index) => {
            const bytes = list.slice(index).reduce((sum, { bytes: size }) => sum + size, 0);
            return batch.time >= partition.timeMs + 20 - retentionAgeMs && bytes <= retentionBytes;
          });
          const end = partition.view('s').nextSeq;
          expect(await retain(partition.timeMs + 20)).toBe(kept < 0 ? end : list[kept]!.firstSeq);
          for (const { time } of list) {
            const first = list.find((batch) => batch.time >= time && batch.firstSeq >= partition.view('s').firstSeq);
            expect(await seqAtTime(partition.store, partition.view('s'), time)).toBe(first?.firstSeq ?? end);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('a time is found with few scans among a million records', async () => {
    partition.create('s');
    await fill(Array.from({ length: 10_000 }, (_, index) => 50 + (index % 101)));
    const { store } = partition;
    let scansMax = 0;
    let scannedMax = 0;
    for (let batch = 0; batch < 10_000; batch += 997) {
      store.scans = store.scanned = 0;
      await seqAtTime(store, partition.view('s'), 1_000_000 + batch);
      scansMax = Math.max(scansMax, store.scans);
      scannedMax = Math.max(scannedMax, store.scanned);
    }
    // docs/decisions/0002-time-lookup-by-binary-search.md names these figures.
    expect(scansMax).toBeLessThanOrEqual(15);
    expect(scannedMax).toBeLessThanOrEqual(20);
  });
});

describe('producers', () => {
  const day = 24 * 60 * 60 * 1000;
  const append = (id: string, firstRecordNumber: number): Promise<unknown> =>
    partition.mustAppend('s', ['x'], { producer: { id, epoch: 1, firstRecordNumber } });
  async function expire(): Promise<string[]> {
    const dropped: string[] = [];
    for (let after: string | undefined; ;) {
      const { command, next } = await expiredProducers(
        partition.store,
        partition.view('s'),
        partition.timeMs,
        partition.limits,
        after,
      );
      if (command !== undefined) {
        dropped.push(...command.producerIds);
        expect(partition.run(command)).toEqual({ type: 'producers-dropped', count: command.producerIds.length });
      }
      if (next === undefined) return dropped;
      after = next;
    }
  }

  test('are forgotten when no record is left and seven days have passed, not before', async () => {
    partition.create('s');
    await append('old', 0);
    await append('young', 0);
    partition.timeMs += 6 * day;
    await append('young', 1);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 2 });
    expect(await expire()).toEqual([]);
    partition.timeMs += day;
    expect(await expire()).toEqual(['old']);
    expect(partition.view('s').producerCount).toBe(1);
    expect(getProducer(partition.store, partition.view('s'), 'old')).toBeUndefined();
    partition.timeMs += 30 * day;
    expect(await expire()).toEqual([]);
    expect(getProducer(partition.store, partition.view('s'), 'young')).toMatchObject({ nextRecordNumber: 2 });
  });

  test('apply checks again: a producer that came back stays', async () => {
    partition.create('s');
    await append('p', 0);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 1 });
    partition.timeMs += 8 * day;
    const { command } = await expiredProducers(
      partition.store,
      partition.view('s'),
      partition.timeMs,
      partition.limits,
    );
    await append('p', 1);
    expect(partition.run(command!)).toEqual({ type: 'producers-dropped', count: 0 });
  });

  test('one that was forgotten begins anew, and what is left of its old batches is not taken for new ones', async () => {
    partition.create('s');
    await append('p', 0);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 1 });
    partition.timeMs += 8 * day;
    expect(await expire()).toEqual(['p']);
    expect(await append('p', 0)).toMatchObject({ repeated: false, firstSeq: 1 });
    await partition.clear();
    expect(await append('p', 0)).toMatchObject({ repeated: true, firstSeq: 1 });
  });

  test('many are looked at in rounds', async () => {
    partition.create('s');
    for (let index = 0; index < 1203; index++) await append(`p${index}`, 0);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 1203 });
    partition.timeMs += 8 * day;
    expect(await expire()).toHaveLength(1203);
    expect(partition.view('s').producerCount).toBe(0);
  });
});

describe('physical deletion', () => {
  test('waits until what made it garbage is persisted', async () => {
    partition.create('s');
    await fill([1, 1, 1]);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 1 });
    const step = (persistedLsn: number): ReturnType<typeof nextPhysicalDeletion> =>
      nextPhysicalDeletion(partition.machine, partition.store, { persistedLsn: asLsn(persistedLsn) });
    expect(await step(4)).toBeUndefined();
    expect((await step(5))?.deletion.recordLsns).toEqual([2]);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 2 });
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 3 });
    // First seq moves on before it was persisted: the oldest is waited for, and is not forgotten.
    expect((await step(6))?.deletion.recordLsns).toEqual([2]);
    expect((await step(7))?.deletion.recordLsns).toEqual([2, 3, 4]);
  });

  test('goes on in bounded steps, also after a restart, and leaves only what is retained', async () => {
    partition.create('s');
    await fill(Array.from({ length: 25 }, () => 2));
    for (let number = 0; number < 4; number++)
      await partition.mustAppend('s', ['p'], { producer: { id: 'p', epoch: 1, firstRecordNumber: number } });
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 52 });
    const first = await nextPhysicalDeletion(partition.machine, partition.store, {
      persistedLsn: partition.store.appliedLsn,
      batchesMax: 10,
    });
    expect(first?.deletion.recordLsns).toHaveLength(10);
    partition.store.deletePhysically(first!.deletion);
    first!.done();
    await partition.restart();
    expect(await partition.clear(10)).toBe(2);
    expect(await partition.clear(10)).toBe(0);
    expect([...partition.store.records.keys()]).toEqual([29, 30]);
    const batches = partition.store.dump().filter((entry) => entry.startsWith('12') || entry.startsWith('14'));
    expect(batches).toHaveLength(4);
    await partition.restart();
    expect(await partition.clear(10)).toBe(0);
  });

  test('a stream that is deleted while it is being cleared', async () => {
    partition.create('s');
    await fill([1, 1, 1]);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 2 });
    const step = await nextPhysicalDeletion(partition.machine, partition.store, {
      persistedLsn: asLsn(99),
      batchesMax: 1,
    });
    partition.run({ type: 'delete-stream', streamId: 1, expectedEpoch: undefined });
    partition.store.deletePhysically(step!.deletion);
    step!.done();
    await partition.restart();
    await partition.clear(1);
    expect(partition.store.dump([Keyspace.entryTime])).toEqual([]);
    expect(partition.store.records.size).toBe(0);
  });

  test('a report that comes after the store was reopened, which may have undone the deletion, is not believed', async () => {
    partition.create('s');
    await fill([1, 1, 1]);
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 2 });
    const step = await nextPhysicalDeletion(partition.machine, partition.store, { persistedLsn: asLsn(99) });
    await partition.machine.load(partition.store);
    step!.done();
    const again = await nextPhysicalDeletion(partition.machine, partition.store, { persistedLsn: asLsn(99) });
    expect(again?.deletion).toEqual(step?.deletion);
  });

  test('reports about what is not known do no harm, and what was cleared is not offered again', () => {
    const clearing = new ClearingWork();
    clearing.retentionCleared({ generation: 0, streamId: 1 }, 5);
    clearing.deletedStreamCleared({ generation: 0, streamId: 1 }, undefined);
    clearing.clearedBelow(2, 7);
    clearing.firstSeqSet(3, 2, 7);
    expect(clearing.next(99)).toBeUndefined();
    clearing.firstSeqSet(4, 2, 9);
    expect(clearing.next(99)).toEqual({ type: 'retention', generation: 0, streamId: 2, fromSeq: 7, toSeq: 9 });
  });
});
