/** Formats in the log, in the store and between nodes, byte for byte. A golden file changes only together with a version. */
import { readFileSync, writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { pack } from 'msgpackr';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { isLogboomError } from '../../src/base/errors.js';
import { asNodeId, asPartitionId, asReplicaId } from '../../src/base/ids.js';
import { decodeCommand } from '../../src/metadata/commands/codec.js';
import {
  clusterSettings,
  decodePartitionTable,
  encodeCommand,
  encodePartitionTable,
  routeOf,
  settingRules,
} from '../../src/metadata/index.js';
import type { MetadataCommand, NodeView, PartitionView } from '../../src/metadata/index.js';
import * as keys from '../../src/metadata/keys.js';
import { patternOfSlots, slotsOfPattern } from '../../src/metadata/slots.js';
import * as values from '../../src/metadata/values.js';
import { Cluster, clusterId, describeNode } from './support/cluster.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const large = 0x1f_ffff_ffff_fffe;
const node = describeNode(7, { name: 'süd', zone: 'z', advertisedAddresses: ['a:1', 'b:2'], repositoryId: 'r' });

const commands: Record<string, MetadataCommand> = {
  'initialize-cluster': {
    type: 'initialize-cluster',
    clusterId,
    featureLevel: 1,
    replicationFactor: 1,
    slotPattern: [1],
    nodes: [node],
    partitions: [0, 1].map((id) => ({ id, replicas: [{ replicaId: 1, nodeId: 7 }] })),
  },
  'register-node': { type: 'register-node', clusterId, node },
  'update-node': {
    type: 'update-node',
    nodeId: 7,
    expectedVersion: large,
    name: 'n',
    zone: '',
    advertisedAddresses: ['a:1'],
    linkAddress: 'l:1',
    repositoryId: 'r',
  },
  'update-node bare': {
    type: 'update-node',
    nodeId: 7,
    expectedVersion: undefined,
    name: undefined,
    zone: undefined,
    advertisedAddresses: undefined,
    linkAddress: undefined,
    repositoryId: undefined,
  },
  'drain-node': { type: 'drain-node', nodeId: 7, drain: true, expectedVersion: 3 },
  'remove-node': { type: 'remove-node', nodeId: 7, expectedVersion: undefined },
  'replace-node': { type: 'replace-node', oldIncarnation: 'old', node },
  'set-placement': {
    type: 'set-placement',
    partitionId: 1,
    requestId: large,
    expectedVersion: 3,
    desired: [
      { nodeId: 7, role: 'voter' },
      { nodeId: 8, role: 'learner' },
    ],
  },
  'replace-replica': { type: 'replace-replica', partitionId: 1, replicaId: 2 },
  'replica-joined': { type: 'replica-joined', partitionId: 1, replicaId: 2 },
  'replica-removed': { type: 'replica-removed', partitionId: 1, replicaId: 2 },
  'set-setting': { type: 'set-setting', name: 'moves-max', value: '5', expectedVersion: 0 },
  'set-setting to default': { type: 'set-setting', name: 'moves-max', value: undefined, expectedVersion: undefined },
  'raise-feature-level': { type: 'raise-feature-level', level: 2 },
  'set-repository': { type: 'set-repository', repositoryId: 'r2', expectedRepositoryId: 'r' },
};

const cluster = { clusterId, featureLevel: 1, repositoryId: 'r', entryTimeMs: 1_700_000_000_123, tableVersion: large };
const nodeView: NodeView = {
  ...node,
  state: 'draining',
  stateLsn: 9,
  stateSinceMs: 1_700_000_000_123,
  retiredIncarnations: ['old'],
  version: 5,
};
const partition: PartitionView = {
  id: asPartitionId(300),
  replicas: [
    { replicaId: asReplicaId(4), nodeId: asNodeId(7), role: 'voter', state: 'settled' },
    { replicaId: asReplicaId(5), nodeId: asNodeId(8), role: 'learner', state: 'joining' },
    { replicaId: asReplicaId(1), nodeId: asNodeId(9), role: 'voter', state: 'lost' },
  ],
  initialVoters: [1, 2, 3].map(asReplicaId),
  nextReplicaId: 6,
  lastRequestId: large,
  version: 5,
};
const setting = { name: 'moves-max', value: '5', version: 6 };
const slots = slotsOfPattern([1, 2, 3]);
const table = {
  ...cluster,
  nodes: new Map([[nodeView.id, nodeView]]),
  partitions: new Map([[partition.id, partition]]),
  settings: new Map([[setting.name, setting]]),
  slots,
};

const formats: Record<string, string> = {
  ...Object.fromEntries(
    Object.entries(commands).map(([name, command]) => [
      `entry ${name}`,
      hex(encodeCommand(command, { timeMs: 1_700_000_000_123.5 })),
    ]),
  ),
  'key cluster': hex(keys.clusterKey),
  'key node': hex(keys.nodeKey(0xffff_fffe)),
  'key partition': hex(keys.partitionKey(300)),
  'key slots': hex(keys.slotsKey),
  'key setting': hex(keys.settingKey('moves-max')),
  'value cluster': hex(values.encodeClusterRecord(cluster)),
  'value node': hex(values.encodeNode(nodeView)),
  'value partition': hex(values.encodePartition(partition)),
  'value slots': hex(values.encodeSlots(slots)),
  'value setting': hex(values.encodeSetting(setting)),
  'partition table': hex(encodePartitionTable(table)),
};

test('golden file', () => {
  const path = new URL('./golden/formats-v1.json', import.meta.url);
  if (process.env['LOGBOOM_UPDATE_GOLDEN'] === '1') writeFileSync(path, `${JSON.stringify(formats, undefined, 2)}\n`);
  expect(formats).toEqual(JSON.parse(readFileSync(path, 'utf8')));
});

describe('what is encoded is decoded', () => {
  test.each(Object.entries(commands))('%s', (_name, command) => {
    expect(decodeCommand(encodeCommand(command, { timeMs: 12.9 }))).toEqual({ timeMs: 12, command });
    expect(() => encodeCommand(command, { timeMs: 12, featureLevel: 0 })).toThrow('needs feature level 1');
  });

  test('values and the table', () => {
    expect(values.decodeClusterRecord(values.encodeClusterRecord(cluster))).toEqual(cluster);
    expect(values.decodeNode(values.encodeNode(nodeView))).toEqual(nodeView);
    expect(values.decodePartition(values.encodePartition(partition))).toEqual(partition);
    expect(values.decodeSetting(values.encodeSetting(setting))).toEqual(setting);
    expect(values.decodeSlots(values.encodeSlots(slots))).toEqual(slots);
    expect(decodePartitionTable(encodePartitionTable(table))).toEqual(table);
  });

  test('slots, whatever they are', () => {
    const period = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(
        period,
        fc.option(fc.tuple(fc.nat({ max: 4095 }), fc.integer({ min: 1, max: 9 }))),
        (pattern, change) => {
          const given = slotsOfPattern(pattern);
          if (change !== null) given[change[0]] = change[1];
          const shortest = patternOfSlots(given);
          expect(slotsOfPattern(shortest)).toEqual(given);
          if (change === null) expect(shortest.length).toBeLessThanOrEqual(pattern.length);
          expect(values.decodeSlots(values.encodeSlots(given))).toEqual(given);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('damage', () => {
  const decoders: [string, Uint8Array, (bytes: Uint8Array) => unknown][] = [
    ['cluster record', values.encodeClusterRecord(cluster), values.decodeClusterRecord],
    ['node', values.encodeNode(nodeView), values.decodeNode],
    ['partition', values.encodePartition(partition), values.decodePartition],
    ['setting', values.encodeSetting(setting), values.decodeSetting],
    ['slots', values.encodeSlots(slots), values.decodeSlots],
    ['partition table', encodePartitionTable(table), decodePartitionTable],
  ];

  test.each(decoders)('only DATA_CORRUPT comes out of the decoder of a %s', (_what, golden, decode) => {
    const corruptOrNot = (bytes: Uint8Array): string => {
      try {
        decode(bytes);
        return 'accepted';
      } catch (error) {
        return isLogboomError(error, 'DATA_CORRUPT') ? 'corrupt' : String(error);
      }
    };
    for (let length = 0; length < golden.length; length++) {
      expect(corruptOrNot(golden.subarray(0, length))).toBe('corrupt');
    }
    expect(corruptOrNot(Uint8Array.from([2, ...golden.subarray(1)]))).toBe('corrupt');
    expect(corruptOrNot(Uint8Array.from([...golden, 0]))).toBe('corrupt');
    const altered = fc.tuple(fc.nat({ max: golden.length - 1 }), fc.nat({ max: 255 })).map(([at, value]) => {
      const copy = Uint8Array.from(golden);
      copy[at] = value;
      return copy;
    });
    fc.assert(
      fc.property(fc.oneof(altered, fc.uint8Array({ maxLength: 120 })), (bytes) =>
        ['accepted', 'corrupt'].includes(corruptOrNot(bytes)),
      ),
      { numRuns: 2_000 },
    );
  });

  test('only InvariantViolation comes out of the decoder of entries', () => {
    const isNamed = (bytes: Uint8Array): boolean => {
      try {
        decodeCommand(bytes);
        return true;
      } catch (error) {
        return error instanceof InvariantViolation;
      }
    };
    for (const command of Object.values(commands)) {
      const entry = encodeCommand(command, { timeMs: 1_700_000_000_123 });
      for (let length = 0; length < entry.length; length++) expect(isNamed(entry.slice(0, length))).toBe(true);
      fc.assert(
        fc.property(fc.nat({ max: entry.length - 1 }), fc.nat({ max: 255 }), (at, value) => {
          const altered = entry.slice();
          altered[at] = value;
          return isNamed(altered);
        }),
        { numRuns: 500 },
      );
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), isNamed), { numRuns: 2_000 });
    const behindHeader = fc
      .tuple(fc.integer({ min: 1, max: 13 }), fc.uint8Array({ maxLength: 60 }))
      .map(([type, bytes]) => Uint8Array.from([1, type, 0, 0, 0, bytes.length, ...bytes]));
    fc.assert(fc.property(behindHeader, isNamed), { numRuns: 5_000 });
  });

  test('an entry of a newer version says so', () => {
    const entry = encodeCommand(commands['remove-node']!, { timeMs: 1 });
    expect(() => decodeCommand(Uint8Array.from([1, 99, ...entry.subarray(2)]))).toThrow(
      /newer version: command type 99/,
    );
    const header = pack([2, 1]);
    expect(() => decodeCommand(Uint8Array.from([1, 5, 0, 0, 0, header.length, ...header]))).toThrow(
      /newer version: command type 5 has version 2, this node knows 1/,
    );
    expect(() => decodeCommand(Uint8Array.from([...entry, 0]))).toThrow(/1 bytes behind a command/);
  });

  test('values that do not belong together are found on load', async () => {
    const made = Cluster.of(3);
    const others = Cluster.of(3);
    made.store.write([{ key: keys.nodeKey(1), value: others.store.getIndex(keys.nodeKey(2)) }]);
    others.store.write([{ key: keys.clusterKey, value: undefined }]);
    for (const { machine, store } of [made, others]) {
      const failure: unknown = await machine.load(store).catch((error: unknown) => error);
      expect(isLogboomError(failure, 'DATA_CORRUPT')).toBe(true);
    }
  });
});

describe('routing', () => {
  test('a stream has the slot of its CRC-32, and the replicas of its partition', () => {
    const { state } = Cluster.of(3, { partitions: 7 });
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (name) => {
        const route = routeOf(decodePartitionTable(encodePartitionTable(state)), name, crc32);
        expect(route.slot).toBe(crc32(Buffer.from(name)) % 4096);
        expect(route.partitionId).toBe(1 + (route.slot % 7));
        expect(route.replicas).toEqual(state.partitions.get(route.partitionId)!.replicas);
      }),
      { numRuns: 50 },
    );
  });

  test('whoever may lead is named, those that come or go last, a lost one never', () => {
    const states = ['leaving', 'joining', 'lost', 'settled'] as const;
    const replicas = states.map((state, at) => ({ ...partition.replicas[0]!, replicaId: asReplicaId(at + 1), state }));
    const one = { ...partition, replicas, id: asPartitionId(1) };
    const route = routeOf({ ...table, partitions: new Map([[one.id, one]]), slots: slotsOfPattern([1]) }, 'a', crc32);
    expect(route.replicas.map(({ state }) => state)).toEqual(['settled', 'leaving', 'joining']);
  });
});

test('a setting that nobody set has its default', () => {
  const settings = clusterSettings(new Map());
  for (const rule of settingRules) expect(settings[rule.field]).toBe(rule.default);
  expect(clusterSettings(new Map([[setting.name, setting]])).movesMax).toBe(5);
});
