/** Strict reading of JSON objects: every field of the right kind, and none that is not expected. */
import { LogboomError } from '../base/errors.js';
import { corrupt } from './failures.js';

export class Fields {
  readonly #object: string;
  readonly #path: string;
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #unread: Set<string>;

  private constructor(object: string, path: string, values: Readonly<Record<string, unknown>>) {
    this.#object = object;
    this.#path = path;
    this.#values = values;
    this.#unread = new Set(Object.keys(values));
  }

  /**
   * @param object the object's name, for errors
   * @throws LogboomError SNAPSHOT_CORRUPT
   */
  static parse(object: string, bytes: Uint8Array): Fields {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (error) {
      throw corrupt(object, 'is damaged: it is not JSON', error);
    }
    return Fields.#of(object, '', value);
  }

  static #of(object: string, path: string, value: unknown): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw corrupt(object, `is damaged: ${path === '' ? 'it' : path} is no JSON object`);
    }
    return new Fields(object, path, value as Record<string, unknown>);
  }

  /** Before everything else: a newer format may have other fields. */
  version(name: string, supported: number): void {
    const version = this.integer(name, 1);
    if (version === supported) return;
    throw new LogboomError(
      'SNAPSHOT_VERSION_UNSUPPORTED',
      `${this.#object}${this.#object.includes(' ') ? '' : ' of the snapshot repository'} has format ${version}; this build reads format ${supported}`,
      { facts: { object: this.#object, format_version: version, format_version_supported: supported } },
    );
  }

  integer(name: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#take(name);
    if (
      typeof value !== 'number' ||
      !Number.isSafeInteger(value) ||
      value < min ||
      value > max ||
      Object.is(value, -0)
    ) {
      throw this.invalid(name, `no integer of ${min} to ${max}`);
    }
    return value;
  }

  text(name: string, pattern: RegExp): string {
    const value = this.#take(name);
    if (typeof value !== 'string' || !pattern.test(value))
      throw this.invalid(name, `no text of the form ${pattern.source}`);
    return value;
  }

  flag(name: string): boolean {
    const value = this.#take(name);
    if (typeof value !== 'boolean') throw this.invalid(name, 'neither true nor false');
    return value;
  }

  /** Positive integers, each once. */
  ids(name: string): readonly number[] {
    const value = this.#take(name);
    const isId = (id: unknown): boolean => typeof id === 'number' && Number.isSafeInteger(id) && id > 0;
    if (!Array.isArray(value) || !value.every(isId) || new Set(value).size !== value.length) {
      throw this.invalid(name, 'no list of ids, each once');
    }
    return value as readonly number[];
  }

  object(name: string): Fields {
    return Fields.#of(this.#object, this.#pathOf(name), this.#take(name));
  }

  list<Item>(name: string, parse: (item: Fields) => Item): readonly Item[] {
    const value = this.#take(name);
    if (!Array.isArray(value)) throw this.invalid(name, 'no list');
    return value.map((item, at) => {
      const fields = Fields.#of(this.#object, `${this.#pathOf(name)}[${at}]`, item);
      const parsed = parse(fields);
      fields.end();
      return parsed;
    });
  }

  end(): void {
    for (const name of this.#unread) throw corrupt(this.#object, `has an unknown field ${this.#pathOf(name)}`);
  }

  invalid(name: string, problem: string): LogboomError {
    return corrupt(this.#object, `is damaged: ${this.#pathOf(name)} is ${problem}`);
  }

  #take(name: string): unknown {
    if (!Object.hasOwn(this.#values, name)) throw corrupt(this.#object, `has no field ${this.#pathOf(name)}`);
    this.#unread.delete(name);
    return this.#values[name];
  }

  #pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }
}
