/** Chunks with what their manifest says of them, beyond the hash of their content. */
import type { IndexEntry } from '../base/state-machine.js';
import type { RecordsEntry } from '../state-store/index.js';
import { decodeIndexChunk, decodeRecordsChunk } from './chunk.js';
import { corrupt } from './failures.js';
import type { IndexChunk, RecordsChunk } from './types.js';

/**
 * @param object name of the chunk's object, for errors
 * @throws LogboomError SNAPSHOT_CORRUPT
 */
export function indexEntriesOf(object: string, chunk: IndexChunk, content: Uint8Array): IndexEntry[] {
  const entries = decodeIndexChunk(object, content);
  const range = [hexOf(entries[0]?.key), hexOf(entries.at(-1)?.key)];
  if (entries.length === chunk.entries && range[0] === chunk.firstKeyHex && range[1] === chunk.lastKeyHex)
    return entries;
  throw corrupt(object, 'does not hold the entries that its manifest says');
}

/** @throws LogboomError SNAPSHOT_CORRUPT */
export function recordsEntriesOf(object: string, chunk: RecordsChunk, content: Uint8Array): RecordsEntry[] {
  const entries = decodeRecordsChunk(object, content);
  const range = [entries[0]?.lsn, entries.at(-1)?.lsn];
  if (entries.length === chunk.entries && range[0] === chunk.firstLsn && range[1] === chunk.lastLsn) return entries;
  throw corrupt(object, 'does not hold the entries that its manifest says');
}

export const hexOf = (key: Uint8Array | undefined): string =>
  key === undefined ? '' : Buffer.from(key.buffer, key.byteOffset, key.length).toString('hex');
