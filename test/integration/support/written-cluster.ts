/** Three nodes with small log files, snapshots of them, and writers that go on whatever happens. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { LogboomClient, PartitionInfo, ReplicaInfo } from '../../../src/client/index.js';
import { ClusterHosts, pause } from './cluster-hosts.js';
import type { ServerHost, Settings } from './server-process.js';
import { StreamChecker } from './stream-checker.js';
import { Writer } from './writers.js';
import type { WriterOptions } from './writers.js';

/** Log files roll, stores are flushed and snapshots come due many times in a minute. */
export function settingsWith(repository: string, snapshots: Settings = {}): Settings {
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

export const patient = { retry: { attemptsMax: 200, delayMsMax: 100 } };
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

export const replicaOn = ({ replicas }: PartitionInfo, node: number): ReplicaInfo | undefined =>
  replicas.find(({ nodeId }) => nodeId === node);
const isThere = ({ role, fault }: ReplicaInfo): boolean => role !== 'unreachable' && fault === '';

/** Looks at the partitions until `isTrue` of all of them; answers them. */
export async function until(
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
export class WrittenCluster {
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
  async settled(timeoutMs = 30_000): Promise<void> {
    await this.cluster.ready(undefined, timeoutMs);
    const isSettled = ({ replicas }: PartitionInfo): boolean =>
      replicas.length === 3 && replicas.every((replica) => isThere(replica) && replica.bootstrap === undefined);
    await this.during(until(this.client, 'all replicas are there', isSettled, timeoutMs));
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
