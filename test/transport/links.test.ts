import { describe, expect, it } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asNodeId, asPartitionId } from '../../src/base/ids.js';
import { appendOf, connectAll, heartbeat, isConnected, startNode, statusOf, until } from './support/nodes.js';

const p1 = asPartitionId(1);

describe('messages', () => {
  it('of many partitions reach every node, in order, coalesced into few frames', async () => {
    const nodes = await Promise.all([1, 2, 3].map((id) => startNode(id)));
    connectAll(nodes);
    const [one, two, three] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
    await until(() => nodes.every((a) => nodes.every((b) => a === b || isConnected(a, b))), 'all links');
    for (let round = 0; round < 1000; round++) {
      one.links.send(two.id, asPartitionId(round % 256), [heartbeat(round)]);
      one.links.send(three.id, p1, [heartbeat(round)]);
    }
    const data = new Uint8Array(3_000_000).fill(5);
    one.links.send(two.id, p1, [appendOf(data)]);
    three.links.send(two.id, p1, [heartbeat(7)]);
    await until(() => two.delivered.length === 1002 && three.delivered.length === 1000, 'all messages');
    expect(two.delivered.filter(({ from }) => from === three.id)).toHaveLength(1);
    const fromOne = two.delivered.filter(({ from }) => from === one.id);
    expect(fromOne.slice(0, 1000).map(({ delivery }) => delivery)).toEqual(
      Array.from({ length: 1000 }, (_, round) => ({ partitionId: round % 256, message: heartbeat(round) })),
    );
    const last = fromOne[1000]!.delivery.message;
    const received = last.type === 'append' ? last.entries[0]!.data : new Uint8Array(0);
    expect(Buffer.compare(received, data)).toBe(0);
    expect(one.counters.get('logboom_link_sent_frames_total')).toBeLessThanOrEqual(4);
    expect(statusOf(one, two)).toMatchObject({
      state: 'connected',
      sentMessages: 1001,
      droppedMessages: 0,
      queueBytes: 0,
    });
    expect(statusOf(two, one)).toMatchObject({ receivedMessages: 1001, hello: { nodeId: 1, incarnation: 'i1' } });
    await until(() => statusOf(one, two).roundTripMs !== undefined, 'a ping');
  });

  it('of life reach every peer that is connected, and no other', async () => {
    const nodes = await Promise.all([1, 2, 3].map((id) => startNode(id)));
    const [one, two, three] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
    connectAll([one, two]);
    await until(() => isConnected(one, two), 'the link');
    one.links.sendPresence(2 ** 52);
    one.links.sendPresence(7);
    await until(() => two.signsOfLife.length === 2, 'signs of life');
    expect(two.signsOfLife).toEqual([2 ** 52, 7].map((epoch) => ({ from: one.id, epoch })));
    expect(three.signsOfLife).toEqual([]);
    expect(two.delivered).toEqual([]);
    expect(statusOf(one, two).sentMessages).toBe(0);
  });

  it('flow again after a peer was killed and comes back, and the loss is reported', async () => {
    const [one, two] = [await startNode(1), await startNode(2)];
    connectAll([one, two]);
    await until(() => isConnected(one, two) && isConnected(two, one), 'links');
    await two.links.stop();
    await until(() => statusOf(one, two).state === 'waiting', 'the link to break');
    expect(one.losses).toEqual([{ node: two.id, partitions: 'all' }]);
    expect(statusOf(one, two).lastFailure?.error.reason).toBe('NODE_UNREACHABLE');
    await expect(one.links.call(two.id, 'echo', new Uint8Array(1))).rejects.toMatchObject({
      reason: 'NODE_UNREACHABLE',
    });
    const again = await startNode(2, { port: two.address.port, identity: { incarnation: 'later' } });
    again.links.setPeer(one.id, one.address);
    await until(() => isConnected(one, again), 'the link to be back');
    one.links.send(again.id, p1, [heartbeat(5)]);
    await until(() => again.delivered.length === 1, 'a message');
    expect(statusOf(one, again).hello?.incarnation).toBe('later');
  });

  it('are dropped and reported once while the peer is away', async () => {
    const one = await startNode(1, { options: { backoffMinMs: 60_000, backoffMaxMs: 60_000 } });
    one.links.setPeer(asNodeId(2), { host: '127.0.0.1', port: 1 });
    await until(() => one.links.status[0]?.state === 'waiting', 'the attempt to fail');
    for (let round = 0; round < 5; round++) one.links.send(asNodeId(2), p1, [heartbeat(round)]);
    one.links.send(asNodeId(2), asPartitionId(2), [heartbeat(9)]);
    expect(one.losses.map(({ partitions }) => partitions)).toEqual([[1], [2]]);
    expect(one.links.status[0]).toMatchObject({ droppedMessages: 6, queueMessages: 0 });
  });

  it('do not wait for the backoff when the peer shows itself', async () => {
    const options = { backoffMinMs: 60_000, backoffMaxMs: 60_000 };
    const [one, two] = [await startNode(1, { options }), await startNode(2)];
    const { port } = two.address;
    await two.links.stop();
    one.links.setPeer(two.id, two.address);
    await until(() => statusOf(one, two).state === 'waiting', 'the attempt to fail');
    const again = await startNode(2, { port });
    again.links.setPeer(one.id, one.address);
    await until(() => isConnected(one, again), 'the link');
  });

  it('go to the new address of a peer, and nowhere once it is removed', async () => {
    const [one, old, moved] = [await startNode(1), await startNode(2), await startNode(2)];
    one.links.setPeer(old.id, old.address);
    await until(() => isConnected(one, old), 'the link');
    one.links.setPeer(moved.id, moved.address);
    await until(() => isConnected(one, moved), 'the new link');
    one.links.send(moved.id, p1, [heartbeat(1)]);
    await until(() => moved.delivered.length === 1, 'a message');
    expect(old.delivered).toEqual([]);
    one.links.removePeer(moved.id);
    one.links.send(moved.id, p1, [heartbeat(2)]);
    expect(one.links.status).toEqual([]);
    await expect(one.links.call(moved.id, 'echo', new Uint8Array(1))).rejects.toMatchObject({
      reason: 'NODE_UNREACHABLE',
      facts: { outcome: 'not-sent' },
    });
  });
});

