/** Snapshots of real processes in an S3 store that goes away: under load, while a replica fetches one; and two clusters in one place. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogboomClient, PartitionInfo } from '../../src/client/index.js';
import { runHere } from '../cli/command-runner.js';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { S3Server, s3ServerBinary } from './support/s3-server.js';
import { ServerHost } from './support/server-process.js';
import type { Settings } from './support/server-process.js';

const patient = { retry: { attemptsMax: 200, delayMsMax: 100 } };
const awayMs = Number(process.env['LOGBOOM_TEST_S3_AWAY_MS'] ?? 5000);
const variables = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_EC2_METADATA_DISABLED'] as const;

let server: S3Server;
beforeEach(async () => {
  if (s3ServerBinary === undefined) return;
  server = await S3Server.start();
  const values = [server.accessKeyId, server.secretAccessKey, 'true'];
  for (const [at, name] of variables.entries()) process.env[name] = values[at];
});
afterEach(() => {
  for (const name of variables) delete process.env[name];
});

const repositoryUrl = (): string =>
  `s3://${server.bucket}/logs?region=us-east-1&endpoint=${server.endpoint}&path-style=true`;

const settingsWith = (): Settings => ({
  partitions: 1,
  limits: { recordBytes: '128KiB', batchBytes: '256KiB' },
  wal: { segmentBytes: '1MiB', cacheBytes: '1MiB', spareSegments: 1 },
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '1MiB', flushAgeMs: 200 },
  disk: { lowWaterMarkBytes: 0 },
  snapshots: { repository: repositoryUrl(), logBytes: '128KiB' },
  trim: { delayMs: 0 },
});

async function until(
  client: LogboomClient,
  what: string,
  isTrue: (partition: PartitionInfo) => boolean,
): Promise<PartitionInfo> {
  for (const untilMs = Date.now() + 90_000; ; await pause(100)) {
    const [partition] = await client.cluster.partitions();
    if (partition !== undefined && isTrue(partition)) return partition;
    if (Date.now() > untilMs) throw new Error(`not in time: ${what}: ${JSON.stringify(partition)}`);
  }
}

const archivedOf = ({ replicas }: PartitionInfo): number => Math.max(...replicas.map((each) => each.archivedLsn ?? 0));

test.skipIf(s3ServerBinary === undefined)(
  'an S3 store that is away keeps nobody from appending; snapshots, trimming and replicas go on when it is back',
  { timeout: 300_000 },
  async () => {
    const cluster = await ClusterHosts.make(settingsWith());
    await cluster.start();
    const client = cluster.client(patient);
    await client.streams.create('a');
    let next = 0;
    const append = async (records: number): Promise<void> => {
      for (let at = 0; at < records; at++) await client.append('a', [`${next++} ${randomBytes(4000).toString('hex')}`]);
    };
    await append(20);
    const { archivedLsn: before } = await client.cluster.createSnapshot(1);

    await server.stop();
    const untilMs = Date.now() + awayMs;
    let appended = 0;
    for (; Date.now() < untilMs; appended += 5) await append(5);
    expect(appended).toBeGreaterThan(20);
    const failed = await until(client, 'a snapshot fails', ({ replicas }) =>
      replicas.some(({ snapshotFailure }) => snapshotFailure.includes('ECONNREFUSED')),
    );
    const archived = archivedOf(failed);
    expect(archived).toBeGreaterThanOrEqual(before);
    await server.run();
    await until(client, 'a snapshot of what came meanwhile', (partition) => archivedOf(partition) > archived);

    // A node that fetches a snapshot, and the store away when it does.
    const leader = await cluster.leaderOf(1, client);
    const away = cluster.node(leader === 3 ? 2 : 3);
    const awayId = leader === 3 ? 2 : 3;
    await away.process.kill();
    await append(60);
    const { archivedLsn } = await client.cluster.createSnapshot(1);
    const isTrimmed = ({ nodeId, trimPoint }: PartitionInfo['replicas'][number]): boolean =>
      nodeId === awayId || trimPoint >= archivedLsn;
    await until(client, 'the others trim past it', ({ replicas }) => replicas.every(isTrimmed));
    await server.stop();
    away.spawn();
    await until(client, 'it says what it lacks', ({ replicas }) =>
      replicas.some(({ nodeId, bootstrap }) => nodeId === awayId && (bootstrap?.problem ?? '') !== ''),
    );
    await append(5);
    await server.run();
    const isEqual = ({ replicas }: PartitionInfo): boolean =>
      new Set(replicas.map(({ appliedLsn, stateHash }) => `${appliedLsn} ${stateHash}`)).size === 1;
    const caughtUp = await until(client, 'it is up to date', isEqual);
    expect(caughtUp.replicas.find(({ nodeId }) => nodeId === awayId)!.firstLsn).toBeGreaterThan(archivedLsn);
    let seq = 0;
    for await (const { text } of away.client(patient).read('a')) expect(text.startsWith(`${seq++} `)).toBe(true);
    expect(seq).toBe(next);
  },
);

test.skipIf(s3ServerBinary === undefined)(
  'two clusters on one bucket and prefix do not meet',
  { timeout: 120_000 },
  async () => {
    const hosts = [await ServerHost.make(settingsWith()), await ServerHost.make(settingsWith())];
    const found: { id: string; manifests: string[] }[] = [];
    for (const [at, host] of hosts.entries()) {
      await host.start();
      const client = host.client(patient);
      await client.streams.create('a');
      await client.append('a', [`of ${at}`]);
      await client.cluster.createSnapshot(1);
    }
    for (const host of hosts) {
      const client = host.client(patient);
      const { snapshots, repositoryId } = await client.cluster.listSnapshots(1);
      found.push({ id: repositoryId, manifests: snapshots.map(({ manifest }) => manifest) });
    }
    const [one, other] = found as [(typeof found)[0], (typeof found)[0]];
    expect(one.id).toBe(other.id);
    expect([one.manifests.length, other.manifests.length]).toEqual([1, 1]);
    expect(one.manifests).not.toEqual(other.manifests);
    const verified = await runHere(['snapshot', 'verify', '--repository', repositoryUrl(), '--output', 'json']);
    expect([verified.code, verified.errors]).toEqual([0, '']);
    const clusters = verified.text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { cluster: string }).cluster);
    const ids = await Promise.all(hosts.map(async (host) => (await host.client().cluster.describe()).clusterId));
    expect(clusters.toSorted()).toEqual(ids.toSorted());
  },
);
