/** A cluster that has lost all its nodes comes back from its snapshot repository, at real processes. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { LogboomClient } from '../../src/client/index.js';
import { exitOf, runHere, startProcess } from '../cli/command-runner.js';
import type { CommandResult } from '../cli/command-runner.js';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { ServerHost } from './support/server-process.js';
import type { Settings } from './support/server-process.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const timeout = 240_000;
const streams = ['a', 'b', 'c', 'd', 'e'];
const settingsWith = (repository: string): Settings => ({
  partitions: 2,
  disk: { lowWaterMarkBytes: 0 },
  wal: { segmentBytes: '1MiB', cacheBytes: '1MiB', spareSegments: 1 },
  limits: { recordBytes: '128KiB', batchBytes: '256KiB' },
  snapshots: { repository },
  shutdown: { drainMs: '5s' },
});
const patient = { retry: { attemptsMax: 200, delayMsMax: 100 } };

interface Stored {
  readonly seq: number;
  readonly lsn: number;
  readonly text: string;
}

async function contents(client: LogboomClient, stream: string): Promise<Stored[]> {
  const found: Stored[] = [];
  for await (const page of client.readPages(stream)) {
    for (const { seq, batch, text } of page) found.push({ seq, lsn: batch.lsn, text });
  }
  return found;
}

const textOf = (stream: string, at: number): string => `${stream} ${at} ${'x'.repeat((at * 131) % 3000)}`;

async function appendMany(client: LogboomClient, from: number, to: number): Promise<void> {
  for (const stream of streams) {
    for (let at = from; at < to; at += 5) {
      const texts = Array.from({ length: 5 }, (_, more) => textOf(stream, at + more));
      await client.append(stream, texts, { producer: { id: `p-${stream}`, firstRecordNumber: at } });
    }
  }
}

/** `logboom snapshot restore` for a node, with the settings that it runs with. */
function restore(host: ServerHost, ...more: string[]): Promise<CommandResult> {
  return runHere(['snapshot', 'restore', '--config', configOf(host), '--output', 'json', ...more]);
}

/** The file that the node was started with. */
const configOf = (host: ServerHost): string => path.join(host.directory, `server-${host.port}.json`);

const jsonLines = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const errorOf = ({ errors }: CommandResult): Record<string, unknown> =>
  (JSON.parse(errors.trim().split('\n').at(-1)!) as { error: Record<string, unknown> }).error;

async function refusal(work: Promise<unknown>): Promise<{ reason: string; facts: Record<string, unknown> }> {
  const error = await work.then(
    (result) => Promise.reject(new Error(`not refused: ${JSON.stringify(result)}`)),
    (reason: unknown) => reason as { reason: string; facts: Record<string, unknown> },
  );
  return { reason: error.reason, facts: error.facts };
}

