import { assert } from '../base/assert.js';
import { asLsn, type Lsn } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { IndexEntry, StateScan } from '../base/state-machine.js';
import { defaultStateStoreSizes, type StateStoreOptions } from './options.js';
import type { OrderedStore, StoreOperation } from './ordered-store.js';
import {
  corruptValue,
  encodeMark,
  indexKey,
  logicalIndexKey,
  markKey,
  recordsKey,
  seal,
  unsealed,
} from './sealed-values.js';
import type { RecordsEntry, StateHash } from './types.js';

/**
 * Builds a state store from a snapshot, in a directory where nothing is yet, or where an import of the same snapshot was
 * left off. Until `finish` resolves it has no applied mark, and is refused when it is opened. Writes, flushes and scans
 * reject with StoreFailure; the caller then closes it.
 */
export class StateImport implements StateScan {
  readonly #directory: string;
  readonly #records: OrderedStore;
  readonly #index: OrderedStore;
  readonly #crc32: Crc32;
  #lastRecordsLsn: Lsn;

  private constructor(
    directory: string,
    stores: { records: OrderedStore; index: OrderedStore },
    crc32: Crc32,
    lastRecordsLsn: Lsn,
  ) {
    this.#directory = directory;
    this.#records = stores.records;
    this.#index = stores.index;
    this.#crc32 = crc32;
    this.#lastRecordsLsn = lastRecordsLsn;
  }

  /** @param options.lastRecordsLsn up to where records have been imported, and flushed, before */
  static async begin(
    options: Pick<StateStoreOptions, 'directory' | 'provider' | 'crc32' | 'sizes'> & { lastRecordsLsn?: Lsn },
  ): Promise<StateImport> {
    const { directory, provider, crc32, sizes = defaultStateStoreSizes, lastRecordsLsn = asLsn(0) } = options;
    const records = await provider.open(`${directory}/records`, sizes.records);
    try {
      const index = await provider.open(`${directory}/index`, sizes.index);
      return new StateImport(directory, { records, index }, crc32, lastRecordsLsn);
    } catch (error) {
      await records.close();
      throw error;
    }
  }

  /** The highest LSN of a records value that was imported; 0 when there is none. */
  get lastRecordsLsn(): Lsn {
    return this.#lastRecordsLsn;
  }

  /** Ascending LSNs, over all calls: tables that do not overlap are written once. */
  async putRecords(entries: readonly RecordsEntry[]): Promise<void> {
    const operations = entries.map(({ lsn, value }) => {
      assert(lsn > this.#lastRecordsLsn, () => `records of LSN ${lsn} are imported after ${this.#lastRecordsLsn}`);
      this.#lastRecordsLsn = lsn;
      return this.#put(recordsKey(lsn), value);
    });
    await this.#records.write(operations);
  }

  async putIndex(entries: readonly IndexEntry[]): Promise<void> {
    await this.#index.write(entries.map(({ key, value }) => this.#put(indexKey(key), value)));
  }

  /** @throws LogboomError DATA_CORRUPT */
  getIndex(key: Uint8Array): Uint8Array | undefined {
    const physical = indexKey(key);
    const sealed = this.#index.get(physical);
    return sealed === undefined ? undefined : this.#open(physical, sealed);
  }

  /** What was imported of the index. Rejects with LogboomError DATA_CORRUPT at the first damaged value. */
  async scanIndex(range: { from: Uint8Array; to: Uint8Array; limit: number }): Promise<IndexEntry[]> {
    const physical = { from: indexKey(range.from), to: indexKey(range.to), limit: range.limit };
    const entries = await this.#index.scan(physical);
    return entries.map(({ key, value }) => ({ key: logicalIndexKey(key), value: this.#open(key, value) }));
  }

  /** Makes durable what was imported so far. */
  async flush(): Promise<void> {
    await this.#records.flush();
    await this.#index.flush();
  }

  /** Makes it durable and closes it; it is then opened, or moved to its place, as any state store. */
  async finish({ appliedLsn, stateHash }: { appliedLsn: Lsn; stateHash: StateHash }): Promise<void> {
    const lastRecordsLsn = this.#lastRecordsLsn;
    assert(lastRecordsLsn <= appliedLsn, () => `records of LSN ${lastRecordsLsn} in a snapshot of ${appliedLsn}`);
    await this.flush();
    await this.#index.write([this.#put(markKey, encodeMark({ appliedLsn, stateHash, lastRecordsLsn }))]);
    await this.#index.flush();
    await this.close();
  }

  /** Gives up, or closes what was finished. */
  async close(): Promise<void> {
    await Promise.all([this.#records.close(), this.#index.close()]);
  }

  #put(key: Uint8Array, value: Uint8Array): StoreOperation {
    return { type: 'put', key, value: seal(this.#crc32, key, value) };
  }

  #open(key: Uint8Array, sealed: Uint8Array): Uint8Array {
    const value = unsealed(this.#crc32, key, sealed);
    if (value === undefined) throw corruptValue('index', this.#directory, key);
    return value;
  }
}
