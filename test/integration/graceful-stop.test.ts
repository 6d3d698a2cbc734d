/** SIGTERM and SIGINT under load. */
import { expect, test } from 'vitest';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { StreamChecker } from './support/stream-checker.js';
import { Writer } from './support/writers.js';
import type { WriterOptions } from './support/writers.js';

/** Flushes wait for the stop: what it does not flush, the next start has to replay. */
const lazySettings = {
  ...restlessSettings,
  wal: { segmentBytes: '4MiB', cacheBytes: '4MiB' },
  stateStore: { flushBytes: '64MiB', dirtyBudgetBytes: '96MiB', flushAgeMs: 86_400_000 },
};

const writerOptions: readonly Omit<WriterOptions, 'index'>[] = [
  { stream: 'left', kind: 'producer', codec: 'zstd', valueBytesMax: 4096 },
  { stream: 'left', kind: 'unary', codec: 'none', valueBytesMax: 1024 },
  { stream: 'right', kind: 'producer', codec: 'none', valueBytesMax: 16_384 },
  { stream: 'right', kind: 'session without producer', codec: 'zstd', valueBytesMax: 1024 },
];

async function underLoad(
  host: ServerHost,
  seed: number,
): Promise<{ writers: readonly Writer[]; acknowledged: () => number }> {
  await host.start();
  const client = host.client();
  for (const stream of ['left', 'right']) await client.streams.create(stream, { ifNotExists: true });
  const writers = writerOptions.map(
    (options, index) =>
      new Writer(host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } }), { ...options, index }, seed),
  );
  for (const writer of writers) writer.run();
  const acknowledged = (): number => writers.reduce((sum, writer) => sum + writer.acknowledged.size, 0);
  await expect.poll(acknowledged, { timeout: 60_000, interval: 10 }).toBeGreaterThan(500);
  return { writers, acknowledged };
}

async function expectEverything(host: ServerHost, writers: readonly Writer[]): Promise<number> {
  await Promise.all(writers.map((writer) => writer.stop()));
  let records = 0;
  for (const stream of ['left', 'right']) {
    const checker = new StreamChecker(stream, writers);
    await checker.check(host.client());
    records += checker.checkedRecords;
  }
  return records;
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s under load: the node drains, flushes and exits with 0; the next start replays nothing',
  async (signal) => {
    const random = new SeededRandom(testSeed());
    const host = await ServerHost.make(lazySettings);
    const { writers, acknowledged } = await underLoad(host, random.seed);
    let stopMs = 0;
    for (let round = 0; round < 2; round++) {
      const startedMs = Date.now();
      host.process.signal(signal);
      expect(await host.process.exited).toEqual({ code: 0, signal: null });
      stopMs = Math.max(stopMs, Date.now() - startedMs);
      // Writers go on trying: the next start has them at once.
      const { replayedEntries } = await host.start();
      expect(replayedEntries, host.process.log).toBe(0);
      const before = acknowledged();
      await expect.poll(acknowledged, { timeout: 60_000, interval: 10 }).toBeGreaterThan(before + 300);
    }
    const records = await expectEverything(host, writers);
    const unknown = writers.reduce((sum, { outcomesUnknown }) => sum + outcomesUnknown, 0);
    console.log(
      `${signal}: 2 rounds, ${acknowledged()} records acknowledged, ${records} stored, ${unknown} outcomes unknown, longest stop ${stopMs} ms, nothing replayed`,
    );
  },
);

test('a second signal ends the node at once, with code 1; what was acknowledged is there all the same', async () => {
  const host = await ServerHost.make(lazySettings);
  const { writers } = await underLoad(host, testSeed());
  const stopping = host.process;
  stopping.signal('SIGTERM');
  await stopping.logged('the node drains', 30_000);
  stopping.signal('SIGINT');
  expect(await stopping.exited, stopping.log).toEqual({ code: 1, signal: null });
  expect(stopping.log).toContain('a second signal');
  await host.start();
  const records = await expectEverything(host, writers);
  console.log(`second signal: exit code 1, ${records} records`);
});
