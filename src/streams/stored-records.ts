/**
 * The value stored under the LSN of an append: a header of fixed layout, the producer id, and the producer's bytes.
 *
 *      0        1        2        3        4
 *      | version| codec  | flags  | id len | record count u32                  |
 *      8                                   12
 *      | uncompressed bytes u32            | content CRC-32 u32                |
 *     16 | stream id u64
 *     24 | first seq u64
 *     32 | append time, ms since the Unix epoch, u64
 *     40 | producer epoch u64
 *     48 | producer's number of the first record u64
 *     56 | producer id, UTF-8, `id len` bytes | payload ...
 *
 * Flags: bit 0, the append named a producer (otherwise id len, epoch and number are 0). Integers are big-endian.
 */
import { LogboomError } from '../base/errors.js';
import { Codec } from '../base/ports/compressor.js';
import { encodeUtf8 } from '../base/bytes.js';
import { LayoutReader, LayoutWriter } from '../base/fixed-layout.js';
import type { ProducerPosition } from './types.js';

const version = 1;
const headerBytes = 56;
const withProducer = 1;

export interface StoredRecords {
  readonly codec: Codec;
  readonly recordCount: number;
  readonly uncompressedBytes: number;
  readonly contentCrc: number;
  readonly streamId: number;
  readonly firstSeq: number;
  readonly appendTimeMs: number;
  readonly producer: ProducerPosition | undefined;
  readonly payload: Uint8Array;
}

/** Of the whole value, without the producer id. */
export const storedRecordsBytes = (payloadBytes: number): number => headerBytes + payloadBytes;

/** What comes before the payload. */
export function encodeStoredHead(
  records: Omit<StoredRecords, 'firstSeq' | 'appendTimeMs' | 'payload'>,
  firstSeq: number,
  appendTimeMs: number,
): Uint8Array {
  const { producer } = records;
  const producerId = encodeUtf8(producer?.id ?? '');
  const writer = new LayoutWriter(version, headerBytes + producerId.length)
    .uint8(records.codec)
    .uint8(producer === undefined ? 0 : withProducer)
    .uint8(producerId.length)
    .uint32(records.recordCount)
    .uint32(records.uncompressedBytes)
    .uint32(records.contentCrc)
    .uint64(records.streamId)
    .uint64(firstSeq)
    .uint64(appendTimeMs)
    .uint64(producer?.epoch ?? 0)
    .uint64(producer?.firstRecordNumber ?? 0);
  writer.bytes.set(producerId, headerBytes);
  return writer.bytes;
}

/**
 * The payload is a view of `bytes`.
 *
 * @throws LogboomError DATA_CORRUPT
 */
export function decodeStoredRecords(bytes: Uint8Array): StoredRecords {
  const reader = new LayoutReader('records value', bytes, version);
  const codec = reader.uint8();
  const flags = reader.uint8();
  const producerIdBytes = reader.uint8();
  if (codec !== Codec.none && codec !== Codec.zstd) throw reader.corrupt(`unknown codec ${codec}`);
  if ((flags & ~withProducer) !== 0) throw reader.corrupt(`unknown flags ${flags}`);
  const recordCount = reader.uint32();
  const uncompressedBytes = reader.uint32();
  const contentCrc = reader.uint32();
  const streamId = reader.uint64();
  const firstSeq = reader.uint64();
  const appendTimeMs = reader.uint64();
  const epoch = reader.uint64();
  const firstRecordNumber = reader.uint64();
  const id = reader.rawText(producerIdBytes);
  const payload = reader.rest();
  if (recordCount === 0 || payload.length === 0) throw reader.corrupt('it holds no record');
  if (codec === Codec.none && uncompressedBytes !== payload.length) {
    throw reader.corrupt(`${payload.length} bytes of payload, its header says ${uncompressedBytes}`);
  }
  const producer = flags === withProducer ? { id, epoch, firstRecordNumber } : undefined;
  return { codec, recordCount, uncompressedBytes, contentCrc, streamId, firstSeq, appendTimeMs, producer, payload };
}

/** @throws LogboomError DATA_CORRUPT unless the value is the one that the index entry stands for */
export function requireStoredFor(
  records: StoredRecords,
  streamId: number,
  firstSeq: number,
  recordCount: number,
): void {
  if (records.streamId === streamId && records.firstSeq === firstSeq && records.recordCount === recordCount) return;
  throw new LogboomError(
    'DATA_CORRUPT',
    `A records value belongs to stream ${records.streamId}, seq ${records.firstSeq}, ${records.recordCount} records; ` +
      `the index expects stream ${streamId}, seq ${firstSeq}, ${recordCount} records.`,
  );
}
