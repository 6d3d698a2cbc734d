/** Which stored entries are part of a partition's state, and which only wait to be cleared or are local to a replica. */
import type { Lsn } from '../base/ids.js';
import { asLsn } from '../base/ids.js';
import type { IndexEntry, LogicalView, StateScan } from '../base/state-machine.js';
import { decodeBatchValue, decodeProducerBatchValue, decodeStreamValue } from './index-values.js';
import { batchKey, keyFirstSeq, Keyspace, keyspaceRange, keyStreamId } from './keys.js';
import { decodeStoredRecords, storedRecordsBytes } from './stored-records.js';

const scanLimit = 1000;

/** Holds the first seq of every stream, about 100 bytes each. */
export async function logicalViewOf(state: StateScan): Promise<LogicalView> {
  const firstSeqs = await readFirstSeqs(state);
  /** Undefined: there is no such stream, or none any more. */
  const firstSeqOf = (key: Uint8Array): number | undefined => firstSeqs.get(keyStreamId(key));
  return {
    isLive(key, value) {
      switch (key[0]) {
        case Keyspace.entryTime:
        case Keyspace.stream:
          return true;
        case Keyspace.batch:
          return keyFirstSeq(key) >= (firstSeqOf(key) ?? Infinity);
        case Keyspace.producer:
          return firstSeqOf(key) !== undefined;
        case Keyspace.producerBatch:
          return decodeProducerBatchValue(value).firstSeq >= (firstSeqOf(key) ?? Infinity);
        // What is left to clear is known where it is stored; a copy of the live entries has nothing to clear.
        default:
          return false;
      }
    },
    recordsLsn(key, value): Lsn | undefined {
      return key[0] === Keyspace.batch ? asLsn(decodeBatchValue(value).lsn) : undefined;
    },
    recordsBytes(key, value) {
      return key[0] === Keyspace.batch ? storedRecordsBytes(decodeBatchValue(value).storedBytes) : 0;
    },
    ownerOf(_lsn, records) {
      const { streamId, firstSeq } = decodeStoredRecords(records);
      return batchKey(streamId, firstSeq);
    },
  };
}

async function readFirstSeqs(state: StateScan): Promise<Map<number, number>> {
  const firstSeqs = new Map<number, number>();
  const { from, to } = keyspaceRange(Keyspace.stream);
  for (let start = from; ;) {
    const entries: IndexEntry[] = await state.scanIndex({ from: start, to, limit: scanLimit });
    for (const { key, value } of entries) firstSeqs.set(keyStreamId(key), decodeStreamValue(value).firstSeq);
    const last = entries.at(-1);
    if (last === undefined || entries.length < scanLimit) return firstSeqs;
    start = new Uint8Array(last.key.length + 1);
    start.set(last.key);
  }
}
