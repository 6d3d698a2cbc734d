/** Where requests go, and for how long they follow a leader. */
import { describe, expect, test } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asNodeId, asPartitionId, asReplicaId } from '../../src/base/ids.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { initialCommand } from '../../src/server/cluster/cluster-start.js';
import { Leaders } from '../../src/server/forwarding/leaders.js';
import { streamNameOf } from '../../src/server/forwarding/stream-name.js';
import { decodeErrorInfo, encodeStatus } from '../../src/server/wire/status.js';
import type { ClusterView } from '../../src/server/forwarding/leaders.js';

const partition = asPartitionId(4);
const { clock } = nodeEnvironmentParts;

/** Replica 1 is here, on node 1; replicas 2 and 3 on nodes 2 and 3. */
class View implements ClusterView {
  readonly nodeId = asNodeId(1);
  leader = 0;
  isBecomingLeader = false;
  readonly watchers = new Set<() => void>();

  replicaOf = (): ReturnType<ClusterView['replicaOf']> => ({
    isLeader: this.leader === 1 && !this.isBecomingLeader,
    isBecomingLeader: this.isBecomingLeader,
    leader: asReplicaId(this.leader),
    watchLeadership: (onChange) => {
      this.watchers.add(onChange);
      return () => void this.watchers.delete(onChange);
    },
  });
  nodeOf: ClusterView['nodeOf'] = (_partition, replica) => (replica === 0 ? undefined : asNodeId(replica));
  leaderOf: ClusterView['leaderOf'] = () => undefined;
  watchLeaders: ClusterView['watchLeaders'] = () => () => {};
  addressOf: ClusterView['addressOf'] = (nodeId) => `n${nodeId}:7400`;

  elect(leader: number): void {
    this.leader = leader;
    for (const watcher of [...this.watchers]) watcher();
  }
}

const call = { signal: new AbortController().signal, isForwarded: false };
const forwarded = { ...call, isForwarded: true };
const carriers = {
  local: async (): Promise<string> => 'here',
  remote: async ({ address }: { readonly address: string }): Promise<string> => address,
};

describe('requests', () => {
  test('go to the leader, here or elsewhere', async () => {
    const view = new View();
    const leaders = new Leaders(view, clock);
    view.leader = 1;
    expect(await leaders.run(partition, call, carriers)).toBe('here');
    expect(await leaders.run(partition, forwarded, carriers)).toBe('here');
    view.leader = 3;
    expect(await leaders.run(partition, call, carriers)).toBe('n3:7400');
  });

  test('wait for a leader, and leave nothing behind', async () => {
    const view = new View();
    const leaders = new Leaders(view, clock);
    const answer = leaders.run(partition, call, carriers);
    setTimeout(() => view.elect(2), 20);
    expect(await answer).toBe('n2:7400');
    expect(view.watchers.size).toBe(0);
  });

  test('follow a leader that moves; a refusal that may have changed something is not sent again', async () => {
    const view = new View();
    const leaders = new Leaders(view, clock);
    view.leader = 2;
    const asked: string[] = [];
    const remote = async ({ address }: { readonly address: string }): Promise<string> => {
      asked.push(address);
      if (address === 'n3:7400') return 'there';
      setTimeout(() => view.elect(3), 5);
      throw new LogboomError('NOT_LEADER', 'no more', { facts: { partition } });
    };
    expect(await leaders.run(partition, call, { ...carriers, remote })).toBe('there');
    expect(asked).toEqual(['n2:7400', 'n3:7400']);
    const lost = (): Promise<string> => Promise.reject(new LogboomError('LEADERSHIP_LOST', 'who knows'));
    await expect(leaders.run(partition, call, { ...carriers, remote: lost })).rejects.toMatchObject({
      reason: 'LEADERSHIP_LOST',
    });
  });

  test('of another node are never sent on: NOT_LEADER names who leads', async () => {
    const view = new View();
    const leaders = new Leaders(view, clock);
    view.leader = 2;
    await expect(leaders.run(partition, forwarded, carriers)).rejects.toMatchObject({
      reason: 'NOT_LEADER',
      facts: { partition: 4, leader_node: 2, leader_address: 'n2:7400' },
    });
    view.leader = 0;
    await expect(leaders.run(partition, forwarded, carriers)).rejects.toMatchObject({
      reason: 'NOT_LEADER',
      facts: { partition: 4 },
      retryAfterMs: 100,
    });
  });

  test('end with the caller, and are refused after some time without a leader', async () => {
    const leaders = new Leaders(new View(), clock);
    const controller = new AbortController();
    setTimeout(() => controller.abort(new LogboomError('CANCELLED', 'gone')), 20);
    await expect(leaders.run(partition, { ...call, signal: controller.signal }, carriers)).rejects.toMatchObject({
      reason: 'CANCELLED',
    });
    await expect(leaders.await(partition, call.signal, clock.monotonicMs() + 60)).rejects.toMatchObject({
      reason: 'NOT_LEADER',
    });
  });
});

