/** The write-ahead log on the operating system's file system. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { noLogger } from '../../src/base/ports/logger.js';
import { noMetrics } from '../../src/base/ports/metrics.js';
import type { DiskFile } from '../../src/base/ports/disk.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import type { Entry } from '../../src/raft/types.js';
import { Wal } from '../../src/wal/index.js';
import type { PartitionLog } from '../../src/wal/types.js';
import {
  appended,
  confState,
  entries,
  hardState,
  partitionId,
  readAll,
  replicaId,
  smallOptions,
} from './support/simulated.js';

const unused = (): Promise<never> => Promise.reject(new Error('not in this test'));
const compressor = { compress: unused, decompress: unused };
const environment = { ...nodeEnvironmentParts, compressor, logger: noLogger, metrics: noMetrics };

test('append, roll, trim, recycle, stop and start again', async () => {
  const directory = await mkdtemp(`${tmpdir()}/logboom-wal-`);
  try {
    let last = 0;
    for (let life = 1; life <= 4; life++) {
      const wal = await Wal.open(environment, smallOptions, directory);
      const logs: PartitionLog[] = [];
      for (const id of [1, 2]) {
        const known = wal.partition(partitionId(id));
        logs.push(known ?? (await wal.createPartition(partitionId(id), replicaId(id), confState(id))));
      }
      for (const log of logs) {
        expect(log.lastLsn).toBe(last);
        expect(await readAll(log)).toEqual(entries(log.oldestLsn, last, 1, 300));
      }
      for (let at = last + 1; at <= last + 200; at++) {
        await Promise.all(logs.map((log) => appended(log, entries(at, at, 1, 300), hardState(1, 1, at - 1))));
      }
      last += 200;
      for (const log of logs) {
        log.setPersistedLsn(log.lastLsn);
        log.setTrimPoint(log.durableLsn, confState(log.partitionId));
      }
      await wal.stop();
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('large groups go past the page cache, and the segment that they are in a hurry for; all of it is read back', async () => {
  const directory = await mkdtemp(`${tmpdir()}/logboom-wal-`);
  const writes: { readonly isFill: boolean; readonly isUncached: boolean; readonly bytes: number }[] = [];
  const open = async (path: string, mode: 'read' | 'read-write' | 'create'): Promise<DiskFile> => {
    const file = await nodeDisk.open(path, mode);
    const write = file.write.bind(file);
    file.write = (buffers, position, options) => {
      const bytes = buffers.reduce((total, { length }) => total + length, 0);
      writes.push({ isFill: path.includes('filling'), isUncached: options?.uncached === true, bytes });
      return write(buffers, position, options);
    };
    return file;
  };
  const options = {
    ...smallOptions,
    segmentBytes: 4 << 20,
    maxGroupBytes: 1 << 20,
    maxPendingBytes: 2 << 20,
    zeroFillBytesPerSecond: 1 << 20,
  };
  try {
    const wal = await Wal.open({ ...environment, disk: { ...nodeDisk, open } }, options, directory);
    const log = await wal.createPartition(partitionId(1), replicaId(1), confState(1));
    for (let at = 1; at <= 20; at++) await appended(log, entries(at, at, 1, 1000), hardState(1, 1, at - 1));
    expect(writes.filter(({ isUncached }) => isUncached)).toEqual([]);
    for (let at = 21; at <= 40; at++) await appended(log, entries(at, at, 1, 300_001), hardState(1, 1, at - 1));
    const groups = writes.filter(({ isFill }) => !isFill);
    expect(groups.filter(({ isUncached, bytes }) => isUncached !== bytes > 300_000)).toEqual([]);
    expect(groups.filter(({ isUncached }) => isUncached).length).toBeGreaterThanOrEqual(20);
    expect(writes.some(({ isFill, isUncached }) => isFill && isUncached)).toBe(true);
    await wal.stop();
    const again = await Wal.open(environment, options, directory);
    const read = await readAll(again.partition(partitionId(1)) as PartitionLog);
    const expected = [...entries(1, 20, 1, 1000), ...entries(21, 40, 1, 300_001)];
    const sums = (list: readonly Entry[]): unknown[] => list.map(({ lsn, data }) => [lsn, data.length, crc32(data)]);
    expect(sums(read)).toEqual(sums(expected));
    await again.stop();
  } finally {
    await rm(directory, { recursive: true });
  }
});
