import { describe, expect, test } from 'vitest';
import { settleLater } from '../../cluster-sim/simulated-clock.js';
import { asTerm } from '../../src/base/ids.js';
import { sleep } from '../../src/base/ports/clock.js';
import type { PartitionLog } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import { segmentPaths } from './support/image.js';
import {
  appended,
  confState,
  directory,
  entries,
  hardState,
  lsn,
  partitionId,
  readAll,
  replicaId,
  simulation,
  smallOptions,
  type Simulation,
} from './support/simulated.js';

const options = { ...smallOptions, segmentBytes: 16 * 1024, maxPendingBytes: 8 * 1024 };

function run(work: (sim: Simulation) => Promise<void>): Promise<void> {
  const sim = simulation(12);
  return settleLater(sim.world, () => work(sim));
}

async function openTwo(sim: Simulation): Promise<{ wal: Wal; a: PartitionLog; b: PartitionLog }> {
  const wal = await Wal.open(sim.environment(), options, directory);
  const open = async (id: number): Promise<PartitionLog> =>
    wal.partition(partitionId(id)) ?? (await wal.createPartition(partitionId(id), replicaId(id), confState(id)));
  return { wal, a: await open(1), b: await open(2) };
}

/** Appends to `log` alone until the log has this many segments. */
async function fill(wal: Wal, log: PartitionLog, segments: number): Promise<void> {
  while (wal.stats.segments < segments) await appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 500));
}

describe('a segment goes only when no partition needs it (rule 3)', () => {
  test('trimmed but not persisted, nothing goes, and everything stays readable', () =>
    run(async (sim) => {
      const { wal, a } = await openTwo(sim);
      await fill(wal, a, 5);
      a.setTrimPoint(a.lastLsn, confState(1));
      await sleep(sim.clock, 500);
      expect(wal.stats.segments).toBe(5);
      expect(a.firstLsn).toBe(a.lastLsn + 1);
      expect(a.oldestLsn).toBe(1);
      expect(await readAll(a)).toHaveLength(a.lastLsn);
      await wal.stop();
      const again = await openTwo(sim);
      expect(again.wal.stats.segments).toBe(5);
      expect(again.a.oldestLsn).toBe(1);
      expect(await readAll(again.a)).toHaveLength(a.lastLsn);
      expect(again.a.trimPoint).toBe(a.lastLsn);
      expect(again.a.termAt(a.lastLsn)).toBe(1);
      expect(again.a.termAt(lsn(a.lastLsn - 1))).toBeUndefined();
    }));

  test('persisted but not trimmed, nothing goes', () =>
    run(async (sim) => {
      const { wal, a } = await openTwo(sim);
      await fill(wal, a, 5);
      a.setPersistedLsn(a.lastLsn);
      await sleep(sim.clock, 500);
      expect(wal.stats.segments).toBe(5);
      expect(a.firstLsn).toBe(1);
    }));

  test('both, the lower of the two decides, in either order', () =>
    run(async (sim) => {
      const { wal, a } = await openTwo(sim);
      await fill(wal, a, 6);
      const third = lsn(Math.floor(a.lastLsn / 3));
      const half = lsn(Math.floor(a.lastLsn / 2));
      a.setPersistedLsn(third);
      a.setTrimPoint(half, confState(1));
      await sleep(sim.clock, 500);
      const afterFirst = wal.stats.segments;
      expect(afterFirst).toBeLessThan(6);
      expect(a.oldestLsn).toBeLessThanOrEqual(third + 1);
      a.setPersistedLsn(a.lastLsn);
      await sleep(sim.clock, 500);
      expect(wal.stats.segments).toBeLessThan(afterFirst);
      expect(await readAll(a, lsn(half + 1))).toHaveLength(a.lastLsn - half);
      await expect(a.read(lsn(1), lsn(5), 1000)).rejects.toMatchObject({ reason: 'RECORD_TRIMMED' });
    }));

  test('an idle partition with one old entry holds all, and stats name it', () =>
    run(async (sim) => {
      const { wal, a, b } = await openTwo(sim);
      await appended(b, entries(1, 1, 1), hardState(1, 2, 0));
      await fill(wal, a, 6);
      a.setPersistedLsn(a.lastLsn);
      a.setTrimPoint(a.lastLsn, confState(1));
      await sleep(sim.clock, 500);
      expect(wal.stats).toMatchObject({
        segments: 6,
        bytes: 6 * options.segmentBytes,
        oldestSegmentHeldBy: 2,
        reclaimableBytes: 5 * options.segmentBytes,
      });
      b.setPersistedLsn(lsn(1));
      b.setTrimPoint(lsn(1), confState(2));
      await sleep(sim.clock, 500);
      expect(wal.stats).toMatchObject({ segments: 1, oldestSegmentHeldBy: undefined, reclaimableBytes: 0 });
      // What was said of it in dropped segments only is in the one that is left.
      await wal.stop();
      const again = await openTwo(sim);
      expect(again.b.recovered).toEqual({
        replicaId: 2,
        hardState: hardState(1, 2, 0),
        trimPoint: 1,
        trimTerm: 1,
        confState: confState(2),
      });
      expect(again.b.lastLsn).toBe(1);
    }));

  test('a removed partition holds nothing', () =>
    run(async (sim) => {
      const { wal, a, b } = await openTwo(sim);
      await appended(b, entries(1, 3, 1));
      await fill(wal, a, 4);
      a.setPersistedLsn(a.lastLsn);
      a.setTrimPoint(a.lastLsn, confState(1));
      await sleep(sim.clock, 500);
      expect(wal.stats.segments).toBe(4);
      await wal.removePartition(partitionId(2));
      expect(wal.stats.segments).toBe(1);
      expect(() => b.append({ token: 1, hardState: undefined, entries: [], mustSync: true }, () => {})).toThrow(
        'removed',
      );
      await expect(b.read(lsn(1), lsn(2), 10)).rejects.toMatchObject({ reason: 'PARTITION_NOT_FOUND' });
      await wal.stop();
      const again = await Wal.open(sim.environment(), options, directory);
      expect(again.partitionIds).toEqual([1]);
    }));

  test('a reset lets go of all entries before it', () =>
    run(async (sim) => {
      const { wal, a } = await openTwo(sim);
      await fill(wal, a, 4);
      const start = { lsn: lsn(1000), term: asTerm(9), confState: confState(1, 7) };
      await a.resetTo({ ...start, hardState: hardState(9, 0, 1000) });
      await sleep(sim.clock, 500);
      expect(wal.stats.segments).toBe(1);
      expect([a.firstLsn, a.lastLsn, a.durableLsn, a.oldestLsn]).toEqual([1001, 1000, 1000, 1001]);
      expect(a.termAt(lsn(1000))).toBe(9);
      await appended(a, entries(1001, 1003, 9));
      await wal.stop();
      const again = await openTwo(sim);
      expect(again.a.recovered).toMatchObject({ trimPoint: 1000, trimTerm: 9, confState: confState(1, 7) });
      expect(await readAll(again.a)).toEqual(entries(1001, 1003, 9));
    }));
});

