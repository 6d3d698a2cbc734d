/** Where metadata itself is: on every node, and few of them vote. The moves are applied by the state machine. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asNodeId } from '../../src/base/ids.js';
import { nextMove } from '../../src/metadata/index.js';
import type { InitializeClusterCommand, Liveness, Move } from '../../src/metadata/index.js';
import { Cluster, clusterId, describeNode, initialize } from './support/cluster.js';

const nowMs = 10_000_000;

/** All voters of metadata, and one partition of streams on as many nodes as there may be replicas. */
function founded(count: number, replicationFactor = 1): Cluster {
  const nodes = Array.from({ length: count }, (_, at) => describeNode(at + 1));
  const command: InitializeClusterCommand = initialize(nodes, 1, replicationFactor);
  const cluster = new Cluster();
  cluster.accept({
    ...command,
    partitions: command.partitions.map((partition) =>
      partition.id === 0 ? { id: 0, replicas: nodes.map(({ id }) => ({ replicaId: id, nodeId: id })) } : partition,
    ),
  });
  return cluster;
}

/** Every node of the table but these is alive. */
function livenessOf({ state }: Cluster, dead: readonly number[] = []): Liveness {
  const seen = [...state.nodes.keys()].map((id) => {
    const lastSeenMs = dead.includes(id) ? nowMs - 400_000 : nowMs;
    return [id, { lastSeenMs, upSinceMs: 0 }] as const;
  });
  return { nowMs, nodes: new Map(seen) };
}

let requests = 0;

function propose(cluster: Cluster, { partitionId, expectedVersion, desired }: Move): void {
  cluster.accept({ type: 'set-placement', partitionId, expectedVersion, desired, requestId: (requests += 1) });
}

/** What the group's leader would report, had it done everything. */
function settle(cluster: Cluster): void {
  for (const { id, replicas } of cluster.state.partitions.values()) {
    for (const { replicaId, state } of replicas) {
      const report = { partitionId: id, replicaId };
      if (state === 'joining') cluster.accept({ type: 'replica-joined', ...report });
      else if (state !== 'settled') cluster.accept({ type: 'replica-removed', ...report });
    }
  }
}

/** Moves until there is none, after what was wanted before has come to pass; answers the reasons. */
function toEnd(cluster: Cluster, dead: readonly number[] = []): string[] {
  const reasons: string[] = [];
  settle(cluster);
  for (let move; (move = nextMove(cluster.state, livenessOf(cluster, dead))) !== undefined;) {
    if (reasons.length > 100) throw new Error(`it does not end: ${reasons.slice(-5).join(', ')}`);
    propose(cluster, move);
    settle(cluster);
    if (move.partitionId === 0) reasons.push(move.reason);
  }
  return reasons;
}

const join = (cluster: Cluster, id: number): void =>
  void cluster.accept({ type: 'register-node', clusterId, node: describeNode(id) });
const votersOf = (cluster: Cluster): number[] =>
  cluster
    .partition(0)
    .replicas.filter(({ role }) => role === 'voter')
    .map(({ nodeId }) => nodeId)
    .toSorted((one, other) => one - other);
const drain = (cluster: Cluster, nodeId: number): void =>
  void cluster.accept({ type: 'drain-node', nodeId, drain: true, expectedVersion: undefined });
const remove = (cluster: Cluster, nodeId: number): string =>
  cluster.reasonOf({ type: 'remove-node', nodeId, expectedVersion: undefined });

