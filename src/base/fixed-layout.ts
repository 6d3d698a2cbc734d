/** Values of fixed layout: a version byte, big-endian integers, and texts behind their length. Strict in both directions. */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import { allocateBytes, decodeUtf8, readUint32, readUint64, writeUint32, writeUint64 } from './bytes.js';

export class LayoutWriter {
  readonly bytes: Uint8Array;
  position = 1;

  constructor(version: number, length: number) {
    this.bytes = allocateBytes(length);
    this.bytes[0] = version;
  }

  uint8(value: number): this {
    this.bytes[this.position] = value;
    this.position += 1;
    return this;
  }

  uint16(value: number): this {
    return this.uint8(value >>> 8).uint8(value & 0xff);
  }

  uint32(value: number): this {
    writeUint32(this.bytes, this.position, value);
    this.position += 4;
    return this;
  }

  uint64(value: number): this {
    writeUint64(this.bytes, this.position, value);
    this.position += 8;
    return this;
  }

  /** A u16 of its bytes, and the bytes. */
  text(utf8: Uint8Array): this {
    return this.uint16(utf8.length).raw(utf8);
  }

  raw(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.position);
    this.position += bytes.length;
    return this;
  }

  finish(): Uint8Array {
    assert(
      this.position === this.bytes.length,
      () => `wrote ${this.position} of ${this.bytes.length} bytes of a value`,
    );
    return this.bytes;
  }
}

/** Bytes that `LayoutWriter.text` needs. */
export const textBytes = (utf8: Uint8Array): number => 2 + utf8.length;

/** Every method throws LogboomError DATA_CORRUPT when the bytes cannot have been written by `LayoutWriter`. */
export class LayoutReader {
  position = 1;
  readonly #what: string;
  readonly #bytes: Uint8Array;

  /** `what` names the value in errors. */
  constructor(what: string, bytes: Uint8Array, version: number) {
    this.#what = what;
    this.#bytes = bytes;
    if (bytes[0] !== version) throw this.corrupt(`version ${bytes[0]}, expected ${version}`);
  }

  uint8(): number {
    return this.#bytes[this.#advance(1)] ?? 0;
  }

  uint16(): number {
    const high = this.uint8();
    return high * 256 + this.uint8();
  }

  uint32(): number {
    return readUint32(this.#bytes, this.#advance(4));
  }

  uint64(): number {
    const value = readUint64(this.#bytes, this.#advance(8));
    if (value > Number.MAX_SAFE_INTEGER) throw this.corrupt(`${value} is beyond 2^53 - 1`);
    return value;
  }

  text(): string {
    return this.rawText(this.uint16());
  }

  /** A text whose length is told elsewhere. */
  rawText(length: number): string {
    const start = this.#advance(length);
    try {
      return decodeUtf8(this.#bytes.subarray(start, this.position));
    } catch {
      throw this.corrupt('a text is not valid UTF-8');
    }
  }

  /** Without copy. */
  raw(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.subarray(start, this.position);
  }

  /** All that is left, without copy. */
  rest(): Uint8Array {
    return this.#bytes.subarray(this.#advance(this.#bytes.length - this.position));
  }

  /** To be called last: nothing may be left. */
  end(): void {
    if (this.position !== this.#bytes.length)
      throw this.corrupt(`${this.#bytes.length - this.position} bytes too many`);
  }

  corrupt(problem: string): LogboomError {
    return new LogboomError('DATA_CORRUPT', `A stored ${this.#what} is damaged: ${problem}.`);
  }

  #advance(length: number): number {
    const start = this.position;
    if (start + length > this.#bytes.length) throw this.corrupt(`it ends at byte ${this.#bytes.length}`);
    this.position = start + length;
    return start;
  }
}
