import { allocateBytes } from '../base/bytes.js';

/** What could not be decoded. The only error that decoders of this folder throw, whatever the bytes are. */
export class RaftDecodeError extends Error {
  override readonly name = 'RaftDecodeError';
}

/** Bytes of `value` as LEB128; values are safe integers. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  let bytes = 3;
  for (let rest = Math.floor(value / 0x20_0000); rest > 0; rest = Math.floor(rest / 0x80)) bytes += 1;
  return bytes;
}

/** Where an encoder writes to. */
export interface ByteSink {
  byte(value: number): void;
  /** LEB128; a safe integer of 0 or more. */
  varint(value: number): void;
  /** Its length as varint, then the bytes; the sink may keep `value` instead of copying it. */
  blob(value: Uint8Array): void;
}

/** Writes into a buffer whose size was computed before. */
export class ByteWriter implements ByteSink {
  readonly bytes: Uint8Array;
  #at = 0;

  constructor(size: number) {
    this.bytes = allocateBytes(size);
  }

  get written(): number {
    return this.#at;
  }

  byte(value: number): void {
    this.bytes[this.#at] = value;
    this.#at += 1;
  }

  varint(value: number): void {
    let rest = value;
    if (rest < 0x80) return this.byte(rest);
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  blob(value: Uint8Array): void {
    this.varint(value.length);
    this.bytes.set(value, this.#at);
    this.#at += value.length;
  }
}

/** Strict: no reading past the end, no number above 2^53 - 1, only the shortest form of a number. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new RaftDecodeError(`ends at byte ${this.#at}`);
    this.#at += 1;
    return value;
  }

  varint(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 0x80;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) throw new RaftDecodeError(`number too large at byte ${this.#at}`);
      if (byte < 0x80) {
        if (byte === 0 && scale > 1) throw new RaftDecodeError(`padded number at byte ${this.#at}`);
        return value;
      }
      scale *= 0x80;
      if (scale > 2 ** 53) throw new RaftDecodeError(`number too long at byte ${this.#at}`);
    }
  }

  /** A view of the input, not a copy. */
  blob(): Uint8Array {
    const length = this.varint();
    if (length > this.remaining) throw new RaftDecodeError(`${length} bytes announced, ${this.remaining} left`);
    const value = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  flag(): boolean {
    const value = this.byte();
    if (value > 1) throw new RaftDecodeError(`flag ${value} at byte ${this.#at}`);
    return value === 1;
  }

  /** A count of things that take at least `bytesEach` bytes, so that garbage cannot make anyone allocate for it. */
  count(bytesEach: number): number {
    const value = this.varint();
    if (value * bytesEach > this.remaining)
      throw new RaftDecodeError(`${value} items announced, ${this.remaining} bytes left`);
    return value;
  }

  end(): void {
    if (this.remaining !== 0) throw new RaftDecodeError(`${this.remaining} bytes left over`);
  }
}
