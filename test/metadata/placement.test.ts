/** Placement against naive oracles: what is proposed is legal, makes things better, and comes to an end. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asNodeId, asPartitionId, asReplicaId } from '../../src/base/ids.js';
import type { NodeId, PartitionId } from '../../src/base/ids.js';
import { initialPlacement, leaderTransfers, nextMove } from '../../src/metadata/index.js';
import type {
  ClusterState,
  Liveness,
  Move,
  NodeState,
  NodeView,
  PartitionView,
  SettingView,
} from '../../src/metadata/index.js';
import { describeNode } from './support/cluster.js';

const nowMs = 10_000_000;
const partitionIds = (count: number): PartitionId[] => Array.from({ length: count }, (_, id) => asPartitionId(id));

interface MadeNode {
  readonly zone: number;
  readonly state: NodeState;
  /** `dead`: for longer than the delay; `silent`: for less. */
  readonly life: 'alive' | 'silent' | 'dead' | 'unknown';
}

function stateOf(
  nodes: readonly MadeNode[],
  placement: readonly (readonly number[])[],
  settings: Readonly<Record<string, number>>,
): ClusterState {
  const views = nodes.map(({ zone, state }, at): NodeView => ({
    ...describeNode(at + 1, { zone: `zone-${zone}` }),
    state,
    stateLsn: 1,
    stateSinceMs: 1,
    retiredIncarnations: [],
    version: 1,
  }));
  const partitions = placement.map((nodeIds, at): PartitionView => ({
    id: asPartitionId(at + 1),
    replicas: nodeIds.map((nodeId, number) => ({
      replicaId: asReplicaId(number + 1),
      nodeId: asNodeId(nodeId),
      role: 'voter',
      state: 'settled',
    })),
    initialVoters: nodeIds.map((_, number) => asReplicaId(number + 1)),
    nextReplicaId: nodeIds.length + 1,
    lastRequestId: 0,
    version: 1,
  }));
  const set = Object.entries(settings).map(([name, value]): [string, SettingView] => [
    name,
    { name, value: String(value), version: 1 },
  ]);
  return {
    clusterId: 'c',
    featureLevel: 1,
    repositoryId: '',
    entryTimeMs: 0,
    tableVersion: 1,
    nodes: new Map(views.map((node) => [node.id, node])),
    partitions: new Map(partitions.map((partition) => [partition.id, partition])),
    settings: new Map(set),
    slots: new Uint16Array(4096).fill(1),
  };
}

function livenessOf(nodes: readonly MadeNode[]): Liveness {
  const ageMs = { alive: 0, silent: 60_000, dead: 400_000, unknown: 0 };
  return {
    nowMs,
    nodes: new Map(
      nodes.flatMap(({ life }, at) =>
        life === 'unknown' ? [] : [[asNodeId(at + 1), { lastSeenMs: nowMs - ageMs[life], upSinceMs: 0 }] as const],
      ),
    ),
  };
}

/** The state after a move; settled at once, or still on its way. */
function after(state: ClusterState, move: Move, settle: boolean): ClusterState {
  const partition = state.partitions.get(move.partitionId)!;
  expect(move.expectedVersion).toBe(partition.version);
  expect(new Set(move.desired.map(({ nodeId }) => nodeId)).size, 'never two replicas on one node').toBe(
    move.desired.length,
  );
  let { nextReplicaId } = partition;
  const wanted = partition.replicas.filter((one) => one.state === 'settled' || one.state === 'joining');
  const replicas = move.desired.map(({ nodeId, role }) => {
    const kept = wanted.find((one) => one.nodeId === nodeId);
    return (
      kept ??
      ({ replicaId: asReplicaId(nextReplicaId++), nodeId, role, state: settle ? 'settled' : 'joining' } as const)
    );
  });
  const removed = wanted.filter((one) => !replicas.includes(one));
  expect(removed.length).toBeLessThanOrEqual(1);
  expect(nextReplicaId - partition.nextReplicaId).toBeLessThanOrEqual(1);
  const going = settle ? [] : removed.map((one) => ({ ...one, state: 'leaving' as const }));
  const old = settle ? [] : partition.replicas.filter((one) => !wanted.includes(one));
  const edited = {
    ...partition,
    replicas: [...replicas, ...old, ...going],
    nextReplicaId,
    version: partition.version + 1,
  };
  return { ...state, partitions: new Map(state.partitions).set(edited.id, edited) };
}

