/** The msgpackr header of a command: an array, its first elements the command's version and the leader's time. */
import { Packr } from 'msgpackr';
import { InvariantViolation } from '../../base/assert.js';

const packr = new Packr({ useRecords: false });

export type HeaderField = number | string | boolean | null | readonly string[];

export function encodeHeader(fields: readonly HeaderField[]): Uint8Array {
  return packr.pack(fields);
}

/** Reads the fields of a header in order. An entry that does not fit is damage or a bug: it stops the partition. */
export class HeaderReader {
  readonly #fields: readonly unknown[];
  #next = 0;

  constructor(bytes: Uint8Array) {
    this.#fields = unpack(bytes);
  }

  /** A safe non-negative integer. */
  integer(): number {
    const value = this.#take();
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw this.#unexpected(value, 'an unsigned integer');
  }

  text(): string {
    const value = this.#take();
    if (typeof value === 'string') return value;
    throw this.#unexpected(value, 'a text');
  }

  boolean(): boolean {
    const value = this.#take();
    if (typeof value === 'boolean') return value;
    throw this.#unexpected(value, 'a boolean');
  }

  texts(): readonly string[] {
    const value = this.#take();
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    throw this.#unexpected(value, 'a list of texts');
  }

  optionalInteger(): number | undefined {
    return this.#isNull() ? undefined : this.integer();
  }

  optionalText(): string | undefined {
    return this.#isNull() ? undefined : this.text();
  }

  /** To be called last. */
  end(): void {
    if (this.#next === this.#fields.length) return;
    throw new InvariantViolation(
      `entry cannot be decoded: ${this.#fields.length} header fields, expected ${this.#next}`,
    );
  }

  #isNull(): boolean {
    if (this.#fields[this.#next] !== null) return false;
    this.#next += 1;
    return true;
  }

  #take(): unknown {
    const value = this.#fields[this.#next];
    this.#next += 1;
    return value;
  }

  #unexpected(value: unknown, expected: string): InvariantViolation {
    const what = value === undefined ? 'missing' : typeof value;
    return new InvariantViolation(
      `entry cannot be decoded: header field ${this.#next - 1} is ${what}, expected ${expected}`,
    );
  }
}

function unpack(bytes: Uint8Array): readonly unknown[] {
  let header: unknown;
  try {
    header = packr.unpack(bytes);
  } catch (error) {
    throw new InvariantViolation(`entry cannot be decoded: its header is not valid: ${String(error)}`);
  }
  if (!Array.isArray(header)) throw new InvariantViolation('entry cannot be decoded: its header is not an array');
  return header;
}
