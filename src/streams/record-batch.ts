/** A batch as the producer sent it: read in place, checked, and never turned into records. */
import { LogboomError } from '../base/errors.js';
import { Codec, CompressionError } from '../base/ports/compressor.js';
import type { Compressor } from '../base/ports/compressor.js';
import type { Crc32 } from '../base/ports/environment.js';
import { ProtobufError, ProtobufReader } from '../base/protobuf.js';
import type { StreamsLimits } from './limits.js';
import { checkRecordSet } from './record-walk.js';

/** A RecordBatch message, read but not yet checked against its content. */
export interface RecordBatch {
  readonly codec: Codec;
  /** As declared; 0 when left out. */
  readonly recordCount: number;
  /** As declared; 0 when left out. */
  readonly uncompressedBytes: number;
  /** Without codec the encoded RecordSet, otherwise its compressed form; a view of the message's bytes. */
  readonly payload: Uint8Array;
}

/** A batch whose every byte was checked: what may be proposed. */
export interface VerifiedBatch {
  readonly codec: Codec;
  readonly recordCount: number;
  readonly uncompressedBytes: number;
  /** CRC-32 of the uncompressed RecordSet. With `uncompressedBytes` it tells a repeat from a conflict, whatever the codec. */
  readonly contentCrc: number;
  readonly payload: Uint8Array;
}

/**
 * Reads an encoded RecordBatch message in place. Strict where decoders differ: a field that occurs twice is refused (some
 * merge a second `records`, some take the last), and the payload must fit the codec.
 *
 * @throws LogboomError BATCH_MALFORMED, BATCH_EMPTY, CODEC_NOT_SUPPORTED
 */
export function parseRecordBatch(bytes: Uint8Array): RecordBatch {
  const fields = readFields(bytes);
  const { codec = Codec.none, records, compressed } = fields;
  if (codec !== Codec.none && codec !== Codec.zstd) {
    throw new LogboomError('CODEC_NOT_SUPPORTED', `Codec ${codec} is not known here; send none (0) or zstd (1).`, {
      facts: { codec },
    });
  }
  if (records !== undefined && compressed !== undefined) throw malformed('both records and compressed are set');
  const payload = codec === Codec.none ? records : compressed;
  if (payload === undefined && (records ?? compressed) !== undefined) {
    throw malformed(codec === Codec.none ? 'compressed is set without a codec' : 'records is set with a codec');
  }
  if (payload === undefined || payload.length === 0)
    throw new LogboomError('BATCH_EMPTY', 'The batch holds no record.');
  return { codec, recordCount: fields.recordCount ?? 0, uncompressedBytes: fields.uncompressedBytes ?? 0, payload };
}

interface BatchFields {
  codec?: number;
  recordCount?: number;
  uncompressedBytes?: number;
  records?: Uint8Array;
  compressed?: Uint8Array;
}

function readFields(bytes: Uint8Array): BatchFields {
  const fields: BatchFields = {};
  const seen = new Set<number>();
  try {
    const reader = new ProtobufReader(bytes);
    while (reader.next()) {
      if (reader.field <= 5 && seen.has(reader.field)) throw malformed(`field ${reader.field} occurs twice`);
      seen.add(reader.field <= 5 ? reader.field : 0);
      switch (reader.field) {
        case 1:
          fields.codec = reader.int32();
          break;
        case 2:
          fields.recordCount = reader.uint32();
          break;
        case 3:
          fields.uncompressedBytes = reader.uint32();
          break;
        case 4:
          fields.records = reader.bytes();
          break;
        case 5:
          fields.compressed = reader.bytes();
          break;
        default:
          reader.skip();
      }
    }
  } catch (error) {
    throw error instanceof ProtobufError ? malformed(error.message, error) : error;
  }
  return fields;
}

/** What verification needs from outside. */
export interface BatchTools {
  readonly compressor: Compressor;
  readonly crc32: Crc32;
  readonly limits: StreamsLimits;
}

/**
 * Checks every byte of a batch: sizes first, then the record encoding. A compressed batch is decompressed off the
 * JavaScript thread, capped at its declared size, checked, and the decompressed bytes are dropped (rule 9).
 *
 * @throws LogboomError BATCH_MALFORMED, BATCH_EMPTY, BATCH_TOO_LARGE, RECORD_TOO_LARGE, ATTRIBUTES_TOO_LARGE
 */
export async function verifyBatch(batch: RecordBatch, tools: BatchTools): Promise<VerifiedBatch> {
  const { limits } = tools;
  requireBytes(batch.payload.length, limits);
  if (batch.codec === Codec.none) return verifyRecordSet(batch, batch.payload, tools);
  if (batch.recordCount === 0) throw malformed('a compressed batch must declare its record_count');
  if (batch.uncompressedBytes === 0) throw malformed('a compressed batch must declare its uncompressed_bytes');
  requireBytes(batch.uncompressedBytes, limits);
  if (batch.recordCount > limits.batchRecordsMax) throw tooManyRecords(batch.recordCount, limits);
  return verifyRecordSet(batch, await decompress(batch, tools.compressor), tools);
}

function verifyRecordSet(batch: RecordBatch, recordSet: Uint8Array, { limits, crc32 }: BatchTools): VerifiedBatch {
  if (batch.uncompressedBytes !== 0 && batch.uncompressedBytes !== recordSet.length) {
    throw malformed(`uncompressed_bytes says ${batch.uncompressedBytes}, there are ${recordSet.length}`);
  }
  const recordCount = checkRecordSet(recordSet, limits);
  if (recordCount === 0) throw new LogboomError('BATCH_EMPTY', 'The batch holds no record.');
  if (batch.recordCount !== 0 && batch.recordCount !== recordCount) {
    throw malformed(`record_count says ${batch.recordCount}, there are ${recordCount}`);
  }
  return {
    codec: batch.codec,
    recordCount,
    uncompressedBytes: recordSet.length,
    contentCrc: crc32(recordSet),
    payload: batch.payload,
  };
}

async function decompress(batch: RecordBatch, compressor: Compressor): Promise<Uint8Array> {
  try {
    return await compressor.decompress(batch.codec, batch.payload, batch.uncompressedBytes);
  } catch (error) {
    throw error instanceof CompressionError ? malformed(`it cannot be decompressed: ${error.message}`, error) : error;
  }
}

function requireBytes(bytes: number, limits: StreamsLimits): void {
  if (bytes <= limits.batchBytesMax) return;
  throw new LogboomError(
    'BATCH_TOO_LARGE',
    `The batch has ${bytes} bytes, the limit is ${limits.batchBytesMax}; split it.`,
    {
      facts: { bytes, bytes_max: limits.batchBytesMax },
    },
  );
}

function tooManyRecords(records: number, limits: StreamsLimits): LogboomError {
  const message = `The batch declares ${records} records, the limit is ${limits.batchRecordsMax}; split it.`;
  return new LogboomError('BATCH_TOO_LARGE', message, { facts: { records, records_max: limits.batchRecordsMax } });
}

function malformed(problem: string, cause?: unknown): LogboomError {
  return new LogboomError('BATCH_MALFORMED', `The record batch is malformed: ${problem}.`, { cause });
}
