/** Reads the values of batches that a cursor found. */
import type { Lsn } from '../base/ids.js';
import type { StateReader } from '../base/state-machine.js';
import { RecordsGone } from './batch-cursor.js';
import type { BatchRef } from './batch-cursor.js';
import type { LoadedBatch } from './slice-cutter.js';
import { decodeStoredRecords, requireStoredFor } from './stored-records.js';

/** Records values that are still in memory, such as those applied last; looked into before the store. */
export interface RecordsCache {
  get(lsn: Lsn): Uint8Array | undefined;
}

/** @throws RecordsGone, LogboomError DATA_CORRUPT */
export async function loadBatches(
  reader: StateReader,
  streamId: number,
  refs: readonly BatchRef[],
  cache: RecordsCache | undefined,
): Promise<LoadedBatch[]> {
  const values = refs.map((ref) => cache?.get(ref.lsn));
  const missing = refs.filter((_, index) => values[index] === undefined).map((ref) => ref.lsn);
  const stored = missing.length === 0 ? [] : await reader.getRecords(missing);
  let nextStored = 0;
  return refs.map((ref, index) => {
    const value = values[index] ?? stored[nextStored++];
    if (value === undefined) throw new RecordsGone(ref.firstSeq);
    const records = decodeStoredRecords(value);
    requireStoredFor(records, streamId, ref.firstSeq, ref.recordCount);
    return { lsn: ref.lsn, records };
  });
}