test("a replica's refusal is put in terms of nodes", () => {
  const view = new View();
  view.leader = 3;
  const leaders = new Leaders(view, clock);
  const inner = new LogboomError('NOT_LEADER', 'replica 3 leads', { facts: { partition: 4, leader: 3 } });
  expect(leaders.explained(inner).facts).toEqual({ partition: 4, leader_node: 3, leader_address: 'n3:7400' });
  const other = new LogboomError('QUEUE_FULL', 'full');
  expect(leaders.explained(other)).toBe(other);
});

test('a request that was sent here waits until the replica that was elected serves', async () => {
  const view = new View();
  const leaders = new Leaders(view, clock);
  const carriers = { local: async () => 'here', remote: async () => 'there' };
  view.isBecomingLeader = true;
  view.elect(1);
  const answer = leaders.run(partition, forwarded, carriers);
  await new Promise((resolve) => setTimeout(resolve, 5));
  view.isBecomingLeader = false;
  view.elect(1);
  expect(await answer).toBe('here');
  view.elect(2);
  await expect(leaders.run(partition, forwarded, carriers)).rejects.toMatchObject({ reason: 'NOT_LEADER' });
  // One that never comes to serve is not waited for for ever.
  view.isBecomingLeader = true;
  view.elect(1);
  const startedMs = performance.now();
  await expect(leaders.run(partition, forwarded, carriers)).rejects.toMatchObject({ reason: 'NOT_LEADER' });
  expect(performance.now() - startedMs).toBeGreaterThan(900);
  expect(view.watchers.size).toBe(0);
});

test('the stream of a request is read in place', () => {
  expect(streamNameOf(Buffer.from('0a03616263', 'hex'))).toBe('abc');
  // Another field before it, the last of two counts, none at all, and no message.
  expect(streamNameOf(Buffer.from('12020102' + '0a0161' + '0a0162', 'hex'))).toBe('b');
  expect(streamNameOf(Buffer.alloc(0))).toBe('');
  expect(streamNameOf(Buffer.from('0a05', 'hex'))).toBeUndefined();
});

test('the reason and the facts of an error come back from its encoding', () => {
  const error = new LogboomError('NOT_LEADER', 'node 2 leads', {
    facts: { partition: 1, leader_node: 2 },
    retryAfterMs: 5,
  });
  expect(decodeErrorInfo(encodeStatus(error))).toEqual({
    reason: 'NOT_LEADER',
    facts: { partition: '1', leader_node: '2' },
  });
  expect(decodeErrorInfo(Buffer.from('00', 'hex'))).toBeUndefined();
  expect(decodeErrorInfo(undefined)).toBeUndefined();
});

test('every member would begin the metadata with the same entry', () => {
  const members = [1, 2, 3].map((id) => ({
    id: asNodeId(id),
    name: `node-${id}`,
    zone: 'default',
    incarnation: `0000000000000${id}`,
    advertisedAddresses: [`n${id}:7400`],
    linkAddress: `n${id}:7402`,
    softwareVersion: '0.1.0',
    featureLevel: id,
    repositoryId: '',
  }));
  const record = { clusterId: '00000000000abc', formedUnixMs: 1, partitionCount: 4, replicationFactor: 3, members };
  const command = initialCommand(record);
  expect(command.featureLevel).toBe(1);
  expect(command.partitions).toHaveLength(5);
  expect(command.partitions[0]).toEqual({
    id: 0,
    replicas: [1, 2, 3].map((id) => ({ replicaId: id, nodeId: id })),
  });
  for (const { replicas } of command.partitions) {
    expect(replicas.map(({ nodeId }) => nodeId).toSorted()).toEqual([1, 2, 3]);
  }
});