describe('strangers', () => {
  it.each([
    ['another cluster', { clusterId: 'c2' }, undefined, 'CLUSTER_MISMATCH'],
    ['no cluster', { clusterId: undefined }, undefined, 'CLUSTER_MISMATCH'],
    ['an incarnation that is not admitted', { incarnation: 'wiped' }, undefined, 'DATA_DIRECTORY_MISMATCH'],
    ['a wrong idea of who is there', {}, asNodeId(3), 'NODE_MISMATCH'],
  ])('with %s are refused, and know why', async (_, identity, expected, reason) => {
    const one = await startNode(1, { identity });
    const two = await startNode(2, {
      admit: ({ incarnation }) =>
        incarnation === 'i1' ? undefined : new LogboomError('DATA_DIRECTORY_MISMATCH', 'replace the node first'),
    });
    one.links.setPeer(expected ?? two.id, two.address);
    await until(() => (two.counters.get('logboom_link_refused_total') ?? 0) >= 3, 'some refusals');
    expect(one.links.status[0]?.lastRefusal?.error.reason).toBe(reason);
    one.links.send(expected ?? two.id, p1, [heartbeat(1)]);
    expect(two.delivered).toEqual([]);
    expect(one.warnings).toEqual(['a link is refused']);
    expect(two.warnings).toEqual(['refused a stream of another node']);
  });

  it('at the other end are refused by the node that connects', async () => {
    const two = await startNode(2);
    const one = await startNode(1, { admit: () => new LogboomError('NODE_MISMATCH', 'that node was removed') });
    one.links.setPeer(two.id, two.address);
    await until(() => statusOf(one, two).lastRefusal !== undefined, 'the refusal');
    expect(isConnected(one, two)).toBe(false);
  });
});
