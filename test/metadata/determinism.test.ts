/** Equal entries give equal effects, results and content, however they are grouped and wherever a restart falls. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { asLsn } from '../../src/base/ids.js';
import { encodeCommand, encodePartitionTable, MetadataMachine } from '../../src/metadata/index.js';
import type { ClusterState, MetadataCommand } from '../../src/metadata/index.js';
import { MemoryStore, MemoryTransaction } from '../streams/support/memory-store.js';
import { clusterId, describeNode, initialize } from './support/cluster.js';

const nodeId = fc.integer({ min: 1, max: 6 });
const partitionId = fc.constantFrom(0, 1, 1, 2, 2, 3);
const replicaId = fc.integer({ min: 1, max: 9 });
const rarely = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const version = rarely(fc.nat({ max: 20 }));
const incarnation = fc.constantFrom('a', 'a', 'a', 'b', 'c');
const description = fc
  .record({ id: nodeId, incarnation, zone: fc.constantFrom('', 'z'), featureLevel: fc.constantFrom(1, 1, 1, 0) })
  .map(({ id, ...fields }) => describeNode(id, fields));

const command: fc.Arbitrary<MetadataCommand> = fc.oneof(
  fc.record({
    type: fc.constant('register-node' as const),
    clusterId: fc.constantFrom(clusterId, clusterId, 'x'),
    node: description,
  }),
  fc.record({
    type: fc.constant('update-node' as const),
    nodeId,
    expectedVersion: version,
    name: fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
    zone: fc.constant(undefined),
    advertisedAddresses: fc.constantFrom(undefined, ['a:1']),
    linkAddress: fc.constant(undefined),
    repositoryId: fc.constantFrom(undefined, 'r'),
  }),
  fc.record({ type: fc.constant('drain-node' as const), nodeId, drain: fc.boolean(), expectedVersion: version }),
  fc.record({ type: fc.constant('remove-node' as const), nodeId, expectedVersion: version }),
  fc.record({ type: fc.constant('replace-node' as const), oldIncarnation: incarnation, node: description }),
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('set-placement' as const),
      partitionId,
      requestId: fc.nat({ max: 30 }),
      // Replaced by the one there is, mostly; see `run`.
      expectedVersion: fc.constantFrom(0, 0, 0, 3),
      desired: fc.shuffledSubarray([1, 2, 3, 4, 5], { minLength: 2, maxLength: 4 }).chain((ids) =>
        fc.tuple(
          ...ids.map((id) =>
            fc.record({
              nodeId: fc.constant(id),
              role: fc.constantFrom('voter', 'voter', 'voter', 'voter', 'voter', 'learner'),
            }),
          ),
        ),
      ),
    }),
  },
  fc.record({ type: fc.constant('replace-replica' as const), partitionId, replicaId }),
  { weight: 3, arbitrary: fc.record({ type: fc.constant('replica-joined' as const), partitionId, replicaId }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('replica-removed' as const), partitionId, replicaId }) },
  fc.record({
    type: fc.constant('set-setting' as const),
    name: fc.constantFrom('replication-factor', 'moves-max', 'unknown'),
    value: fc.constantFrom(undefined, '1', '2', '3', '4', 'x'),
    expectedVersion: version,
  }),
  fc.record({ type: fc.constant('raise-feature-level' as const), level: fc.constantFrom(1, 2) }),
  fc.record({
    type: fc.constant('set-repository' as const),
    repositoryId: fc.constantFrom('', 'r'),
    expectedRepositoryId: fc.constantFrom('', 'r'),
  }),
);

/** What becomes an entry: a command, or bytes that are none. */
const step = fc.record({
  command,
  timeMs: fc.nat({ max: 50 }),
  garbage: rarely(rarely(fc.uint8Array({ maxLength: 30 }))),
});
const schedule = fc.record({
  groups: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
  restarts: fc.array(fc.boolean(), { minLength: 1 }),
});
type Schedule = typeof schedule extends fc.Arbitrary<infer Value> ? Value : never;

