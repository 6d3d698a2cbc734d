import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { settleLater } from '../../cluster-sim/simulated-clock.js';
import { asLsn, asTerm, type Lsn, type Term } from '../../src/base/ids.js';
import { sleep } from '../../src/base/ports/clock.js';
import { EntryIndex, TermRuns } from '../../src/wal/entry-index.js';
import { Segment } from '../../src/wal/segment.js';
import { SegmentSection } from '../../src/wal/segment-index.js';
import type { PartitionLog } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import {
  appended,
  confState,
  directory,
  entries,
  entry,
  lsn,
  partitionId,
  persist,
  readAll,
  replicaId,
  simulation,
  smallOptions,
  type Simulation,
} from './support/simulated.js';

function run(work: (sim: Simulation, wal: Wal, log: PartitionLog) => Promise<void>): Promise<void> {
  const sim = simulation(14);
  return settleLater(sim.world, async () => {
    const wal = await Wal.open(sim.environment(), smallOptions, directory);
    await work(sim, wal, await wal.createPartition(partitionId(1), replicaId(1), confState(1)));
    await wal.stop();
  });
}

const big = 1_000_000;

describe('reading', () => {
  test('what was handed over is readable at once; old entries leave memory and come back from disk', () =>
    run(async (sim, _wal, log) => {
      log.append(persist(entries(1, 3, 1)), () => {});
      expect(log.durableLsn).toBe(0);
      expect(log.entriesInMemory(lsn(1), lsn(4), big)).toEqual(entries(1, 3, 1));
      expect(await log.read(lsn(2), lsn(4), big)).toEqual(entries(2, 3, 1));
      for (let at = 4; at <= 100; at++) await appended(log, entries(at, at, 1, 400));
      expect(log.entriesInMemory(lsn(1), lsn(5), big)).toBeUndefined();
      expect(log.entriesInMemory(lsn(99), lsn(101), big)).toEqual(entries(99, 100, 1, 400));
      const before = sim.disk.operations;
      expect(await log.read(lsn(50), lsn(53), big)).toEqual(entries(50, 52, 1, 400));
      expect(sim.disk.operations).toBeGreaterThan(before);
      expect(await log.read(lsn(101), lsn(200), big)).toEqual([]);
      expect(log.entriesInMemory(lsn(101), lsn(200), big)).toEqual([]);
    }));

  test('at least one entry, then as many as fit', () =>
    run(async (_sim, _wal, log) => {
      for (let at = 1; at <= 100; at++) await appended(log, entries(at, at, 1, 300));
      for (const from of [1, 60, 98]) {
        expect(await log.read(lsn(from), lsn(101), 0)).toHaveLength(1);
        expect(await log.read(lsn(from), lsn(101), 600)).toHaveLength(2);
        expect(await log.read(lsn(from), lsn(101), 899)).toHaveLength(2);
        expect(await log.read(lsn(from), lsn(from + 1), big)).toHaveLength(1);
      }
      expect(log.entriesInMemory(lsn(98), lsn(101), 0)).toHaveLength(1);
      expect(log.entriesInMemory(lsn(98), lsn(101), 600)).toHaveLength(2);
    }));

  test('loaded entries are in memory, bounded, and gone when they are replaced', () =>
    run(async (_sim, _wal, log) => {
      for (let at = 1; at <= 100; at++) await appended(log, entries(at, at, 1, 400));
      await log.load(lsn(10), lsn(20), 2000);
      expect(log.entriesInMemory(lsn(10), lsn(12), big)).toEqual(entries(10, 11, 1, 400));
      expect(log.entriesInMemory(lsn(14), lsn(99), big)).toEqual(entries(14, 14, 1, 400));
      await log.load(lsn(40), lsn(50), 3000);
      await log.load(lsn(60), lsn(70), 3000);
      await log.load(lsn(30), lsn(40), 3000);
      expect(log.entriesInMemory(lsn(10), lsn(12), big)).toBeUndefined();
      expect(log.entriesInMemory(lsn(30), lsn(31), big)).toBeDefined();
      await appended(log, entries(33, 33, 2, 400));
      expect(log.entriesInMemory(lsn(30), lsn(31), big)).toBeUndefined();
      expect(log.entriesInMemory(lsn(33), lsn(34), big)).toEqual(entries(33, 33, 2, 400));
      expect((await readAll(log)).slice(-3)).toEqual([...entries(31, 32, 1, 400), ...entries(33, 33, 2, 400)]);
    }));

  test('a read under way when its entries are replaced answers the new ones', () =>
    run(async (sim, _wal, log) => {
      for (let at = 1; at <= 80; at++) await appended(log, entries(at, at, 1, 400));
      const reading = log.read(lsn(10), lsn(20), big);
      const loading = log.load(lsn(10), lsn(20), big);
      log.append(persist([entry(12, 2, 'new')]), () => {});
      const found = await reading;
      expect(found.map(({ term }) => term)).toEqual(found.map(({ lsn: at }) => (at < 12 ? 1 : 2)));
      await loading;
      expect(log.entriesInMemory(lsn(12), lsn(20), big)).toEqual([entry(12, 2, 'new')]);
      await sleep(sim.clock, 100);
    }));

  test('a segment is not recycled under a read', () =>
    run(async (sim, wal, log) => {
      while (wal.stats.segments < 5) await appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 800));
      // The positions are in memory after it, so that the next read goes for the entries at once.
      await log.read(lsn(1), lsn(2), big);
      sim.disk.intercept = ({ kind }) => (kind === 'read' ? { kind: 'delay', delayMs: 5000 } : undefined);
      const reading = log.read(lsn(1), lsn(10), big);
      log.setPersistedLsn(log.lastLsn);
      log.setTrimPoint(log.lastLsn, confState(1));
      await sleep(sim.clock, 1000);
      expect(wal.stats.segments).toBe(5);
      expect(await reading).toHaveLength(9);
      sim.disk.intercept = undefined;
      while (wal.stats.segments >= 5) await appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 800));
    }));

  test('entries of many small partitions, spread over all segments, through a tiny index memory', () =>
    run(async (_sim, wal) => {
      const logs: PartitionLog[] = [];
      for (let id = 2; id < 12; id++)
        logs.push(await wal.createPartition(partitionId(id), replicaId(id), confState(id)));
      for (let round = 0; round < 60; round++) {
        await Promise.all(
          logs.map((log) => appended(log, entries(round + 1, round + 1, 1, 10 * (log.partitionId % 7)))),
        );
      }
      for (const log of logs) expect(await readAll(log)).toEqual(entries(1, 60, 1, 10 * (log.partitionId % 7)));
    }));
});

