/** A node that was alone, and has trimmed its log to what it had persisted, becomes a cluster of three while it serves. */
import { expect, test } from 'vitest';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { testSeed } from './support/random.js';
import { StreamChecker } from './support/stream-checker.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { Writer } from './support/writers.js';
import type { LogboomClient } from '../../src/client/index.js';
import type { Settings } from './support/server-process.js';

const settings: Settings = {
  partitions: 2,
  limits: { recordBytes: '256KiB', batchBytes: '384KiB' },
  wal: { segmentBytes: '4MiB', cacheBytes: '4MiB', spareSegments: 1 },
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '2MiB', flushAgeMs: 300 },
  disk: { lowWaterMarkBytes: 0 },
  shutdown: { drainMs: '5s' },
};
const patient = { retry: { attemptsMax: 400, delayMsMax: 100 } };
const streams = ['a', 'b'];

async function until(what: string, isThere: () => Promise<boolean>, timeoutMs = 90_000): Promise<void> {
  const untilMs = Date.now() + timeoutMs;
  while (!(await isThere())) {
    if (Date.now() > untilMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await pause(100);
  }
}

async function isTrimmed(client: LogboomClient): Promise<boolean> {
  const partitions = await client.cluster.partitions();
  return partitions.every(({ replicas }) => replicas.every(({ trimPoint }) => trimPoint > 0));
}

test('one node becomes three, without a stop and with all it has', { timeout: 300_000 }, async () => {
  const repository = temporaryDirectory();
  const cluster = await ClusterHosts.alone(settings);
  await cluster.start();
  const first = cluster.node(1);
  const client = first.client(patient);
  for (const name of streams) await client.streams.create(name);
  const writers = streams.map(
    (stream, index) =>
      new Writer(
        first.client(patient),
        { stream, index, kind: 'producer', codec: 'zstd', valueBytesMax: 1024, pauseMs: 5 },
        testSeed(),
      ),
  );
  for (const writer of writers) writer.run();
  await until('the log is trimmed to what is persisted', () => isTrimmed(client));

  // What is gone of its log can come from a snapshot only, and it has no repository.
  const second = await cluster.place({ snapshots: { repository } });
  second.spawn();
  const waiting = await second.process.logged('the node has not joined the cluster yet', 30_000);
  expect(waiting['because']).toContain('Set snapshots.repository');
  expect((await client.cluster.describe()).nodes).toHaveLength(1);

  // With one it takes the snapshots by itself; producers see a restart, and nothing of the rest.
  await first.process.kill();
  first.spawn({ snapshots: { repository } });
  await first.process.started();
  await second.process.started();
  const third = await cluster.place({ snapshots: { repository } });
  third.spawn();
  await third.process.started();
  await until('three replicas of each partition', async () => {
    const { placements } = await cluster.client(patient).cluster.membership();
    return placements.every(
      ({ replicas }) => replicas.length === 3 && replicas.every(({ state }) => state === 'settled'),
    );
  });
  const acknowledged = writers.map((writer) => writer.acknowledged.size);
  await until('appends go on', async () =>
    writers.every((writer, at) => writer.acknowledged.size > (acknowledged[at] ?? 0)),
  );
  await Promise.all(writers.map((writer) => writer.stop()));

  // The node that was alone is not needed any more.
  await first.process.kill();
  await cluster.ready([second, third], 60_000);
  for (const node of [second, third]) {
    for (const stream of streams) await new StreamChecker(stream, writers).check(node.client(patient));
  }
});
