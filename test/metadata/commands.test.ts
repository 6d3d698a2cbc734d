/** What each command does, and every refusal; a refusal changes nothing. */
import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { asNodeId } from '../../src/base/ids.js';
import { expectApplied, MetadataMachine, tableTopic } from '../../src/metadata/index.js';
import type { InitializeClusterCommand } from '../../src/metadata/index.js';
import { MemoryStore } from '../streams/support/memory-store.js';
import { Cluster, clusterId, describeNode, initialize } from './support/cluster.js';

const nodeOf = (cluster: Cluster, id: number) => cluster.state.nodes.get(asNodeId(id))!;
const register = (id: number, fields = {}) =>
  ({ type: 'register-node', clusterId, node: describeNode(id, fields) }) as const;
const drain = (nodeId: number, on = true, expectedVersion?: number) =>
  ({ type: 'drain-node', nodeId, drain: on, expectedVersion }) as const;
const remove = (nodeId: number) => ({ type: 'remove-node', nodeId, expectedVersion: undefined }) as const;
const replace = (id: number, oldIncarnation: string, incarnation: string) =>
  ({ type: 'replace-node', oldIncarnation, node: describeNode(id, { incarnation }) }) as const;
const setting = (name: string, value: string | undefined, expectedVersion?: number) =>
  ({ type: 'set-setting', name, value, expectedVersion }) as const;
const joined = (partitionId: number, replicaId: number) =>
  ({ type: 'replica-joined', partitionId, replicaId }) as const;
const removed = (partitionId: number, replicaId: number) =>
  ({ type: 'replica-removed', partitionId, replicaId }) as const;

describe('initialize-cluster', () => {
  const nodes = [1, 2, 3].map((id) => describeNode(id));
  const command = initialize(nodes, 2, 3);

  test('nothing else is possible before it', () => {
    const cluster = new Cluster();
    expect(cluster.reasonOf(register(1))).toBe('CLUSTER_NOT_FORMED');
    expect(cluster.machine.state).toBeUndefined();
  });

  test('makes nodes, partitions, slots and the replication factor', () => {
    const cluster = new Cluster();
    expect(cluster.accept(command)).toMatchObject({ changed: true, tableVersion: 1 });
    expect(cluster.state).toMatchObject({ clusterId, featureLevel: 1, tableVersion: 1, repositoryId: '' });
    expect([...cluster.state.nodes.keys()]).toEqual([1, 2, 3]);
    expect([...cluster.state.partitions.keys()]).toEqual([0, 1, 2]);
    expect([...cluster.state.slots.subarray(0, 4)]).toEqual([1, 2, 1, 2]);
    expect(cluster.partition(1)).toMatchObject({ initialVoters: [1, 2, 3], nextReplicaId: 4, version: 1 });
    expect(cluster.state.settings.get('replication-factor')?.value).toBe('3');
    expect(nodeOf(cluster, 2)).toMatchObject({ state: 'active', stateLsn: 1, stateSinceMs: 1_000 });
  });

  test('a repeat changes nothing, another cluster id is refused', () => {
    const cluster = new Cluster();
    cluster.accept(command);
    expect(cluster.accept(command)).toMatchObject({ changed: false, tableVersion: 1 });
    expect(cluster.reasonOf({ ...command, clusterId: 'other' })).toBe('CLUSTER_ALREADY_INITIALIZED');
  });

  test.each<[string, Partial<InitializeClusterCommand>, string]>([
    ['a replication factor above the number of nodes', { replicationFactor: 4 }, 'REPLICATION_FACTOR_TOO_HIGH'],
    ['a replication factor of 0', { replicationFactor: 0 }, 'CONFIGURATION_INVALID'],
    ['a feature level that a node does not support', { featureLevel: 2 }, 'FEATURE_LEVEL_UNSUPPORTED'],
    ['the same node twice', { nodes: [...nodes, nodes[0]!] }, 'INVALID_ARGUMENT'],
    ['no partition 0', { partitions: command.partitions.slice(1) }, 'INVALID_ARGUMENT'],
    ['slots of a partition that is not there', { slotPattern: [1, 3] }, 'INVALID_ARGUMENT'],
    ['slots of partition 0', { slotPattern: [0, 1] }, 'INVALID_ARGUMENT'],
    ['no slots', { slotPattern: [] }, 'INVALID_ARGUMENT'],
    ['no cluster id', { clusterId: '' }, 'INVALID_ARGUMENT'],
    [
      'two replicas on one node',
      { partitions: [{ id: 0, replicas: [1, 2].map((replicaId) => ({ replicaId, nodeId: 1 })) }] },
      'INVALID_ARGUMENT',
    ],
    [
      'a replica on an unknown node',
      { partitions: [{ id: 0, replicas: [{ replicaId: 1, nodeId: 9 }] }], slotPattern: [0] },
      'INVALID_ARGUMENT',
    ],
  ])('refuses %s', (_name, change, reason) => {
    expect(new Cluster().reasonOf({ ...command, ...change })).toBe(reason);
  });
});

