import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isLogboomError, LogboomClient, LogboomError, noLogger } from '../../src/client/index.js';
import type { ClientOptions } from '../../src/client/index.js';
import { ClusterMap } from '../../src/client/cluster-map.js';
import { ClientError } from '../../src/client/errors.js';
import { MapRefresh } from '../../src/client/map-refresh.js';
import type { ClusterDescription } from '../../src/client/messages.js';
import { Routes } from '../../src/client/routes.js';
import { Suspects } from '../../src/client/suspects.js';
import { FakeCluster } from './fake-cluster.js';
import { Refusal } from './fake-server.js';

const retry = { attemptsMax: 6, initialDelayMs: 5, delayMsMax: 20 };
let cluster: FakeCluster;
let client: LogboomClient;

const connect = (options: ClientOptions = {}): LogboomClient =>
  (client = new LogboomClient({ address: cluster.nodes[0]!.address, codec: 'none', retry, ...options }));

/** The table is known, and the leader has answered. */
async function known(): Promise<void> {
  await client.cluster.describe();
  await (await client.appender('s')).close();
}

beforeEach(async () => {
  cluster = await FakeCluster.start();
  cluster.nodes[0]!.add('s');
  connect();
});
afterEach(async () => {
  await client.close().catch(() => {});
  await cluster.stop();
});

describe('requests', () => {
  test('go to the leader once the table is known, also when only another node was named', async () => {
    cluster.leader = 2;
    await known();
    for (let count = 0; count < 5; count++) await client.streams.get('s');
    await client.append('s', ['a']);
    expect(cluster.counts('GetStream')).toEqual([0, 0, 5]);
    expect(cluster.counts('Append')).toEqual([0, 0, 1]);
  });

  test('do not wait for the table: the first one goes to any node', async () => {
    cluster.leader = 2;
    for (const node of cluster.nodes) {
      const check = node.before;
      node.before = (method, request, count) =>
        method === 'DescribeCluster' ? new Promise(() => {}) : check(method, request, count);
    }
    expect((await client.streams.get('s')).name).toBe('s');
    expect(cluster.counts('GetStream')).toEqual([1, 0, 0]);
  });

  test('follow the hint of a node that refuses, and remember it', async () => {
    cluster.told = () => undefined;
    cluster.leader = 1;
    await client.cluster.describe();
    cluster.refuses = true;
    for (let count = 0; count < 3; count++) await client.streams.get('s');
    expect(cluster.counts('GetStream')).toEqual([1, 3, 0]);
  });

  test('follow the hint of a node that refuses, also without a table', async () => {
    for (const node of cluster.nodes) node.cluster = () => ({});
    cluster.leader = 2;
    cluster.refuses = true;
    connect({ addresses: cluster.addresses() });
    for (let count = 0; count < 3; count++) await client.streams.get('s');
    expect(cluster.counts('GetStream')).toEqual([1, 0, 3]);
  });

  test('turn to any other node when the hint leads to a dead one', async () => {
    cluster.leader = 1;
    await known();
    await cluster.nodes[1]!.stop();
    cluster.nodes[0]!.before = (method, _request, count) => {
      if (method === 'GetStream' && count === 1)
        throw new Refusal('NOT_LEADER', { leader_address: cluster.nodes[1]!.address });
    };
    expect((await client.streams.get('s')).name).toBe('s');
    expect((await client.streams.get('s')).name).toBe('s');
  });

  test('end when nodes name each other', async () => {
    cluster.told = () => undefined;
    await client.cluster.describe();
    for (const [index, node] of cluster.nodes.entries()) {
      node.before = (method) => {
        if (method === 'DescribeCluster') return;
        throw new Refusal('NOT_LEADER', { leader_address: cluster.nodes[(index + 1) % 2]!.address });
      };
    }
    await expect(client.streams.get('s')).rejects.toSatisfy((error) => isLogboomError(error, 'NOT_LEADER'));
    const counts = cluster.counts('GetStream');
    expect(counts[0]! + counts[1]! + counts[2]!).toBe(retry.attemptsMax);
  });

  test('that end in vain tell what a node has said, rather than that others are gone', async () => {
    cluster.nodes[2]!.before = (method) => {
      if (method !== 'DescribeCluster') throw new Refusal('NOT_LEADER');
    };
    await Promise.all([cluster.nodes[0]!.stop(), cluster.nodes[1]!.stop()]);
    connect({ addresses: cluster.addresses() });
    await expect(client.streams.get('s')).rejects.toSatisfy((error) => isLogboomError(error, 'NOT_LEADER'));
  });

  test('of a node alone stay at the address that was given, whatever it advertises', async () => {
    const [alone] = cluster.nodes;
    alone!.cluster = () => ({
      nodes: [{ id: 1, advertisedAddresses: ['198.51.100.1:7400'] }],
      slotPartitions: [1],
      leaders: [{ partition: 1, node: 1, term: 3 }],
    });
    await client.cluster.describe();
    for (let count = 0; count < 3; count++) await client.streams.get('s');
    expect(alone!.count('GetStream')).toBe(3);
    expect(client.address).toBe(alone!.address);
  });

  test('are taken from a leader that stands still to the one that leads by then', async () => {
    cluster.leader = 1;
    await known();
    const stands = cluster.nodes[1]!;
    stands.before = (): Promise<void> => new Promise(() => {});
    cluster.leader = 2;
    cluster.term = 2;
    const startedMs = performance.now();
    expect((await client.streams.get('s')).name).toBe('s');
    expect(performance.now() - startedMs).toBeLessThan(6000);
    expect(stands.count('GetStream')).toBe(1);
  });

  test('are not risked on an address that nobody has reached from here', async () => {
    const accepted: Socket[] = [];
    const silent = createServer((socket) => void accepted.push(socket)).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port } = silent.address() as AddressInfo;
    cluster.leader = 1;
    const describeCluster = cluster.nodes[0]!.cluster;
    cluster.nodes[0]!.cluster = () => {
      const description = describeCluster() as { nodes: { id: number; advertisedAddresses: string[] }[] };
      description.nodes[1]!.advertisedAddresses = [`127.0.0.1:${port}`];
      return description;
    };
    await client.cluster.describe();
    const startedMs = performance.now();
    for (let count = 0; count < 20; count++) await client.append('s', ['not to be sent twice']);
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect(cluster.counts('Append')).toEqual([20, 0, 0]);
    expect(accepted.length).toBeLessThan(3);
    for (const socket of accepted) socket.destroy();
    silent.close();
  });

  test('wait for a node that is only slow', async () => {
    await client.cluster.describe();
    cluster.nodes[0]!.before = async (method) => {
      if (method === 'GetStream') await new Promise((resolve) => setTimeout(resolve, 2500));
    };
    expect((await client.streams.get('s')).name).toBe('s');
    expect(cluster.counts('GetStream')).toEqual([1, 0, 0]);
  });
});

