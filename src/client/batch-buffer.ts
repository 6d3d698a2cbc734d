import { varintLength, varintLengthBigint, writeVarint, writeVarintBigint } from './varint.js';

/** A record with more than a value. */
export interface RecordFields {
  readonly value: string | Uint8Array;
  /** The producer's own time, in nanoseconds since the Unix epoch; the server stores it and does not look at it. */
  readonly timestampNanos?: bigint | undefined;
  readonly attributes?: Readonly<Record<string, string>> | undefined;
}

/** What can be appended. A string is stored as UTF-8; bytes are copied at once, so the caller may use them again. */
export type RecordInput = string | Uint8Array | RecordFields;

const valueTag = 0x0a;
const timestampTag = 0x10;
const attributeTag = 0x1a;
const recordTag = 0x0a;
const noTail = Buffer.alloc(0);

/** The writers behind `Buffer.write`, without its decisions; @types/node does not name them. */
type WritableBuffer = Buffer & {
  latin1Write(text: string, position: number): number;
  utf8Write(text: string, position: number): number;
};

/** Below this a loop is quicker than making a view for a native copy. */
const loopBytesMax = 96;

/**
 * Encodes records, one after another, as a `RecordSet` in one growing buffer, with room in front for the header of the
 * request around it: the batch is encoded once, where it will be sent from.
 *
 * ```
 * | headroom, filled from its end: request, append, batch header | 0a len record | 0a len record | ... | free |
 * ```
 *
 * {@link measure} comes first and {@link add} takes the very same record, so that a batch is closed before it overflows.
 */
export class BatchBuffer {
  readonly headroomBytes: number;
  bytes: WritableBuffer;
  /** End of what is written. */
  position: number;
  recordCount = 0;
  /** Bytes of the values alone. */
  valueBytes = 0;
  readonly #shared: boolean;

  // Of the record measured last.
  #valueBytes = 0;
  #bodyBytes = 0;
  #tail: Buffer = noTail;

  /** @param shared in memory that a worker thread can read in place */
  constructor(headroomBytes: number, capacityBytes: number, shared: boolean) {
    this.#shared = shared;
    this.headroomBytes = headroomBytes;
    this.bytes = this.#allocate(headroomBytes + capacityBytes);
    this.position = headroomBytes;
  }

  get payloadBytes(): number {
    return this.position - this.headroomBytes;
  }

  get capacityBytes(): number {
    return this.bytes.length - this.headroomBytes;
  }

  get payload(): Buffer {
    return this.bytes.subarray(this.headroomBytes, this.position);
  }

  reset(): void {
    this.position = this.headroomBytes;
    this.recordCount = 0;
    this.valueBytes = 0;
  }

  /** Encoded size of the record message itself, which is what the server's record limit counts. */
  get measuredRecordBytes(): number {
    return this.#bodyBytes;
  }

  /** Bytes that the record takes in the batch. */
  measure(record: RecordInput): number {
    if (typeof record === 'string') return this.#measured(Buffer.byteLength(record, 'utf8'), noTail);
    if (record instanceof Uint8Array) return this.#measured(record.length, noTail);
    const { value } = record;
    const valueBytes = typeof value === 'string' ? Buffer.byteLength(value, 'utf8') : value.length;
    return this.#measured(valueBytes, encodeTail(record));
  }

  /** The same for a record that is a part of a larger buffer. */
  measureBytes(length: number): number {
    return this.#measured(length, noTail);
  }

  /** Takes over what `other` measured, when the record goes into this buffer instead. */
  copyMeasure(other: BatchBuffer): void {
    this.#valueBytes = other.#valueBytes;
    this.#bodyBytes = other.#bodyBytes;
    this.#tail = other.#tail;
  }