describe('the index against a plain map', () => {
  const steps = fc.array(
    fc.record({
      back: fc.nat({ max: 6 }),
      count: fc.integer({ min: 1, max: 5 }),
      newTerm: fc.boolean(),
      newSegment: fc.boolean(),
      drop: fc.nat({ max: 8 }),
    }),
    { maxLength: 40 },
  );

  test('positions, bounds and terms, with truncations, rolls and drops', () => {
    fc.assert(
      fc.property(steps, (list) => {
        const index = new EntryIndex();
        const runs = new TermRuns([]);
        const naive = new Map<number, { segment: number; offset: number; dataBytes: number; term: number }>();
        let [segment, section] = [new Segment('/1', 1, { seed: 0, tag: 1 }, 4096), new SegmentSection()];
        let [last, term, offset, floor] = [0, 1, 0, 0];
        for (const { back, count, newTerm, newSegment, drop } of list) {
          if (newSegment) {
            segment = new Segment(`/${segment.sequence + 1}`, segment.sequence + 1, { seed: 0, tag: 1 }, 4096);
            section = new SegmentSection();
          }
          const first = Math.max(floor + 1, last + 1 - back);
          if (newTerm || first <= last) term++;
          for (let at = first; at <= last; at++) naive.delete(at);
          runs.cut(asLsn(first));
          last = first + count - 1;
          for (let at = first; at <= last; at++) {
            offset += 64;
            section.append(asLsn(at), asTerm(term), offset, at);
            runs.append(asLsn(at), asTerm(term));
            naive.set(at, { segment: segment.sequence, offset, dataBytes: at, term });
          }
          index.append(segment, section, asLsn(first), asLsn(last));
          floor = Math.max(floor, last - 8 - drop);
          index.dropThrough(asLsn(floor));
          runs.dropThrough(asLsn(floor));
          expect(index.last).toBe(last);
          expect(index.first).toBeLessThanOrEqual(floor + 1);
          for (let at = floor + 1; at <= last; at++) {
            const expected = naive.get(at);
            const found = index.position(asLsn(at));
            expect([found.segment.sequence, found.offset, found.dataBytes]).toEqual([
              expected?.segment,
              expected?.offset,
              expected?.dataBytes,
            ]);
            expect(runs.at(asLsn(at))).toBe(expected?.term);
          }
          // What a start would make of the segments: the same terms.
          const rebuilt = new TermRuns(index.termRuns());
          for (let at = Math.max(floor + 1, 1); at <= last; at++)
            expect(rebuilt.at(asLsn(at))).toBe(naive.get(at)?.term);
        }
      }),
    );
  });

  test('an LSN that is not there is an assertion, not a wrong answer', () => {
    const index = new EntryIndex();
    expect(() => index.position(lsn(1))).toThrow('not in');
    const runs = new TermRuns([{ from: 5 as Lsn, term: 1 as Term }]);
    expect(() => runs.at(lsn(4))).toThrow('nothing known');
    expect(() =>
      index.append(new Segment('/1', 1, { seed: 0, tag: 1 }, 1), new SegmentSection(), lsn(1), lsn(2)),
    ).not.toThrow();
    expect(() =>
      index.append(new Segment('/1', 1, { seed: 0, tag: 1 }, 1), new SegmentSection(), lsn(4), lsn(4)),
    ).toThrow('after 2');
  });
});
