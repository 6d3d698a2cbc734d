/**
 * A start after kill -9 with a large log of which nothing is in the state stores: all of it is read and replayed.
 * `npm test` uses 64 MiB, .ci/run 1 GiB (LOGBOOM_TEST_LOG_MIB).
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { ServerHost } from './support/server-process.js';

const mib = 2 ** 20;
const logMib = Number(process.env['LOGBOOM_TEST_LOG_MIB'] ?? 64);
const recordBytes = 64 * 1024;
const streams = ['a', 'b', 'c', 'd'];

test(`a start after a crash with ${logMib} MiB of log takes seconds`, { timeout: 120_000 + 500 * logMib }, async () => {
  const host = await ServerHost.make({
    partitions: 4,
    // No flush before the kill.
    stateStore: { flushBytes: '4GiB', dirtyBudgetBytes: '4GiB', flushAgeMs: 86_400_000 },
    disk: { lowWaterMarkBytes: 0 },
  });
  await host.start();
  const client = host.client({ codec: 'none' });
  const noise = randomBytes(recordBytes + 4096);
  const perStream = Math.ceil((logMib * mib) / recordBytes / streams.length);
  const valueOf = (stream: string, number: number): Buffer => {
    const value = Buffer.from(noise.subarray(number % 4096, (number % 4096) + recordBytes));
    value.write(`${stream} ${number}|`);
    return value;
  };
  await Promise.all(
    streams.map(async (stream) => {
      await client.streams.create(stream);
      const appender = await client.appender(stream);
      for (let number = 0; number < perStream; number++) {
        await appender.ready();
        appender.enqueue(valueOf(stream, number));
      }
      await appender.close();
    }),
  );
  const logBytes = (await host.metrics()).sum('logboom_wal_bytes');
  const persisted = (await client.cluster.partitions()).map(({ replicas }) => replicas[0]?.persistedLsn);
  await host.process.kill();
  const spawnedMs = performance.now();
  const { startMs, replayedEntries } = await host.start();
  const wallMs = performance.now() - spawnedMs;
  console.log(
    `large log: ${(logBytes / mib).toFixed(0)} MiB of log, persisted up to ${persisted.join(', ')}; ${replayedEntries} entries replayed, ` +
      `the node served after ${(startMs / 1000).toFixed(1)} s (${(wallMs / 1000).toFixed(1)} s with the process)`,
  );
  expect(logBytes).toBeGreaterThanOrEqual(logMib * mib);
  expect(replayedEntries).toBeGreaterThan((logMib * mib) / (8 * mib));
  // Seconds, not minutes, also on two busy cores: 1 GiB in less than 35 s.
  expect(startMs).toBeLessThan(5_000 + 30 * logMib);
  // Everything is there: the ends of the streams, and records at random.
  for (const stream of streams) {
    expect((await client.streams.get(stream)).nextSeq).toBe(perStream);
    for (const seq of [0, perStream - 1, ...Array.from({ length: 20 }, () => Math.floor(Math.random() * perStream))]) {
      const [record] = await client.readPage(stream, { fromSeq: seq, limit: 1 });
      expect(record?.value.equals(valueOf(stream, seq)), `${stream} ${seq}`).toBe(true);
    }
  }
});
