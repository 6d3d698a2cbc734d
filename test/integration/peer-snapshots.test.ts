/**
 * A node that has lost its disk, and a repository that is gone: what was trimmed is in the stores of the others alone, and the
 * node gets it from them, at real processes that are killed in the middle of it.
 */
import { renameSync } from 'node:fs';
import { expect, test } from 'vitest';
import { pause } from './support/cluster-hosts.js';
import { SeededRandom, testSeed } from './support/random.js';
import type { ServerHost } from './support/server-process.js';
import { temporaryDirectory } from './support/temporary-directory.js';
import { settingsWith, WrittenCluster } from './support/written-cluster.js';

const needsOne = 'the log of the group begins behind what this replica has: it needs a snapshot';
const offersOne = 'a snapshot is offered to replicas that need it';
const importedOne = 'the state of another replica was imported';

/** Slow enough for somebody to die in the middle. */
const slow = { bytesPerSecond: '1MiB' };

/** The first of these to say so. */
async function firstToLog(hosts: readonly ServerHost[], message: string): Promise<ServerHost> {
  return Promise.any(hosts.map(async (host) => (await host.process.logged(message, 60_000), host)));
}

/** Its disk is new, and what the repository held is nowhere any more. */
async function wipe(running: WrittenCluster, id: number, repository: string): Promise<ServerHost> {
  const { cluster, client } = running;
  await running.progress(400);
  await running.snapshotAndTrim();
  expect((await client.cluster.createSnapshot(0)).archivedLsn).toBeGreaterThan(0);
  renameSync(repository, `${repository}.gone`);
  await cluster.node(id).process.kill();
  cluster.wipe(id);
  const host = cluster.node(id);
  host.settings = { ...host.settings, ...settingsWith('', slow) };
  host.spawn();
  for (;;) {
    if ((await running.during(client.cluster.membership())).pending.length > 0) break;
    await pause(50);
  }
  await running.during(client.cluster.replaceNode(id));
  return host;
}

test(
  'a node that was wiped gets from another node what the repository has lost, whoever is killed when',
  { timeout: 240_000 },
  async () => {
    const random = new SeededRandom(testSeed());
    const repository = `${temporaryDirectory()}/repository`;
    const running = await WrittenCluster.start(settingsWith(repository, slow), random.seed);
    const { cluster } = running;
    const away = await running.follower();
    const others = cluster.hosts.filter((_, at) => at + 1 !== away);
    const host = await wipe(running, away, repository);

    // Who fetches dies, twice.
    for (let times = 0; times < 2; times++) {
      await host.process.logged(needsOne, 30_000);
      await pause(random.below(1500));
      await host.process.kill();
      host.spawn();
    }
    // Who offers dies, and another one leads by the time it is back.
    const supplier = await running.during(firstToLog(others, offersOne));
    await pause(random.below(500));
    await supplier.process.kill();
    await pause(random.below(2000));
    supplier.spawn();

    await running.settled(120_000);
    expect(await host.process.logged(importedOne, 1000)).toMatchObject({ level: 'info' });
    await running.check();
    for (const each of cluster.hosts) expect(await each.process.stop()).toEqual({ code: 0, signal: null });
  },
);
