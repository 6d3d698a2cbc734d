/** One history, cut off at each of its disk operations in turn, by power loss and by kill -9, and then by another power loss. */
import { expect, test } from 'vitest';
import { settleLater } from '../../cluster-sim/simulated-clock.js';
import { asLsn } from '../../src/base/ids.js';
import { sleep } from '../../src/base/ports/clock.js';
import type { Entry } from '../../src/raft/types.js';
import { Wal } from '../../src/wal/wal.js';
import {
  appended,
  confState,
  directory,
  entries,
  partitionId,
  readAll,
  replicaId,
  simulation,
  smallOptions,
} from './support/simulated.js';

const options = { ...smallOptions, segmentBytes: 16 * 1024, maxPendingBytes: 8 * 1024, lazySyncDelayMs: 1 };
const one = partitionId(1);
const entryBytes = 1200;

interface Progress {
  durable: number;
  trimmed: number;
}

/** Rolls through segments, drops and recycles them, and stops. */
async function history(wal: Wal, pause: () => Promise<void>, progress: Progress): Promise<void> {
  const log = wal.partition(one) ?? (await wal.createPartition(one, replicaId(1), confState(1)));
  for (let at = log.lastLsn + 1; at <= 36; at++) {
    await appended(log, entries(at, at, 1, entryBytes));
    progress.durable = at;
    if (at % 12 === 0) {
      log.setPersistedLsn(asLsn(at));
      log.setTrimPoint(asLsn(at - 3), confState(1));
      progress.trimmed = at - 3;
      await pause();
    }
  }
  await wal.stop();
}

/** Not `toEqual`, which compares byte by byte and takes most of the time. */
function expectEntries(found: readonly Entry[], from: number, to: number): void {
  const expected = entries(from, to, 1, entryBytes);
  expect(found.map(({ lsn }) => lsn)).toEqual(expected.map(({ lsn }) => lsn));
  expect(found.every(({ data }, at) => Buffer.compare(data, expected[at]?.data ?? data) === 0)).toBe(true);
}

/** Answers the number of operations that the history takes, cut off or not. */
async function cutOff(seed: number, at: number, kind: 'powerLoss' | 'processCrash'): Promise<number> {
  const sim = simulation(seed);
  return settleLater(sim.world, async () => {
    const progress = { durable: 0, trimmed: 0 };
    const crashed = new Promise<void>((resolve) => {
      sim.disk.intercept = ({ number }) => {
        if (number !== at) return undefined;
        sim.disk[kind]();
        resolve();
        return undefined;
      };
    });
    const pause = (): Promise<void> => sleep(sim.clock, 50);
    const running = async (): Promise<void> =>
      history(await Wal.open(sim.environment(), options, directory), pause, progress);
    await Promise.race([running(), crashed]);
    const { operations } = sim.disk;
    sim.disk.intercept = undefined;
    const { durable, trimmed } = progress;

    const second = await Wal.open(sim.environment(), options, directory);
    const log = second.partition(one) ?? (await second.createPartition(one, replicaId(1), confState(1)));
    const found = log.lastLsn;
    expect(found, `crash at ${at}`).toBeGreaterThanOrEqual(durable);
    expectEntries(await readAll(log), log.oldestLsn, found);
    expect(log.oldestLsn).toBeLessThanOrEqual(trimmed + 1);
    await appended(log, entries(found + 1, found + 1, 2));
    sim.disk.powerLoss();

    const third = await Wal.open(sim.environment(), options, directory);
    const again = third.partition(one);
    expect(again?.lastLsn, `crash at ${at}, then power loss`).toBe(found + 1);
    if (again === undefined) return operations;
    expectEntries((await readAll(again)).slice(0, -1), again.oldestLsn, found);
    await third.stop();
    return operations;
  });
}

for (const kind of ['powerLoss', 'processCrash'] as const) {
  test(`${kind} at every disk operation, then power loss`, async () => {
    const operations = await cutOff(1, 0, kind);
    expect(operations).toBeGreaterThan(120);
    for (let at = 1; at <= operations; at++) {
      // Other luck each time in what the crash leaves; the operations up to it are the same.
      await cutOff(at, at, kind);
      await cutOff(at + 1_000_000, at, kind);
    }
  }, 120_000);
}
