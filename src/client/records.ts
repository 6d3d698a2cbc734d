import { Codec } from '../base/ports/compressor.js';
import type { Compressor } from '../base/ports/compressor.js';
import { ProtobufError, ProtobufReader, readVarint32, skipVarint, WireType } from '../base/protobuf.js';
import { ClientError } from './errors.js';
import type { BatchSliceMessage } from './messages.js';

export interface RecordAttribute {
  readonly key: string;
  readonly value: string;
}

/** Who sent a record, and its place in that producer's own numbering. */
export interface RecordProducer {
  readonly id: string;
  readonly epoch: number;
  readonly recordNumber: number;
}

const noValue = Buffer.alloc(0);
const noAttributes: readonly RecordAttribute[] = Object.freeze([]);

/**
 * One record of a page. It is a view: `value` shares memory with the page, and everything but its position is decoded
 * when it is asked for. To keep single records for long, copy their values.
 */
export class LogRecord {
  readonly seq: number;
  readonly batch: BatchRecords;
  readonly #start: number;
  readonly #end: number;

  constructor(batch: BatchRecords, seq: number, start: number, end: number) {
    this.batch = batch;
    this.seq = seq;
    this.#start = start;
    this.#end = end;
  }

  /** The time the server gave to it, in milliseconds since the Unix epoch; it never goes back within a stream. */
  get appendTimeMs(): number {
    return this.batch.appendTimeMs;
  }

  get lsn(): number {
    return this.batch.lsn;
  }

  /** Undefined when it was appended without a producer. */
  get producer(): RecordProducer | undefined {
    const { producer, firstSeq } = this.batch;
    if (!producer) return undefined;
    return { id: producer.id, epoch: producer.epoch, recordNumber: producer.firstRecordNumber + this.seq - firstSeq };
  }

  get value(): Buffer {
    const { bytes } = this.batch;
    // Nearly always the value is the first field, and the only one.
    if (this.#start < this.#end && bytes[this.#start] === 0x0a) {
      const length = readVarint32(bytes, this.#start + 1, this.#end);
      const at = skipVarint(bytes, this.#start + 1, this.#end);
      if (length >= 0 && at + length === this.#end) return bytes.subarray(at, this.#end);
    }
    let value: Buffer = noValue;
    this.#each((reader) => {
      if (reader.field === 1) value = reader.bytes() as Buffer;
      else reader.skip();
    });
    return value;
  }

  /** The value as UTF-8 text; what is not valid comes as U+FFFD. */
  get text(): string {
    return this.value.toString('utf8');
  }

  /** The producer's own time, in nanoseconds since the Unix epoch. */
  get timestampNanos(): bigint | undefined {
    let timestamp: bigint | undefined;
    this.#each((reader) => {
      if (reader.field !== 2 || reader.wireType !== WireType.varint) return reader.skip();
      const start = reader.position;
      reader.skip();
      timestamp = bigintOfVarint(this.batch.bytes, start, reader.position);
    });
    return timestamp;
  }

  get attributes(): readonly RecordAttribute[] {
    let attributes: RecordAttribute[] | undefined;
    this.#each((reader) => {
      if (reader.field === 3) (attributes ??= []).push(decodeAttribute(reader.message()));
      else reader.skip();
    });
    return attributes ?? noAttributes;
  }

  #each(take: (reader: ProtobufReader) => void): void {
    try {
      const reader = new ProtobufReader(this.batch.bytes, this.#start, this.#end);
      while (reader.next()) take(reader);
    } catch (error) {
      throw asProtocolError(error);
    }
  }
}

/** The records of one batch, or the part of them that belongs to a page. */
export class BatchRecords {
  /** Position of the first record in `bytes`, which may lie before the page. */
  readonly firstSeq: number;
  readonly appendTimeMs: number;
  readonly lsn: number;
  readonly producer: BatchSliceMessage['producer'];
  /** The encoded RecordSet. */
  readonly bytes: Buffer;
  readonly windowOffset: number;
  readonly recordCount: number;
  #offsets: Uint32Array | undefined;

  constructor(slice: BatchSliceMessage, bytes: Buffer) {
    this.firstSeq = slice.firstSeq;
    this.appendTimeMs = slice.appendTimeUnixMs;
    this.lsn = slice.lsn;
    this.producer = slice.producer;
    this.bytes = bytes;
    this.windowOffset = slice.windowOffset;
    this.recordCount = slice.windowCount;
  }

