/** The write-ahead log on the operating system's file system. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { noLogger } from '../../src/base/ports/logger.js';
import { noMetrics } from '../../src/base/ports/metrics.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
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

test('append, roll, trim, recycle, stop and start again', async () => {
  const directory = await mkdtemp(`${tmpdir()}/logboom-wal-`);
  const unused = (): Promise<never> => Promise.reject(new Error('not in this test'));
  const compressor = { compress: unused, decompress: unused };
  const environment = { ...nodeEnvironmentParts, compressor, logger: noLogger, metrics: noMetrics };
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