describe('appenders', () => {
  test('send to the leader from the first batch on', async () => {
    cluster.leader = 1;
    const appender = await client.appender('s');
    await appender.append('a');
    expect(cluster.counts('AppendSession')).toEqual([0, 1, 0]);
  });

  test('move to another leader between batches, without loss or repeat', async () => {
    const appender = await client.appender('s');
    const values = Array.from({ length: 300 }, (_, index) => `v${index}`);
    for (const [index, value] of values.entries()) {
      const stored = appender.append(value);
      if (index === 100) {
        cluster.leader = 2;
        cluster.term = 2;
        await client.cluster.describe();
      }
      if (index % 10 === 0) await stored;
      else stored.catch(() => {});
    }
    await appender.close();
    expect(cluster.nodes[0]!.values('s')).toEqual(values);
    const before = cluster.nodes[2]!.count('AppendSession');
    expect(before).toBeGreaterThan(0);
  });

  test('survive leaders that die one after another, with no loss, no repeat, and in order', async () => {
    const appender = await client.appender('s');
    const values: string[] = [];
    for (let round = 0; round < 4; round++) {
      const dying = cluster.nodes[cluster.leader]!;
      for (let count = 0; count < 50; count++) {
        values.push(`${round}-${count}`);
        appender.enqueue(values.at(-1)!);
        if (count === 20) await appender.flush();
        if (count === 30) await dying.stop();
      }
      cluster.leader = (cluster.leader + 1) % 3;
      cluster.term += 1;
      await appender.flush();
      await dying.start();
    }
    await appender.close();
    expect(cluster.nodes[0]!.values('s')).toEqual(values);
  });

  test('are taken from a leader that stands still', async () => {
    cluster.leader = 1;
    const appender = await client.appender('s');
    await appender.append('a');
    cluster.nodes[1]!.before = (): Promise<void> => new Promise(() => {});
    cluster.leader = 2;
    cluster.term = 2;
    await appender.append('b');
    await appender.append('c');
    expect(cluster.nodes[0]!.values('s')).toEqual(['a', 'b', 'c']);
    await appender.close();
  });
});

