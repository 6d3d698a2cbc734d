import { assert } from '../base/assert.js';
import type { Lsn } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { IndexWrite, StateReader, StateTransaction } from '../base/state-machine.js';
import { keyString } from './key-strings.js';
import { memtableEntryOverheadBytes } from './ordered-store.js';
import { crc32OfAll } from './pieces.js';
import { hashEffects } from './state-hash.js';
import type { AppliedBatch, RecordsWrite, StateHash } from './types.js';

/** What a transaction starts from: the state store, between two writes. */
type AppliedState = Pick<StateReader, 'getIndex' | 'appliedLsn'> & { readonly stateHash: StateHash };

/**
 * The effects of a group of consecutive entries, collected for one {@link AppliedBatch}. Entries of the group see the
 * writes of those before them. The hash moves entry by entry, so that replicas may group differently; of several writes
 * to one key only the last goes to the store.
 *
 *     begin(lsn) -> apply(lsn, command, transaction) -> end() -> begin(lsn + 1) ... -> finish()
 */
export class ApplyTransaction implements StateTransaction {
  readonly #reader: AppliedState;
  readonly #crc32: Crc32;
  readonly #newest = new Map<string, IndexWrite>();
  readonly #records: RecordsWrite[] = [];
  #entryRecords: RecordsWrite[] = [];
  #entryIndex: IndexWrite[] = [];
  #appliedLsn: Lsn;
  #stateHash: StateHash;
  #open: Lsn | undefined;
  #indexBytes = 0;

  constructor(reader: AppliedState, crc32: Crc32) {
    this.#reader = reader;
    this.#crc32 = crc32;
    this.#appliedLsn = reader.appliedLsn;
    this.#stateHash = reader.stateHash;
  }

  /** LSN of the last entry that ended, and the hash after it. */
  get appliedLsn(): Lsn {
    return this.#appliedLsn;
  }
  get stateHash(): StateHash {
    return this.#stateHash;
  }
  /** About what the index writes so far take in a memtable, for deciding when a group is large enough. */
  get indexBytes(): number {
    return this.#indexBytes;
  }

  begin(lsn: Lsn): void {
    assert(this.#open === undefined, () => `entry ${lsn} begins while entry ${this.#open} has not ended`);
    assert(lsn > this.#appliedLsn, () => `entry ${lsn} begins after entry ${this.#appliedLsn} was applied`);
    this.#open = lsn;
  }

  end(): void {
    const lsn = this.#openLsn();
    this.#stateHash = hashEffects(this.#stateHash, lsn, this.#entryRecords, this.#entryIndex, this.#crc32);
    this.#records.push(...this.#entryRecords);
    this.#entryRecords = [];
    this.#entryIndex = [];
    this.#appliedLsn = lsn;
    this.#open = undefined;
  }

  getIndex(key: Uint8Array): Uint8Array | undefined {
    if (this.#newest.size > 0) {
      const write = this.#newest.get(keyString(key));
      if (write !== undefined) return write.value;
    }
    return this.#reader.getIndex(key);
  }

  /** Key and value must not change afterwards. */
  putIndex(key: Uint8Array, value: Uint8Array): void {
    this.#write({ key, value });
  }

  deleteIndex(key: Uint8Array): void {
    this.#write({ key, value: undefined });
  }

  #write(write: IndexWrite): void {
    this.#openLsn();
    this.#newest.set(keyString(write.key), write);
    this.#entryIndex.push(write);
    this.#indexBytes += write.key.length + (write.value?.length ?? 0) + memtableEntryOverheadBytes;
  }

  putRecords(...pieces: readonly Uint8Array[]): void {
    const lsn = this.#openLsn();
    assert(this.#entryRecords.length === 0, () => `entry ${lsn} stores a second records value`);
    this.#entryRecords.push({ lsn, pieces, crc32: crc32OfAll(this.#crc32, pieces) });
  }

  /** What the store is to write. The transaction is finished then. At least one entry has ended. */
  finish(): AppliedBatch {
    assert(this.#open === undefined, () => `entry ${this.#open} has not ended`);
    assert(this.#appliedLsn > this.#reader.appliedLsn, () => `no entry after ${this.#reader.appliedLsn} was applied`);
    return {
      records: this.#records,
      index: [...this.#newest.values()],
      appliedLsn: this.#appliedLsn,
      stateHash: this.#stateHash,
    };
  }

  #openLsn(): Lsn {
    const lsn = this.#open;
    assert(lsn !== undefined, () => 'effects belong to an entry: begin one first');
    return lsn;
  }
}
