/**
 * Snapshots, trimming, and replicas that begin with a snapshot, at real processes that are killed at random moments.
 * LOGBOOM_TEST_SNAPSHOT_ROUNDS says how often: in each a leader dies, and a node that fetches a snapshot dies twice.
 */
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { LogboomClient, PartitionInfo, ReplicaInfo } from '../../src/client/index.js';
import { exitOf, runHere, startProcess } from '../cli/command-runner.js';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { freePortPair } from './support/free-ports.js';
import { SeededRandom, testSeed } from './support/random.js';
import type { ServerHost, Settings } from './support/server-process.js';
import { StreamChecker } from './support/stream-checker.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { Writer } from './support/writers.js';
import type { WriterOptions } from './support/writers.js';

const asked = process.env['LOGBOOM_TEST_SNAPSHOT_ROUNDS'];
const rounds = Number(asked ?? 3);
/** No further round is begun after that, unless rounds were asked for. */
const roundsMs = asked === undefined ? 15_000 : Infinity;

/** Log files roll, stores are flushed and snapshots come due many times in a minute. */
function settingsWith(repository: string, snapshots: Settings = {}): Settings {
  return {
    partitions: 2,
    limits: { recordBytes: '256KiB', batchBytes: '384KiB' },
    wal: { segmentBytes: '1MiB', cacheBytes: '1MiB', spareSegments: 1 },
    stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '1MiB', flushAgeMs: 300 },
    disk: { lowWaterMarkBytes: 0 },
    snapshots: { repository, logBytes: '512KiB', maxAgeMs: '1h', ...snapshots },
    trim: { bootstrapHoldMs: '5s', delayMs: 0 },
    shutdown: { drainMs: '5s' },
  };
}

const patient = { retry: { attemptsMax: 200, delayMsMax: 100 } };
const streams = ['a', 'b', 'c', 'd'];
const writerOptions: readonly Omit<WriterOptions, 'index'>[] = [
  { stream: 'a', kind: 'producer', codec: 'zstd', valueBytesMax: 2048, pauseMs: 5 },
  { stream: 'b', kind: 'producer', codec: 'none', valueBytesMax: 4096, pauseMs: 5 },
  { stream: 'c', kind: 'unary', codec: 'none', valueBytesMax: 2048, pauseMs: 10 },
  {
    stream: 'd',
    kind: 'session without producer',
    codec: 'none',
    valueBytesMax: 2048,
    pauseMs: 10,
    pendingRecordsMax: 20,
  },
];

const replicaOn = ({ replicas }: PartitionInfo, node: number): ReplicaInfo | undefined =>
  replicas.find(({ nodeId }) => nodeId === node);
const isThere = ({ role, fault }: ReplicaInfo): boolean => role !== 'unreachable' && fault === '';

/** Looks at the partitions until `isTrue` of all of them; answers them. */
async function until(
  client: LogboomClient,
  what: string,
  isTrue: (partition: PartitionInfo) => boolean,
  timeoutMs = 30_000,
): Promise<readonly PartitionInfo[]> {
  const untilMs = Date.now() + timeoutMs;
  for (;;) {
    const partitions = await client.cluster.partitions();
    if (partitions.every(isTrue)) return partitions;
    if (Date.now() > untilMs) throw new Error(`not in ${timeoutMs} ms: ${what}: ${JSON.stringify(partitions)}`);
    await pause(100);
  }
}

/** Three nodes, and writers that go on whatever happens to them. */
class WrittenCluster {
  readonly cluster: ClusterHosts;
  readonly client: LogboomClient;
  readonly writers: readonly Writer[];
  readonly #failure: Promise<never>;

  private constructor(cluster: ClusterHosts, client: LogboomClient, seed: number) {
    this.cluster = cluster;
    this.client = client;
    this.writers = writerOptions.map(
      (options, index) => new Writer(cluster.client(patient, 1 + (index % 3)), { ...options, index }, seed),
    );
    this.#failure = Promise.race(this.writers.map((writer) => (writer.run(), writer.failure)));
    this.#failure.catch(() => {});
  }