  /** Records ascending, or from the end of the window when `backward`. */
  *records(backward = false): Generator<LogRecord> {
    const offsets = this.#recordOffsets();
    const count = this.recordCount;
    for (let step = 0; step < count; step += 1) yield this.#record(offsets, backward ? count - 1 - step : step);
  }

  /** The record at `index` of the window. */
  at(index: number): LogRecord {
    return this.#record(this.#recordOffsets(), index);
  }

  #record(offsets: Uint32Array, index: number): LogRecord {
    const seq = this.firstSeq + this.windowOffset + index;
    return new LogRecord(this, seq, offsets[index * 2] as number, offsets[index * 2 + 1] as number);
  }

  /** Start and end of each record of the window. */
  #recordOffsets(): Uint32Array {
    return (this.#offsets ??= findRecords(this.bytes, this.windowOffset, this.recordCount));
  }
}

/** @throws ClientError PROTOCOL when the bytes do not hold the window */
function findRecords(bytes: Buffer, skipped: number, count: number): Uint32Array {
  const offsets = new Uint32Array(count * 2);
  let found = -skipped;
  let at = 0;
  try {
    while (at < bytes.length && found < count) {
      if (bytes[at] !== 0x0a) {
        // An unknown field, or a tag in a longer form than the shortest.
        const reader = new ProtobufReader(bytes, at);
        reader.next();
        if (reader.field !== 1) {
          reader.skip();
          at = reader.position;
          continue;
        }
        at = reader.position - 1;
      }
      const length = readVarint32(bytes, at + 1, bytes.length);
      const start = skipVarint(bytes, at + 1, bytes.length);
      if (length < 0 || length > bytes.length - start) throw new ProtobufError(`record cut short at byte ${at}`);
      at = start + length;
      if (found >= 0) {
        offsets[found * 2] = start;
        offsets[found * 2 + 1] = at;
      }
      found += 1;
    }
  } catch (error) {
    throw asProtocolError(error);
  }
  if (found < count)
    throw new ClientError(
      'PROTOCOL',
      `a batch holds ${found + skipped} records, its window ends at ${skipped + count}`,
    );
  return offsets;
}

function decodeAttribute(reader: ProtobufReader): RecordAttribute {
  let key = '';
  let value = '';
  while (reader.next()) {
    if (reader.field === 1) key = reader.string();
    else if (reader.field === 2) value = reader.string();
    else reader.skip();
  }
  return { key, value };
}

function bigintOfVarint(bytes: Buffer, start: number, end: number): bigint {
  let value = 0n;
  for (let at = end - 1; at >= start; at -= 1) value = (value << 7n) | BigInt((bytes[at] as number) & 0x7f);
  return BigInt.asIntN(64, value);
}

function asProtocolError(error: unknown): unknown {
  return error instanceof ProtobufError
    ? new ClientError('PROTOCOL', `malformed record: ${error.message}`, { cause: error })
    : error;
}

/** A RecordSet in memory is never larger than this, whatever a peer declares. */
const batchBytesMax = 256 * 1024 * 1024;

/** Brings the slices of a page to uncompressed form, all at the same time. */
export async function unpackBatches(
  slices: readonly BatchSliceMessage[],
  compressor: Compressor,
): Promise<BatchRecords[]> {
  return Promise.all(slices.map((slice) => unpackBatch(slice, compressor)));
}

async function unpackBatch(slice: BatchSliceMessage, compressor: Compressor): Promise<BatchRecords> {
  const { batch } = slice;
  if (!batch) throw new ClientError('PROTOCOL', `a slice at ${slice.firstSeq} comes without its batch`);
  if (batch.codec === Codec.none) return new BatchRecords(slice, batch.records ?? noValue);
  if (batch.codec !== Codec.zstd || !batch.compressed)
    throw new ClientError(
      'PROTOCOL',
      `a slice at ${slice.firstSeq} comes in codec ${batch.codec}, which was not asked for`,
    );
  if (batch.uncompressedBytes > batchBytesMax)
    throw new ClientError('PROTOCOL', `a slice at ${slice.firstSeq} declares ${batch.uncompressedBytes} bytes`);
  try {
    const bytes = await compressor.decompress(batch.codec, batch.compressed, batch.uncompressedBytes);
    return new BatchRecords(slice, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  } catch (error) {
    throw new ClientError('PROTOCOL', `a slice at ${slice.firstSeq} cannot be decompressed: ${String(error)}`, {
      cause: error,
    });
  }
}
