/** Records as simulated clients write and read them: each has content of its own, which names it. */
import { encodeUtf8 } from '../../src/base/bytes.js';
import { Codec } from '../../src/base/ports/compressor.js';
import { ProtobufReader, ProtobufWriter } from '../../src/base/protobuf.js';
import type { PageSlice } from '../../src/streams/index.js';
import { compressRuns, expandRuns } from '../nodes/simulated-compressor.js';

const text = new TextDecoder();
const recordSetBytesMax = 1 << 24;

export interface ReadRecord {
  readonly seq: number;
  readonly value: string;
}

/** An encoded RecordBatch message of these values. */
export function encodeBatch(values: readonly string[], compressed: boolean): Uint8Array {
  const set = new ProtobufWriter();
  for (const value of values) set.message(1, new ProtobufWriter().bytes(1, encodeUtf8(value)));
  const batch = new ProtobufWriter();
  if (!compressed) return batch.uint64(1, Codec.none).uint64(2, values.length).message(4, set).finish();
  const records = set.finish();
  const payload = compressRuns(records);
  return batch.uint64(1, Codec.zstd).uint64(2, values.length).uint64(3, records.length).bytes(5, payload).finish();
}

/** The records of a page, in the order of the page's slices, ascending within each. */
export function recordsOf(slices: readonly PageSlice[]): ReadRecord[] {
  const records: ReadRecord[] = [];
  for (const slice of slices) {
    const set = slice.codec === Codec.none ? slice.payload : expandRuns(slice.payload, recordSetBytesMax);
    const values = decodeRecordSet(set);
    const window = values.slice(slice.windowOffset, slice.windowOffset + slice.windowCount);
    const firstSeq = slice.firstSeq + slice.windowOffset;
    window.forEach((value, index) => records.push({ seq: firstSeq + index, value }));
  }
  return records;
}

function decodeRecordSet(bytes: Uint8Array): string[] {
  const values: string[] = [];
  const reader = new ProtobufReader(bytes);
  while (reader.next()) {
    const record = reader.message();
    let value = '';
    while (record.next()) {
      if (record.field === 1) value = text.decode(record.bytes());
      else record.skip();
    }
    values.push(value);
  }
  return values;
}
