/** Record batches for tests: encoded with the wire writer, decoded with it and, independently, with protobufjs. */
import { crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { loadSync } from '@grpc/proto-loader';
import type { MessageTypeDefinition } from '@grpc/proto-loader';
import { Codec, CompressionError } from '../../../src/base/ports/compressor.js';
import type { Compressor } from '../../../src/base/ports/compressor.js';
import { ProtobufReader, ProtobufWriter } from '../../../src/base/protobuf.js';
import { defaultStreamsLimits } from '../../../src/streams/index.js';
import type { PageSlice, VerifiedBatch } from '../../../src/streams/index.js';

export const crc = (bytes: Uint8Array, seed = 0): number => crc32(bytes, seed);

const proto = loadSync('proto/logboom/v1/streams.proto', { longs: Number, bytes: Buffer });
/** Messages as protobufjs reads and writes them. */
export const RecordSetType = proto['logboom.v1.RecordSet'] as MessageTypeDefinition<object, DecodedRecordSet>;
export const RecordBatchType = proto['logboom.v1.RecordBatch'] as MessageTypeDefinition<object, object>;
const BatchSliceType = proto['logboom.v1.BatchSlice'] as MessageTypeDefinition<object, object>;

export interface DecodedRecordSet {
  readonly records?: readonly { readonly value?: Uint8Array }[];
}

export interface TestRecord {
  readonly value: Uint8Array;
  readonly timestamp?: number;
  readonly attributes?: readonly (readonly [string, string])[];
}

export const textRecord = (text: string): TestRecord => ({ value: Buffer.from(text) });

export function encodeRecordSet(records: readonly TestRecord[]): Uint8Array {
  const writer = new ProtobufWriter();
  for (const record of records) {
    const message = new ProtobufWriter().bytes(1, record.value);
    if (record.timestamp !== undefined) message.int64(2, record.timestamp);
    for (const [key, value] of record.attributes ?? []) {
      message.message(3, new ProtobufWriter().string(1, key).string(2, value));
    }
    writer.message(1, message);
  }
  return writer.finish();
}

/** The values of an encoded RecordSet, as text. */
export function decodeValues(recordSet: Uint8Array): string[] {
  const values: string[] = [];
  const reader = new ProtobufReader(recordSet);
  while (reader.next()) {
    const record = reader.message();
    let value = '';
    while (record.next()) {
      if (record.field === 1) value = Buffer.from(record.bytes()).toString();
      else record.skip();
    }
    values.push(value);
  }
  return values;
}

/** Stands for zstd: deflate behind the uncompressed size. */
export const testCompressor: Compressor = {
  async compress(_codec, bytes) {
    const size = Buffer.alloc(4);
    size.writeUInt32BE(bytes.length);
    return new Uint8Array(Buffer.concat([size, deflateRawSync(bytes)]));
  },
  async decompress(_codec, bytes, maxBytes) {
    await Promise.resolve();
    if (bytes.length < 4) throw new CompressionError('no size');
    const size = Buffer.from(bytes.subarray(0, 4)).readUInt32BE();
    if (size > maxBytes) throw new CompressionError(`declares ${size} bytes, at most ${maxBytes} are allowed`);
    try {
      return new Uint8Array(inflateRawSync(bytes.subarray(4), { maxOutputLength: Math.max(1, maxBytes) }));
    } catch (error) {
      throw new CompressionError('damaged', { cause: error });
    }
  },
};

export const tools = { compressor: testCompressor, crc32: crc, limits: defaultStreamsLimits };

/** A batch as `verifyBatch` answers it. */
export async function batchOf(records: readonly TestRecord[], codec: Codec = Codec.none): Promise<VerifiedBatch> {
  const recordSet = encodeRecordSet(records);
  return {
    codec,
    recordCount: records.length,
    uncompressedBytes: recordSet.length,
    contentCrc: crc(recordSet),
    payload: codec === Codec.none ? recordSet : await testCompressor.compress(codec, recordSet),
  };
}

export const textBatch = (texts: readonly string[], codec: Codec = Codec.none): Promise<VerifiedBatch> =>
  batchOf(texts.map(textRecord), codec);

/** The values of the records in a slice's window, ascending. */
export async function sliceValues(slice: PageSlice): Promise<string[]> {
  const recordSet =
    slice.codec === Codec.none
      ? slice.payload
      : await testCompressor.decompress(slice.codec, slice.payload, slice.uncompressedBytes);
  const values = decodeValues(recordSet);
  if (values.length !== slice.recordCount) throw new Error(`${values.length} records, slice says ${slice.recordCount}`);
  return values.slice(slice.windowOffset, slice.windowOffset + slice.windowCount);
}

/** Bytes of a slice as the server sends it in a repeated field. */
export function encodedSliceBytes(slice: PageSlice): number {
  const isPlain = slice.codec === Codec.none;
  const message = {
    firstSeq: slice.firstSeq,
    appendTimeUnixMs: slice.appendTimeMs,
    lsn: slice.lsn,
    batch: {
      codec: slice.codec,
      recordCount: slice.recordCount,
      uncompressedBytes: slice.uncompressedBytes,
      ...(isPlain ? {} : { compressed: slice.payload }),
    },
    windowOffset: slice.windowOffset,
    windowCount: slice.windowCount,
    ...(slice.producer === undefined ? {} : { producer: slice.producer }),
  };
  // Tag and length of the slice itself, and of the records that protobufjs is not given.
  return BatchSliceType.serialize(message).length + 5 + (isPlain ? slice.payload.length + 10 : 0);
}
