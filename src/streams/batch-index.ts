/** Scans of the batch index, and searches in it: both append time and stored bytes only grow along a stream. */
import type { IndexEntry, StateReader } from '../base/state-machine.js';
import { decodeBatchValue } from './index-values.js';
import type { BatchValue } from './index-values.js';
import { batchRange, keyFirstSeq } from './keys.js';
import type { StreamView } from './types.js';

export interface BatchEntry extends BatchValue {
  readonly firstSeq: number;
  /** One above its last record. */
  readonly endSeq: number;
}

/** At most `limit` batches whose first seq is in `[from, to)`, ascending. */
export async function scanBatches(
  reader: StateReader,
  streamId: number,
  from: number,
  to: number,
  limit: number,
): Promise<BatchEntry[]> {
  if (from >= to) return [];
  return (await reader.scanIndex({ ...batchRange(streamId, from, to), limit })).map(batchEntry);
}

/** At most `limit` batches whose first seq is in `[from, to)`, descending. */
export async function scanBatchesBackward(
  reader: StateReader,
  streamId: number,
  from: number,
  to: number,
  limit: number,
): Promise<BatchEntry[]> {
  if (from >= to) return [];
  return (await reader.scanIndex({ ...batchRange(streamId, from, to), reverse: true, limit })).map(batchEntry);
}

function batchEntry({ key, value }: IndexEntry): BatchEntry {
  const batch = decodeBatchValue(value);
  const firstSeq = keyFirstSeq(key);
  return {
    lsn: batch.lsn,
    recordCount: batch.recordCount,
    storedBytes: batch.storedBytes,
    appendTimeMs: batch.appendTimeMs,
    bytesThrough: batch.bytesThrough,
    producer: batch.producer,
    firstSeq,
    endSeq: firstSeq + batch.recordCount,
  };
}

/** Positions that one last scan covers in place of more halving. */
const scanWidth = 64;

/**
 * First seq of the oldest retained batch for which `holds`, or the end of the stream. `holds` must stay true from its
 * first true on. Halves the range of positions: about log2(records / 64) scans of one entry and one of up to 64, see
 * docs/decisions/0002-time-lookup-by-binary-search.md.
 */
export async function findBatch(
  reader: StateReader,
  stream: Pick<StreamView, 'id' | 'firstSeq' | 'nextSeq'>,
  holds: (batch: BatchEntry) => boolean,
): Promise<number> {
  /** Every batch below `low` does not hold; `found` holds, or is the end; batches from `high` on are not below `found`. */
  let low: number = stream.firstSeq;
  let high: number = stream.nextSeq;
  let found: number = stream.nextSeq;
  while (high - low > scanWidth) {
    const middle = low + Math.floor((high - low) / 2);
    const [batch] = await scanBatches(reader, stream.id, middle, high, 1);
    if (batch === undefined) high = middle;
    else if (holds(batch)) {
      found = batch.firstSeq;
      high = middle;
    } else low = batch.endSeq;
  }
  const rest = await scanBatches(reader, stream.id, low, high, scanWidth);
  return rest.find(holds)?.firstSeq ?? found;
}

/** First seq of the oldest retained batch that was appended at or after `timeMs`, or the end of the stream. */
export async function seqAtTime(reader: StateReader, stream: StreamView, timeMs: number): Promise<number> {
  if (stream.lastAppendMs < timeMs) return stream.nextSeq;
  return findBatch(reader, stream, (batch) => batch.appendTimeMs >= timeMs);
}