const loadsOf = (state: ClusterState, nodeIds: readonly NodeId[]): number[] => {
  const all = [...state.partitions.values()].flatMap(({ replicas }) => replicas.map((one) => one.nodeId));
  return nodeIds.map((nodeId) => all.filter((one) => one === nodeId).length);
};
const spreadOf = (numbers: readonly number[]): number => Math.max(...numbers) - Math.min(...numbers);
const zonesOf = (state: ClusterState, nodeIds: readonly NodeId[]): number[] => {
  const counts = new Map<string, number>();
  for (const nodeId of nodeIds) {
    const { zone } = state.nodes.get(nodeId)!;
    counts.set(zone, (counts.get(zone) ?? 0) + 1);
  }
  return [...counts.values()];
};
const squares = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one * one, 0);

/** The lowest sum of squares of replicas a zone that any choice of nodes has; by trying all of them. */
function bestSpread(state: ClusterState, nodeIds: readonly NodeId[], count: number): number {
  if (count === 0) return 0;
  const choose = (from: number, chosen: readonly NodeId[]): number => {
    if (chosen.length === count) return squares(zonesOf(state, chosen));
    let best = Number.POSITIVE_INFINITY;
    for (let at = from; at < nodeIds.length; at++) best = Math.min(best, choose(at + 1, [...chosen, nodeIds[at]!]));
    return best;
  };
  return choose(0, []);
}

describe('the initial placement', () => {
  const cluster = fc.record({
    zones: fc.array(fc.nat({ max: 3 }), { minLength: 1, maxLength: 8 }),
    factor: fc.integer({ min: 1, max: 5 }),
    count: fc.integer({ min: 1, max: 40 }),
  });

  test('spreads over zones, evens out nodes and leaders, and does not depend on the order of nodes', () => {
    fc.assert(
      fc.property(cluster, fc.nat(), ({ zones, factor, count }, rotation) => {
        const nodes = zones.map((zone, at) => ({ id: asNodeId(at + 1), zone: `zone-${zone}` }));
        const replicationFactor = Math.min(factor, nodes.length);
        const placement = initialPlacement(nodes, partitionIds(count), replicationFactor);
        const state = stateOf(
          zones.map((zone) => ({ zone, state: 'active', life: 'alive' })),
          [...placement.values()],
          {},
        );
        const ids = nodes.map((node) => node.id);
        const best = bestSpread(state, ids, replicationFactor);
        for (const nodeIds of placement.values()) {
          expect(new Set(nodeIds).size).toBe(replicationFactor);
          expect(squares(zonesOf(state, nodeIds))).toBe(best);
        }
        for (const zone of new Set(zones)) {
          const ofZone = ids.filter((_, at) => zones[at] === zone);
          expect(spreadOf(loadsOf(state, ofZone)), 'nodes of one zone').toBeLessThanOrEqual(1);
        }
        const sizes = [...new Set(zones)].map((zone) => zones.filter((one) => one === zone).length);
        if (new Set(sizes).size === 1)
          expect(spreadOf(loadsOf(state, ids)), 'zones of one size').toBeLessThanOrEqual(1);
        const rotated = nodes.map((_, at) => nodes[(at + rotation) % nodes.length]!);
        expect(initialPlacement(rotated, partitionIds(count), replicationFactor)).toEqual(placement);
      }),
      { numRuns: 300 },
    );
  });

  test('every node leads as many as the others where nodes are alike', () => {
    for (const [nodeCount, count] of [
      [3, 4],
      [3, 9],
      [5, 16],
      [5, 257],
      [7, 8],
    ] as const) {
      const nodes = Array.from({ length: nodeCount }, (_, at) => ({ id: asNodeId(at + 1), zone: '' }));
      const placement = initialPlacement(nodes, partitionIds(count), 3);
      const leaders = nodes.map(({ id }) => [...placement.values()].filter(([first]) => first === id).length);
      expect(spreadOf(leaders)).toBeLessThanOrEqual(1);
    }
  });
});

