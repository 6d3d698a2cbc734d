/** A failed fsync of the log is final (rule 7). */
import { expect, test } from 'vitest';
import { readStream } from './support/contents.js';
import { FaultyDisk } from './support/faulty-disk.js';
import { startLocalNode } from './support/local-node.js';
import { testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { StreamChecker } from './support/stream-checker.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { Writer } from './support/writers.js';

test('the process exits with code 1 under load, acknowledges nothing more, and starts again with everything acknowledged', async () => {
  const host = await ServerHost.make(restlessSettings);
  await host.spawn({}, ['test/integration/support/run-faulty-node.mjs']).started();
  const client = host.client();
  await client.streams.create('fsync');
  const writers = (['producer', 'unary', 'session without producer'] as const).map(
    (kind, index) =>
      new Writer(
        host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } }),
        { index, stream: 'fsync', kind, codec: 'none', valueBytesMax: 2000 },
        testSeed(),
      ),
  );
  for (const writer of writers) writer.run();
  const acknowledged = (): number => writers.reduce((sum, writer) => sum + writer.acknowledged.size, 0);
  await expect.poll(acknowledged, { timeout: 60_000, interval: 10 }).toBeGreaterThan(300);
  const failing = host.process;
  failing.signal('SIGUSR2');
  expect(await failing.exited, failing.log).toEqual({ code: 1, signal: null });
  expect(failing.log).toContain('write-ahead log has failed');
  const atExit = acknowledged();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(acknowledged()).toBe(atExit);
  await host.start();
  await expect.poll(acknowledged, { timeout: 60_000, interval: 10 }).toBeGreaterThan(atExit + 100);
  await Promise.all(writers.map((writer) => writer.stop()));
  const checker = new StreamChecker('fsync', writers);
  await checker.check(client);
  console.log(
    `failed fsync: exit code 1 after ${atExit} records acknowledged; ${checker.checkedRecords} stored in the end`,
  );
});

test.each(['datasync', 'write'] as const)('no append is acknowledged at or after a failed %s', async (operation) => {
  const disk = new FaultyDisk();
  const directory = `${temporaryDirectory()}/data`;
  let fatal: Error | undefined;
  const { client, stop } = await startLocalNode(directory, restlessSettings, {
    environment: { disk },
    onFatal: (error) => (fatal = error),
  });
  await client.streams.create('fsync');
  const acknowledged: string[] = [];
  let refused = 0;
  let failedAt = Number.POSITIVE_INFINITY;
  const append = async (index: number): Promise<void> => {
    try {
      await client.append('fsync', [`record ${index}`], { deadlineMs: 2000 });
      acknowledged.push(`record ${index}`);
      if (index >= failedAt) throw new Error(`record ${index} was acknowledged after the failure`);
    } catch (error) {
      if (!disk.faults) throw error;
      refused++;
    }
  };
  for (let index = 0; index < 20; index++) await append(index);
  expect(acknowledged).toHaveLength(20);
  failedAt = 20;
  // One failure only: the disk is well again at once, and the node must not go on all the same.
  disk.fault = (what, path) => (what === operation && path.includes('/wal/') && disk.faults === 0 ? 'EIO' : undefined);
  await Promise.all(Array.from({ length: 20 }, (_, index) => append(20 + index)));
  expect(acknowledged).toHaveLength(20);
  expect(refused).toBe(20);
  expect(fatal?.message).toMatch(/fault of the test/);
  await stop().catch(() => {});
  const again = await startLocalNode(directory, restlessSettings);
  const { values } = await readStream(again.client, 'fsync');
  expect(values.slice(0, 20).map(String)).toEqual(acknowledged);
  console.log(`failed ${operation}: 20 acknowledged, ${refused} refused, ${values.length} there after a start`);
});
