import { asLsn, type Lsn } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import { StoreCorruption, type StoreEntry } from './ordered-store.js';
import {
  type DatabaseName,
  endOfIndexKeys,
  firstIndexKey,
  logicalIndexKey,
  lsnOfRecordsKey,
  recordsKey,
  unsealed,
} from './sealed-values.js';
import type { PairSnapshot } from './state-snapshot.js';
import type { LogicalView } from '../base/state-machine.js';
import type { DamagedValue, StateStoreVerification } from './types.js';

const damagedMax = 1000;
const stepEntries = 512;
const stepBytes = 4 << 20;

/**
 * Reads every value of a snapshot. The digest is a CRC-32 over the index in key order, and one over the records in LSN
 * order, or in the order in which the live index entries point to them when there is a view.
 */
export async function verifySnapshot(
  snapshot: PairSnapshot,
  crc32: Crc32,
  onProgress: (done: { values: number; bytes: number }) => void,
  signal: AbortSignal | undefined,
  view: LogicalView | undefined,
): Promise<StateStoreVerification> {
  const scan = new Scan(snapshot, crc32, view);
  for (const database of ['records', 'index'] as const) {
    const pages = database === 'records' ? recordsPages(snapshot) : indexPages(snapshot);
    try {
      for await (const entries of pages) {
        signal?.throwIfAborted();
        for (const entry of entries) scan.take(database, entry);
        onProgress({ values: scan.values, bytes: scan.bytes });
      }
    } catch (error) {
      if (!(error instanceof StoreCorruption)) throw error;
      scan.unreadable(database, error);
    }
  }
  return scan.result();
}

async function* recordsPages(snapshot: PairSnapshot): AsyncGenerator<StoreEntry[]> {
  let from: Lsn = asLsn(0);
  const to = asLsn(snapshot.appliedLsn + 1);
  for (;;) {
    const entries = await snapshot.sealedRecords({ from, to, limit: stepEntries, maxBytes: stepBytes });
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    from = asLsn((lsnOfRecordsKey(last.key) ?? to) + 1);
  }
}

async function* indexPages(snapshot: PairSnapshot): AsyncGenerator<StoreEntry[]> {
  let from: Uint8Array = firstIndexKey;
  for (;;) {
    const entries = await snapshot.sealedIndex({ from, to: endOfIndexKeys, limit: stepEntries });
    const last = entries.at(-1);
    if (last === undefined) return;
    yield entries;
    from = Buffer.concat([last.key, Uint8Array.of(0)]);
  }
}

class Scan {
  readonly #snapshot: PairSnapshot;
  readonly #crc32: Crc32;
  readonly #view: LogicalView | undefined;
  readonly #damaged: DamagedValue[] = [];
  #indexDigest = 0;
  #recordsDigest = 0;
  values = 0;
  bytes = 0;

  constructor(snapshot: PairSnapshot, crc32: Crc32, view: LogicalView | undefined) {
    this.#snapshot = snapshot;
    this.#crc32 = crc32;
    this.#view = view;
  }

  take(database: DatabaseName, { key, value: sealed }: StoreEntry): void {
    this.values++;
    this.bytes += key.length + sealed.length;
    const value = unsealed(this.#crc32, key, sealed);
    if (value === undefined) this.#report(database, key, 'the value fails its checksum');
    else if (database === 'records') this.#takeRecords(key, value);
    else this.#takeIndex(logicalIndexKey(key), value);
  }

  #takeRecords(key: Uint8Array, value: Uint8Array): void {
    if (this.#view === undefined) this.#recordsDigest = this.#digest(this.#recordsDigest, key, value);
  }

  #takeIndex(key: Uint8Array, value: Uint8Array): void {
    if (this.#view !== undefined && !this.#view.isLive(key, value)) return;
    this.#indexDigest = this.#digest(this.#indexDigest, key, value);
    const lsn = this.#view?.recordsLsn(key, value);
    if (lsn === undefined) return;
    const recordsAt = recordsKey(lsn);
    const sealed = this.#snapshot.sealedRecordsAt(lsn);
    if (sealed === undefined) {
      this.#report('records', recordsAt, 'an index entry points to this value, and it is not there');
      return;
    }
    // Its damage was reported by the scan of the records.
    const records = unsealed(this.#crc32, recordsAt, sealed);
    if (records !== undefined) this.#recordsDigest = this.#digest(this.#recordsDigest, recordsAt, records);
  }

  #digest(digest: number, key: Uint8Array, value: Uint8Array): number {
    const lengths = Uint32Array.of(key.length, value.length);
    return this.#crc32(value, this.#crc32(key, this.#crc32(new Uint8Array(lengths.buffer), digest)));
  }

  /** The database itself cannot read on: what lies behind is unknown. */
  unreadable(database: DatabaseName, error: StoreCorruption): void {
    this.#damaged.push({ database, keyHex: '', problem: `the rest cannot be read: ${error.message}` });
  }

  #report(database: DatabaseName, key: Uint8Array, problem: string): void {
    if (this.#damaged.length >= damagedMax) return;
    this.#damaged.push({ database, keyHex: Buffer.from(key).toString('hex'), problem });
  }

  result(): StateStoreVerification {
    const hex = (digest: number): string => digest.toString(16).padStart(8, '0');
    return {
      appliedLsn: this.#snapshot.appliedLsn,
      stateHash: this.#snapshot.stateHash,
      values: this.values,
      bytes: this.bytes,
      digest: hex(this.#indexDigest) + hex(this.#recordsDigest),
      damaged: this.#damaged,
    };
  }
}
