/** Builds what is kept in memory from the stored state. */
import { LogboomError } from '../base/errors.js';
import type { IndexEntry, StateReader } from '../base/state-machine.js';
import { emptyContents } from './cluster-table.js';
import type { TableContents } from './cluster-table.js';
import { clusterKey, Keyspace, keyspaceRange, nodeKey, partitionKey, settingKey, slotsKey } from './keys.js';
import { decodeClusterRecord, decodeNode, decodePartition, decodeSetting, decodeSlots } from './values.js';

const scanLimit = 1000;

/** @throws LogboomError DATA_CORRUPT */
export async function loadContents(reader: StateReader): Promise<TableContents> {
  const contents = emptyContents();
  await forEachEntry(reader, Keyspace.node, ({ key, value }) => {
    const node = decodeNode(value);
    requireKey('node', key, nodeKey(node.id));
    contents.nodes.set(node.id, node);
  });
  await forEachEntry(reader, Keyspace.partition, ({ key, value }) => {
    const partition = decodePartition(value);
    requireKey('partition', key, partitionKey(partition.id));
    contents.partitions.set(partition.id, partition);
  });
  await forEachEntry(reader, Keyspace.setting, ({ key, value }) => {
    const setting = decodeSetting(value);
    requireKey('cluster setting', key, settingKey(setting.name));
    contents.settings.set(setting.name, setting);
  });
  const cluster = reader.getIndex(clusterKey);
  const slots = reader.getIndex(slotsKey);
  if (cluster !== undefined) contents.cluster = decodeClusterRecord(cluster);
  if (slots !== undefined) contents.slots = decodeSlots(slots);
  const isEmpty = contents.nodes.size === 0 && contents.partitions.size === 0 && slots === undefined;
  if ((cluster === undefined) !== isEmpty || (cluster === undefined) !== (slots === undefined)) {
    throw new LogboomError('DATA_CORRUPT', 'The stored state of the cluster is not complete.');
  }
  return contents;
}

/** A sound value under another's key would make two of one. */
function requireKey(what: string, found: Uint8Array, expected: Uint8Array): void {
  if (found.length === expected.length && found.every((byte, at) => byte === expected[at])) return;
  throw new LogboomError('DATA_CORRUPT', `A stored ${what} lies under the key of another.`);
}

async function forEachEntry(
  reader: StateReader,
  keyspace: (typeof Keyspace)[keyof typeof Keyspace],
  visit: (entry: IndexEntry) => void,
): Promise<void> {
  const { from, to } = keyspaceRange(keyspace);
  for (let start = from; ;) {
    const entries = await reader.scanIndex({ from: start, to, limit: scanLimit });
    entries.forEach(visit);
    const last = entries.at(-1);
    if (last === undefined || entries.length < scanLimit) return;
    start = new Uint8Array(last.key.length + 1);
    start.set(last.key);
  }
}
