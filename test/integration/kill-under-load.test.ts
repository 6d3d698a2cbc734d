/**
 * kill -9 at random moments under load, many times in a row. `npm test` runs 10 rounds, .ci/run 100
 * (LOGBOOM_TEST_KILL_ROUNDS).
 *
 * What it cannot show: a missing fdatasync. The page cache outlives the process; power loss is the simulator's part.
 */
import { expect, test } from 'vitest';
import { addTurnover, noTurnover, turnoverOf } from './support/metrics.js';
import type { Turnover } from './support/metrics.js';
import { PartitionWatch } from './support/partition-watch.js';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { StreamChecker } from './support/stream-checker.js';
import { Writer } from './support/writers.js';
import type { WriterOptions } from './support/writers.js';

const rounds = Number(process.env['LOGBOOM_TEST_KILL_ROUNDS'] ?? 10);

const kib = 1024;
const segmentBytesMin = 1024 * kib;
const writerOptions: readonly Omit<WriterOptions, 'index'>[] = [
  { stream: 'producers', kind: 'producer', codec: 'zstd', valueBytesMax: 2 * kib },
  { stream: 'producers', kind: 'producer', codec: 'none', valueBytesMax: 32 * kib },
  { stream: 'producers', kind: 'restarting producer', codec: 'none', valueBytesMax: kib },
  { stream: 'mixed', kind: 'producer', codec: 'none', valueBytesMax: 64 * kib, pendingRecordsMax: 20 },
  { stream: 'mixed', kind: 'unary', codec: 'zstd', valueBytesMax: 4 * kib },
  { stream: 'mixed', kind: 'session without producer', codec: 'zstd', valueBytesMax: kib, pendingRecordsMax: 20 },
  { stream: 'restarting', kind: 'restarting producer', codec: 'zstd', valueBytesMax: 4 * kib },
  { stream: 'unary', kind: 'unary', codec: 'none', valueBytesMax: 16 * kib, batchRecordsMax: 10 },
  { stream: 'unary', kind: 'unary', codec: 'zstd', valueBytesMax: kib, batchRecordsMax: 150, pauseMs: 20 },
  { stream: 'large', kind: 'producer', codec: 'none', valueBytesMax: 240 * kib, pendingRecordsMax: 8 },
  { stream: 'conditional', kind: 'conditional', codec: 'none', valueBytesMax: kib },
  { stream: 'conditional', kind: 'conditional', codec: 'none', valueBytesMax: kib },
];
const streams = [...new Set(writerOptions.map(({ stream }) => stream))];

