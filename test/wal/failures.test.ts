import { describe, expect, test } from 'vitest';
import { settleLater } from '../../cluster-sim/simulated-clock.js';
import type { DiskFault, DiskOperation } from '../../cluster-sim/simulated-disk.js';
import { isLogboomError } from '../../src/base/errors.js';
import { sleep } from '../../src/base/ports/clock.js';
import type { PartitionLog } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import {
  appended,
  confState,
  directory,
  entries,
  hardState,
  lsn,
  partitionId,
  persist,
  readAll,
  replicaId,
  simulation,
  smallOptions,
  type Simulation,
} from './support/simulated.js';

const one = partitionId(1);

async function openWithOne(sim: Simulation, options = smallOptions): Promise<{ wal: Wal; log: PartitionLog }> {
  const wal = await Wal.open(sim.environment(), options, directory);
  const log = wal.partition(one) ?? (await wal.createPartition(one, replicaId(1), confState(1)));
  return { wal, log };
}

function run(work: (sim: Simulation) => Promise<void>): Promise<void> {
  const sim = simulation(11);
  return settleLater(sim.world, () => work(sim));
}

const failing =
  (kind: DiskOperation['kind'], fault: DiskFault = { kind: 'fail', code: 'EIO' }) =>
  (operation: DiskOperation): DiskFault | undefined =>
    operation.kind === kind && operation.path.endsWith('.wal') ? fault : undefined;

describe('a failed write or sync of the log is final', () => {
  for (const kind of ['datasync', 'write'] as const) {
    test(`${kind}: nothing is reported, accepted or written any more`, () =>
      run(async (sim) => {
        const { wal, log } = await openWithOne(sim);
        await appended(log, entries(1, 3, 1), hardState(1, 1, 0));
        await sleep(sim.clock, 100);
        sim.disk.intercept = failing(kind);
        let reported = 0;
        log.append(persist(entries(4, 4, 1)), () => reported++);
        log.append(persist(entries(5, 5, 1)), () => reported++);
        const creation = wal.createPartition(partitionId(2), replicaId(2), confState(2));
        const refusedCreation = expect(creation).rejects.toMatchObject({ reason: 'WAL_FAILED' });
        const failure = await wal.failed;
        expect(isLogboomError(failure, 'WAL_FAILED')).toBe(true);
        expect(failure.message).toContain('EIO');
        await refusedCreation;
        sim.disk.intercept = undefined;
        expect(() => log.append(persist(entries(6, 6, 1)), () => reported++)).toThrow('has failed');
        expect(() => log.setTrimPoint(lsn(2), confState(1))).toThrow('has failed');
        expect(wal.canAccept).toBe(false);
        expect(log.durableLsn).toBe(3);
        const before = sim.disk.operations;
        await sleep(sim.clock, 5000);
        expect(sim.disk.operations).toBe(before);
        await wal.stop();
        expect(reported).toBe(0);
        sim.disk.powerLoss();
        const again = await openWithOne(sim);
        expect(again.log.lastLsn).toBeGreaterThanOrEqual(3);
        expect(await readAll(again.log)).toEqual(entries(1, 5, 1).slice(0, again.log.lastLsn));
      }));
  }

  test('a sync that fails while the segment after it is made is final, too', () =>
    run(async (sim) => {
      const { wal, log } = await openWithOne(sim);
      sim.disk.intercept = ({ kind, path }) =>
        kind === 'datasync' && path.endsWith('.tmp') ? { kind: 'fail', code: 'EIO' } : undefined;
      while (wal.canAccept)
        await Promise.race([appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 900)), wal.failed]);
      expect(isLogboomError(await wal.failed, 'WAL_FAILED')).toBe(true);
    }));

  test('what a start found after a failed sync survives the power loss that follows', () =>
    run(async (sim) => {
      // The kernel takes the pages of a failed sync for clean: they are read back, and lost at the power loss.
      for (let round = 0; round < 30; round++) {
        const { wal, log } = await openWithOne(sim);
        await sleep(sim.clock, 50);
        const durable = log.lastLsn;
        sim.disk.intercept = failing('datasync');
        log.append(persist(entries(durable + 1, durable + 3, 1, 300)), () => expect.unreachable());
        await wal.failed;
        sim.disk.intercept = undefined;
        sim.disk.processCrash();
        const second = await openWithOne(sim);
        const found = await readAll(second.log);
        sim.disk.powerLoss();
        const third = await openWithOne(sim);
        expect(await readAll(third.log)).toEqual(found);
        expect(third.log.lastLsn).toBeGreaterThanOrEqual(durable);
        await third.wal.stop();
      }
    }));

  test('a disk that hangs reports nothing, and holds what waits', () =>
    run(async (sim) => {
      const { wal, log } = await openWithOne(sim);
      sim.disk.intercept = failing('datasync', { kind: 'hang' });
      let reported = 0;
      for (let at = 1; at <= 40; at++) log.append(persist(entries(at, at, 1, 500)), () => reported++);
      await sleep(sim.clock, 60_000);
      expect(reported).toBe(0);
      expect(wal.canAccept).toBe(false);
      expect(log.pendingBytes).toBeGreaterThan(40 * 500);
      expect(wal.pendingBytes).toBe(log.pendingBytes);
      expect(log.entriesInMemory(lsn(1), lsn(41), 1_000_000)).toHaveLength(40);
    }));
});

