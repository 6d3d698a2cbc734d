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

  /** A list, each of its items an array of fields that `read` takes to the end. */
  list<Item>(read: (item: HeaderReader) => Item): readonly Item[] {
    const value = this.#take();
    if (!Array.isArray(value) || !value.every((item) => Array.isArray(item))) throw this.#unexpected(value, 'a list');
    return value.map((fields: readonly unknown[]) => {
      const reader = new HeaderReader(fields);
      const item = read(reader);
      reader.end();
      return item;
    });
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