test('all nodes are lost: a new cluster comes back as of the newest snapshots, and says so', { timeout }, async () => {
  const repository = temporaryDirectory();
  const cluster = await ClusterHosts.make(settingsWith(repository));
  await cluster.start();
  const client = cluster.client(patient);
  for (const name of streams) await client.streams.create(name);
  await appendMany(client, 0, 50);
  // The metadata too: it says how many partitions there were.
  const archived = new Map<number, number>();
  for (const id of [0, 1, 2]) archived.set(id, (await client.cluster.createSnapshot(id)).archivedLsn);
  await appendMany(client, 50, 80);
  const before = new Map<
    string,
    { stored: Stored[]; expected: Stored[]; token: string; lostToken: string; epoch: number }
  >();
  for (const name of streams) {
    const { partition, epoch } = await client.streams.get(name);
    const stored = await contents(client, name);
    const expected = stored.filter(({ lsn }) => lsn <= archived.get(partition)!);
    expect([stored.length, expected.length]).toEqual([80, 50]);
    const { nextPageToken: token } = await client.readPage(name, { limit: 50 });
    const { nextPageToken: lostToken } = await client.readPage(name, { limit: 51 });
    before.set(name, { stored, expected, token, lostToken, epoch });
  }
  const { clusterId } = await client.cluster.describe();

  await cluster.killAll();
  for (const id of [1, 2, 3]) cluster.wipe(id);
  const [first, second, third] = cluster.hosts as [ServerHost, ServerHost, ServerHost];

  const verified = await runHere(['snapshot', 'verify', '--repository', repository, '--output', 'json']);
  expect([verified.code, verified.errors]).toEqual([0, '']);
  expect(jsonLines(verified.text).map(({ cluster: of, partition, is_well }) => [of, partition, is_well])).toEqual(
    [0, 1, 2].map((id) => [clusterId, id, true]),
  );

  const tried = await restore(first, '--dry-run');
  expect(tried.code, tried.errors).toBe(0);
  expect(readdirSync(first.directory)).not.toContain('data');
  const restored = await restore(first);
  expect(restored.code, restored.errors).toBe(0);
  const [plan, ...partitions] = jsonLines(restored.text);
  expect(plan).toMatchObject({ source_cluster_id: clusterId, node_id: 1 });
  expect(partitions.map(({ id, snapshot }) => [id, (snapshot as { lsn: number }).lsn])).toEqual(
    [1, 2].map((id) => [id, archived.get(id)]),
  );
  expect(partitions.reduce((sum, { streams: count }) => sum + (count as number), 0)).toBe(streams.length);
  const newId = String(plan!['cluster_id']);
  expect(newId).not.toBe(clusterId);

  // Another node, whose restore is killed on the way: it does not start, and goes on.
  const interrupted = startProcess(['snapshot', 'restore', '--config', configOf(second), '--join', newId]);
  const exited = exitOf(interrupted);
  // From its first file on it is no empty directory any more, which a node would take for a new one.
  while (!existsSync(path.join(second.dataDirectory, 'restored.json')) && interrupted.exitCode === null) await pause(5);
  interrupted.kill('SIGKILL');
  await exited;
  if (!readdirSync(second.dataDirectory).includes('node.json')) {
    const refused = await second.spawn().exited;
    expect(refused.code).not.toBe(0);
    expect(second.process.log).toContain('DATA_DIRECTORY_MISMATCH');
    const again = await restore(second, '--join', newId);
    expect(again.code, again.errors).toBe(0);
  }
  const joined = await restore(third, '--join', newId);
  expect(joined.code, joined.errors).toBe(0);

  await cluster.start();
  const after = cluster.client(patient);
  expect((await after.cluster.describe()).clusterId).toBe(newId);
  for (const name of streams) {
    const { expected, token, lostToken, epoch } = before.get(name)!;
    expect(await contents(after, name)).toEqual(expected);
    const now = await after.streams.get(name);
    expect(now).toMatchObject({ nextSeq: 50 });
    expect(now.epoch).not.toBe(epoch);
    // Up to where the stream came back a position stands for what it stood for; beyond it, for nothing.
    expect((await after.readPage(name, { pageToken: token })).recordCount).toBe(0);
    const refused = { reason: 'STREAM_EPOCH_MISMATCH', facts: { fork_seq: '50' } };
    expect(await refusal(after.readPage(name, { pageToken: lostToken }))).toMatchObject(refused);
    // A producer is told what the stream knows of it, and goes on from there.
    const producer = { id: `p-${name}`, firstRecordNumber: 80 };
    await expect(after.append(name, ['lost'], { producer })).rejects.toThrow('50');
  }
  await appendMany(after, 50, 60);
  for (const name of streams) {
    const texts = (await contents(after, name)).map(({ text }) => text);
    expect(texts).toEqual(Array.from({ length: 60 }, (_, at) => textOf(name, at)));
    const { token, lostToken } = before.get(name)!;
    expect((await after.readPage(name, { pageToken: token })).recordCount).toBe(10);
    expect((await refusal(after.readPage(name, { pageToken: lostToken }))).reason).toBe('STREAM_EPOCH_MISMATCH');
  }

  // The new cluster is soon in the repository too, in a place of its own, and trims its log.
  for (let waits = 0; ; waits++) {
    const found = await after.cluster.partitions();
    if (found.every(({ replicas }) => replicas.every(({ archivedLsn }) => (archivedLsn ?? 0) > 0))) break;
    expect(waits, JSON.stringify(found)).toBeLessThan(300);
    await pause(100);
  }
  const names = readdirSync(path.join(repository, newId));
  expect(names.filter((name) => name !== '0').sort()).toEqual(['1', '2', 'restore.json', 'restored']);
  for (const id of [1, 2]) {
    const seen: string[] = [];
    for (const host of cluster.hosts) {
      const { appliedLsn, digest, damaged } = await host.client(patient).cluster.verifyPartition(id);
      expect(damaged).toEqual([]);
      seen.push(`${appliedLsn} ${digest}`);
    }
    expect(new Set(seen).size, seen.join()).toBe(1);
  }

  // A node that runs is no target; and one that was restored and lost again knows nothing of what it has voted for.
  expect(errorOf(await restore(first))).toMatchObject({ reason: 'DATA_DIRECTORY_LOCKED' });
  await third.process.kill();
  expect(errorOf(await restore(third, '--join', newId))).toMatchObject({ reason: 'DATA_DIRECTORY_MISMATCH' });
  cluster.wipe(3);
  expect(errorOf(await restore(third, '--join', newId))).toMatchObject({ reason: 'CLUSTER_MISMATCH' });
  const ambiguous = errorOf(await restore(third));
  expect(ambiguous).toMatchObject({ reason: 'INVALID_ARGUMENT' });
  expect(ambiguous['message']).toContain(clusterId);
  await cluster.ready([first, second]);
  await appendMany(after, 60, 65);
});

