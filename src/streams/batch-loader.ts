/** Reads the values of batches that a cursor found. */
import type { StateReader } from '../base/state-machine.js';
import { RecordsGone } from './batch-cursor.js';
import type { BatchRef } from './batch-cursor.js';
import type { LoadedBatch } from './slice-cutter.js';
import { decodeStoredRecords, requireStoredFor } from './stored-records.js';

/** @throws RecordsGone, LogboomError DATA_CORRUPT */
export async function loadBatches(
  reader: StateReader,
  streamId: number,
  refs: readonly BatchRef[],
): Promise<LoadedBatch[]> {
  const values = await reader.getRecords(refs.map((ref) => ref.lsn));
  return refs.map((ref, index) => {
    const value = values[index];
    if (value === undefined) throw new RecordsGone(ref.firstSeq);
    const records = decodeStoredRecords(value);
    requireStoredFor(records, streamId, ref.firstSeq, ref.recordCount);
    return { lsn: ref.lsn, records };
  });
}