interface World {
  readonly nodes: readonly MadeNode[];
  readonly placement: readonly (readonly number[])[];
  readonly factor: number;
}

const world: fc.Arbitrary<World> = fc
  .record({
    nodes: fc.array(
      fc.record({
        zone: fc.nat({ max: 2 }),
        state: fc.constantFrom<NodeState>('active', 'active', 'active', 'active', 'draining'),
        life: fc.constantFrom<MadeNode['life']>(
          'alive',
          'alive',
          'alive',
          'alive',
          'alive',
          'silent',
          'dead',
          'unknown',
        ),
      }),
      { minLength: 3, maxLength: 7 },
    ),
    picks: fc.array(fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 10 }),
    factor: fc.integer({ min: 1, max: 3 }),
  })
  .map(({ nodes, picks, factor }) => ({
    nodes,
    factor,
    placement: picks.map((pick) => [...new Set(pick.map((one) => 1 + (one % nodes.length)))]),
  }));

/** Healthy voters of a desired set are a majority: what must hold after every move of a group that has one. */
const healthyMajority = (state: ClusterState, nodes: readonly MadeNode[], partitionId: PartitionId): boolean => {
  const voters = state.partitions.get(partitionId)!.replicas;
  return voters.filter(({ nodeId }) => nodes[nodeId - 1]!.life === 'alive').length > voters.length / 2;
};