  static async start(settings: Settings, seed: number): Promise<WrittenCluster> {
    const cluster = await ClusterHosts.make(settings);
    await cluster.start();
    const client = cluster.client(patient);
    // A leader that takes over while a voter is away waits for that one's word before it trims: here that is to happen when the
    // test kills, and not when leaderships return to where they are wanted.
    await client.cluster.setSetting('leader-return-delay-ms', '3600000');
    for (const name of streams) await client.streams.create(name);
    return new WrittenCluster(cluster, client, seed);
  }

  /** What a writer met that it must not meet ends the test at once. */
  async during<Result>(work: Promise<Result>): Promise<Result> {
    return Promise.race([this.#failure, work]);
  }

  /** Resolves when this many more records were acknowledged. */
  async progress(records: number): Promise<void> {
    const count = (): number => this.writers.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0);
    const target = count() + records;
    const wait = async (): Promise<void> => {
      const untilMs = Date.now() + 20_000;
      while (count() < target && Date.now() < untilMs) await pause(10);
      if (count() < target) throw new Error(`${target - count()} of ${records} records are missing`);
    };
    await this.during(wait());
  }

  /** Resolves when every replica is up, has its log as far back as the group, and nothing to fetch. */
  async settled(): Promise<void> {
    await this.cluster.ready();
    const isSettled = ({ replicas }: PartitionInfo): boolean =>
      replicas.length === 3 && replicas.every((replica) => isThere(replica) && replica.bootstrap === undefined);
    await this.during(until(this.client, 'all replicas are there', isSettled));
  }

  /** A node that leads nothing. */
  async follower(): Promise<number> {
    const { partitions } = await this.#led();
    const leaders = partitions.flatMap(({ replicas }) =>
      replicas.flatMap(({ role, nodeId }) => (role === 'leader' ? [nodeId] : [])),
    );
    const found = [1, 2, 3].find((id) => !leaders.includes(id));
    if (found === undefined) throw new Error(`two partitions have the leaders ${leaders.join(', ')}`);
    return found;
  }

  async #led(): Promise<{ readonly partitions: readonly PartitionInfo[] }> {
    const isLed = ({ replicas }: PartitionInfo): boolean =>
      replicas.filter(({ role }) => role === 'leader').length === 1;
    return { partitions: await until(this.client, 'partitions have a leader each', isLed) };
  }

  /** Snapshots of now, and the logs trimmed to them. */
  async snapshotAndTrim(without?: number): Promise<void> {
    const archived = new Map<number, number>();
    for (const id of [1, 2]) {
      archived.set(id, (await this.during(this.client.cluster.createSnapshot(id))).archivedLsn);
    }
    await this.during(
      until(this.client, 'the log is trimmed', ({ id, replicas }) =>
        replicas
          .filter(({ nodeId }) => nodeId !== without)
          .every((replica) => isThere(replica) && replica.trimPoint >= (archived.get(id) ?? Infinity)),
      ),
    );
  }

  /** Kills a node and trims the log past all that it has. Answers that, by partition. */
  async trimPast(node: number): Promise<Map<number, number>> {
    // The leaders have heard of it that it sees the repository: after an election without it, they would wait for its word.
    await this.snapshotAndTrim();
    await this.cluster.node(node).process.kill();
    const { partitions } = await this.#led();
    const had = new Map(
      partitions.map(({ id, replicas }) => [id, Math.max(...replicas.map((each) => each.durableLsn))]),
    );
    await this.progress(200);
    await this.snapshotAndTrim(node);
    return had;
  }

  /** Nothing acknowledged is lost, on any node; all replicas are equal; nothing is left behind. */
  async check(): Promise<void> {
    await Promise.all(this.writers.map((writer) => writer.stop()));
    await this.settled();
    await until(
      this.client,
      'all replicas have applied the same',
      ({ replicas }) => new Set(replicas.map(({ appliedLsn, stateHash }) => `${appliedLsn} ${stateHash}`)).size === 1,
    );
    for (const host of this.cluster.hosts) {
      for (const stream of streams) await new StreamChecker(stream, this.writers).check(host.client(patient));
      expect(leftovers(host)).toEqual([]);
    }
    const found = await this.#digestsOfOneMoment();
    expect(new Set(found.map((each) => JSON.stringify(each))).size, JSON.stringify(found)).toBe(1);
  }

