/** A cluster whose nodes come, go and are replaced, under load; each change also with a node killed in the middle of it. */
import { expect, test } from 'vitest';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { SeededRandom, testSeed } from './support/random.js';
import { StreamChecker } from './support/stream-checker.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { Writer } from './support/writers.js';
import type { LogboomClient } from '../../src/client/index.js';
import type { ServerHost, Settings } from './support/server-process.js';
import type { WriterOptions } from './support/writers.js';

const settings: Settings = {
  partitions: 3,
  limits: { recordBytes: '256KiB', batchBytes: '384KiB' },
  wal: { segmentBytes: '4MiB', cacheBytes: '4MiB', spareSegments: 1 },
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '2MiB', flushAgeMs: 500 },
  disk: { lowWaterMarkBytes: 0 },
  shutdown: { drainMs: '5s' },
};
const patient = { retry: { attemptsMax: 400, delayMsMax: 100 } };

const kib = 1024;
const writerOptions: readonly Omit<WriterOptions, 'index'>[] = [
  { stream: 'a', kind: 'producer', codec: 'zstd', valueBytesMax: 2 * kib, pauseMs: 5 },
  { stream: 'b', kind: 'producer', codec: 'none', valueBytesMax: kib, pauseMs: 5 },
  { stream: 'c', kind: 'restarting producer', codec: 'none', valueBytesMax: kib, pauseMs: 10 },
  { stream: 'd', kind: 'unary', codec: 'none', valueBytesMax: kib, pauseMs: 10 },
];
const streams = [...new Set(writerOptions.map(({ stream }) => stream))];

class Loaded {
  readonly cluster: ClusterHosts;
  readonly writers: readonly Writer[];
  readonly failure: Promise<never>;

  private constructor(cluster: ClusterHosts, seed: number) {
    this.cluster = cluster;
    this.writers = writerOptions.map(
      (options, index) => new Writer(cluster.client(patient, 1 + (index % 3)), { ...options, index }, seed),
    );
    this.failure = Promise.race(this.writers.map((writer) => (writer.run(), writer.failure)));
    this.failure.catch(() => {});
  }

  static async start(more: Settings = {}): Promise<Loaded> {
    const cluster = await ClusterHosts.make({ ...settings, ...more });
    await cluster.start();
    const client = cluster.client(patient);
    for (const name of streams) await client.streams.create(name);
    return new Loaded(cluster, testSeed());
  }

  /** A client that begins with a node that stays. */
  client(firstNode: number): LogboomClient {
    return this.cluster.client(patient, firstNode);
  }

  get acknowledged(): number {
    return this.writers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
  }

  async progress(records: number): Promise<void> {
    const target = this.acknowledged + records;
    const untilMs = Date.now() + 30_000;
    const wait = async (): Promise<void> => {
      while (this.acknowledged < target) {
        if (Date.now() > untilMs) throw new Error(`${target - this.acknowledged} of ${records} records are missing`);
        await pause(10);
      }
    };
    await Promise.race([this.failure, wait()]);
  }

  async checkAll(nodes: readonly number[]): Promise<void> {
    for (const id of nodes) {
      for (const stream of streams) {
        await new StreamChecker(stream, this.writers).check(this.cluster.node(id).client(patient));
      }
    }
  }

  async stopWriters(): Promise<void> {
    await Promise.all(this.writers.map((writer) => writer.stop()));
  }
}

/** Resolves with what `look` finds. @throws Error with what was seen last */
async function until<Found>(what: string, look: () => Promise<Found | undefined>, timeoutMs = 60_000): Promise<Found> {
  const untilMs = Date.now() + timeoutMs;
  let problem = '';
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined) return found;
    } catch (error) {
      problem = String(error);
    }
    if (Date.now() > untilMs) throw new Error(`not within ${timeoutMs} ms: ${what} ${problem}`);
    await pause(100);
  }
}

