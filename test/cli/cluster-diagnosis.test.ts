import { describe, expect, test } from 'vitest';
import { diagnose, leaderOf, replicaLag } from '../../src/cli/cluster-diagnosis.js';
import type { NodeInfo, PartitionInfo, ReplicaInfo } from '../../src/client/index.js';

const node = (id: number, state = 'ok'): NodeInfo =>
  ({
    id,
    name: `n${id}`,
    state,
    advertisedAddresses: [`127.0.0.1:${7400 + id}`],
    walBytes: 64 << 20,
    diskFreeBytes: 50 * 2 ** 30,
  }) as unknown as NodeInfo;

const replica = (nodeId: number, role: string, more: Partial<ReplicaInfo> = {}): ReplicaInfo =>
  ({
    replicaId: nodeId,
    nodeId,
    role,
    term: role === 'unreachable' ? 0 : 3,
    commitLsn: role === 'unreachable' ? 0 : 100,
    appliedLsn: role === 'unreachable' ? 0 : 100,
    stateHash: 'aa',
    trimHeldBecause: '',
    snapshotFailure: '',
    fault: '',
    ...more,
  }) as ReplicaInfo;

const partition = (id: number, ...replicas: ReplicaInfo[]): PartitionInfo => ({
  id,
  replicas,
  slotCount: 1,
  streamCount: 0,
});
const silent = (nodeId: number): ReplicaInfo => replica(nodeId, 'unreachable', { fault: 'node: it does not answer' });
const unreachable = 'unreachable: it does not answer';

describe('what a cluster lacks', () => {
  const whole = partition(1, replica(1, 'leader'), replica(2, 'follower'), replica(3, 'follower'));

  test('nothing', () => expect(diagnose([node(1), node(2), node(3)], [whole])).toEqual([]));

  test('a node, with nothing left in reserve', () => {
    const nodes = [node(1), node(2), node(3, unreachable)];
    const some = partition(2, replica(1, 'leader'), replica(2, 'follower'), silent(3));
    const findings = diagnose(nodes, [whole, some]);
    expect(findings.map(({ severity }) => severity)).toEqual(['degraded', 'degraded']);
    expect(findings[0]?.what).toBe('node 3 (n3): it does not answer');
    expect(findings[1]).toMatchObject({
      what: 'partition 2: one more node that fails stops appends and reads',
      action: 'Bring n3 back.',
    });
  });

  test('a node of five, with one more in reserve', () => {
    const nodes = [1, 2, 3, 4].map((id) => node(id)).concat(node(5, unreachable));
    const replicas = [replica(1, 'leader'), ...[2, 3, 4].map((id) => replica(id, 'follower')), silent(5)];
    expect(diagnose(nodes, [partition(1, ...replicas)])).toHaveLength(1);
  });

  test('a majority', () => {
    const nodes = [node(1), node(2, unreachable), node(3, unreachable)];
    const lost = [1, 2].map((id) => partition(id, replica(1, 'pre-candidate'), silent(2), silent(3)));
    const [worst] = diagnose(nodes, lost);
    expect(worst).toMatchObject({ severity: 'blocked', action: expect.stringContaining('n2, n3') as string });
    expect(worst?.what).toMatch(/^all 2 partitions: a majority/);
  });

  test('a leader', () => {
    const waiting = partition(7, replica(1, 'candidate'), replica(2, 'follower'), replica(3, 'follower'));
    expect(diagnose([node(1), node(2), node(3)], [whole, waiting])).toEqual([
      expect.objectContaining({
        severity: 'blocked',
        what: expect.stringMatching(/^partition 7: no leader/) as string,
      }),
    ]);
  });

  test('room on a disk, a replica that is well, content that agrees, speed, trimming', () => {
    const nodes = [node(1, 'disk full: 1 MiB free'), node(2), node(3)];
    const findings = diagnose(nodes, [
      partition(1, replica(1, 'leader', { trimHeldBecause: 'no repository' }), replica(2, 'stopped', { fault: 'I/O' })),
      partition(2, replica(1, 'leader'), replica(2, 'follower', { stateHash: 'bb' }), replica(3, 'follower')),
      partition(3, replica(1, 'leader', { commitLsn: 60_000, appliedLsn: 60_000 }), replica(2, 'follower')),
    ]);
    expect(findings.map(({ severity, what }) => `${severity}: ${what}`)).toEqual([
      'blocked: node 1 (n1): disk full: 1 MiB free',
      "blocked: partition 2 on n2: at LSN 100 its content differs from the leader's",
      'degraded: partition 1 on n2: I/O',
      'degraded: partition 3 on n2 is 59,900 entries behind',
      'note: partition 1: the log is not trimmed: no repository',
    ]);
  });
});

