/** How three empty nodes become one cluster, and who is not let in. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { LogboomClient } from '../../src/client/index.js';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import { SeededRandom, testSeed } from './support/random.js';
import type { ServerHost } from './support/server-process.js';
import type { Settings } from './support/server-process.js';

const settings: Settings = {
  partitions: 2,
  wal: { segmentBytes: '1MiB', spareSegments: 0 },
  limits: { batchBytes: '384KiB', recordBytes: '256KiB' },
  disk: { lowWaterMarkBytes: 0 },
};

async function namesOf(client: LogboomClient): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of client.streams.list()) names.push(name);
  return names.toSorted();
}

async function until(isSo: () => boolean): Promise<void> {
  const untilMs = Date.now() + 60_000;
  while (!isSo()) {
    if (Date.now() > untilMs) throw new Error(`not within a minute: ${isSo.toString()}`);
    await pause(100);
  }
}

interface Record {
  readonly clusterId: string;
  readonly members: readonly { readonly id: number; readonly incarnation: string }[];
}

function recordOf(host: ServerHost): Record | undefined {
  try {
    return JSON.parse(readFileSync(path.join(host.dataDirectory, 'cluster.json'), 'utf8')) as Record;
  } catch {
    return undefined;
  }
}

test('a cluster is formed only when all listed nodes are there, and any node serves any request', async () => {
  const cluster = await ClusterHosts.make(settings);
  const [one, two, three] = cluster.hosts as [ServerHost, ServerHost, ServerHost];
  one.spawn();
  two.spawn();
  const waiting = await one.process.logged('the cluster is not formed yet', 30_000);
  expect(String(waiting['because'])).toMatch(/node [23] \(127\.0\.0\.1:\d+\) does not answer/);
  await pause(500);
  expect([one, two].map(recordOf)).toEqual([undefined, undefined]);
  three.spawn();
  await cluster.start();
  const records = cluster.hosts.map(recordOf);
  expect(records[0]?.members.map(({ id }) => id)).toEqual([1, 2, 3]);
  expect(records).toEqual([records[0], records[0], records[0]]);

  const clients = cluster.hosts.map((_, index) => cluster.client({}, index + 1));
  for (const [index, client] of clients.entries()) {
    const described = await client.cluster.describe();
    expect(described.clusterId).toBe(records[0]?.clusterId);
    expect(described.answeredBy).toBe(index + 1);
    expect(described.nodes.map(({ id, state }) => [id, state])).toEqual([1, 2, 3].map((id) => [id, 'ok']));
    await client.streams.create(`from-${index + 1}`);
  }
  // Two of three appends of each stream go through nodes that do not lead it.
  for (const [index, client] of clients.entries()) {
    for (let stream = 1; stream <= 3; stream++) {
      await client.append(`from-${stream}`, [Buffer.from(`through ${index + 1}`)]);
      const appender = await client.appender(`from-${stream}`, { producer: { id: `producer-${index}` } });
      for (let number = 0; number < 50; number++) void appender.append(Buffer.from(`${index + 1}: ${number}`));
      await appender.close();
    }
  }
  for (const client of clients) {
    expect(await namesOf(client)).toEqual(['from-1', 'from-2', 'from-3']);
    for (let stream = 1; stream <= 3; stream++) {
      const values: string[] = [];
      for await (const page of client.readPages(`from-${stream}`, { fromSeq: 0 })) {
        for (const { value } of page) values.push(value.toString());
      }
      expect(values).toEqual(
        [1, 2, 3].flatMap((node) => [
          `through ${node}`,
          ...Array.from({ length: 50 }, (_, number) => `${node}: ${number}`),
        ]),
      );
    }
    for (const { replicas } of await client.cluster.partitions()) {
      expect(replicas.map(({ nodeId }) => nodeId).toSorted()).toEqual([1, 2, 3]);
      expect(replicas.filter(({ role }) => role === 'leader')).toHaveLength(1);
      expect(replicas[0]?.trimHeldBecause).toContain('no snapshot repository is configured');
    }
  }
  // Another start asks nobody: two nodes are a quorum.
  await cluster.killAll();
  one.spawn();
  three.spawn();
  await cluster.ready([one, three]);
  const client = cluster.client({}, 3);
  expect((await client.streams.get('from-1')).nextSeq).toBe(153);
  const nodes = (await client.cluster.describe()).nodes;
  expect(nodes[1]?.state).toContain('unreachable: it does not answer');
  const replicas = (await client.cluster.partitions())[0]?.replicas ?? [];
  expect(replicas.find(({ nodeId }) => nodeId === 2)?.role).toBe('unreachable');
});

test('killed at any moment of the formation, nodes form one cluster or none', { timeout: 120_000 }, async () => {
  const random = new SeededRandom(testSeed());
  const rounds = Number(process.env['LOGBOOM_TEST_FORMATION_ROUNDS'] ?? 1);
  let withRecord = 0;
  for (let round = 0; round < rounds; round++) {
    const cluster = await ClusterHosts.make(settings);
    const seen = new Set<string>();
    const look = (): void => {
      for (const host of cluster.hosts) {
        const record = recordOf(host);
        if (record) seen.add(record.clusterId);
      }
    };
    for (let kills = 0; kills < 3; kills++) {
      for (const host of cluster.hosts) if (!host.isRunning) host.spawn();
      // Around the moment at which the first of them has a record.
      const untilMs = Date.now() + (random.below(2) === 0 ? 8000 : 500 + random.below(1500));
      while (Date.now() < untilMs && !cluster.hosts.some((host) => recordOf(host) !== undefined)) await pause(1);
      await pause(random.below(30));
      if (random.below(2) === 0) await cluster.killAll();
      else await random.pick(cluster.hosts).process.kill();
      look();
    }
    withRecord += seen.size;
    await cluster.start();
    look();
    expect(seen.size, `clusters of round ${round}, seed ${random.seed}`).toBe(1);
    await cluster.client().streams.create('works');
    await cluster.killAll();
  }
  console.log(
    `formation: ${rounds} rounds of 3 kills, seed ${random.seed}; ${withRecord} formed before the last start`,
  );
});

test('who is not let in: a wiped disk, and another cluster is not formed', { timeout: 120_000 }, async () => {
  const cluster = await ClusterHosts.make(settings);
  await cluster.start();
  const client = cluster.client({}, 1);
  await client.streams.create('kept');
  await client.append('kept', [Buffer.from('a')]);

  // A wiped disk with an old node id, also the founder's: with a quorum that knows better, it says what to do and stays out.
  for (const id of [3, 1]) {
    await cluster.node(id).process.kill();
    cluster.wipe(id);
    const wiped = cluster.node(id).spawn();
    await wiped.logged('the node has not joined the cluster yet', 60_000);
    expect(recordOf(cluster.node(id))).toBeUndefined();
    if (id === 1) break;
    await until(() => wiped.log.includes(`knows node ${id} with another data directory`));
    expect(wiped.log).toContain(`logboom cluster replace ${id}`);
    // The place of the wiped one is taken by nobody, and the others go on.
    expect((await client.streams.get('kept')).nextSeq).toBe(1);
  }
  // Nodes 1 and 3 are gone for good; what is left is no quorum, and no new cluster comes of it.
  const two = cluster.node(2);
  const known = recordOf(two);
  await pause(2000);
  expect([1, 3].map((id) => recordOf(cluster.node(id)))).toEqual([undefined, undefined]);
  expect(recordOf(two)).toEqual(known);
  await two.process.kill();
  // Without the list it is still a member of its cluster, and does not serve alone.
  const alone = two.spawn({ cluster: {} });
  await alone.started();
  const readiness = await fetch(`http://127.0.0.1:${two.port + 1}/readyz`, { signal: AbortSignal.timeout(2000) });
  expect(await readiness.text()).toContain('partition 0 has no leader');
  expect(recordOf(two)).toEqual(known);
});

test('links to a node of another cluster are refused, and carry nothing', { timeout: 120_000 }, async () => {
  const [first, second] = [await ClusterHosts.make(settings), await ClusterHosts.make(settings)];
  await first.start();
  await second.start();
  await second.client().streams.create('of-the-second');
  // Node 3 of the second cluster is pointed at nodes 1 and 2 of the first.
  const stray = second.node(3);
  await stray.process.kill();
  await second.node(1).process.kill();
  await second.node(2).process.kill();
  const nodes = [...first.listed.slice(0, 2), second.listed[2] ?? ''];
  const process = stray.spawn({ cluster: { nodes } });
  const refused = await process.logged('a link is refused', 30_000);
  expect(refused['reason']).toBe('CLUSTER_MISMATCH');
  await pause(1500);
  const readiness = await fetch(`http://127.0.0.1:${stray.port + 1}/readyz`, { signal: AbortSignal.timeout(2000) });
  expect(await readiness.text()).toContain('partition 0 has no leader');
  await first.client().streams.create('of-the-first');
  expect(await namesOf(first.client())).toEqual(['of-the-first']);
});