describe('nodes', () => {
  test('a node joins, and starts again with other addresses', () => {
    const cluster = Cluster.of(3);
    expect(cluster.accept(register(4))).toMatchObject({ changed: true, tableVersion: 2, node: { id: 4, version: 2 } });
    expect(cluster.accept(register(4))).toMatchObject({ changed: false, tableVersion: 2 });
    cluster.accept(register(4, { linkAddress: 'elsewhere:1', softwareVersion: '1.1.0' }));
    expect(nodeOf(cluster, 4)).toMatchObject({ linkAddress: 'elsewhere:1', softwareVersion: '1.1.0', stateLsn: 2 });
  });

  test('a start changes no state', () => {
    const cluster = Cluster.of(4, { replicationFactor: 3 });
    cluster.accept(drain(4));
    cluster.accept(register(4, { softwareVersion: '1.1.0' }));
    expect(nodeOf(cluster, 4).state).toBe('draining');
  });

  test('wrong nodes get a clear answer', () => {
    const cluster = Cluster.of(3);
    expect(cluster.reasonOf(register(3, { incarnation: 'wiped' }))).toBe('NODE_INCARNATION_MISMATCH');
    expect(cluster.reasonOf({ ...register(4), clusterId: 'other' })).toBe('CLUSTER_MISMATCH');
    expect(cluster.reasonOf(register(4, { featureLevel: 0 }))).toBe('INVALID_ARGUMENT');
    expect(cluster.reasonOf(register(0))).toBe('INVALID_ARGUMENT');
    expect(cluster.reasonOf(register(4, { incarnation: '' }))).toBe('INVALID_ARGUMENT');
    expect(cluster.reasonOf(register(4, { zone: 'z'.repeat(256) }))).toBe('INVALID_ARGUMENT');
    const mismatch = cluster.apply(register(3, { incarnation: 'wiped' }));
    expect(mismatch).toMatchObject({ message: expect.stringContaining('replace node 3') as string });
    expect(() => expectApplied(mismatch)).toThrow(/replace node 3/);
  });

  test('update-node is conditional', () => {
    const cluster = Cluster.of(3);
    const nothing = { name: undefined, zone: undefined, advertisedAddresses: undefined, linkAddress: undefined };
    const update = { type: 'update-node', nodeId: 2, repositoryId: undefined, ...nothing } as const;
    cluster.accept({ ...update, zone: 'z', expectedVersion: 1 });
    expect(nodeOf(cluster, 2)).toMatchObject({ zone: 'z', name: 'node-2', version: 2 });
    expect(cluster.reasonOf({ ...update, zone: 'y', expectedVersion: 1 })).toBe('METADATA_VERSION_MISMATCH');
    expect(cluster.reasonOf({ ...update, nodeId: 9, expectedVersion: undefined })).toBe('NODE_NOT_FOUND');
  });

  test('a drain needs nodes to drain to, and can be taken back', () => {
    const cluster = Cluster.of(3);
    expect(cluster.reasonOf(drain(3))).toBe('REPLICATION_FACTOR_TOO_HIGH');
    cluster.accept(register(4));
    cluster.timeMs = 2_000;
    expect(cluster.accept(drain(3, true, 1)).changed).toBe(true);
    expect(cluster.accept(drain(3, true, 1)).changed).toBe(false);
    expect(nodeOf(cluster, 3)).toMatchObject({ state: 'draining', stateSinceMs: 2_000, stateLsn: 4 });
    expect(cluster.reasonOf(drain(3, false, 1))).toBe('METADATA_VERSION_MISMATCH');
    cluster.accept(drain(3, false));
    expect(nodeOf(cluster, 3).state).toBe('active');
    expect(cluster.reasonOf(drain(9))).toBe('NODE_NOT_FOUND');
  });

  test('only an empty node is removed, and its data directory never comes back', () => {
    const cluster = Cluster.of(4, { replicationFactor: 3, partitions: 1 });
    cluster.accept(register(5));
    expect(cluster.reasonOf(remove(1))).toBe('NODE_HAS_REPLICAS');
    expect(cluster.reasonOf(remove(9))).toBe('NODE_NOT_FOUND');
    expect(cluster.accept(remove(5))).toMatchObject({ changed: true, node: { state: 'removed' } });
    expect(cluster.accept(remove(5)).changed).toBe(false);
    expect(cluster.reasonOf(register(5))).toBe('NODE_REMOVED');
    expect(cluster.reasonOf(drain(5))).toBe('NODE_NOT_FOUND');
    cluster.accept(register(5, { incarnation: 'fresh' }));
    expect(nodeOf(cluster, 5)).toMatchObject({ state: 'active', retiredIncarnations: ['incarnation-5'] });
    cluster.accept(remove(5));
    expect(cluster.reasonOf(register(5))).toBe('NODE_REMOVED');
  });

  test('the majority cannot be removed, nor the nodes that the replication factor needs', () => {
    const single = Cluster.of(1);
    expect(single.reasonOf(remove(1))).toBe('QUORUM_WOULD_BE_LOST');
    const two = Cluster.of(2);
    expect(two.reasonOf(remove(2))).toBe('QUORUM_WOULD_BE_LOST');
    const cluster = Cluster.of(3, { replicationFactor: 1, partitions: 1 });
    cluster.accept(setting('replication-factor', '3'));
    expect(cluster.reasonOf(remove(3))).toBe('REPLICATION_FACTOR_TOO_HIGH');
  });

  test('a replaced node begins anew: its replicas are lost, and others take their places', () => {
    const cluster = Cluster.of(3, { partitions: 1 });
    const [first] = cluster.partition(1).replicas;
    const lostId = first!.nodeId;
    expect(cluster.reasonOf(replace(lostId, 'another', 'fresh'))).toBe('NODE_INCARNATION_MISMATCH');
    expect(cluster.reasonOf(replace(9, 'x', 'fresh'))).toBe('NODE_NOT_FOUND');
    const old = `incarnation-${lostId}`;
    expect(cluster.accept(replace(lostId, old, 'fresh')).changed).toBe(true);
    expect(cluster.replicas(1)[0]).toBe(`4@${lostId} voter joining`);
    expect(cluster.replicas(1).at(-1)).toBe(`${first!.replicaId}@${lostId} voter lost`);
    expect(cluster.accept(replace(lostId, old, 'fresh')).changed).toBe(false);
    expect(cluster.reasonOf(register(lostId))).toBe('NODE_REMOVED');
    expect(cluster.reasonOf(replace(lostId, 'fresh', old))).toBe('NODE_REMOVED');
    // A second one, while the first is not there yet, would leave one voter of three.
    const other = cluster.partition(1).replicas[1]!.nodeId;
    expect(cluster.reasonOf(replace(other, `incarnation-${other}`, 'fresh too'))).toBe('QUORUM_WOULD_BE_LOST');
    // Lost once more while joining: no vote was there to be lost.
    cluster.accept(replace(lostId, 'fresh', 'fresher'));
    expect(cluster.replicas(1)[0]).toBe(`5@${lostId} voter joining`);
  });

  test('the only replica cannot be replaced', () => {
    expect(Cluster.of(1).reasonOf(replace(1, 'incarnation-1', 'fresh'))).toBe('QUORUM_WOULD_BE_LOST');
  });
});