test('a node alone comes back, without what is damaged, and again from what came of it', { timeout }, async () => {
  const repository = temporaryDirectory();
  const host = await ServerHost.make({ ...settingsWith(repository), partitions: 1 });
  await host.start();
  const client = host.client(patient);
  await client.streams.create('a');
  const archived: number[] = [];
  for (let round = 0; round < 3; round++) {
    for (let at = 0; at < 10; at++) await client.append('a', [textOf('a', round * 10 + at)]);
    archived.push((await client.cluster.createSnapshot(1)).archivedLsn);
  }
  const { nextPageToken: token } = await client.readPage('a', { limit: 20 });
  const { clusterId } = await client.cluster.describe();
  await host.process.kill();
  rmSync(host.dataDirectory, { recursive: true });

  // A chunk that rots at its size, of the newest snapshot alone.
  const directory = path.join(repository, clusterId, '1');
  const manifests = readdirSync(path.join(directory, 'manifests')).sort();
  const chunksOf = (name: string): string[] =>
    (
      JSON.parse(readFileSync(path.join(directory, 'manifests', name), 'utf8')) as { chunks: { name: string }[] }
    ).chunks.map((chunk) => chunk.name);
  const older = new Set(manifests.slice(1).flatMap(chunksOf));
  const rotten = chunksOf(manifests[0]!).find((name) => !older.has(name))!;
  const rottenPath = path.join(directory, 'chunks', rotten);
  const bytes = readFileSync(rottenPath);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(rottenPath, bytes);
  const verified = await runHere(['snapshot', 'verify', '--repository', repository]);
  expect(verified.code).toBe(1);
  expect(verified.text).toContain(`damaged: ${clusterId}/1/chunks/${rotten}`);
  expect(verified.errors).toContain('(SNAPSHOT_CORRUPT)');

  const damaged = await restore(host);
  expect(errorOf(damaged)).toMatchObject({ reason: 'SNAPSHOT_CORRUPT' });
  expect(String(errorOf(damaged)['message'])).toContain(`--without ${manifests[0]}`);
  rmSync(host.dataDirectory, { recursive: true });
  const removed = await runHere(['snapshot', 'verify', '--repository', repository, '--remove-damaged']);
  expect([removed.code, removed.text.includes(`removed: ${clusterId}/1/chunks/${rotten}`)]).toEqual([1, true]);
  const restored = await restore(host);
  expect(restored.code, restored.errors).toBe(0);
  const [plan, partition] = jsonLines(restored.text);
  expect(partition).toMatchObject({
    snapshot: { lsn: archived[1] },
    skipped: [{ manifest: manifests[0], lsn: archived[2] }],
  });
  await host.start();
  const second = host.client(patient);
  expect(await contents(second, 'a')).toHaveLength(20);
  await second.append('a', ['new']);
  expect((await second.readPage('a', { pageToken: token })).recordCount).toBe(1);
  await second.cluster.createSnapshot(1);
  await host.process.kill();
  rmSync(host.dataDirectory, { recursive: true });

  // Once more, of the restored one: the oldest tokens are good still, up to where their history ends.
  const again = await restore(host, '--cluster', String(plan!['cluster_id']));
  expect(again.code, again.errors).toBe(0);
  await host.start();
  const last = host.client(patient);
  const texts = (await contents(last, 'a')).map(({ text }) => text);
  expect(texts).toEqual([...Array.from({ length: 20 }, (_, at) => textOf('a', at)), 'new']);
  expect((await last.readPage('a', { pageToken: token })).recordCount).toBe(1);
  const wrong = await ServerHost.make({ ...settingsWith(repository), partitions: 2 });
  wrong.spawn();
  await wrong.process.kill();
  rmSync(wrong.dataDirectory, { recursive: true, force: true });
  expect(errorOf(await restore(wrong, '--cluster', clusterId))).toMatchObject({ reason: 'SNAPSHOT_NOT_FOUND' });
  const nowhere = await runHere(['snapshot', 'verify', '--repository', temporaryDirectory()]);
  expect([nowhere.code, nowhere.errors.includes('is no snapshot repository')]).toEqual([1, true]);
});
