/** An in-memory state store for tests: what a partition does with a state machine, with the order of writes made visible. */
import { asLsn } from '../../../src/base/ids.js';
import type { Lsn } from '../../../src/base/ids.js';
import type {
  IndexEntry,
  IndexWrite,
  PhysicalDeletion,
  StateReader,
  StateTransaction,
} from '../../../src/base/state-machine.js';

const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1');

/** Keys sorted as bytes; values by key. */
export class MemoryStore implements StateReader {
  appliedLsn: Lsn = asLsn(0);
  readonly records = new Map<number, Uint8Array>();
  /** How often `scanIndex` was called, and entries it answered. */
  scans = 0;
  scanned = 0;
  /** Called before every scan and every read of records; for races. */
  beforeRead: (() => void) | undefined;
  readonly #keys: string[] = [];
  readonly #values = new Map<string, Uint8Array>();

  getIndex(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(textOf(key));
  }

  async scanIndex(range: {
    from: Uint8Array;
    to: Uint8Array;
    reverse?: boolean;
    limit: number;
  }): Promise<IndexEntry[]> {
    await Promise.resolve();
    this.beforeRead?.();
    this.scans += 1;
    const from = this.#position(textOf(range.from));
    const to = this.#position(textOf(range.to));
    const keys =
      range.reverse === true
        ? this.#keys.slice(Math.max(from, to - range.limit), Math.max(from, to)).reverse()
        : this.#keys.slice(from, Math.min(to, from + range.limit));
    this.scanned += keys.length;
    return keys.map((key) => ({ key: Uint8Array.from(Buffer.from(key, 'latin1')), value: this.#values.get(key)! }));
  }

  async getRecords(lsns: readonly Lsn[]): Promise<(Uint8Array | undefined)[]> {
    await Promise.resolve();
    this.beforeRead?.();
    return lsns.map((lsn) => this.records.get(lsn));
  }

  write(index: readonly IndexWrite[]): void {
    for (const { key, value } of index) this.#write(textOf(key), value);
  }

  deletePhysically(deletion: PhysicalDeletion): void {
    for (const lsn of deletion.recordLsns) this.records.delete(lsn);
    this.write(deletion.index);
  }

  /** All index entries as hex, for comparisons; keyspaces in `without` left out. */
  dump(without: readonly number[] = []): string[] {
    return this.#keys
      .filter((key) => !without.includes(key.charCodeAt(0)))
      .map(
        (key) => `${Buffer.from(key, 'latin1').toString('hex')}=${Buffer.from(this.#values.get(key)!).toString('hex')}`,
      );
  }

  get indexSize(): number {
    return this.#keys.length;
  }

  clone(): MemoryStore {
    const copy = new MemoryStore();
    copy.appliedLsn = this.appliedLsn;
    for (const [lsn, value] of this.records) copy.records.set(lsn, value);
    copy.#keys.push(...this.#keys);
    for (const [key, value] of this.#values) copy.#values.set(key, value);
    return copy;
  }

  #write(key: string, value: Uint8Array | undefined): void {
    const position = this.#position(key);
    const isThere = this.#keys[position] === key;
    if (value === undefined) {
      if (isThere) this.#keys.splice(position, 1);
      this.#values.delete(key);
      return;
    }
    if (!isThere) this.#keys.splice(position, 0, key);
    this.#values.set(key, value);
  }

  /** Index of the first key at or above. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Writes of a group of entries: seen by later entries of the group, by readers only after `commit`. */
export class MemoryTransaction implements StateTransaction {
  lsn: Lsn = asLsn(0);
  readonly #store: MemoryStore;
  readonly #written = new Map<string, IndexWrite>();
  readonly #records = new Map<number, Uint8Array>();
  /** Every write in order, as hex: the effects that the state hash covers. */
  readonly effects: string[] = [];

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  getIndex(key: Uint8Array): Uint8Array | undefined {
    const write = this.#written.get(textOf(key));
    return write === undefined ? this.#store.getIndex(key) : write.value;
  }

  putIndex(key: Uint8Array, value: Uint8Array): void {
    this.#put({ key, value });
  }

  deleteIndex(key: Uint8Array): void {
    this.#put({ key, value: undefined });
  }

  putRecords(...pieces: readonly Uint8Array[]): void {
    const value = new Uint8Array(Buffer.concat(pieces));
    this.#records.set(this.lsn, value);
    this.effects.push(`${this.lsn} records ${Buffer.from(value).toString('hex')}`);
  }

  commit(): void {
    for (const [lsn, value] of this.#records) this.#store.records.set(lsn, value);
    this.#store.write([...this.#written.values()]);
    this.#store.appliedLsn = this.lsn;
  }

  #put(write: IndexWrite): void {
    this.#written.set(textOf(write.key), write);
    const value = write.value === undefined ? 'deleted' : Buffer.from(write.value).toString('hex');
    this.effects.push(`${this.lsn} ${Buffer.from(write.key).toString('hex')}=${value}`);
  }
}