test(
  `${rounds} times kill -9 under load: nothing acknowledged is missing, nothing is there twice, order kept, seq dense`,
  { timeout: 60_000 + rounds * 10_000 },
  async () => {
    const random = new SeededRandom(testSeed());
    const host = await ServerHost.make(restlessSettings);
    await host.start();
    const client = host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } });
    const partitionOf = new Map<string, number>();
    for (const name of streams) partitionOf.set(name, (await client.streams.create(name)).partition);
    const writers = writerOptions.map(
      (options, index) =>
        new Writer(host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } }), { ...options, index }, random.seed),
    );
    const failure = Promise.race(writers.map((writer) => (writer.run(), writer.failure)));
    failure.catch(() => {});
    const checkers = streams.map((stream) => new StreamChecker(stream, writers));
    const watch = new PartitionWatch();
    let turnover: Turnover = noTurnover;
    let latest = noTurnover;
    let killedWhileStarting = 0;
    let replayedEntries = 0;
    let longestStartMs = 0;

    for (let round = 1; round <= rounds; round++) {
      // What is killed: a node under load, or now and then one that is still starting.
      await Promise.race([failure, progress(writers, random.between(20 * kib, 6 * segmentBytesMin))]);
      latest = await sampleTurnover(host, latest);
      await watch.sample(client, writers, partitionOf);
      await Promise.race([failure, pause(random.between(0, 300))]);
      expect(await host.process.kill()).toEqual({ code: null, signal: 'SIGKILL' });
      turnover = addTurnover(turnover, latest);
      latest = noTurnover;
      // Each start meets segments of another size than its own.
      const segmentBytes = random.pick(['1MiB', '1MiB', '1MiB', '2MiB']);
      const changed = { wal: { ...restlessSettings.wal, segmentBytes } };
      while (random.below(4) === 0) {
        const starting = host.spawn(changed);
        await pause(random.between(0, 500));
        await starting.kill();
        killedWhileStarting++;
      }
      const started = await host.start(changed);
      longestStartMs = Math.max(longestStartMs, started.startMs);
      replayedEntries += started.replayedEntries;
      await watch.sample(client, writers, partitionOf);
      for (const checker of checkers) await checker.check(client);
    }

    await Promise.all(writers.map((writer) => writer.stop()));
    turnover = addTurnover(turnover, await sampleTurnover(host, latest));
    for (const checker of checkers) await checker.check(client);
    // Once more from the beginning, by a node that has just started.
    await host.process.kill();
    await host.start();
    await watch.sample(client, writers, partitionOf);
    const again = streams.map((stream) => new StreamChecker(stream, writers));
    for (const checker of again) await checker.check(client);
    for (const { id } of await client.cluster.partitions()) {
      expect((await client.cluster.verifyPartition(id)).damaged).toEqual([]);
    }

    const sumOf = (of: (writer: Writer) => number): number => writers.reduce((sum, writer) => sum + of(writer), 0);
    const acknowledged = sumOf((writer) => writer.acknowledged.size);
    const stored = again.reduce((sum, { checkedRecords }) => sum + checkedRecords, 0);
    const megabytes = again.reduce((sum, { checkedBytes }) => sum + checkedBytes, 0) / 1e6;
    console.log(
      `kill -9: ${rounds} rounds under load and ${killedWhileStarting} while starting, seed ${random.seed}: ${acknowledged} records ` +
        `acknowledged, ${stored} stored (${megabytes.toFixed(0)} MB), ${sumOf((writer) => writer.outcomesUnknown)} outcomes unknown, ` +
        `${sumOf((writer) => writer.takeOvers)} producers taken over, ${sumOf((writer) => writer.seqMismatches)} conditions failed; ` +
        `${turnover.rolls} segments (${turnover.recycledSegments} recycled), ${turnover.flushes} flushes, ${turnover.groups} commit groups ` +
        `seen (${turnover.uncachedGroups} past the page cache), ${replayedEntries} entries replayed, longest start ${longestStartMs.toFixed(0)} ms, ${watch.samples} samples of LSNs`,
    );
    // Else the test proves nothing.
    for (const writer of writers)
      expect(writer.acknowledged.size, `of writer ${writer.options.index}`).toBeGreaterThan(rounds / 2);
    expect(turnover.rolls).toBeGreaterThan(rounds);
    expect(turnover.recycledSegments).toBeGreaterThan(rounds / 10);
    expect(turnover.flushes).toBeGreaterThan(2 * rounds);
    expect(turnover.uncachedGroups).toBeGreaterThan(rounds);
    expect(replayedEntries).toBeGreaterThan(rounds);
  },
);

/** Resolves when that many more bytes are acknowledged, or after some seconds: machines differ. */
async function progress(writers: readonly Writer[], bytes: number): Promise<void> {
  const sum = (): number => writers.reduce((total, { acknowledgedBytes }) => total + acknowledgedBytes, 0);
  const [target, deadlineMs] = [sum() + bytes, Date.now() + 5000];
  while (sum() < target && Date.now() < deadlineMs) await pause(10);
}

/** Counters of the process that runs now; what they were when it cannot be asked. */
async function sampleTurnover(host: ServerHost, before: Turnover): Promise<Turnover> {
  try {
    return turnoverOf(await host.metrics());
  } catch {
    return before;
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
