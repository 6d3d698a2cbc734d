import { describe, expect, test } from 'vitest';
import { diagnose, leaderOf, replicaLag } from '../../src/cli/cluster-diagnosis.js';
import type { NodeInfo, PartitionInfo, ReplicaInfo } from '../../src/client/index.js';

const node = (id: number, state = 'ok'): NodeInfo =>
  ({ id, name: `n${id}`, state, advertisedAddresses: [`127.0.0.1:${7400 + id}`] }) as unknown as NodeInfo;

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

test('of two that believe to lead, the one elected last does; lag counts from its commit LSN', () => {
  const old = replica(1, 'leader', { term: 2, commitLsn: 50 });
  const current = replica(2, 'leader', { term: 3, commitLsn: 90, appliedLsn: 90 });
  const follower = replica(3, 'follower', { appliedLsn: 70 });
  expect(leaderOf(partition(1, old, current, follower))).toBe(current);
  expect(replicaLag(follower, current)).toBe(20);
  expect(replicaLag(silent(1), current)).toBeUndefined();
  expect(replicaLag(follower, undefined)).toBeUndefined();
});