describe('placement', () => {
  const made = () => {
    const cluster = Cluster.of(3, { partitions: 1 });
    for (const id of [4, 5]) cluster.accept(register(id));
    expect(cluster.place(1, [1, 2, 3], 1)).toBe('applied');
    return cluster;
  };

  test('a replica moves: allocated, joined, the old one removed; ids are never used twice', () => {
    const cluster = made();
    const version = cluster.partition(1).version;
    const move = {
      type: 'set-placement',
      partitionId: 1,
      requestId: 77,
      expectedVersion: version,
      desired: [1, 2, 4].map((nodeId) => ({ nodeId, role: 'voter' as const })),
    } as const;
    const leaving = cluster.partition(1).replicas.find(({ nodeId }) => nodeId === 3)!.replicaId;
    expect(cluster.accept(move).partition?.nextReplicaId).toBe(5);
    expect(cluster.accept(move), 'a retry').toMatchObject({ changed: false, partition: { nextReplicaId: 5 } });
    expect(cluster.reasonOf({ ...move, requestId: 78 })).toBe('METADATA_VERSION_MISMATCH');
    expect(cluster.replicas(1).slice(2)).toEqual(['4@4 voter joining', `${leaving}@3 voter leaving`]);
    expect(cluster.reasonOf(removed(1, 4))).toBe('PLACEMENT_INVALID');
    expect(cluster.accept(joined(1, 4)).changed).toBe(true);
    expect(cluster.accept(joined(1, 4)).changed).toBe(false);
    expect(cluster.place(1, [1, 2, 3], 79), 'one move at a time').toBe('PLACEMENT_IN_PROGRESS');
    expect(cluster.accept(removed(1, leaving)).changed).toBe(true);
    expect(cluster.accept(removed(1, leaving)).changed, 'a retry').toBe(false);
    expect(cluster.accept(joined(1, leaving)).changed, 'a late report').toBe(false);
    expect(cluster.place(1, [1, 2, 3], 80)).toBe('applied');
    expect(cluster.replicas(1)[2], 'back again, under another id').toBe('5@3 voter joining');
  });

  test('a replica that does not arrive is sent elsewhere', () => {
    const cluster = made();
    expect(cluster.place(1, [1, 2, 4], 2)).toBe('applied');
    expect(cluster.place(1, [1, 4, 5], 3)).toBe('PLACEMENT_IN_PROGRESS');
    expect(cluster.place(1, [1, 2, 5], 4)).toBe('applied');
    expect(cluster.replicas(1).map((text) => text.replace(/^\d+@/, ''))).toEqual([
      '1 voter settled',
      '2 voter settled',
      '5 voter joining',
      '3 voter leaving',
      '4 voter leaving',
    ]);
    expect(cluster.place(1, [2, 1, 5], 5), 'another preferred leader').toBe('applied');
    expect(cluster.partition(1).replicas[0]?.nodeId).toBe(2);
  });

  test('what cannot be is refused', () => {
    const cluster = made();
    cluster.accept(drain(5));
    expect(cluster.place(1, [1, 2], 2), 'below the replication factor').toBe('PLACEMENT_INVALID');
    expect(cluster.place(1, [], 2)).toBe('PLACEMENT_INVALID');
    expect(cluster.place(1, [1, 1, 2], 2)).toBe('PLACEMENT_INVALID');
    expect(cluster.place(1, [1, 2, 5], 2), 'draining').toBe('PLACEMENT_INVALID');
    expect(cluster.place(1, [1, 2, 9], 2), 'unknown').toBe('PLACEMENT_INVALID');
    expect(cluster.place(1, [1, 2, 4], 0)).toBe('INVALID_ARGUMENT');
    cluster.accept(register(6));
    expect(cluster.place(1, [1, 4, 6], 2), 'two at once').toBe('PLACEMENT_INVALID');
    expect(cluster.reasonOf({ ...joined(9, 1) })).toBe('PARTITION_NOT_FOUND');
    expect(cluster.reasonOf(joined(1, 99))).toBe('REPLICA_NOT_FOUND');
    expect(cluster.reasonOf(removed(1, 0))).toBe('REPLICA_NOT_FOUND');
    const learner = [1, 2, 3].map((nodeId) => ({
      nodeId,
      role: nodeId === 1 ? ('learner' as const) : ('voter' as const),
    }));
    const expectedVersion = cluster.partition(1).version;
    expect(
      cluster.reasonOf({ type: 'set-placement', partitionId: 1, requestId: 3, expectedVersion, desired: learner }),
    ).toBe('PLACEMENT_INVALID');
  });

  test('a diverged replica is made anew on its node', () => {
    const cluster = made();
    const [first, second] = cluster.partition(1).replicas;
    const anew = { type: 'replace-replica', partitionId: 1, replicaId: first!.replicaId } as const;
    expect(cluster.accept(anew).changed).toBe(true);
    expect(cluster.accept(anew).changed, 'a retry').toBe(false);
    expect(cluster.replicas(1)[0]).toBe(`4@${first!.nodeId} voter joining`);
    expect(cluster.reasonOf({ ...anew, replicaId: second!.replicaId })).toBe('QUORUM_WOULD_BE_LOST');
    expect(cluster.reasonOf({ ...anew, replicaId: 99 })).toBe('REPLICA_NOT_FOUND');
  });
});