  /** Of every node. A snapshot or a trim may come between two of them: then their LSNs differ, and they are asked again. */
  async #digestsOfOneMoment(): Promise<string[][]> {
    for (let attempt = 1; ; attempt++) {
      const found: string[][] = [];
      for (const host of this.cluster.hosts) found.push(await digests(host.client(patient)));
      const lsns = found.map((each) => each.map((line) => line.slice(0, line.lastIndexOf(' '))).join());
      if (new Set(lsns).size === 1 || attempt === 20) return found;
      await pause(200);
    }
  }
}

/** Of the replicas of one node, with the LSNs that they are of. */
async function digests(client: LogboomClient): Promise<string[]> {
  const found: string[] = [];
  for (const { id } of await client.cluster.partitions()) {
    const { digest, appliedLsn, damaged } = await client.cluster.verifyPartition(id);
    expect(damaged).toEqual([]);
    found.push(`${id} ${appliedLsn} ${digest}`);
  }
  return found;
}

/** Names in the place of the stores that are not those of a replica's store. */
function leftovers({ dataDirectory }: ServerHost): string[] {
  const directory = path.join(dataDirectory, 'partitions');
  return readdirSync(directory).flatMap((name) => {
    if (!/^\d+$/.test(name)) return [name];
    return readdirSync(path.join(directory, name)).filter((inner) => /\.(json|tmp)$/.test(inner));
  });
}

/** The leader dies somewhere on the way of a snapshot; it is asked for again, of the next one. */
async function killLeader(running: WrittenCluster, random: SeededRandom): Promise<void> {
  const { cluster, client } = running;
  const partition = 1 + random.below(2);
  const leader = await cluster.leaderOf(partition, client);
  const snapshot = client.cluster.createSnapshot(partition, { deadlineMs: 30_000 });
  await pause(random.below(500));
  await cluster.node(leader).process.kill();
  expect((await running.during(snapshot)).archivedLsn).toBeGreaterThan(0);
  await cluster.node(leader).start();
  await running.settled();
}

/** A node comes back too late for the log, and is killed again at some moment of its import, or right behind it. */
async function killFetcher(running: WrittenCluster, random: SeededRandom): Promise<void> {
  const away = await running.follower();
  const host = running.cluster.node(away);
  const had = await running.trimPast(away);
  await host.spawn().logged('the log of the group begins behind what this replica has: it needs a snapshot', 20_000);
  await pause(random.below(400));
  await host.process.kill();
  await host.start();
  await running.settled();
  // Its log begins behind what it had: only a snapshot leads over that gap.
  for (const partition of await running.client.cluster.partitions()) {
    expect(replicaOn(partition, away)!.firstLsn).toBeGreaterThan(had.get(partition.id)! + 1);
  }
}

// Much more than it takes on a machine that has nothing else to do.
const timeout = 240_000;

test(
  'three nodes with one repository trim their logs, and replicas that were away begin with a snapshot, whoever is killed when',
  { timeout },
  async () => {
    const random = new SeededRandom(testSeed());
    const repository = temporaryDirectory();
    const running = await WrittenCluster.start(settingsWith(repository), random.seed);
    const { cluster, client } = running;

    // By itself: nobody asked for these.
    await running.during(
      until(client, 'every replica has trimmed its log', ({ replicas }) =>
        replicas.every(({ trimPoint, archivedLsn }) => trimPoint > 0 && (archivedLsn ?? 0) >= trimPoint),
      ),
    );
    const { archivedLsn, manifest } = await running.during(client.cluster.createSnapshot(1));
    const listed = await client.cluster.listSnapshots(1);
    expect(listed.snapshots.map((snapshot) => snapshot.manifest)).toContain(manifest);
    expect(listed.snapshots[0]!.lsn).toBeGreaterThanOrEqual(archivedLsn);
    // Partition 0, the metadata, as well.
    expect((await client.cluster.createSnapshot(0)).archivedLsn).toBeGreaterThan(0);

    const startedMs = performance.now();
    for (let round = 0; round < rounds; round++) {
      // A machine with much other work has done enough.
      if (round > 0 && performance.now() - startedMs > roundsMs) break;
      await killLeader(running, random);
      await killFetcher(running, random);
    }

    await running.check();
    for (const host of cluster.hosts) expect(await host.process.stop()).toEqual({ code: 0, signal: null });
  },
);

