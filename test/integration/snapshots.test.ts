/**
 * Snapshots, trimming, and replicas that begin with a snapshot, at real processes that are killed at random moments.
 * LOGBOOM_TEST_SNAPSHOT_ROUNDS says how often: in each a leader dies, and a node that fetches a snapshot dies twice.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { exitOf, runHere, startProcess } from '../cli/command-runner.js';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { freePortPair } from './support/free-ports.js';
import { SeededRandom, testSeed } from './support/random.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { patient, replicaOn, settingsWith, until, WrittenCluster } from './support/written-cluster.js';

const asked = process.env['LOGBOOM_TEST_SNAPSHOT_ROUNDS'];
const rounds = Number(asked ?? 3);
/** No further round is begun after that, unless rounds were asked for. */
const roundsMs = asked === undefined ? 15_000 : Infinity;

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
