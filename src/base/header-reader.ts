/** The fields of a command's header, read strictly and in order, whatever encoding they came in. */
import { InvariantViolation } from './assert.js';

/** An entry that does not fit is damage or a bug: it stops the partition. */
export class HeaderReader {
  readonly #fields: readonly unknown[];
  #next = 0;

  constructor(fields: readonly unknown[]) {
    this.#fields = fields;
  }

  /** A safe non-negative integer. */
  integer(): number {
    const value = this.#take();
    if (isUnsigned(value)) return value;
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

  /** A list of safe non-negative integers. */
  integers(): readonly number[] {
    const value = this.#take();
    if (Array.isArray(value) && value.every(isUnsigned)) return value;
    throw this.#unexpected(value, 'a list of unsigned integers');
  }

  /** A list of items as {@link item} reads them. */
  list<Item>(read: (item: HeaderReader) => Item): readonly Item[] {
    const value = this.#take();
    if (!Array.isArray(value)) throw this.#unexpected(value, 'a list');
    const items = new HeaderReader(value);
    return value.map(() => items.item(read));
  }

  /** An array of fields of its own, which `read` takes to the end. */
  item<Item>(read: (item: HeaderReader) => Item): Item {
    const value = this.#take();
    if (!Array.isArray(value)) throw this.#unexpected(value, 'an array of fields');
    const reader = new HeaderReader(value);
    const item = read(reader);
    reader.end();
    return item;
  }

  optionalInteger(): number | undefined {
    return this.#isNull() ? undefined : this.integer();
  }

  optionalText(): string | undefined {
    return this.#isNull() ? undefined : this.text();
  }

  optionalTexts(): readonly string[] | undefined {
    return this.#isNull() ? undefined : this.texts();
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

function isUnsigned(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
