/**
 * Walks the encoded bytes of a RecordSet (proto/logboom/v1/streams.proto) without making records: checks them as strictly
 * as decoding would, counts them, finds where each begins, and cuts windows out.
 *
 *     RecordSet  = *( 0x0a length Record / unknown field )
 *     Record     = *( 0x0a length value / 0x10 timestamp / 0x1a length Attribute / unknown field )
 *     Attribute  = *( 0x0a length key / 0x12 length value / unknown field )
 *
 * Lengths and tags are varints; the byte values above are their shortest form, longer ones are taken too. Unknown fields
 * that are well-formed are kept where they are: one between two records belongs to the window of the record before it.
 */
import { LogboomError } from '../base/errors.js';
import { isUtf8, ProtobufError, readVarint32, skipValue, skipVarint, WireType } from '../base/protobuf.js';
import type { StreamsLimits } from './limits.js';

const lengthDelimited = WireType.lengthDelimited as number;

/** Reads tags and lengths; what was read last is in the fields, so that the hot loop allocates nothing. */
class FieldCursor {
  readonly bytes: Uint8Array;
  field = 0;
  wireType = 0;
  /** Behind the tag, or behind the length. */
  position = 0;
  length = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  readTag(at: number, end: number): void {
    const first = this.bytes[at] ?? 0;
    let tag = first;
    if (first < 0x80) this.position = at + 1;
    else {
      tag = readVarint32(this.bytes, at, end);
      if (tag < 0) throw new ProtobufError(`tag at byte ${at} is truncated or has more than 32 bits`);
      this.position = skipVarint(this.bytes, at, end);
    }
    this.field = tag >>> 3;
    this.wireType = tag & 7;
    if (this.field === 0) throw new ProtobufError(`field number 0 at byte ${at}`);
  }

  /** Reads the length at `position` and checks that so many bytes follow. */
  readLength(end: number): void {
    const bytes = this.bytes;
    const at = this.position;
    const first = at < end ? (bytes[at] ?? 0) : 0x80;
    const second = at + 1 < end ? (bytes[at + 1] ?? 0) : 0x80;
    if (first < 0x80) {
      this.length = first;
      this.position = at + 1;
    } else if (second < 0x80) {
      this.length = (first & 0x7f) | (second << 7);
      this.position = at + 2;
    } else {
      this.length = readVarint32(bytes, at, end);
      if (this.length < 0) throw new ProtobufError(`length at byte ${at} is truncated or has more than 32 bits`);
      this.position = skipVarint(bytes, at, end);
    }
    if (this.length > end - this.position) {
      throw new ProtobufError(`${this.length} bytes declared at byte ${at}, ${end - this.position} are left`);
    }
  }

  requireWireType(expected: number): void {
    if (this.wireType !== expected) {
      throw new ProtobufError(
        `field ${this.field} before byte ${this.position} has wire type ${this.wireType}, expected ${expected}`,
      );
    }
  }

  skip(end: number): number {
    return skipValue(this.bytes, this.position, end, this.wireType);
  }
}

type WalkLimits = Pick<
  StreamsLimits,
  'recordBytesMax' | 'batchRecordsMax' | 'attributesPerRecordMax' | 'attributeBytesPerRecordMax'
>;

/**
 * Checks an encoded RecordSet in full and answers its number of records, which may be 0.
 *
 * @throws LogboomError BATCH_MALFORMED, BATCH_TOO_LARGE (too many records), RECORD_TOO_LARGE, ATTRIBUTES_TOO_LARGE; the
 * facts name the index of the record in the batch
 */
export function checkRecordSet(bytes: Uint8Array, limits: WalkLimits): number {
  const cursor = new FieldCursor(bytes);
  const end = bytes.length;
  let count = 0;
  try {
    for (let at = 0; at < end;) {
      cursor.readTag(at, end);
      if (cursor.field !== 1) {
        at = cursor.skip(end);
        continue;
      }
      cursor.requireWireType(lengthDelimited);
      cursor.readLength(end);
      if (cursor.length > limits.recordBytesMax) throw recordTooLarge(count, cursor.length, limits);
      if (count === limits.batchRecordsMax) throw tooManyRecords(limits);
      at = cursor.position + cursor.length;
      checkRecord(cursor, cursor.position, at, count, limits);
      count += 1;
    }
  } catch (error) {
    throw malformed(error, count);
  }
  return count;
}

