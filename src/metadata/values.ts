/** Values of the index database, which also make up the table that nodes and clients cache; drawings in docs/formats/metadata.md. */
import { encodeUtf8 } from '../base/bytes.js';
import { LayoutReader, LayoutWriter, textBytes } from '../base/fixed-layout.js';
import { asNodeId, asPartitionId, asReplicaId } from '../base/ids.js';
import { slotCount } from './limits.js';
import { patternOfSlots, slotsOfPattern } from './slots.js';
import type {
  ClusterRecord,
  NodeState,
  NodeView,
  PartitionView,
  ReplicaRole,
  ReplicaState,
  SettingView,
} from './types.js';

const version = 1;
const nodeStates: readonly NodeState[] = ['active', 'draining', 'removed'];
const roles: readonly ReplicaRole[] = ['voter', 'learner'];
const replicaStates: readonly ReplicaState[] = ['joining', 'settled', 'leaving', 'lost'];

export function encodeClusterRecord(record: ClusterRecord): Uint8Array {
  const clusterId = encodeUtf8(record.clusterId);
  const repositoryId = encodeUtf8(record.repositoryId);
  return new LayoutWriter(version, 21 + textBytes(clusterId) + textBytes(repositoryId))
    .uint32(record.featureLevel)
    .uint64(record.entryTimeMs)
    .uint64(record.tableVersion)
    .text(clusterId)
    .text(repositoryId)
    .finish();
}

/** @throws LogboomError DATA_CORRUPT, as every decoder here */
export function decodeClusterRecord(bytes: Uint8Array): ClusterRecord {
  const reader = new LayoutReader('cluster record', bytes, version);
  const record = {
    featureLevel: reader.uint32(),
    entryTimeMs: reader.uint64(),
    tableVersion: reader.uint64(),
    clusterId: reader.text(),
    repositoryId: reader.text(),
  };
  reader.end();
  return record;
}

export function encodeNode(node: NodeView): Uint8Array {
  const texts = [node.name, node.zone, node.incarnation, node.linkAddress, node.softwareVersion, node.repositoryId];
  const fixed = texts.map(encodeUtf8);
  const addresses = node.advertisedAddresses.map(encodeUtf8);
  const retired = node.retiredIncarnations.map(encodeUtf8);
  const textLength = [...fixed, ...addresses, ...retired].reduce((sum, text) => sum + textBytes(text), 0);
  const writer = new LayoutWriter(version, 38 + textLength)
    .uint32(node.id)
    .uint8(nodeStates.indexOf(node.state))
    .uint32(node.featureLevel)
    .uint64(node.stateLsn)
    .uint64(node.stateSinceMs)
    .uint64(node.version);
  for (const text of fixed) writer.text(text);
  for (const list of [addresses, retired]) {
    writer.uint16(list.length);
    for (const text of list) writer.text(text);
  }
  return writer.finish();
}

export function decodeNode(bytes: Uint8Array): NodeView {
  const reader = new LayoutReader('node', bytes, version);
  const node = {
    id: asNodeId(reader.uint32()),
    state: choice(reader, nodeStates, 'node state'),
    featureLevel: reader.uint32(),
    stateLsn: reader.uint64(),
    stateSinceMs: reader.uint64(),
    version: reader.uint64(),
    name: reader.text(),
    zone: reader.text(),
    incarnation: reader.text(),
    linkAddress: reader.text(),
    softwareVersion: reader.text(),
    repositoryId: reader.text(),
    advertisedAddresses: texts(reader),
    retiredIncarnations: texts(reader),
  };
  reader.end();
  return node;
}

export function encodePartition(partition: PartitionView): Uint8Array {
  const { replicas, initialVoters } = partition;
  const writer = new LayoutWriter(version, 31 + 13 * replicas.length + 8 * initialVoters.length)
    .uint32(partition.id)
    .uint64(partition.nextReplicaId)
    .uint64(partition.lastRequestId)
    .uint64(partition.version)
    .uint8(replicas.length)
    .uint8(initialVoters.length);
  for (const { replicaId, nodeId, role, state } of replicas) {
    writer
      .uint64(replicaId)
      .uint32(nodeId)
      .uint8(roles.indexOf(role) * 16 + replicaStates.indexOf(state));
  }
  for (const replicaId of initialVoters) writer.uint64(replicaId);
  return writer.finish();
}

export function decodePartition(bytes: Uint8Array): PartitionView {
  const reader = new LayoutReader('partition', bytes, version);
  const id = asPartitionId(reader.uint32());
  const nextReplicaId = reader.uint64();
  const lastRequestId = reader.uint64();
  const changed = reader.uint64();
  const replicaCount = reader.uint8();
  const voterCount = reader.uint8();
  const replicas = Array.from({ length: replicaCount }, () => {
    const replicaId = asReplicaId(reader.uint64());
    const nodeId = asNodeId(reader.uint32());
    const what = reader.uint8();
    const role = roles[what >>> 4];
    const state = replicaStates[what & 15];
    if (role === undefined || state === undefined) throw reader.corrupt(`unknown role and state ${what}`);
    if (replicaId >= nextReplicaId) throw reader.corrupt(`replica ${replicaId} was never allocated`);
    return { replicaId, nodeId, role, state };
  });
  const initialVoters = Array.from({ length: voterCount }, () => asReplicaId(reader.uint64()));
  reader.end();
  return { id, replicas, initialVoters, nextReplicaId, lastRequestId, version: changed };
}

export function encodeSetting(setting: SettingView): Uint8Array {
  const name = encodeUtf8(setting.name);
  const value = encodeUtf8(setting.value);
  return new LayoutWriter(version, 9 + textBytes(name) + textBytes(value))
    .uint64(setting.version)
    .text(name)
    .text(value)
    .finish();
}

export function decodeSetting(bytes: Uint8Array): SettingView {
  const reader = new LayoutReader('cluster setting', bytes, version);
  const setting = { version: reader.uint64(), name: reader.text(), value: reader.text() };
  reader.end();
  return setting;
}

export function encodeSlots(slots: Uint16Array): Uint8Array {
  const pattern = patternOfSlots(slots);
  const writer = new LayoutWriter(version, 3 + 2 * pattern.length).uint16(pattern.length);
  for (const partitionId of pattern) writer.uint16(partitionId);
  return writer.finish();
}

export function decodeSlots(bytes: Uint8Array): Uint16Array {
  const reader = new LayoutReader('table of hash slots', bytes, version);
  const length = reader.uint16();
  if (length === 0 || length > slotCount) throw reader.corrupt(`a pattern of ${length} slots`);
  const pattern = Array.from({ length }, () => reader.uint16());
  reader.end();
  return slotsOfPattern(pattern);
}

function texts(reader: LayoutReader): readonly string[] {
  return Array.from({ length: reader.uint16() }, () => reader.text());
}

function choice<Value>(reader: LayoutReader, values: readonly Value[], what: string): Value {
  const index = reader.uint8();
  const value = values[index];
  if (value === undefined) throw reader.corrupt(`unknown ${what} ${index}`);
  return value;
}