describe('moves', () => {
  /** What every move has to lower: compared from the left. */
  function potential(state: ClusterState, nodes: readonly MadeNode[], factor: number): number[] {
    const partitions = [...state.partitions.values()];
    const isBad = (nodeId: NodeId): boolean =>
      state.nodes.get(nodeId)!.state !== 'active' || nodes[nodeId - 1]!.life === 'dead';
    const eligible = [...state.nodes.keys()].filter((id) => !isBad(id) && nodes[id - 1]!.life === 'alive');
    const sizes = partitions.map(({ replicas }) => replicas.length);
    return [
      sizes.reduce((sum, size) => sum + Math.max(0, size - factor), 0),
      partitions.flatMap(({ replicas }) => replicas).filter(({ nodeId }) => isBad(nodeId)).length,
      sizes.reduce((sum, size) => sum + Math.max(0, factor - size), 0),
      partitions.reduce(
        (sum, { replicas }) =>
          sum +
          squares(
            zonesOf(
              state,
              replicas.map((one) => one.nodeId),
            ),
          ),
        0,
      ),
      squares(loadsOf(state, eligible)),
    ];
  }
  const isLower = (one: readonly number[], other: readonly number[]): boolean => {
    const at = one.findIndex((value, index) => value !== other[index]);
    return at >= 0 && one[at]! < other[at]!;
  };

  test('lower a potential, keep majorities, and come to an end; the same every time', () => {
    const reasons = new Set<string>();
    fc.assert(
      fc.property(world, ({ nodes, placement, factor }) => {
        let state = stateOf(nodes, placement, { 'replication-factor': factor, 'moves-max': 1 });
        const liveness = livenessOf(nodes);
        let before = potential(state, nodes, factor);
        for (let count = 0; ; count++) {
          expect(count, 'it comes to an end').toBeLessThan(500);
          const move = nextMove(state, liveness);
          expect(nextMove(state, liveness)).toEqual(move);
          if (move === undefined) break;
          reasons.add(move.reason);
          expect(healthyMajority(state, nodes, move.partitionId), 'only groups that can agree').toBe(true);
          state = after(state, move, true);
          expect(healthyMajority(state, nodes, move.partitionId), 'and still can').toBe(true);
          const now = potential(state, nodes, factor);
          if (move.reason !== 'preferred-leader')
            expect(isLower(now, before), `${before.join()} to ${now.join()}`).toBe(true);
          before = now;
        }
        expectGoodEnough(state, nodes, factor);
      }),
      { numRuns: 400 },
    );
    expect([...reasons].sort()).toEqual([
      'balance',
      'dead-node',
      'draining-node',
      'over-replicated',
      'preferred-leader',
      'under-replicated',
      'zone-spread',
    ]);
  });

  /** Where moves end, nothing is left to be wished for, by trying everything. */
  function expectGoodEnough(state: ClusterState, nodes: readonly MadeNode[], factor: number): void {
    const eligible = [...state.nodes.values()]
      .filter((node) => node.state === 'active' && nodes[node.id - 1]!.life === 'alive')
      .map((node) => node.id);
    const able = [...state.partitions.values()].filter(({ id }) => healthyMajority(state, nodes, id));
    for (const { replicas } of able) {
      const nodeIds = replicas.map((one) => one.nodeId);
      const isWell = nodeIds.every((id) => eligible.includes(id));
      const hasRoom = eligible.some((id) => !nodeIds.includes(id));
      // A second voter comes when a third can come too.
      const waitsForThird = nodeIds.length === 1 && factor > 2 && eligible.length < 3;
      if (hasRoom && isWell && !waitsForThird) expect(nodeIds.length).toBe(factor);
      if (hasRoom) expect(nodeIds.filter((id) => nodes[id - 1]!.life === 'dead')).toEqual([]);
      if (!isWell || nodeIds.length !== factor) continue;
      expect(squares(zonesOf(state, nodeIds))).toBe(bestSpread(state, eligible, factor));
    }
    const zones = new Set(eligible.map((id) => nodes[id - 1]!.zone));
    const isQuiet = nodes.every(({ state: nodeState, life }) => nodeState === 'active' && life === 'alive');
    if (!isQuiet || eligible.length < factor) return;
    for (const zone of zones) {
      const ofZone = eligible.filter((id) => nodes[id - 1]!.zone === zone);
      expect(spreadOf(loadsOf(state, ofZone)), 'nodes of one zone').toBeLessThanOrEqual(1);
    }
    if (zones.size > 1) return;
    const leads = eligible.map((id) => able.filter(({ replicas }) => replicas[0]!.nodeId === id).length);
    if (factor > 1) expect(spreadOf(leads)).toBeLessThanOrEqual(2);
  }

  test('a second voter comes when a third can come too, unless two are all that is wanted', () => {
    const alive = { zone: 0, state: 'active', life: 'alive' } as const;
    const moveOf = (count: number, factor: number) => {
      const nodes = Array.from({ length: count }, () => alive);
      return nextMove(stateOf(nodes, [[1], [1], [1]], { 'replication-factor': factor }), livenessOf(nodes))?.reason;
    };
    expect([moveOf(1, 3), moveOf(2, 3)]).toEqual([undefined, undefined]);
    expect([moveOf(3, 3), moveOf(2, 2)]).toEqual(['under-replicated', 'under-replicated']);
  });

  test('no more partitions move at a time than the setting says, and no group has two moves', () => {
    fc.assert(
      fc.property(world, fc.nat({ max: 3 }), ({ nodes, placement, factor }, movesMax) => {
        let state = stateOf(nodes, placement, { 'replication-factor': factor, 'moves-max': movesMax });
        const moved = new Set<PartitionId>();
        for (let move; (move = nextMove(state, livenessOf(nodes))) !== undefined;) {
          state = after(state, move, false);
          if (move.reason === 'preferred-leader') continue;
          expect(moved.has(move.partitionId)).toBe(false);
          moved.add(move.partitionId);
        }
        expect(moved.size).toBeLessThanOrEqual(movesMax);
      }),
      { numRuns: 300 },
    );
  });

  const three: MadeNode[] = [1, 2, 3].map((zone) => ({ zone, state: 'active', life: 'alive' }));
  const kindOf = (move: Move | undefined): string =>
    move === undefined ? 'none' : `${move.reason} ${move.desired.map(({ nodeId }) => nodeId).join(',')}`;

  test('a node that is silent for less than the delay keeps its replicas', () => {
    const nodes = [...three.slice(0, 2), { zone: 3, state: 'active', life: 'silent' }, three[0]!] as MadeNode[];
    const state = stateOf(nodes, [[1, 2, 3]], {});
    expect(kindOf(nextMove(state, livenessOf(nodes)))).toBe('none');
    expect(
      kindOf(
        nextMove(state, livenessOf(nodes.map((node) => (node.life === 'silent' ? { ...node, life: 'dead' } : node)))),
      ),
    ).toBe('dead-node 1,2,4');
  });

  test('a group without majority is left alone', () => {
    const nodes = [three[0]!, { ...three[1]!, life: 'dead' }, { ...three[2]!, life: 'dead' }, three[0]!] as MadeNode[];
    expect(kindOf(nextMove(stateOf(nodes, [[1, 2, 3]], {}), livenessOf(nodes)))).toBe('none');
  });

  test('a replica on its way to a node that died goes elsewhere, whatever else moves', () => {
    const nodes = [
      ...three,
      { zone: 4, state: 'active', life: 'dead' },
      { zone: 5, state: 'active', life: 'alive' },
    ] as MadeNode[];
    let state = stateOf(nodes, [[1, 2, 3]], { 'moves-max': 0 });
    const partition = state.partitions.get(asPartitionId(1))!;
    const replicas = [
      ...partition.replicas.slice(0, 2),
      { replicaId: asReplicaId(4), nodeId: asNodeId(4), role: 'voter', state: 'joining' } as const,
      { ...partition.replicas[2]!, state: 'leaving' as const },
    ];
    state = { ...state, partitions: new Map([[partition.id, { ...partition, replicas, nextReplicaId: 5 }]]) };
    expect(kindOf(nextMove(state, livenessOf(nodes)))).toBe('redirect 1,2,5');
  });

  test('a new node gets its share', () => {
    const nodes = [...three, { zone: 4, state: 'active', life: 'alive' }] as MadeNode[];
    let state = stateOf(
      nodes,
      Array.from({ length: 8 }, () => [1, 2, 3]),
      {},
    );
    for (let move; (move = nextMove(state, livenessOf(nodes))) !== undefined;) state = after(state, move, true);
    expect(loadsOf(state, [1, 2, 3, 4].map(asNodeId))).toEqual([6, 6, 6, 6]);
    const leads = [1, 2, 3, 4].map(
      (id) => [...state.partitions.values()].filter(({ replicas }) => replicas[0]!.nodeId === id).length,
    );
    expect(leads).toEqual([2, 2, 2, 2]);
  });
});

