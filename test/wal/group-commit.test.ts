import { describe, expect, test } from 'vitest';
import { settleLater } from '../../cluster-sim/simulated-clock.js';
import { sleep } from '../../src/base/ports/clock.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import type { PartitionLog } from '../../src/wal/types.js';
import { Wal } from '../../src/wal/wal.js';
import {
  appended,
  confState,
  directory,
  entries,
  entry,
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

interface Open {
  readonly sim: Simulation;
  readonly wal: Wal;
  readonly logs: readonly PartitionLog[];
  /** fdatasyncs of segments since the last call. */
  readonly syncs: () => number;
}

function run(work: (open: Open) => Promise<void>, options = smallOptions): Promise<void> {
  const sim = simulation(13);
  return settleLater(sim.world, async () => {
    const wal = await Wal.open(sim.environment(), options, directory);
    const logs: PartitionLog[] = [];
    for (const id of [1, 2, 3]) logs.push(await wal.createPartition(partitionId(id), replicaId(id), confState(id)));
    await sleep(sim.clock, 1000);
    let count = 0;
    sim.disk.intercept = ({ kind, path }) => {
      if (kind === 'datasync' && path.endsWith('.wal')) count++;
      return undefined;
    };
    const syncs = (): number => {
      const since = count;
      count = 0;
      return since;
    };
    await work({ sim, wal, logs, syncs });
  });
}

const logAt = (logs: readonly PartitionLog[], at: number): PartitionLog => logs[at % logs.length] as PartitionLog;

describe('group commit', () => {
  test('what arrives in one turn of the event loop shares a sync, whatever its partition', () =>
    run(async ({ logs, syncs }) => {
      await Promise.all(logs.map((log) => appended(log, entries(1, 2, 1))));
      expect(syncs()).toBe(1);
    }));

  test('what arrives while a sync runs goes out together in the next one', () =>
    run(async ({ sim, logs, syncs }) => {
      const order: number[] = [];
      const all: Promise<void>[] = [];
      sim.disk.slowness = 100;
      for (let at = 0; at < 30; at++) {
        const log = logAt(logs, at);
        const next = entries(log.lastLsn + 1, log.lastLsn + 1, 1);
        all.push(appended(log, next).then(() => void order.push(at)));
        if (at === 0) await sleep(sim.clock, 1);
      }
      await Promise.all(all);
      expect(syncs()).toBe(2);
      expect(order).toEqual(Array.from({ length: 30 }, (_, at) => at));
    }));

  // Each of these appends was refused once a segment with QUEUE_FULL, and sent again 50 ms later.
  test('appends are accepted while the log rolls to a segment that is ready', () =>
    run(async ({ sim, wal, logs }) => {
      const [log] = logs as [PartitionLog];
      sim.disk.slowness = 10;
      while (wal.stats.segments === 1) {
        let done = false;
        void appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 4096)).then(() => (done = true));
        while (!done) {
          expect(wal.canAccept).toBe(true);
          await sleep(sim.clock, 0.1);
        }
      }
    }));

  test('the next segment is ready in time, however slow the pace at which it is filled without need', () =>
    run(
      async ({ sim, wal, logs }) => {
        const [log] = logs as [PartitionLog];
        sim.disk.slowness = 5;
        let longestMs = 0;
        while (wal.stats.segments < 4) {
          const startMs = sim.clock.monotonicMs();
          await appended(log, entries(log.lastLsn + 1, log.lastLsn + 1, 1, 64 * 1024));
          longestMs = Math.max(longestMs, sim.clock.monotonicMs() - startMs);
          await sleep(sim.clock, 5);
        }
        // A write and a sync; filling what is missing takes longer.
        expect(longestMs).toBeLessThan(20);
      },
      {
        ...smallOptions,
        segmentBytes: 8 << 20,
        maxGroupBytes: 1 << 20,
        maxPendingBytes: 1 << 20,
        zeroFillBytesPerSecond: 1 << 16,
      },
    ));

  test('a group ends at maxGroupBytes, within an operation if need be; its callback comes with its last entry', () =>
    run(
      async ({ logs, syncs }) => {
        const log = logAt(logs, 0);
        const seen: number[] = [];
        const done = appended(log, entries(1, 20, 1, 400), hardState(1, 1, 0)).then(() => seen.push(log.durableLsn));
        const second = appended(logAt(logs, 1), entries(1, 1, 1)).then(() => seen.push(0));
        await Promise.all([done, second]);
        expect(seen).toEqual([20, 0]);
        expect(syncs()).toBeGreaterThanOrEqual(5);
      },
      { ...smallOptions, maxGroupBytes: 2000 },
    ));

  test('an entry larger than maxGroupBytes goes out alone', () =>
    run(
      async ({ logs }) => {
        const log = logAt(logs, 0);
        const large = Uint8Array.from({ length: 12_000 }, (_, at) => at);
        await appended(log, [entry(1, 1, large), entry(2, 1, 'x')]);
        expect((await readAll(log)).map(({ data }) => data.length)).toEqual([12_000, 1]);
      },
      { ...smallOptions, maxGroupBytes: 1000 },
    ));

  test('a commit LSN alone waits for company, but not for ever', () =>
    run(async ({ sim, logs, syncs }) => {
      const log = logAt(logs, 0);
      await appended(log, entries(1, 3, 1), hardState(1, 1, 0));
      syncs();
      const startMs = sim.clock.monotonicMs();
      await new Promise<void>((resolve) => log.append(persist([], hardState(1, 1, 2), false), resolve));
      expect(syncs()).toBe(1);
      expect(sim.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(smallOptions.lazySyncDelayMs ?? 0);
      const calls: string[] = [];
      const lazily = new Promise<void>((resolve) =>
        log.append(persist([], hardState(1, 1, 3), false), () => {
          calls.push('commit');
          resolve();
        }),
      );
      await Promise.all([lazily, appended(logAt(logs, 1), entries(1, 1, 1)).then(() => calls.push('entries'))]);
      expect(syncs()).toBe(1);
      expect(calls).toEqual(['commit', 'entries']);
    }));

  test('an empty persist that must be synced is', () =>
    run(async ({ logs, syncs }) => {
      await appended(logAt(logs, 0), []);
      expect(syncs()).toBe(1);
    }));

  test('an append from within a callback starts the next group', () =>
    run(async ({ logs }) => {
      const log = logAt(logs, 0);
      await new Promise<void>((resolve) => {
        const next = (): void => {
          if (log.lastLsn === 50) resolve();
          else log.append(persist(entries(log.lastLsn + 1, log.lastLsn + 1, 1)), next);
        };
        next();
      });
      expect(log.durableLsn).toBe(50);
    }));

  test('durable LSN: replaced entries are never counted', () =>
    run(async ({ logs }) => {
      const log = logAt(logs, 0);
      await appended(log, entries(1, 10, 1));
      expect(log.durableLsn).toBe(10);
      const seen: number[] = [];
      log.append(persist(entries(11, 14, 1)), () => seen.push(log.durableLsn));
      log.append(persist(entries(8, 12, 2)), () => seen.push(log.durableLsn));
      expect(log.durableLsn).toBe(7);
      expect([log.lastLsn, log.termAt(lsn(7)), log.termAt(lsn(8)), log.termAt(lsn(13))]).toEqual([12, 1, 2, undefined]);
      await appended(log, entries(10, 10, 3));
      // All three went out in one group, the last of them ends at LSN 10.
      expect(seen.every((durable) => durable <= 10)).toBe(true);
      expect(log.durableLsn).toBe(10);
      expect((await readAll(log)).map(({ term }) => term)).toEqual([1, 1, 1, 1, 1, 1, 1, 2, 2, 3]);
    }));

  test('a stop writes what waits, and refuses more', () =>
    run(async ({ wal, logs, sim }) => {
      const log = logAt(logs, 0);
      const reported: number[] = [];
      log.append(persist(entries(1, 3, 1)), () => reported.push(1));
      log.append(persist([], hardState(1, 1, 3), false), () => reported.push(2));
      log.setTrimPoint(lsn(2), confState(9));
      await Promise.all([wal.stop(), wal.stop()]);
      expect(reported).toEqual([1, 2]);
      expect(() => log.append(persist(entries(4, 4, 1)), () => {})).toThrow('stopping');
      await expect(wal.createPartition(partitionId(9), replicaId(9), confState(9))).rejects.toMatchObject({
        reason: 'SHUTTING_DOWN',
      });
      const again = await Wal.open(sim.environment(), smallOptions, directory);
      expect(again.partition(partitionId(1))?.recovered).toMatchObject({
        hardState: hardState(1, 1, 3),
        trimPoint: 2,
        confState: confState(9),
      });
    }));

  test('broken promises of the caller are stopped at once', () =>
    run(async ({ wal, logs }) => {
      const log = logAt(logs, 0);
      await appended(log, entries(1, 5, 2), hardState(2, 1, 3));
      const bad = [
        persist(entries(7, 7, 2)),
        persist(entries(3, 4, 3)),
        persist([entry(6, 2, 'a'), entry(8, 2, 'b')]),
        persist([], hardState(1, 1, 3)),
        persist([], hardState(2, 1, 2)),
        persist([], hardState(2, 1, 6)),
        persist([entry(6, 2, new Uint8Array(20_000))]),
      ];
      for (const one of bad) expect(() => log.append(one, () => {})).toThrow('partition 1');
      expect(() => log.setTrimPoint(lsn(6), confState(1))).toThrow('trim point');
      expect(log.lastLsn).toBe(5);
      await wal.stop();
    }));
});

test('options are checked', async () => {
  const environment = { ...simulation(1).environment(), crc32: nodeEnvironmentParts.crc32 };
  for (const bad of [
    { segmentBytes: 5000 },
    { segmentBytes: 4096 },
    { maxPendingBytes: 64 * 1024 * 1024 },
    { lazySyncDelayMs: Number.NaN },
  ]) {
    await expect(Wal.open(environment, bad, directory)).rejects.toMatchObject({ reason: 'CONFIGURATION_INVALID' });
  }
});
