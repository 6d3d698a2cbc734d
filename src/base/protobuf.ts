/**
 * The protobuf wire format (https://protobuf.dev/programming-guides/encoding/), read and written in place, without
 * schemas. The reader is strict: what it accepts, every conforming decoder accepts. Refused are truncated values, varints
 * of more than 64 bits or ten bytes, groups, unknown wire types, field number 0, a known field in another wire type than
 * its own, and strings that are not UTF-8. Unknown fields that are well-formed can be skipped.
 */
import { allocateBytes } from './bytes.js';

export const WireType = { varint: 0, fixed64: 1, lengthDelimited: 2, fixed32: 5 } as const;
export type WireType = (typeof WireType)[keyof typeof WireType];

/** The bytes are not a valid encoding, or a number in them is outside of what this process can hold. */
export class ProtobufError extends Error {
  override readonly name = 'ProtobufError';
}

const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8Encoder = new TextEncoder();

/**
 * Reads one message, field by field:
 *
 *     const reader = new ProtobufReader(bytes);
 *     while (reader.next()) {
 *       switch (reader.field) {
 *         case 1: name = reader.string(); break;
 *         default: reader.skip();
 *       }
 *     }
 *
 * After `next()` answered true, exactly one value method or `skip()` is to be called. All methods throw ProtobufError.
 */
export class ProtobufReader {
  /** Number of the field that `next` found. */
  field = 0;
  wireType = 0;
  /** Offset in the bytes of what is read next. */
  position: number;
  readonly #bytes: Uint8Array;
  readonly #end: number;

