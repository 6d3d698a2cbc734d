import { assert } from '../base/assert.js';
import { asLsn, type Lsn } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { IndexEntry } from '../base/state-machine.js';
import { defaultStateStoreSizes, type StateStoreOptions } from './options.js';
import type { OrderedStore, StoreOperation } from './ordered-store.js';
import { encodeMark, indexKey, markKey, recordsKey, seal } from './sealed-values.js';
import type { RecordsEntry, StateHash } from './types.js';

/**
 * Builds a state store from a snapshot, in a directory where nothing is yet. Until `finish` resolves it has no applied
 * mark, and is refused when it is opened. Rejects with StoreFailure; the caller then removes the directory.
 */
export class StateImport {
  readonly #records: OrderedStore;
  readonly #index: OrderedStore;
  readonly #crc32: Crc32;
  #lastRecordsLsn: Lsn = asLsn(0);

  private constructor(records: OrderedStore, index: OrderedStore, crc32: Crc32) {
    this.#records = records;
    this.#index = index;
    this.#crc32 = crc32;
  }

  static async begin(
    options: Pick<StateStoreOptions, 'directory' | 'provider' | 'crc32' | 'sizes'>,
  ): Promise<StateImport> {
    const { directory, provider, crc32, sizes = defaultStateStoreSizes } = options;
    const records = await provider.open(`${directory}/records`, sizes.records);
    try {
      return new StateImport(records, await provider.open(`${directory}/index`, sizes.index), crc32);
    } catch (error) {
      await records.close();
      throw error;
    }
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

  /** Makes it durable and closes it; it is then opened, or moved to its place, as any state store. */
  async finish({ appliedLsn, stateHash }: { appliedLsn: Lsn; stateHash: StateHash }): Promise<void> {
    const lastRecordsLsn = this.#lastRecordsLsn;
    assert(lastRecordsLsn <= appliedLsn, () => `records of LSN ${lastRecordsLsn} in a snapshot of ${appliedLsn}`);
    await this.#records.flush();
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
}