/** Replicas of streams by node, once nothing is on its way. */
async function settled(client: LogboomClient, isDone: (onNode: ReadonlyMap<number, number>) => boolean): Promise<void> {
  let seen = '';
  await until('the placement', async () => {
    const { placements, members } = await client.cluster.membership();
    seen = JSON.stringify({ placements, members });
    const isAtRest = placements.every(({ replicas }) => replicas.every(({ state }) => state === 'settled'));
    const onNode = new Map(members.map(({ id, replicas }) => [id, replicas]));
    return isAtRest && isDone(onNode) ? true : undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}\n${seen}`);
  });
}

/** All of their states are the same at the same LSN, and each applies what is committed. */
async function agree(client: LogboomClient): Promise<void> {
  await until('that all replicas agree', async () => {
    const partitions = await client.cluster.partitions();
    const isEven = partitions.every(({ replicas }) => {
      return (
        replicas.every(({ role, fault }) => role !== 'unreachable' && fault === '') &&
        new Set(replicas.map(({ appliedLsn, stateHash }) => `${appliedLsn} ${stateHash}`)).size === 1
      );
    });
    return isEven ? true : undefined;
  });
}

test(
  'a node joins, another is emptied and removed, a third is wiped and replaced: nothing is lost or twice',
  {
    timeout: 300_000,
  },
  async () => {
    const loaded = await Loaded.start();
    const { cluster } = loaded;
    await loaded.progress(200);

    // A fourth node asks to be let in, and gets its share.
    const four = await cluster.place();
    await four.start();
    await loaded.progress(100);
    const client = loaded.client(3);
    await settled(client, (onNode) => (onNode.get(4) ?? 0) >= 2);
    await cluster.ready();
    const metadata = (await client.cluster.membership()).placements.find(({ partition }) => partition === 0);
    expect(metadata?.replicas.map(({ node }) => node).toSorted()).toEqual([1, 2, 3, 4]);

    // The first is emptied; then it is out, for good.
    await client.cluster.drainNode(1);
    await loaded.progress(100);
    await settled(client, (onNode) => onNode.get(1) === 0);
    await client.cluster.removeNode(1);
    const ended = await cluster.node(1).process.exited;
    expect(ended.code).not.toBe(0);
    expect(cluster.node(1).process.log).toContain('was removed from the cluster');
    const back = cluster.node(1).spawn();
    expect((await back.exited).code).not.toBe(0);
    expect(back.log).toContain('NODE_REMOVED');
    await loaded.progress(100);

    // The disk of the second is lost: an empty one waits until somebody says that it may take its place.
    await cluster.node(2).process.kill();
    cluster.wipe(2);
    const wiped = cluster.node(2).spawn();
    const waits = await wiped.logged('the node has not joined the cluster yet', 30_000);
    expect(String(waits['because'])).toMatch(/another data directory|cannot be reached|leads the metadata/);
    const pending = await until('the wiped node waits', async () => {
      const [found] = (await client.cluster.membership()).pending;
      return found;
    });
    expect(pending).toMatchObject({ id: 2, kind: 'replace' });
    await loaded.progress(100);
    await client.cluster.replaceNode(2);
    await wiped.started();
    await settled(client, (onNode) => (onNode.get(2) ?? 0) >= 2);
    await loaded.progress(100);

    await loaded.stopWriters();
    await agree(client);
    await loaded.checkAll([2, 3, 4]);
    console.log(`${loaded.acknowledged} records acknowledged while nodes came and went`);
  },
);

test('killed in the middle of a join, of a drain and of a replacement', { timeout: 300_000 }, async () => {
  const loaded = await Loaded.start();
  const { cluster } = loaded;
  const client = loaded.client(3);
  const random = new SeededRandom(testSeed());
  /** Kills a node that runs and starts it again, so that one is away at a time. */
  const strike = async (host: ServerHost): Promise<void> => {
    await pause(random.between(50, 800));
    await host.process.kill();
    await pause(random.between(0, 400));
    host.spawn();
  };

  const four = await cluster.place();
  four.spawn();
  for (let round = 0; round < 4; round++) await strike(four);
  await four.process.started();
  await settled(client, (onNode) => (onNode.get(4) ?? 0) >= 2);
  await cluster.ready(undefined, 60_000);

  // Whoever leads the metadata decides what moves; the others take part in it.
  await client.cluster.drainNode(1);
  for (const id of [1, 2, 4, 3]) {
    await strike(cluster.node(id));
    await cluster.node(id).process.started();
    await cluster.ready(undefined, 60_000);
  }
  await settled(client, (onNode) => onNode.get(1) === 0);
  await until('the drained node is removed', () => client.cluster.removeNode(1).then(() => true));
  await cluster.node(1).process.exited;

  await cluster.node(2).process.kill();
  cluster.wipe(2);
  cluster.node(2).spawn();
  await until('the wiped node waits', async () => (await client.cluster.membership()).pending[0]);
  await client.cluster.replaceNode(2);
  for (let round = 0; round < 4; round++) await strike(cluster.node(2));
  await cluster.node(2).process.started();
  await settled(client, (onNode) => (onNode.get(2) ?? 0) >= 2);
  await loaded.progress(100);

  await loaded.stopWriters();
  await agree(client);
  await loaded.checkAll([2, 3, 4]);
  console.log(`${loaded.acknowledged} records acknowledged while nodes were killed in the middle of changes`);
});

test('new replicas begin with snapshots where the log is trimmed', { timeout: 240_000 }, async () => {
  const repository = temporaryDirectory();
  const loaded = await Loaded.start({
    snapshots: { repository: `file://${repository}`, logBytes: '64KiB', maxAgeMs: '2s' },
    trim: { delayMs: 0 },
  });
  const { cluster } = loaded;
  const client = loaded.client(3);
  await until('all logs are trimmed', async () => {
    const partitions = await client.cluster.partitions();
    return partitions.every(({ replicas }) => replicas.every(({ trimPoint }) => trimPoint > 0)) ? true : undefined;
  });
  for (let id = 1; id <= 3; id++) await client.cluster.createSnapshot(0);
  const four = await cluster.place();
  await four.start();
  await settled(client, (onNode) => (onNode.get(4) ?? 0) >= 2);
  await client.cluster.drainNode(1);
  await settled(client, (onNode) => onNode.get(1) === 0);
  await loaded.progress(100);
  expect(four.process.log).toContain('the replica goes on from a snapshot');
  await loaded.stopWriters();
  await agree(client);
  await loaded.checkAll([1, 2, 3, 4]);
});