test('three nodes with a directory each take snapshots, trim nothing, and say why', async () => {
  const cluster = await ClusterHosts.make(settingsWith(''));
  for (const host of cluster.hosts) host.settings = { ...host.settings, ...settingsWith(temporaryDirectory()) };
  await cluster.start();
  const client = cluster.client(patient);
  await client.streams.create('a');
  await client.append('a', ['one']);
  for (const id of [1, 2]) expect((await client.cluster.createSnapshot(id)).archivedLsn).toBeGreaterThan(0);
  const unproven = /^replicas \d, \d: the node has not proved that it sees this leader's snapshot repository$/;
  await until(client, 'trimming is held', ({ replicas }) =>
    replicas.some(({ role, trimHeldBecause }) => role === 'leader' && unproven.test(trimHeldBecause)),
  );
  expect((await client.cluster.trim(1)).heldBecause).toMatch(unproven);
  await pause(2000);
  for (const { replicas } of await client.cluster.partitions()) {
    expect(replicas.map(({ trimPoint, groupTrimPoint }) => [trimPoint, groupTrimPoint])).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
  }
  const env = { LOGBOOM_ADDRESS: cluster.node(1).address };
  const explained = await runHere(['trim', 'explain', '--output', 'json'], { env });
  const lines = explained.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(lines).toMatchObject([
    { partition: 1, trim_point: 0, held: [{ kind: 'REPOSITORY_NOT_PROVED' }] },
    { partition: 2, trim_point: 0, held: [{ kind: 'REPOSITORY_NOT_PROVED' }] },
  ]);
});

test('`logboom dev` takes a snapshot on demand, and trims by what it has flushed', async () => {
  const directory = path.join(temporaryDirectory(), 'data');
  const port = await freePortPair();
  const flags = ['--partitions=2', '--disk-low-water-mark-bytes=0', '--state-store-flush-age-ms=200'];
  const child = startProcess(['dev', '--data-dir', directory, '--port', String(port), ...flags]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const exited = exitOf(child);
  await new Promise<void>((resolve) => child.stdout!.on('data', (text: Buffer) => text.includes('ready') && resolve()));
  const env = { LOGBOOM_ADDRESS: `127.0.0.1:${port}` };
  const run = (args: string[], stdin?: string): ReturnType<typeof runHere> =>
    runHere(args, { env, ...(stdin === undefined ? {} : { stdin }) });
  expect((await run(['append', 'a'], 'one\ntwo\n')).code).toBe(0);
  const created = await run(['snapshot', 'create', '--all']);
  expect([created.code, created.errors]).toEqual([0, '']);
  expect(created.text).toMatch(/^partition 1: ok, .*\npartition 2: ok, .*\n$/);
  expect(existsSync(path.join(directory, 'snapshots', 'repository.json'))).toBe(true);
  const listed = await run(['snapshot', 'list', '--output', 'json']);
  expect(
    listed.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  ).toMatchObject([
    { partition: 1, archived: true },
    { partition: 2, archived: true },
  ]);
  const trimmed = JSON.parse((await run(['trim', '1', '--output', 'json'])).text) as Record<string, unknown>;
  expect(trimmed).toMatchObject({ mode: 'persisted', held: [] });
  expect(trimmed['trim_point']).toBeGreaterThan(0);
  child.kill('SIGTERM');
  expect((await exited).code).toBe(0);
});