describe('metadata', () => {
  test('a fourth node learns, a fifth makes five that vote', () => {
    const cluster = founded(3);
    join(cluster, 4);
    expect(toEnd(cluster)).toEqual(['metadata-replica']);
    expect(cluster.replicas(0).at(-1)).toBe('4@4 learner settled');
    join(cluster, 5);
    expect(toEnd(cluster)).toEqual(['metadata-replica', 'metadata-voter', 'metadata-voter']);
    expect(votersOf(cluster)).toEqual([1, 2, 3, 4, 5]);
  });

  test('a node that is emptied votes until it is removed, and another one votes before that', () => {
    const cluster = founded(3);
    join(cluster, 4);
    toEnd(cluster);
    drain(cluster, 1);
    expect(toEnd(cluster)).toContain('metadata-voter');
    expect(votersOf(cluster)).toEqual([1, 2, 3, 4]);
    expect(remove(cluster, 1)).toBe('applied');
    expect(cluster.replicas(0)).toContain('1@1 voter leaving');
    settle(cluster);
    expect(votersOf(cluster)).toEqual([2, 3, 4]);
    expect(toEnd(cluster)).toEqual([]);
  });

  test('a dead voter is replaced by one that learns, and learns when it comes back', () => {
    const cluster = founded(3);
    join(cluster, 4);
    toEnd(cluster);
    expect(toEnd(cluster, [2])).toEqual(['dead-node']);
    expect(votersOf(cluster)).toEqual([1, 3, 4]);
    expect(toEnd(cluster)).toEqual(['metadata-replica']);
    expect(cluster.replicas(0).at(-1)).toBe('5@2 learner settled');
  });

  test('one that dies on its way to vote is given up for another', () => {
    const cluster = founded(3);
    for (const id of [4, 5]) join(cluster, id);
    for (;;) {
      const move = nextMove(cluster.state, livenessOf(cluster));
      if (move?.reason !== 'metadata-replica') break;
      propose(cluster, move);
      settle(cluster);
    }
    propose(cluster, nextMove(cluster.state, livenessOf(cluster))!);
    expect(cluster.replicas(0)).toContain('4@4 voter joining');
    expect(nextMove(cluster.state, livenessOf(cluster))?.partitionId).not.toBe(0);
    expect(nextMove(cluster.state, livenessOf(cluster, [4]))).toMatchObject({ reason: 'redirect', from: 4, to: 5 });
  });

  test('without a majority nothing changes', () => {
    const cluster = founded(3);
    join(cluster, 4);
    toEnd(cluster);
    expect(toEnd(cluster, [1, 2])).toEqual([]);
    drain(cluster, 3);
    expect(toEnd(cluster, [1, 2])).toEqual([]);
  });

  test('removing a node must leave a majority of the voters', () => {
    const cluster = founded(2);
    cluster.accept({ type: 'drain-node', nodeId: 2, drain: true, expectedVersion: undefined });
    toEnd(cluster);
    expect(remove(cluster, 2)).toBe('QUORUM_WOULD_BE_LOST');
  });

  test('whatever comes and goes: every node has it, enough vote, and it ends', () => {
    const step = fc.oneof(
      fc.constant('join' as const),
      fc.record({ drain: fc.nat({ max: 7 }) }),
      fc.record({ remove: fc.nat({ max: 7 }) }),
      fc.record({ die: fc.nat({ max: 7 }) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 5 }), fc.array(step, { maxLength: 12 }), (count, steps) => {
        const cluster = founded(count);
        let [newest, dead] = [count, [] as number[]];
        for (const what of steps) {
          const present = [...cluster.state.nodes.values()].filter(({ state }) => state !== 'removed');
          const pick = (at: number): number => present[at % present.length]!.id;
          if (what === 'join') join(cluster, (newest += 1));
          else if ('die' in what) dead = [pick(what.die)];
          else if ('remove' in what) remove(cluster, pick(what.remove));
          else cluster.apply({ type: 'drain-node', nodeId: pick(what.drain), drain: true, expectedVersion: undefined });
          toEnd(cluster, dead);
        }
        toEnd(cluster);
        const active = [...cluster.state.nodes.values()].filter(({ state }) => state === 'active').map(({ id }) => id);
        const held = cluster.partition(0).replicas.map(({ nodeId }) => nodeId);
        for (const id of active) expect(held).toContain(asNodeId(id));
        expect(new Set(held).size).toBe(held.length);
        const voting = votersOf(cluster).filter((id) => active.includes(asNodeId(id)));
        const target = active.length >= 5 ? 5 : active.length >= 3 ? 3 : 1;
        expect(voting.length).toBeGreaterThanOrEqual(target);
      }),
      { numRuns: 200 },
    );
  });
});
