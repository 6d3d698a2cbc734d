/** Bits that change by themselves, where it can be told from a write that was torn. */
import { asLsn } from '../../src/base/ids.js';
import { lsnOfRecordsKey, recordsKey } from '../../src/state-store/sealed-values.js';
import { databaseNameFile } from '../nodes/node-stores.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';

/** Behind the header block of a segment. */
const entriesFrom = 8192;

/**
 * Flips a bit of the log, before the last group: rot in the last one looks like a torn write to anyone who has only
 * this disk to look at (src/wal/recovery.ts). Answers where, or undefined when there is no such place.
 */
export function rotLog(node: SimulatedNode, pick: number): string | undefined {
  const { lastLogSync } = node;
  if (lastLogSync === undefined || lastLogSync.position <= entriesFrom) return undefined;
  const offset = entriesFrom + (pick % (lastLogSync.position - entriesFrom));
  node.disk.flipBit(lastLogSync.path, offset, pick % 8);
  return `${lastLogSync.path} at ${offset}`;
}

/** Flips a bit of a records value above an LSN. Answers where, or undefined when there is none. */
export function rotRecordsAbove(node: SimulatedNode, partitionId: number, lsn: number): string | undefined {
  const directory = `/data/partitions/${partitionId}/records`;
  const database = databaseOf(node, directory);
  const key = database === undefined ? undefined : node.stores.rot(database, recordsKey(asLsn(lsn + 1)));
  return key === undefined ? undefined : `${directory} at LSN ${lsnOfRecordsKey(key)}`;
}

/** Flips a bit of a value of a state store. */
export function rotStore(node: SimulatedNode, pick: number, partitions: number): string | undefined {
  const directory = `/data/partitions/${1 + (pick % partitions)}/${pick % 2 === 0 ? 'records' : 'index'}`;
  const database = databaseOf(node, directory);
  return database === undefined || node.stores.rot(database) === undefined ? undefined : directory;
}

/** One that was imported has the name of the place where it was built. */
function databaseOf(node: SimulatedNode, directory: string): string | undefined {
  const nameFile = `${directory}/${databaseNameFile}`;
  return node.disk.paths().includes(nameFile) ? new TextDecoder().decode(node.disk.contents(nameFile)) : undefined;
}