describe('settings, feature level and repository', () => {
  test('settings are validated, conditional, and go back to their default', () => {
    const cluster = Cluster.of(3);
    expect(cluster.reasonOf(setting('no-such', '1'))).toBe('CONFIGURATION_INVALID');
    for (const value of ['-1', '01', '1.5', '', ' 5', '1001', 'Infinity']) {
      expect(cluster.reasonOf(setting('moves-max', value))).toBe('CONFIGURATION_INVALID');
    }
    expect(cluster.reasonOf(setting('replication-factor', '4'))).toBe('REPLICATION_FACTOR_TOO_HIGH');
    expect(cluster.accept(setting('moves-max', '5', 0)).changed).toBe(true);
    expect(cluster.accept(setting('moves-max', '5', 0)).changed, 'a retry').toBe(false);
    expect(cluster.reasonOf(setting('moves-max', '6', 0))).toBe('METADATA_VERSION_MISMATCH');
    expect(cluster.accept(setting('moves-max', undefined)).changed).toBe(true);
    expect(cluster.accept(setting('moves-max', undefined)).changed).toBe(false);
    expect([...cluster.state.settings.keys()]).toEqual(['replication-factor']);
  });

  test('the feature level is raised when all nodes support it, and never goes down', async () => {
    const cluster = Cluster.of(3, { supported: 2 });
    const raise = { type: 'raise-feature-level', level: 2 } as const;
    expect(cluster.reasonOf(raise)).toBe('FEATURE_LEVEL_UNSUPPORTED');
    for (const id of [1, 2, 3]) cluster.accept(register(id, { featureLevel: 2 }));
    expect(cluster.accept(raise).changed).toBe(true);
    expect(cluster.accept(raise).changed).toBe(false);
    expect(cluster.accept({ ...raise, level: 1 }).changed).toBe(false);
    expect(cluster.state.featureLevel).toBe(2);
    expect(cluster.reasonOf(register(4)), 'an older build').toBe('FEATURE_LEVEL_UNSUPPORTED');
    const older = new MetadataMachine();
    const failure: unknown = await older.load(cluster.store).catch((error: unknown) => error);
    expect(isLogboomError(failure, 'FEATURE_LEVEL_UNSUPPORTED')).toBe(true);
  });

  test('a build that said it supports what it does not stops', () => {
    const cluster = Cluster.of(1);
    cluster.accept(register(1, { zone: 'zone-1', featureLevel: 2 }));
    expect(() => cluster.apply({ type: 'raise-feature-level', level: 2 })).toThrow(/this build supports 1/);
  });

  test('the repository changes only from the one that was known', () => {
    const cluster = Cluster.of(1);
    const set = (repositoryId: string, expectedRepositoryId: string) =>
      ({ type: 'set-repository', repositoryId, expectedRepositoryId }) as const;
    expect(cluster.accept(set('r1', '')).changed).toBe(true);
    expect(cluster.accept(set('r1', '')).changed).toBe(false);
    expect(cluster.reasonOf(set('r2', ''))).toBe('REPOSITORY_MISMATCH');
    expect(cluster.accept(set('r2', 'r1')).changed).toBe(true);
    expect(cluster.state.repositoryId).toBe('r2');
  });
});

describe('readers', () => {
  test('see a change after publish, and an object that does not change', () => {
    const cluster = Cluster.of(3);
    const before = cluster.state;
    cluster.accept(register(4));
    expect(before.nodes.size).toBe(3);
    expect(cluster.state.nodes.size).toBe(4);
    expect([...cluster.machine.publish()]).toEqual([]);
  });

  test('after a load the state is there at once, and those who wait hear of it', async () => {
    const cluster = Cluster.of(3);
    const machine = new MetadataMachine();
    await machine.load(cluster.store);
    expect(machine.state).toEqual(cluster.state);
    expect([...machine.publish()]).toEqual([tableTopic]);
    await machine.load(new MemoryStore());
    expect(machine.state).toBeUndefined();
  });

  test('entry time never goes back', () => {
    const cluster = Cluster.of(3);
    cluster.timeMs = 5;
    cluster.accept(register(4));
    expect(nodeOf(cluster, 4).stateSinceMs).toBe(1_000);
  });
});