async function run(entries: readonly Uint8Array[], { groups, restarts }: Schedule) {
  const store = new MemoryStore();
  const results: unknown[] = [];
  const effects: string[] = [];
  let machine = new MetadataMachine();
  for (let from = 0, group = 0; from < entries.length; group++) {
    const transaction = new MemoryTransaction(store);
    for (const to = Math.min(entries.length, from + groups[group % groups.length]!); from < to; from++) {
      transaction.lsn = asLsn(from + 1);
      results.push(resultOf(machine, entries[from]!, transaction));
    }
    transaction.commit();
    effects.push(...transaction.effects);
    for (const _topic of machine.publish());
    if (machine.state !== undefined) expectSound(machine.state);
    if (restarts[group % restarts.length]!) {
      machine = new MetadataMachine();
      await machine.load(store);
    }
  }
  return { results, effects, dump: store.dump(), table: machine.state && encodePartitionTable(machine.state) };
}

/** Garbage stops a real partition; here the next entry goes on, and must find nothing changed. */
function resultOf(machine: MetadataMachine, entry: Uint8Array, transaction: MemoryTransaction): unknown {
  try {
    return machine.apply(transaction.lsn, entry, transaction);
  } catch (error) {
    expect(error).toBeInstanceOf(InvariantViolation);
    return String(error);
  }
}

/** What holds of every state that commands can make. */
function expectSound(state: ClusterState): void {
  for (const { id, replicas, nextReplicaId } of state.partitions.values()) {
    const wanted = replicas.filter((one) => one.state === 'settled' || one.state === 'joining');
    expect(new Set(wanted.map((one) => one.nodeId)).size).toBe(wanted.length);
    expect(new Set(replicas.map((one) => one.replicaId)).size).toBe(replicas.length);
    expect(wanted.some((one) => one.role === 'voter')).toBe(true);
    for (const replica of replicas) {
      expect(replica.replicaId).toBeLessThan(nextReplicaId);
      // The metadata's replica leaves with its node, and stays in the table until the group has let it go.
      const mayBeOnRemoved = id === 0 && !wanted.includes(replica);
      if (!mayBeOnRemoved) expect(state.nodes.get(replica.nodeId)?.state).not.toBe('removed');
    }
  }
}

/** Entries whose conditions hold mostly: expected versions are filled in by a machine that runs along. */
function entriesOf(steps: readonly { command: MetadataCommand; timeMs: number; garbage: Uint8Array | undefined }[]) {
  const store = new MemoryStore();
  const machine = new MetadataMachine();
  const nodes = [1, 2, 3, 4].map((id) => describeNode(id, { incarnation: 'a' }));
  const all = [{ command: initialize(nodes, 3, 3) as MetadataCommand, timeMs: 0, garbage: undefined }, ...steps];
  return all.map(({ command: given, timeMs, garbage }, at) => {
    let filled = given;
    if (given.type === 'set-placement' && given.expectedVersion === 0) {
      const partition = [...(machine.state?.partitions.values() ?? [])].find(({ id }) => id === given.partitionId);
      filled = { ...given, expectedVersion: partition?.version ?? 0 };
    }
    const entry = garbage ?? encodeCommand(filled, { timeMs });
    const transaction = new MemoryTransaction(store);
    transaction.lsn = asLsn(at + 1);
    resultOf(machine, entry, transaction);
    transaction.commit();
    for (const _topic of machine.publish());
    return entry;
  });
}

test('the state machine is deterministic', async () => {
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }), schedule, async (steps, other) => {
      const entries = entriesOf(steps);
      const expected = await run(entries, { groups: [1_000_000], restarts: [false] });
      const actual = await run(entries, other);
      expect(actual).toEqual(expected);
      for (const result of expected.results as { reason?: string; changed?: boolean }[]) {
        seen.add(
          result.reason ?? (typeof result === 'string' ? 'garbage' : result.changed === true ? 'changed' : 'same'),
        );
      }
    }),
    { numRuns: 100 },
  );
  expect([...seen].sort()).toEqual(
    expect.arrayContaining([
      'CLUSTER_MISMATCH',
      'CONFIGURATION_INVALID',
      'FEATURE_LEVEL_UNSUPPORTED',
      'INVALID_ARGUMENT',
      'METADATA_VERSION_MISMATCH',
      'NODE_HAS_REPLICAS',
      'NODE_INCARNATION_MISMATCH',
      'NODE_NOT_FOUND',
      'NODE_REMOVED',
      'PLACEMENT_INVALID',
      'PLACEMENT_IN_PROGRESS',
      'QUORUM_WOULD_BE_LOST',
      'REPLICATION_FACTOR_TOO_HIGH',
      'REPLICA_NOT_FOUND',
      'changed',
      'garbage',
      'same',
    ]),
  );
});