describe('recycled segments', () => {
  test('are used again, and their stale frames never come back', () =>
    run(async (sim) => {
      let recycled = 0;
      sim.disk.intercept = ({ kind, path }) => {
        if (kind === 'rename' && path.includes('/spare-')) recycled++;
        return undefined;
      };
      let { wal, a } = await openTwo(sim);
      for (let life = 0; life < 12; life++) {
        // Marks that tell each life's entries apart, in every size so that old and new frames meet at all offsets.
        for (let round = 0; round < 60; round++) {
          const from = a.lastLsn + 1;
          await appended(a, entries(from, from, life + 1, 200 + ((7 * round) % 400)));
          if (round % 10 === 9) {
            a.setPersistedLsn(a.lastLsn);
            a.setTrimPoint(a.lastLsn, confState(1));
          }
        }
        const last = a.lastLsn;
        await sleep(sim.clock, 500);
        if (life % 3 === 2) await wal.stop();
        else sim.disk.powerLoss();
        ({ wal, a } = await openTwo(sim));
        expect(a.lastLsn).toBe(last);
        for (const { term, lsn: at } of await readAll(a)) expect(term).toBe(Math.floor((at - 1) / 60) + 1);
      }
      expect(recycled).toBeGreaterThan(10);
      // The one made ready last is full of them.
      const stale = Buffer.from(sim.disk.contents(segmentPaths(sim.disk).at(-1) ?? ''));
      expect(stale.includes('/12 ')).toBe(true);
    }));

  test('no more are kept than configured', () =>
    run(async (sim) => {
      const { wal, a } = await openTwo(sim);
      await fill(wal, a, 8);
      a.setPersistedLsn(a.lastLsn);
      a.setTrimPoint(a.lastLsn, confState(1));
      await sleep(sim.clock, 1000);
      expect(wal.stats.segments).toBe(1);
      expect(sim.disk.paths().filter((path) => path.includes('spare-'))).toHaveLength(1);
      // The one in use and the next.
      expect(segmentPaths(sim.disk)).toHaveLength(2);
    }));
});