describe('tails', () => {
  test('go on at another node when the leader dies', async () => {
    cluster.leader = 1;
    await client.append('s', ['a']);
    const seen: string[] = [];
    for await (const record of client.tail('s', { fromSeq: 0 })) {
      seen.push(record.text);
      if (seen.length === 1) {
        await cluster.nodes[1]!.stop();
        cluster.leader = 2;
        cluster.term = 2;
        await client.append('s', ['b', 'c'], { producer: { id: 'p', firstRecordNumber: 0 } });
      }
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(cluster.nodes[1]!.count('Tail')).toBe(1);
  });
});

const description = (leaders: ClusterDescription['leaders'], clusterId = 'c'): ClusterDescription =>
  ({
    clusterId,
    nodes: [1, 2, 3].map((id) => ({ id, advertisedAddresses: [`node:${id}`] })),
    slotPartitions: [7],
    answeredBy: 1,
    limits: undefined,
    leaders,
  }) as unknown as ClusterDescription;

describe('what is known of the cluster', () => {
  test('an older answer does not replace a newer one', () => {
    const map = new ClusterMap();
    map.learn(description([{ partition: 7, node: 2, term: 5 }]));
    map.learn(description([{ partition: 7, node: 1, term: 4 }]));
    expect(map.leaderOf(map.partitionOf('any'))).toBe('node:2');
    map.learn(description([]));
    expect(map.leaderOf(7)).toBe('node:2');
    map.learn(description([{ partition: 7, node: 3, term: 6 }]));
    expect(map.leaderOf(7)).toBe('node:3');
  });

  test('another cluster at the same addresses begins anew', () => {
    const map = new ClusterMap();
    map.learn(description([{ partition: 7, node: 2, term: 5 }]));
    map.learn(description([{ partition: 7, node: 1, term: 1 }], 'other'));
    expect(map.leaderOf(7)).toBe('node:1');
  });

  test('an address that fails is left alone for a time that doubles, and is tried again', () => {
    let nowMs = 0;
    const routes = new Routes(['node:1'], new Suspects(() => nowMs));
    routes.learn(description([{ partition: 7, node: 2, term: 5 }]));
    const lost = new ClientError('CONNECTION_LOST', '');
    expect(routes.route('any').address).toBe('node:1');
    expect(routes.unprovenLeader(routes.route('any'))).toBe('node:2');
    routes.answered('node:2');
    expect(routes.route('any').address).toBe('node:2');
    expect(routes.failed(routes.route('any'), lost)).toBe(true);
    for (const forMs of [500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
      nowMs += forMs - 1;
      expect(routes.route('any').address).toBe('node:1');
      expect(routes.unprovenLeader(routes.route('any'))).toBeUndefined();
      nowMs += 1;
      expect(routes.unprovenLeader(routes.route('any'))).toBe('node:2');
      routes.failed({ address: 'node:2', partition: 7 }, lost);
    }
  });

  test('refusals that another node would repeat change nothing', () => {
    const routes = new Routes(['node:1']);
    routes.learn(description([{ partition: 7, node: 2, term: 5 }]));
    routes.answered('node:2');
    expect(routes.failed(routes.route('any'), new LogboomError('QUEUE_FULL', ''))).toBe(false);
    expect(routes.failed(routes.route('any'), new LogboomError('STREAM_NOT_FOUND', ''))).toBe(false);
    expect(routes.route('any').address).toBe('node:2');
  });

  test('is asked for at a bounded rate, one question at a time', async () => {
    let nowMs = 100_000;
    const describeNode = vi.fn((_address: string) => Promise.resolve(description([])));
    const routes = new Routes(['node:1']);
    const refresh = new MapRefresh({ routes, logger: noLogger, describe: describeNode, nowMs: () => nowMs });
    const asked: number[] = [];
    for (let step = 0; step < 2000; step++) {
      nowMs += 10;
      const before = describeNode.mock.calls.length;
      refresh.used(true);
      refresh.used(true);
      if (describeNode.mock.calls.length > before) asked.push(nowMs - 100_000);
      await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(asked.slice(0, 6)).toEqual([10, 210, 610, 1410, 3010, 6210]);
    expect(describeNode.mock.calls.length).toBeLessThan(9);
  });

  test('grows old after ten seconds, and not before', async () => {
    let nowMs = 0;
    const describeNode = vi.fn((_address: string) => Promise.resolve(description([])));
    const routes = new Routes(['node:1']);
    const refresh = new MapRefresh({ routes, logger: noLogger, describe: describeNode, nowMs: () => nowMs });
    const asked: number[] = [];
    for (nowMs = 0; nowMs < 25_000; nowMs += 1000) {
      const before = describeNode.mock.calls.length;
      refresh.used(false);
      if (describeNode.mock.calls.length > before) asked.push(nowMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(asked).toEqual([0, 11_000, 22_000]);
  });
});
