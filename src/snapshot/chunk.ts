/**
 * The content of a chunk. Integers are big-endian; docs/formats/snapshots.md has the drawing.
 *
 *     header   "LBSC" | version u8 = 1 | kind u8 (1 records, 2 index) | zero u16
 *     records  LSN u64 | value length u32 | value          ascending LSNs
 *     index    key length u16 | key | value length u32 | value      ascending keys
 *
 * An object is the content as one zstd frame. Equal entries give equal content.
 */
import { createHash } from 'node:crypto';
import { assert } from '../base/assert.js';
import { readUint32, readUint64, writeUint32, writeUint64 } from '../base/bytes.js';
import { asLsn } from '../base/ids.js';
import type { IndexEntry } from '../base/state-machine.js';
import type { RecordsEntry } from '../state-store/index.js';
import { corrupt } from './failures.js';
import type { ManifestChunk } from './types.js';

export type ChunkKind = ManifestChunk['kind'];

const magic = 0x4c425343;
const version = 1;
const kinds: Readonly<Record<ChunkKind, number>> = { records: 1, index: 2 };
export const chunkHeaderBytes = 8;

export const recordsEntryBytes = (valueBytes: number): number => 12 + valueBytes;
export const indexEntryBytes = (key: Uint8Array, value: Uint8Array): number => 6 + key.length + value.length;

/** What one call of the hash takes, so that a large chunk is not hashed in one go. */
export const hashStepBytes = 256 * 1024;
const firstCapacity = 64 * 1024;

/** Puts a chunk together, and hashes it as it grows. */
export class ChunkBuilder {
  readonly kind: ChunkKind;
  entries = 0;
  #content: Uint8Array = Buffer.allocUnsafe(firstCapacity);
  #bytes = chunkHeaderBytes;
  #hashedBytes = 0;
  readonly #hash = createHash('sha256');

  constructor(kind: ChunkKind) {
    this.kind = kind;
    writeUint32(this.#content, 0, magic);
    this.#content[4] = version;
    this.#content[5] = kinds[kind];
    this.#content[6] = 0;
    this.#content[7] = 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  addRecords({ lsn, value }: RecordsEntry): void {
    assert(this.kind === 'records', () => 'records are added to a chunk of index entries');
    const at = this.#grow(recordsEntryBytes(value.length));
    writeUint64(this.#content, at, lsn);
    writeUint32(this.#content, at + 8, value.length);
    this.#content.set(value, at + 12);
    this.#added();
  }

  addIndex({ key, value }: IndexEntry): void {
    assert(this.kind === 'index', () => 'index entries are added to a chunk of records');
    const at = this.#grow(indexEntryBytes(key, value));
    writeIndexEntry(this.#content, at, key, value);
    this.#added();
  }

  /** The content and its hash; the builder is of no more use. */
  seal(): { content: Uint8Array; sha256: string } {
    this.#hash.update(this.#content.subarray(this.#hashedBytes, this.#bytes));
    return { content: this.#content.subarray(0, this.#bytes), sha256: this.#hash.digest('hex') };
  }

  #grow(by: number): number {
    const at = this.#bytes;
    this.#bytes += by;
    if (this.#bytes > this.#content.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#bytes, this.#content.length * 2));
      larger.set(this.#content.subarray(0, at));
      this.#content = larger;
    }
    return at;
  }

  #added(): void {
    this.entries += 1;
    while (this.#bytes - this.#hashedBytes >= hashStepBytes) {
      this.#hash.update(this.#content.subarray(this.#hashedBytes, this.#hashedBytes + hashStepBytes));
      this.#hashedBytes += hashStepBytes;
    }
  }
}

export function writeIndexEntry(target: Uint8Array, at: number, key: Uint8Array, value: Uint8Array): void {
  assert(key.length > 0 && key.length <= 0xffff, () => `an index key has ${key.length} bytes`);
  target[at] = key.length >>> 8;
  target[at + 1] = key.length;
  target.set(key, at + 2);
  writeUint32(target, at + 2 + key.length, value.length);
  target.set(value, at + 6 + key.length);
}

/**
 * Values are views of the content.
 *
 * @throws LogboomError SNAPSHOT_CORRUPT
 */
export function decodeRecordsChunk(object: string, content: Uint8Array): RecordsEntry[] {
  const entries: RecordsEntry[] = [];
  let at = requireHeader(object, content, 'records');
  let lastLsn = 0;
  while (at < content.length) {
    if (content.length - at < 12) throw corrupt(object, `is damaged: an entry is cut short at byte ${at}`);
    const lsn = readUint64(content, at);
    const length = readUint32(content, at + 8);
    if (!Number.isSafeInteger(lsn) || lsn <= lastLsn) {
      throw corrupt(object, `is damaged: LSN ${lsn} follows LSN ${lastLsn} at byte ${at}`);
    }
    at += 12;
    if (content.length - at < length) throw corrupt(object, `is damaged: the value of LSN ${lsn} is cut short`);
    entries.push({ lsn: asLsn(lsn), value: content.subarray(at, at + length) });
    at += length;
    lastLsn = lsn;
  }
  return entries;
}

/**
 * Keys and values are views of the content.
 *
 * @throws LogboomError SNAPSHOT_CORRUPT
 */
export function decodeIndexChunk(object: string, content: Uint8Array): IndexEntry[] {
  const entries: IndexEntry[] = [];
  let at = requireHeader(object, content, 'index');
  let lastKey = new Uint8Array(0);
  const take = (length: number): Uint8Array => {
    if (content.length - at < length) throw corrupt(object, `is damaged: an entry is cut short at byte ${at}`);
    at += length;
    return content.subarray(at - length, at);
  };
  while (at < content.length) {
    const start = at;
    const [high = 0, low = 0] = take(2);
    const key = take(high * 256 + low);
    const value = take(readUint32(take(4), 0));
    if (Buffer.compare(key, lastKey) <= 0) throw corrupt(object, `is damaged: keys do not ascend at byte ${start}`);
    entries.push({ key, value });
    lastKey = key as Uint8Array<ArrayBuffer>;
  }
  return entries;
}

function requireHeader(object: string, content: Uint8Array, kind: ChunkKind): number {
  if (content.length < chunkHeaderBytes || readUint32(content, 0) !== magic) {
    throw corrupt(object, 'is damaged: it is no chunk of a snapshot');
  }
  if (content[4] !== version)
    throw corrupt(object, `has chunk format ${content[4]}; this build reads format ${version}`);
  if (content[5] !== kinds[kind] || content[6] !== 0 || content[7] !== 0) {
    throw corrupt(object, `is damaged: it is no chunk of ${kind}`);
  }
  return chunkHeaderBytes;
}
