/**
 * Three nodes under load: leaders killed, a follower that stands still, all killed at once, one restarted after another.
 * LOGBOOM_TEST_LEADER_KILLS says how many leaders are killed.
 */
import { expect, test } from 'vitest';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { SeededRandom, testSeed } from './support/random.js';
import { StreamChecker } from './support/stream-checker.js';
import { Writer } from './support/writers.js';
import type { LogboomClient } from '../../src/client/index.js';
import type { Settings } from './support/server-process.js';
import type { WriterOptions } from './support/writers.js';

const leaderKills = Number(process.env['LOGBOOM_TEST_LEADER_KILLS'] ?? 5);
/** What half of the kills must come under, on machines that have other work as well. */
const recoveredMedianMs = 3000;
const recoveredMs = 10_000;

const settings: Settings = {
  partitions: 3,
  limits: { recordBytes: '256KiB', batchBytes: '384KiB' },
  wal: { segmentBytes: '4MiB', cacheBytes: '4MiB', spareSegments: 1 },
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '2MiB', flushAgeMs: 500 },
  disk: { lowWaterMarkBytes: 0 },
  shutdown: { drainMs: '5s' },
};
const patient = { retry: { attemptsMax: 200, delayMsMax: 100 } };

const kib = 1024;
const writerOptions: readonly Omit<WriterOptions, 'index'>[] = [
  { stream: 'a', kind: 'producer', codec: 'zstd', valueBytesMax: 2 * kib, pauseMs: 5 },
  { stream: 'b', kind: 'producer', codec: 'none', valueBytesMax: kib, pauseMs: 5 },
  { stream: 'c', kind: 'producer', codec: 'none', valueBytesMax: kib, pauseMs: 5 },
  { stream: 'a', kind: 'restarting producer', codec: 'none', valueBytesMax: kib, pauseMs: 10 },
  {
    stream: 'b',
    kind: 'session without producer',
    codec: 'none',
    valueBytesMax: kib,
    pendingRecordsMax: 20,
    pauseMs: 10,
  },
  { stream: 'c', kind: 'unary', codec: 'zstd', valueBytesMax: 4 * kib, pauseMs: 10 },
  { stream: 'd', kind: 'conditional', codec: 'none', valueBytesMax: kib, pauseMs: 10 },
  { stream: 'd', kind: 'conditional', codec: 'none', valueBytesMax: kib, pauseMs: 10 },
];
const streams = [...new Set(writerOptions.map(({ stream }) => stream))];

/** A cluster, a client that knows all nodes, and writers that begin with different ones. */
class LoadedCluster {
  readonly cluster: ClusterHosts;
  readonly client: LogboomClient;
  readonly partitionOf = new Map<string, number>();
  readonly writers: readonly Writer[];
  readonly failure: Promise<never>;

  private constructor(cluster: ClusterHosts, client: LogboomClient, partitionOf: Map<string, number>, seed: number) {
    this.cluster = cluster;
    this.client = client;
    this.partitionOf = partitionOf;
    this.writers = writerOptions.map(
      (options, index) => new Writer(cluster.client(patient, 1 + (index % 3)), { ...options, index }, seed),
    );
    this.failure = Promise.race(this.writers.map((writer) => (writer.run(), writer.failure)));
    this.failure.catch(() => {});
  }

  static async start(seed: number): Promise<LoadedCluster> {
    const cluster = await ClusterHosts.make(settings);
    await cluster.start();
    const client = cluster.client(patient);
    const partitionOf = new Map<string, number>();
    for (const name of streams) partitionOf.set(name, (await client.streams.create(name)).partition);
    return new LoadedCluster(cluster, client, partitionOf, seed);
  }

  get acknowledged(): number {
    return this.writers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
  }

  /** Resolves when that many more records are acknowledged. */
  async progress(records: number): Promise<void> {
    const target = this.acknowledged + records;
    const wait = async (): Promise<void> => {
      const untilMs = Date.now() + 20_000;
      while (this.acknowledged < target && Date.now() < untilMs) await pause(10);
      if (this.acknowledged < target)
        throw new Error(`${target - this.acknowledged} of ${records} records are missing`);
    };
    await Promise.race([this.failure, wait()]);
  }

  /** Everything, from the beginning, through each node. */
  async checkAll(): Promise<number> {
    let records = 0;
    for (const host of this.cluster.hosts) {
      for (const stream of streams) {
        const checker = new StreamChecker(stream, this.writers);
        await checker.check(host.client(patient));
        records = Math.max(records, checker.checkedRecords);
      }
    }
    return records;
  }

  async stopWriters(): Promise<void> {
    await Promise.all(this.writers.map((writer) => writer.stop()));
  }

  /** Resolves when all replicas of a partition have applied the same. @throws Error when their states differ */
  async agree(): Promise<void> {
    let seen: unknown;
    for (let attempt = 0; attempt < 300; attempt++) {
      const partitions = await this.client.cluster.partitions();
      seen = partitions.map(({ id, replicas }) =>
        [id, ...replicas.map(({ nodeId, role, appliedLsn, fault }) => `${nodeId} ${role} ${appliedLsn} ${fault}`)].join(
          ', ',
        ),
      );
      for (const { id, replicas } of partitions) {
        const hashes = new Map<number, string>();
        for (const { appliedLsn, stateHash, role, fault } of replicas) {
          // On a machine with much other work a node may not answer in time.
          if (role === 'unreachable') continue;
          if (fault !== '') throw new Error(`partition ${id}: ${fault}`);
          const other = hashes.get(appliedLsn);
          if (other !== undefined && other !== stateHash)
            throw new Error(`partition ${id} differs at LSN ${appliedLsn}`);
          hashes.set(appliedLsn, stateHash);
        }
      }
      const isEven = ({ replicas }: (typeof partitions)[number]): boolean =>
        replicas.every(({ role }) => role !== 'unreachable') &&
        replicas.length === 3 &&
        new Set(replicas.map(({ appliedLsn }) => appliedLsn)).size === 1;
      if (partitions.every(isEven)) return;
      await pause(100);
    }
    const logs = this.cluster.hosts.map(
      ({ isRunning, process }, index) =>
        `node ${index + 1} ${isRunning ? 'runs' : 'has ended'}: ${process.log.slice(-1500)}`,
    );
    throw new Error(`the replicas do not catch up with each other: ${JSON.stringify(seen)}\n${logs.join('\n')}`);
  }
}