  /** Reads `bytes` from `start` to before `end`. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.position = start;
    this.#end = end;
  }

  /** Moves to the next field; false at the end of the message. */
  next(): boolean {
    if (this.position >= this.#end) return false;
    const tag = this.#varint32('tag');
    this.field = tag >>> 3;
    this.wireType = tag & 7;
    if (this.field === 0) throw new ProtobufError(`field number 0 at byte ${this.position}`);
    return true;
  }

  /** A uint32; refuses more than 32 bits. */
  uint32(): number {
    this.#expect(WireType.varint);
    return this.#varint32('uint32');
  }

  /** An int32 or enum; negative ones have ten bytes. */
  int32(): number {
    this.#expect(WireType.varint);
    const value = this.#varint64(true);
    if (value > 0x7fff_ffff || value < -0x8000_0000) throw new ProtobufError(`${value} is no int32`);
    return value;
  }

  /** A uint64 up to 2^53 - 1; refuses larger ones. */
  uint64(): number {
    this.#expect(WireType.varint);
    return this.#varint64(false);
  }

  /** An int64 from -(2^53 - 1) to 2^53 - 1; refuses others. */
  int64(): number {
    this.#expect(WireType.varint);
    return this.#varint64(true);
  }

  bool(): boolean {
    this.#expect(WireType.varint);
    const start = this.position;
    this.position = skipVarint(this.#bytes, start, this.#end);
    for (let at = start; at < this.position; at++) if (((this.#bytes[at] ?? 0) & 0x7f) !== 0) return true;
    return false;
  }

  /** Length-delimited bytes, without copy. */
  bytes(): Uint8Array {
    const start = this.#lengthDelimited();
    return this.#bytes.subarray(start, this.position);
  }

  string(): string {
    const start = this.#lengthDelimited();
    try {
      return utf8Decoder.decode(this.#bytes.subarray(start, this.position));
    } catch {
      throw new ProtobufError(`field ${this.field} is not valid UTF-8`);
    }
  }

  /** A nested message, without copy. */
  message(): ProtobufReader {
    const start = this.#lengthDelimited();
    return new ProtobufReader(this.#bytes, start, this.position);
  }

  skip(): void {
    this.position = skipValue(this.#bytes, this.position, this.#end, this.wireType);
  }

  #expect(wireType: WireType): void {
    if (this.wireType !== wireType) {
      throw new ProtobufError(`field ${this.field} has wire type ${this.wireType}, expected ${wireType}`);
    }
  }

  /** Moves behind the value and answers where it starts. */
  #lengthDelimited(): number {
    this.#expect(WireType.lengthDelimited);
    const length = this.#varint32('length');
    const start = this.position;
    if (length > this.#end - start)
      throw new ProtobufError(`field ${this.field} is truncated: ${length} bytes at ${start}`);
    this.position = start + length;
    return start;
  }

  #varint32(what: string): number {
    const start = this.position;
    const value = readVarint32(this.#bytes, start, this.#end);
    if (value < 0) throw new ProtobufError(`${what} at byte ${start} is truncated or has more than 32 bits`);
    this.position = skipVarint(this.#bytes, start, this.#end);
    return value;
  }

  #varint64(signed: boolean): number {
    const start = this.position;
    this.position = skipVarint(this.#bytes, start, this.#end);
    let low = 0;
    let high = 0;
    for (let at = start, shift = 0; at < this.position; at++, shift += 7) {
      const bits = (this.#bytes[at] ?? 0) & 0x7f;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= bits << 28;
        high |= bits >>> 4;
      } else high |= bits << (shift - 32);
    }
    const value = (signed ? high | 0 : high >>> 0) * 0x1_0000_0000 + (low >>> 0);
    if (!Number.isSafeInteger(value)) throw new ProtobufError(`field ${this.field} is beyond 2^53 - 1`);
    return value;
  }
}

/** The varint at `position` when it is complete and below 2^32; otherwise -1. Does not say how long it was. */
export function readVarint32(bytes: Uint8Array, position: number, end: number): number {
  let value = 0;
  let factor = 1;
  const stop = Math.min(end, position + 10);
  for (let at = position; at < stop; at++) {
    const byte = bytes[at] ?? 0;
    if (factor > 0x8000_0000) {
      if ((byte & 0x7f) !== 0) return -1;
    } else value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value > 0xffff_ffff ? -1 : value;
    factor *= 128;
  }
  return -1;
}

/** The offset behind the varint at `position`. */
export function skipVarint(bytes: Uint8Array, position: number, end: number): number {
  const stop = Math.min(end, position + 10);
  for (let at = position; at < stop; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x80) {
      if (at === position + 9 && byte > 1) throw new ProtobufError(`varint at byte ${position} has more than 64 bits`);
      return at + 1;
    }
  }
  throw new ProtobufError(`varint at byte ${position} is ${stop === end ? 'truncated' : 'longer than ten bytes'}`);
}

/** The offset behind the value at `position`, whose tag said `wireType`. */
export function skipValue(bytes: Uint8Array, position: number, end: number, wireType: number): number {
  switch (wireType) {
    case WireType.varint:
      return skipVarint(bytes, position, end);
    case WireType.fixed64:
      return skipBytes(position, 8, end);
    case WireType.fixed32:
      return skipBytes(position, 4, end);
    case WireType.lengthDelimited: {
      const length = readVarint32(bytes, position, end);
      if (length < 0) throw new ProtobufError(`length at byte ${position} is truncated or has more than 32 bits`);
      return skipBytes(skipVarint(bytes, position, end), length, end);
    }
    default:
      throw new ProtobufError(`wire type ${wireType} at byte ${position}: groups and unknown types are refused`);
  }
}

function skipBytes(position: number, length: number, end: number): number {
  if (length > end - position)
    throw new ProtobufError(`value at byte ${position} is truncated: ${length} bytes declared`);
  return position + length;
}

/**
 * Whether `bytes[start..end)` is well-formed UTF-8 (RFC 3629, section 4): no overlong forms, no surrogates, nothing above
 * U+10FFFF.
 */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x80) {
      at += 1;
      continue;
    }
    const length = byte < 0xc2 ? 0 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 0;
    if (length === 0 || at + length > end) return false;
    const second = bytes[at + 1] ?? 0;
    const lowest = byte === 0xe0 ? 0xa0 : byte === 0xf0 ? 0x90 : 0x80;
    const highest = byte === 0xed ? 0x9f : byte === 0xf4 ? 0x8f : 0xbf;
    if (second < lowest || second > highest) return false;
    for (let next = at + 2; next < at + length; next++) if (((bytes[next] ?? 0) & 0xc0) !== 0x80) return false;
    at += length;
  }
  return true;
}

/** Bytes of the varint of a safe non-negative integer. */
export function varintBytes(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length += 1;
  return length;
}

/** Few bytes at first, which V8 allocates quickest; then twice as many at a time. */
const scratchBytesMin = 64;
const scratchBytesMax = 4096;

/**
 * Writes one message. Every call writes its field, also with a default value. Byte values and nested messages are kept by
 * reference until `finish` puts everything together with one copy: they must not change before.
 */
export class ProtobufWriter {
  /** Bytes written so far. */
  length = 0;
  readonly #parts: Uint8Array[] = [];
  #scratch = new Uint8Array(scratchBytesMin);
  /** Where the open part of the scratch begins and ends. */
  #from = 0;
  #to = 0;

  /** A uint32, uint64 or enum: a safe non-negative integer. */
  uint64(field: number, value: number): this {
    this.#tag(field, WireType.varint);
    return this.#varint(value);
  }

  /** An int32 or int64: a safe integer. */
  int64(field: number, value: number): this {
    if (value >= 0) return this.uint64(field, value);
    this.#tag(field, WireType.varint);
    let low = value >>> 0;
    let high = Math.floor(value / 0x1_0000_0000) >>> 0;
    for (let count = 0; count < 9; count++) {
      this.#byte((low & 0x7f) | 0x80);
      low = ((low >>> 7) | ((high & 0x7f) << 25)) >>> 0;
      high >>>= 7;
    }
    return this.#byte(low);
  }

  bool(field: number, value: boolean): this {
    return this.uint64(field, value ? 1 : 0);
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, WireType.lengthDelimited);
    this.#varint(value.length);
    return this.#append(value);
  }

  string(field: number, value: string): this {
    return this.bytes(field, utf8Encoder.encode(value));
  }

  message(field: number, nested: ProtobufWriter): this {
    this.#tag(field, WireType.lengthDelimited);
    this.#varint(nested.length);
    return this.raw(nested);
  }

  /** The fields of `other`, as if they had been written here. */
  raw(other: ProtobufWriter): this {
    for (const part of other.#closed()) this.#append(part);
    return this;
  }

  finish(): Uint8Array {
    const result = allocateBytes(this.length);
    let position = 0;
    for (const part of this.#closed()) {
      result.set(part, position);
      position += part.length;
    }
    return result;
  }

  #tag(field: number, wireType: WireType): void {
    this.#varint(field * 8 + wireType);
  }

  #varint(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new ProtobufError(`${value} is no unsigned integer`);
    let rest = value;
    while (rest > 0x7fff_ffff) {
      this.#byte((rest % 128) | 0x80);
      rest = Math.floor(rest / 128);
    }
    while (rest >= 0x80) {
      this.#byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.#byte(rest);
  }

  #byte(value: number): this {
    if (this.#to === this.#scratch.length) {
      this.#close();
      this.#scratch = new Uint8Array(Math.min(scratchBytesMax, 2 * this.#scratch.length));
      this.#from = this.#to = 0;
    }
    this.#scratch[this.#to++] = value;
    this.length += 1;
    return this;
  }

  #append(part: Uint8Array): this {
    if (part.length === 0) return this;
    this.#close();
    this.#parts.push(part);
    this.length += part.length;
    return this;
  }

  #close(): void {
    if (this.#to === this.#from) return;
    this.#parts.push(this.#scratch.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }

  #closed(): readonly Uint8Array[] {
    this.#close();
    return this.#parts;
  }
}
