/** From a stream's name to the replicas that have it, and the table by which nodes and clients do so themselves. */
import { LayoutReader, LayoutWriter } from '../base/fixed-layout.js';
import { slotOf } from '../base/hash-slot.js';
import type { PartitionId } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { ClusterState, PartitionView, ReplicaView } from './types.js';
import {
  decodeClusterRecord,
  decodeNode,
  decodePartition,
  decodeSetting,
  decodeSlots,
  encodeClusterRecord,
  encodeNode,
  encodePartition,
  encodeSetting,
  encodeSlots,
} from './values.js';

/**
 * What every node keeps of the cluster, whether it holds a replica of partition 0 or not. It replaces one with a lower
 * `tableVersion`, never one with a higher.
 */
export type PartitionTable = ClusterState;

export interface Route {
  readonly slot: number;
  readonly partitionId: PartitionId;
  /** Those that may lead, the preferred one first; the ones that come or go last. */
  readonly replicas: readonly ReplicaView[];
}

/** The partition of a stream. */
export function routeOf(table: PartitionTable, streamName: string, crc32: Crc32): Route {
  const slot = slotOf(streamName, table.slots.length, crc32);
  const partitionId = table.slots[slot] as PartitionId;
  return { slot, partitionId, replicas: servingReplicas(table.partitions.get(partitionId)) };
}

function servingReplicas(partition: PartitionView | undefined): readonly ReplicaView[] {
  const replicas = partition?.replicas ?? [];
  return (['settled', 'leaving', 'joining'] as const).flatMap((state) =>
    replicas.filter((replica) => replica.role === 'voter' && replica.state === state),
  );
}

const tableVersion = 1;

/**
 * ```
 *  0           1            5
 *  +-----------+------------+----------------+------------+----------------+---- ...
 *  | version 1 | length u32 | cluster record | length u32 | hash slots     |
 *  +-----------+------------+----------------+------------+----------------+---- ...
 *  then, of nodes, of partitions and of settings: count u32, and as often length u32 and value
 * ```
 *
 * The parts are the stored values. In ascending order, so that equal tables have equal bytes.
 */
export function encodePartitionTable(table: PartitionTable): Uint8Array {
  const lists = [
    Array.from(table.nodes.values(), encodeNode),
    Array.from(table.partitions.values(), encodePartition),
    Array.from(table.settings.values(), encodeSetting),
  ];
  const singles = [encodeClusterRecord(table), encodeSlots(table.slots)];
  const parts = [...singles, ...lists.flat()];
  const length = parts.reduce((sum, part) => sum + 4 + part.length, 1 + 4 * lists.length);
  const writer = new LayoutWriter(tableVersion, length);
  const put = (part: Uint8Array): LayoutWriter => writer.uint32(part.length).raw(part);
  singles.forEach(put);
  for (const list of lists) {
    writer.uint32(list.length);
    list.forEach(put);
  }
  return writer.finish();
}

/** @throws LogboomError DATA_CORRUPT */
export function decodePartitionTable(bytes: Uint8Array): PartitionTable {
  const reader = new LayoutReader('partition table', bytes, tableVersion);
  const part = (): Uint8Array => reader.raw(reader.uint32());
  const cluster = decodeClusterRecord(part());
  const slots = decodeSlots(part());
  const list = <Value>(decode: (bytes: Uint8Array) => Value): Value[] => {
    const values: Value[] = [];
    for (let left = reader.uint32(); left > 0; left--) values.push(decode(part()));
    return values;
  };
  const nodes = byKey(reader, list(decodeNode), (node) => node.id);
  const partitions = byKey(reader, list(decodePartition), (partition) => partition.id);
  const settings = byKey(reader, list(decodeSetting), (setting) => setting.name);
  reader.end();
  return { ...cluster, nodes, partitions, settings, slots };
}

function byKey<Key extends number | string, Value>(
  reader: LayoutReader,
  values: readonly Value[],
  keyOf: (value: Value) => Key,
): ReadonlyMap<Key, Value> {
  const keys = values.map(keyOf);
  if (keys.some((key, at) => at > 0 && key <= (keys[at - 1] as Key))) throw reader.corrupt('it is not in order');
  return new Map(values.map((value, at) => [keys[at] as Key, value]));
}