describe('leadership', () => {
  const nodes: MadeNode[] = [1, 2, 3].map((zone) => ({ zone, state: 'active', life: 'alive' }));
  const transfersOf = (
    state: ClusterState,
    made: readonly MadeNode[],
    leaders: readonly number[],
    limit = 9,
  ): string[] =>
    leaderTransfers(
      state,
      livenessOf(made),
      new Map(leaders.map((nodeId, at) => [asPartitionId(at + 1), asNodeId(nodeId)])),
      limit,
    ).map(({ reason, partitionId, fromNodeId, toNodeId }) => `${reason} ${partitionId}: ${fromNodeId} to ${toNodeId}`);

  test('goes back to the preferred leader', () => {
    const state = stateOf(
      nodes,
      [
        [1, 2, 3],
        [2, 3, 1],
      ],
      {},
    );
    expect(transfersOf(state, nodes, [1, 2])).toEqual([]);
    expect(transfersOf(state, nodes, [2, 2])).toEqual(['preferred 1: 2 to 1']);
    expect(transfersOf(state, nodes, [3, 3], 1)).toEqual(['preferred 1: 3 to 1']);
  });

  test('leaves a draining node first, for one that is alive', () => {
    const made = [nodes[0]!, { ...nodes[1]!, state: 'draining' }, { ...nodes[2]!, life: 'silent' }] as MadeNode[];
    const state = stateOf(
      made,
      [
        [1, 2, 3],
        [2, 3, 1],
        [3, 2, 1],
      ],
      {},
    );
    expect(transfersOf(state, made, [3, 2, 2])).toEqual([
      'leaving-node 2: 2 to 1',
      'leaving-node 3: 2 to 1',
      'preferred 1: 3 to 1',
    ]);
  });

  test('does not go to a node that has just come back', () => {
    const state = stateOf(nodes, [[1, 2, 3]], {});
    const liveness = livenessOf(nodes);
    const back = new Map(liveness.nodes).set(asNodeId(1), { lastSeenMs: nowMs, upSinceMs: nowMs - 1_000 });
    const leaders = new Map([[asPartitionId(1), asNodeId(2)]]);
    expect(leaderTransfers(state, { nowMs, nodes: back }, leaders, 9)).toEqual([]);
  });
});