describe('snapshots and trimming', () => {
  const plain = { fromReplica: 0, preparing: false };
  const nodes = [node(1), node(2), node(3)];
  const led = (id: number, more: Partial<ReplicaInfo>): PartitionInfo =>
    partition(id, replica(1, 'leader', more), replica(2, 'follower'), replica(3, 'follower'));
  const fetching = (bootstrap: ReplicaInfo['bootstrap']): PartitionInfo =>
    partition(4, replica(1, 'leader'), replica(2, 'follower'), replica(3, 'follower', { appliedLsn: 3, bootstrap }));

  test('a replica that fetches a snapshot, and what to do when it cannot', () => {
    const progress = { lsn: 90, bytesDone: 1 << 20, bytesTotal: 4 << 20 };
    expect(diagnose(nodes, [fetching({ ...plain, neededLsn: 80, progress, problem: '' })])).toEqual([
      {
        severity: 'degraded',
        what: 'partition 4 on n3 is fetching a snapshot of LSN 90, 1.0 MiB of 4.0 MiB (25 %)',
        action: expect.stringMatching(/^Nothing to do/) as string,
      },
    ]);
    const actionFor = (problem: string): string =>
      diagnose(nodes, [fetching({ ...plain, neededLsn: 80, progress: undefined, problem })])[0]!.action;
    expect(actionFor('no snapshot repository is configured: set ...')).toMatch(
      /^Set snapshots\.repository on that node/,
    );
    expect(actionFor('... and the repository has no snapshot of that LSN or a later one: ...')).toMatch(/create 4/);
    expect(actionFor('ENOSPC: no space left on device')).toMatch(/^Make room/);
    expect(actionFor('...; the leader of the group is not known')).toMatch(/^Bring back nodes/);
    expect(actionFor('...; from replica 1, ...: its index points to; no snapshot is made of it')).toMatch(
      /^The data of/,
    );
    expect(actionFor('...; from replica 1, ...: a value of ... fails its checksum (key 00)')).toMatch(/^The data of/);
    expect(actionFor('anything else')).toMatch(/docs\/recovery\.md/);
    expect(diagnose(nodes, [fetching({ ...plain, neededLsn: 80, progress: undefined, problem: 'x' })])[0]!.what).toBe(
      'partition 4 on n3 needs a snapshot of LSN 80 or a later one; the last attempt failed: x',
    );
  });

  test('a snapshot that failed is told once, not as a reason of trimming again', () => {
    const failure = { snapshotFailure: 'disk quota', trimHeldBecause: 'the last snapshot failed: disk quota' };
    const findings = diagnose(nodes, [led(1, failure), led(2, failure), led(3, {})]);
    expect(findings.map(({ severity, what }) => `${severity}: ${what}`)).toEqual([
      'degraded: partitions 1, 2: the last snapshot failed: disk quota',
    ]);
  });

  test('what holds trimming is a note with what to do, one for each reason', () => {
    const reason = "the node has not proved that it sees this leader's snapshot repository";
    const trimHeldBecause = `the last snapshot failed: a; b; replica 2: ${reason}`;
    const findings = diagnose(nodes, [led(1, { trimHeldBecause }), led(2, { trimHeldBecause })]);
    expect(findings).toEqual([
      {
        severity: 'note',
        what: `all 2 partitions: the log is not trimmed: replica 2: ${reason}`,
        action: expect.stringMatching(/same place/) as string,
      },
    ]);
  });

  test('a log that is larger than what is free on its disk', () => {
    const full = { ...node(2), walBytes: 30 * 2 ** 30, diskFreeBytes: 20 * 2 ** 30 };
    const held = led(1, { trimHeldBecause: 'trim.mode is none' });
    expect(diagnose([node(1), full, node(3)], [held]).map(({ severity, what }) => `${severity}: ${what}`)).toEqual([
      'degraded: node 2 (n2): its log has 30.0 GiB, and 20.0 GiB of its disk are free',
      'note: partition 1: the log is not trimmed: trim.mode is none',
    ]);
    expect(diagnose([full], [led(1, {})])[0]!.action).toMatch(/partition list/);
    // Of a node that does not answer nothing is known.
    expect(diagnose([{ ...node(1), walBytes: 0, diskFreeBytes: 0 }], [led(1, {})])).toEqual([]);
  });
});

test('of two that believe to lead, the one elected last does; lag counts from its commit LSN', () => {
  const old = replica(1, 'leader', { term: 2, commitLsn: 50 });
  const current = replica(2, 'leader', { term: 3, commitLsn: 90, appliedLsn: 90 });
  const follower = replica(3, 'follower', { appliedLsn: 70 });
  expect(leaderOf(partition(1, old, current, follower))).toBe(current);
  expect(replicaLag(follower, current)).toBe(20);
  expect(replicaLag(silent(1), current)).toBeUndefined();
  expect(replicaLag(follower, undefined)).toBeUndefined();
});