function checkRecord(cursor: FieldCursor, start: number, end: number, index: number, limits: WalkLimits): void {
  let attributes = 0;
  let attributeBytes = 0;
  for (let at = start; at < end;) {
    cursor.readTag(at, end);
    switch (cursor.field) {
      case 1:
        cursor.requireWireType(lengthDelimited);
        cursor.readLength(end);
        at = cursor.position + cursor.length;
        break;
      case 2:
        cursor.requireWireType(WireType.varint);
        at = skipVarint(cursor.bytes, cursor.position, end);
        break;
      case 3:
        cursor.requireWireType(lengthDelimited);
        cursor.readLength(end);
        at = cursor.position + cursor.length;
        attributes += 1;
        attributeBytes += checkAttribute(cursor, cursor.position, at);
        break;
      default:
        at = cursor.skip(end);
    }
  }
  if (attributes > limits.attributesPerRecordMax) {
    throw attributesTooLarge(index, `${attributes} attributes`, {
      attributes,
      attributes_max: limits.attributesPerRecordMax,
    });
  }
  if (attributeBytes > limits.attributeBytesPerRecordMax) {
    const facts = { bytes: attributeBytes, bytes_max: limits.attributeBytesPerRecordMax };
    throw attributesTooLarge(index, `${attributeBytes} bytes of attributes`, facts);
  }
}

/** Checks an Attribute and answers the bytes of its key and value. */
function checkAttribute(cursor: FieldCursor, start: number, end: number): number {
  let textBytes = 0;
  for (let at = start; at < end;) {
    cursor.readTag(at, end);
    if (cursor.field === 1 || cursor.field === 2) {
      cursor.requireWireType(lengthDelimited);
      cursor.readLength(end);
      at = cursor.position + cursor.length;
      if (!isUtf8(cursor.bytes, cursor.position, at)) {
        throw new ProtobufError(
          `attribute ${cursor.field === 1 ? 'key' : 'value'} at byte ${cursor.position} is not valid UTF-8`,
        );
      }
      textBytes += cursor.length;
    } else at = cursor.skip(end);
  }
  return textBytes;
}

/**
 * Where each record of a checked RecordSet begins: `recordCount` offsets ascending, and the length of the bytes as the
 * last, so that record i lies in `[offsets[i], offsets[i + 1])`. Unknown fields ahead of the first record count to it.
 *
 * @throws LogboomError DATA_CORRUPT when the bytes do not hold `recordCount` records
 */
export function recordOffsets(bytes: Uint8Array, recordCount: number): Uint32Array {
  const offsets = new Uint32Array(recordCount + 1);
  const cursor = new FieldCursor(bytes);
  const end = bytes.length;
  let count = 0;
  try {
    for (let at = 0; at < end;) {
      cursor.readTag(at, end);
      if (cursor.field === 1) {
        if (count < recordCount) offsets[count] = count === 0 ? 0 : at;
        count += 1;
      }
      if (cursor.wireType === lengthDelimited) {
        cursor.readLength(end);
        at = cursor.position + cursor.length;
      } else at = cursor.skip(end);
    }
  } catch (error) {
    throw new LogboomError('DATA_CORRUPT', `A stored batch cannot be walked: ${String(error)}`, { cause: error });
  }
  if (count !== recordCount) {
    throw new LogboomError('DATA_CORRUPT', `A stored batch has ${count} records, its header says ${recordCount}.`, {
      facts: { records: count, records_declared: recordCount },
    });
  }
  offsets[recordCount] = end;
  return offsets;
}

/** The encoded records `[from, from + count)` as a RecordSet of their own, without copy. */
export function sliceRecords(bytes: Uint8Array, offsets: Uint32Array, from: number, count: number): Uint8Array {
  return bytes.subarray(offsets[from], offsets[from + count]);
}

function malformed(error: unknown, record: number): unknown {
  if (!(error instanceof ProtobufError)) return error;
  return new LogboomError('BATCH_MALFORMED', `Record ${record} of the batch is malformed: ${error.message}.`, {
    facts: { record },
    cause: error,
  });
}

function recordTooLarge(record: number, bytes: number, limits: WalkLimits): LogboomError {
  return new LogboomError(
    'RECORD_TOO_LARGE',
    `Record ${record} of the batch has ${bytes} bytes, the limit is ${limits.recordBytesMax}.`,
    { facts: { record, bytes, bytes_max: limits.recordBytesMax } },
  );
}

function tooManyRecords(limits: WalkLimits): LogboomError {
  return new LogboomError('BATCH_TOO_LARGE', `The batch has more than ${limits.batchRecordsMax} records; split it.`, {
    facts: { records_max: limits.batchRecordsMax },
  });
}

function attributesTooLarge(record: number, what: string, facts: Record<string, number>): LogboomError {
  const limit = facts['attributes_max'] ?? facts['bytes_max'] ?? 0;
  return new LogboomError('ATTRIBUTES_TOO_LARGE', `Record ${record} of the batch has ${what}, the limit is ${limit}.`, {
    facts: { record, ...facts },
  });
}