describe('writes that the disk confirms and does not do', () => {
  const faults: Record<string, DiskFault> = {
    'a lost write': { kind: 'lose' },
    'a write that went astray': { kind: 'misdirect', position: 20_000 },
    'a write over earlier groups': { kind: 'misdirect', position: 4200 },
  };
  for (const [name, fault] of Object.entries(faults)) {
    test(`${name} is found at the next start`, () =>
      run(async (sim) => {
        const { wal, log } = await openWithOne(sim);
        await appended(log, entries(1, 3, 1));
        await sleep(sim.clock, 100);
        sim.disk.intercept = failing('write', fault);
        await appended(log, entries(4, 6, 1));
        sim.disk.intercept = undefined;
        await appended(log, entries(7, 7, 1));
        await wal.stop();
        await expect(openWithOne(sim)).rejects.toMatchObject({ reason: 'WAL_CORRUPT' });
      }));
  }
});

describe('a full disk', () => {
  const segmentBytes = smallOptions.segmentBytes ?? 0;

  /** Appends as a node does, until it is told to stop. */
  async function fill(wal: Wal, log: PartitionLog): Promise<number> {
    let durable = 0;
    while (wal.canAccept) {
      await appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 1000));
      durable++;
    }
    return durable;
  }

  test('is reported before the log is stuck, with room for what was accepted', () =>
    run(async (sim) => {
      sim.disk.capacityBytes = 3.5 * segmentBytes;
      const { wal, log } = await openWithOne(sim);
      const durable = await fill(wal, log);
      expect(wal.space).toBe('low');
      // Two segments full of entries, the third begun.
      expect(durable).toBeGreaterThan((1.5 * segmentBytes) / 1000);
      // Votes and what was under way fit.
      for (let term = 2; term < 50; term++) await appended(log, [], hardState(term, 1, 0));
      for (let more = 0; more < 10; more++) await appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 50, 1000));
      expect(wal.space).toBe('low');
      await wal.stop();
    }));

  test('passes when there is space again', () =>
    run(async (sim) => {
      sim.disk.capacityBytes = 3.5 * segmentBytes;
      const { wal, log } = await openWithOne(sim);
      await fill(wal, log);
      await sleep(sim.clock, 10_000);
      expect(wal.space).toBe('low');
      expect(sim.disk.paths().filter((path) => path.endsWith('.tmp'))).toEqual([]);
      sim.disk.capacityBytes = 10 * segmentBytes;
      await sleep(sim.clock, 1000);
      expect(wal.space).toBe('ok');
      expect(wal.canAccept).toBe(true);
      await fill(wal, log);
      const all = await readAll(log);
      await wal.stop();
      const again = await openWithOne(sim);
      expect(await readAll(again.log)).toEqual(all);
      expect(all.length).toBeGreaterThan((8 * segmentBytes) / 1200);
    }));

  test('passes when a segment is dropped, without any space', () =>
    run(async (sim) => {
      sim.disk.capacityBytes = 3.5 * segmentBytes;
      const { wal, log } = await openWithOne(sim, { ...smallOptions, spareSegments: 0 });
      await fill(wal, log);
      expect(wal.stats.oldestSegmentHeldBy).toBe(one);
      expect(wal.stats.reclaimableBytes).toBe(2 * segmentBytes);
      log.setPersistedLsn(log.lastLsn);
      log.setTrimPoint(log.lastLsn, confState(1));
      await sleep(sim.clock, 200);
      expect(wal.space).toBe('ok');
      expect(wal.canAccept).toBe(true);
      await appended(log, entries(log.lastLsn + 1, log.lastLsn + 30, 1, 1000));
      await wal.stop();
    }));

  test('appends that do not fit any more wait, and are durable when there is space', () =>
    run(async (sim) => {
      sim.disk.capacityBytes = 3.5 * segmentBytes;
      const { wal, log } = await openWithOne(sim);
      await fill(wal, log);
      const first = log.lastLsn + 1;
      let reported = 0;
      for (let at = first; at < first + 60; at++) log.append(persist(entries(at, at, 1, 1000)), () => reported++);
      await sleep(sim.clock, 5000);
      expect(reported).toBeLessThan(60);
      expect(wal.pendingBytes).toBeGreaterThan(0);
      sim.disk.capacityBytes = 20 * segmentBytes;
      await sleep(sim.clock, 1000);
      expect(reported).toBe(60);
      await wal.stop();
    }));

  test('stopping does not wait for space, and reports nothing that is not durable', () =>
    run(async (sim) => {
      sim.disk.capacityBytes = 3.5 * segmentBytes;
      const { wal, log } = await openWithOne(sim);
      await fill(wal, log);
      const first = log.lastLsn + 1;
      let reported = 0;
      for (let at = first; at < first + 60; at++) log.append(persist(entries(at, at, 1, 1000)), () => reported++);
      await sleep(sim.clock, 5000);
      await wal.stop();
      sim.disk.capacityBytes = 20 * segmentBytes;
      const again = await openWithOne(sim);
      expect(again.log.lastLsn).toBe(first - 1 + reported);
    }));

  test('a new log is refused with DISK_FULL, and the next attempt finds a clean directory', () =>
    run(async (sim) => {
      sim.disk.capacityBytes = 0.5 * segmentBytes;
      await expect(openWithOne(sim)).rejects.toMatchObject({ reason: 'DISK_FULL' });
      sim.disk.capacityBytes = 2.5 * segmentBytes;
      const { wal } = await openWithOne(sim);
      await wal.stop();
    }));

  test('minFreeBytes stay free', () =>
    run(async (sim) => {
      sim.disk.capacityBytes = 6.5 * segmentBytes;
      const { wal, log } = await openWithOne(sim, { ...smallOptions, minFreeBytes: 3 * segmentBytes });
      await fill(wal, log);
      expect(sim.disk.capacityBytes - sim.disk.usedBytes).toBeGreaterThanOrEqual(3 * segmentBytes);
      await wal.stop();
    }));
});