  add(record: RecordInput): void {
    const value = typeof record === 'string' || record instanceof Uint8Array ? record : record.value;
    const at = this.#begin();
    if (typeof value !== 'string') this.bytes.set(value, at);
    else if (value.length === this.#valueBytes) this.bytes.latin1Write(value, at);
    else this.bytes.utf8Write(value, at);
    this.#end(at);
  }

  addBytes(source: Buffer, start: number, end: number): void {
    const at = this.#begin();
    if (end - start <= loopBytesMax) {
      const target = this.bytes;
      for (let from = start, to = at; from < end; from += 1, to += 1) target[to] = source[from] as number;
    } else source.copy(this.bytes, at, start, end);
    this.#end(at);
  }

  #measured(valueBytes: number, tail: Buffer): number {
    const valueField = valueBytes === 0 ? 0 : 1 + varintLength(valueBytes) + valueBytes;
    this.#valueBytes = valueBytes;
    this.#tail = tail;
    this.#bodyBytes = valueField + tail.length;
    return 1 + varintLength(this.#bodyBytes) + this.#bodyBytes;
  }

  /** Writes what stands before the value; answers where the value goes. */
  #begin(): number {
    const needed = this.position + this.#bodyBytes + 12;
    if (needed > this.bytes.length) this.#grow(needed);
    const bytes = this.bytes;
    bytes[this.position] = recordTag;
    let at = writeVarint(bytes, this.position + 1, this.#bodyBytes);
    if (this.#valueBytes > 0) {
      bytes[at] = valueTag;
      at = writeVarint(bytes, at + 1, this.#valueBytes);
    }
    return at;
  }

  #end(valueAt: number): void {
    let at = valueAt + this.#valueBytes;
    if (this.#tail.length > 0) {
      this.bytes.set(this.#tail, at);
      at += this.#tail.length;
    }
    this.position = at;
    this.recordCount += 1;
    this.valueBytes += this.#valueBytes;
  }

  #grow(neededBytes: number): void {
    const grown = this.#allocate(Math.max(neededBytes, this.bytes.length * 2));
    grown.set(this.bytes.subarray(this.headroomBytes, this.position), this.headroomBytes);
    this.bytes = grown;
  }

  #allocate(size: number): WritableBuffer {
    const memory: Buffer = this.#shared ? Buffer.from(new SharedArrayBuffer(size)) : Buffer.allocUnsafeSlow(size);
    return memory as WritableBuffer;
  }
}

/** Timestamp and attributes, which most records lack. */
function encodeTail(record: RecordFields): Buffer {
  const { timestampNanos, attributes } = record;
  if (timestampNanos === undefined && attributes === undefined) return noTail;
  const pairs: { key: Buffer; value: Buffer; bodyBytes: number }[] = [];
  let size = timestampNanos === undefined ? 0 : 1 + varintLengthBigint(timestampNanos);
  for (const [name, text] of Object.entries(attributes ?? {})) {
    const key = Buffer.from(name, 'utf8');
    const value = Buffer.from(text, 'utf8');
    const bodyBytes = 2 + varintLength(key.length) + key.length + varintLength(value.length) + value.length;
    pairs.push({ key, value, bodyBytes });
    size += 1 + varintLength(bodyBytes) + bodyBytes;
  }
  const tail = Buffer.allocUnsafe(size);
  let at = 0;
  if (timestampNanos !== undefined) {
    if (BigInt.asIntN(64, timestampNanos) !== timestampNanos)
      throw new RangeError(`timestampNanos is not a signed 64-bit integer: ${timestampNanos}`);
    tail[at] = timestampTag;
    at = writeVarintBigint(tail, at + 1, timestampNanos);
  }
  for (const { key, value, bodyBytes } of pairs) {
    tail[at] = attributeTag;
    at = writeVarint(tail, at + 1, bodyBytes);
    at = writeBytesField(tail, at, 0x0a, key);
    at = writeBytesField(tail, at, 0x12, value);
  }
  return tail;
}

function writeBytesField(target: Buffer, position: number, tag: number, bytes: Buffer): number {
  target[position] = tag;
  const at = writeVarint(target, position + 1, bytes.length);
  target.set(bytes, at);
  return at + bytes.length;
}
