/**
 * Keys of the index database; docs/formats/metadata.md has the drawings. Integers are big-endian.
 *
 *     0x10                          cluster
 *     0x11 | node id u32            node
 *     0x12 | partition id u32       partition
 *     0x13                          hash slots
 *     0x14 | name, UTF-8            setting
 */
import { encodeUtf8, writeUint32 } from '../base/bytes.js';

export const Keyspace = { cluster: 0x10, node: 0x11, partition: 0x12, slots: 0x13, setting: 0x14 } as const;
type Keyspace = (typeof Keyspace)[keyof typeof Keyspace];

export const clusterKey: Uint8Array = Uint8Array.of(Keyspace.cluster);
export const slotsKey: Uint8Array = Uint8Array.of(Keyspace.slots);
export const nodeKey = (nodeId: number): Uint8Array => integerKey(Keyspace.node, nodeId);
export const partitionKey = (partitionId: number): Uint8Array => integerKey(Keyspace.partition, partitionId);
export const settingKey = (name: string): Uint8Array => Uint8Array.of(Keyspace.setting, ...encodeUtf8(name));

/** All keys of a keyspace: `from <= key < to`. */
export function keyspaceRange(keyspace: Keyspace): { from: Uint8Array; to: Uint8Array } {
  return { from: Uint8Array.of(keyspace), to: Uint8Array.of(keyspace + 1) };
}

function integerKey(keyspace: Keyspace, id: number): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = keyspace;
  writeUint32(key, 1, id);
  return key;
}