/** From the kill of a leader to the first append that succeeds, through one of the nodes that are left. */
async function recoveryMs(client: LogboomClient, stream: string, value: string): Promise<number> {
  const startedMs = performance.now();
  while (performance.now() - startedMs < 30_000) {
    try {
      await client.append(stream, [Buffer.from(value)], { deadlineMs: 5000 });
      return performance.now() - startedMs;
    } catch {
      await pause(10);
    }
  }
  throw new Error(`no append to ${stream} succeeds any more`);
}

test(
  `${leaderKills} leaders killed under load: nothing acknowledged is lost, nothing is there twice, appends go on`,
  { timeout: 60_000 + leaderKills * 30_000 },
  async () => {
    const random = new SeededRandom(testSeed());
    const loaded = await LoadedCluster.start(random.seed);
    const { cluster, client, partitionOf } = loaded;
    // A stream of its own in the same partition: the checkers know every record of the others.
    const probes = new Map<number, string>();
    for (let number = 0; probes.size < new Set(partitionOf.values()).size; number++) {
      const { name, partition } = await client.streams.create(`probe-${number}`);
      if ([...partitionOf.values()].includes(partition)) probes.set(partition, name);
    }
    const times: number[] = [];
    for (let kill = 0; kill < leaderKills; kill++) {
      await loaded.progress(random.between(50, 300));
      const partition = random.pick([...probes.keys()]);
      const leader = await cluster.leaderOf(partition, client);
      const others = cluster.hosts.filter((_, index) => index + 1 !== leader);
      const probe = random.pick(others).client({ retry: { attemptsMax: 1 } });
      await probe.append(probes.get(partition) as string, [Buffer.from('warm')], { deadlineMs: 10_000 });
      void cluster.node(leader).process.kill();
      times.push(await recoveryMs(probe, probes.get(partition) as string, `after kill ${kill}`));
      await loaded.progress(100);
      await cluster.node(leader).process.exited;
      await cluster.node(leader).start();
      await cluster.ready();
    }
    await loaded.stopWriters();
    await loaded.agree();
    await loaded.checkAll();
    const sorted = times.toSorted((left, right) => left - right);
    const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
    const most = sorted.at(-1) ?? 0;
    console.log(
      `${leaderKills} leaders killed, seed ${random.seed}: appends succeed after ${times.map((ms) => ms.toFixed(0)).join(', ')} ms ` +
        `(p50 ${median.toFixed(0)}, max ${most.toFixed(0)}); ${loaded.acknowledged} records acknowledged`,
    );
    for (const writer of loaded.writers) {
      expect(writer.acknowledged.size, `of writer ${writer.options.index}`).toBeGreaterThan(leaderKills);
    }
    expect(median).toBeLessThan(recoveredMedianMs);
    expect(most).toBeLessThan(recoveredMs);
  },
);

test('a follower that stands still catches up; all killed at once come back with everything', async () => {
  const loaded = await LoadedCluster.start(testSeed());
  const { cluster, client, partitionOf } = loaded;
  const leader = await cluster.leaderOf(partitionOf.get('a') ?? 0, client);
  const follower = leader === 3 ? 1 : leader + 1;
  cluster.node(follower).process.signal('SIGSTOP');
  await loaded.progress(500);
  cluster.node(follower).process.signal('SIGCONT');
  await loaded.progress(100);
  await cluster.ready();

  await cluster.killAll();
  const before = loaded.acknowledged;
  await cluster.start();
  await loaded.progress(100);
  expect(loaded.acknowledged).toBeGreaterThan(before);
  await loaded.stopWriters();
  await loaded.agree();
  await loaded.checkAll();
});

test('one node restarted after another: producers see nothing of it', async () => {
  const loaded = await LoadedCluster.start(testSeed());
  const { cluster, client } = loaded;
  const gaps: number[] = [];
  for (let id = 1; id <= 3; id++) {
    await loaded.progress(100);
    const stopping = cluster.node(id).process.stop();
    const startedMs = performance.now();
    await loaded.progress(200);
    gaps.push(performance.now() - startedMs);
    expect((await stopping).code).toBe(0);
    expect(cluster.node(id).process.log).not.toContain('"level":"error"');
    await cluster.node(id).start();
    await cluster.ready();
  }
  // A tail through one node sees what is appended through another.
  const tail = cluster
    .node(1)
    .client(patient)
    .tail('a', { fromSeq: 0, signal: AbortSignal.timeout(20_000) });
  const { nextSeq } = await client.streams.get('a');
  for await (const { seq } of tail) if (seq > nextSeq) break;
  await loaded.stopWriters();
  await loaded.agree();
  await loaded.checkAll();
  console.log(
    `rolling restart: 200 records each took ${gaps.map((ms) => ms.toFixed(0)).join(', ')} ms; ${loaded.acknowledged} acknowledged`,
  );
});
