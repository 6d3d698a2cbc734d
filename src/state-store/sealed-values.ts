/**
 * Keys and values as the two databases hold them (docs/formats/state-store.md). Every value carries a CRC-32 over
 * value and key, so that a damaged value is never served, and neither is a sound one under a wrong key.
 */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import { asLsn, type Lsn } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import { bytesOfAll } from './pieces.js';
import type { StateHash } from './types.js';

export type DatabaseName = 'records' | 'index';

const recordsPrefix = 0x01;
const metaPrefix = 0x01;
const entryPrefix = 0x02;
const deletionPrefix = 0x03;

const checksumBytes = 4;
const lsnKeyBytes = 9;

/** `01 | lsn u64`: ascending keys, so that tables do not overlap and are written once. */
export const recordsKey = (lsn: Lsn): Uint8Array => lsnKey(recordsPrefix, lsn);
/** @returns undefined when these bytes are no key of the records database */
export const lsnOfRecordsKey = (key: Uint8Array): Lsn | undefined => lsnOfKey(recordsPrefix, key);

/** `03 | lsn u64` in the index: the records value of this LSN is to be deleted physically. The value is empty. */
export const deletionKey = (lsn: Lsn): Uint8Array => lsnKey(deletionPrefix, lsn);
export const lsnOfDeletionKey = (key: Uint8Array): Lsn | undefined => lsnOfKey(deletionPrefix, key);
export const firstDeletionKey = Uint8Array.of(deletionPrefix);
export const endOfDeletionKeys = Uint8Array.of(deletionPrefix + 1);

function lsnKey(prefix: number, lsn: Lsn): Uint8Array {
  const key = Buffer.allocUnsafe(lsnKeyBytes);
  key[0] = prefix;
  key.writeUInt32BE(Math.floor(lsn / 0x1_0000_0000), 1);
  key.writeUInt32BE(lsn >>> 0, 5);
  return key;
}

function lsnOfKey(prefix: number, key: Uint8Array): Lsn | undefined {
  if (key.length !== lsnKeyBytes || key[0] !== prefix) return undefined;
  return lsnAt(new DataView(key.buffer, key.byteOffset, key.length), 1);
}

/** Undefined beyond 2^53, which nobody has written: such bytes would come out as another LSN than they say. */
function lsnAt(view: DataView, offset: number): Lsn | undefined {
  const high = view.getUint32(offset);
  const low = view.getUint32(offset + 4);
  // Not multiplied when it is 0: V8 keeps a product with 2^32 as a floating-point number, whatever it is.
  const lsn = high === 0 ? low : high * 0x1_0000_0000 + low;
  return Number.isSafeInteger(lsn) ? asLsn(lsn) : undefined;
}

/** Beyond every key of either database. */
export const endOfKeys = Uint8Array.of(0xff);
export const startOfKeys = Uint8Array.of(0x01);

/** `02 | key`: the entries of the state machine. */
export function indexKey(key: Uint8Array): Uint8Array {
  const physical = Buffer.allocUnsafe(key.length + 1);
  physical[0] = entryPrefix;
  physical.set(key, 1);
  return physical;
}
export const firstIndexKey = Uint8Array.of(entryPrefix);
export const endOfIndexKeys = Uint8Array.of(entryPrefix + 1);

export const logicalIndexKey = (physical: Uint8Array): Uint8Array => physical.subarray(1);

/** `checksum u32 | value`. */
export function seal(crc32: Crc32, key: Uint8Array, value: Uint8Array): Uint8Array {
  return sealAll(crc32, key, [value], crc32(value));
}

/** The same of a value in pieces, whose checksum is known. */
export function sealAll(crc32: Crc32, key: Uint8Array, pieces: readonly Uint8Array[], valueCrc: number): Uint8Array {
  const sealed = Buffer.allocUnsafe(checksumBytes + bytesOfAll(pieces));
  sealed.writeUInt32BE(crc32(key, valueCrc), 0);
  let at = checksumBytes;
  for (const piece of pieces) {
    sealed.set(piece, at);
    at += piece.length;
  }
  return sealed;
}

/** @returns the value, in place, or undefined when it does not fit its checksum or its key */
export function unsealed(crc32: Crc32, key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < checksumBytes) return undefined;
  const stored = ((sealed[0] ?? 0) << 24) | ((sealed[1] ?? 0) << 16) | ((sealed[2] ?? 0) << 8) | (sealed[3] ?? 0);
  const value = sealed.subarray(checksumBytes);
  return crc32(key, crc32(value)) === stored >>> 0 ? value : undefined;
}

/** For values that were sealed by this process and never left its memory. */
export const contentOf = (sealed: Uint8Array): Uint8Array => sealed.subarray(checksumBytes);

/** What an operator does about a damaged state store. */
export const replaceAdvice =
  'Replace this replica: remove it from its partition, delete this directory, and add a new replica, which starts from a snapshot.';

export function corruptValue(database: DatabaseName, directory: string, key: Uint8Array): LogboomError {
  const keyHex = Buffer.from(key.buffer, key.byteOffset, key.length).toString('hex');
  return new LogboomError(
    'DATA_CORRUPT',
    `a value of the ${database} database in ${directory} fails its checksum (key ${keyHex}); it is not served. ${replaceAdvice}`,
    { facts: { database, directory, key: keyHex } },
  );
}

/** What the index database says about the prefix of the log that it holds. */
export interface AppliedMark {
  readonly appliedLsn: Lsn;
  readonly stateHash: StateHash;
  /** Highest LSN that has a records value; 0 when there was none yet, or when that value was deleted physically. */
  readonly lastRecordsLsn: Lsn;
}

export const emptyMark: AppliedMark = {
  appliedLsn: asLsn(0),
  stateHash: { low: 0, high: 0 },
  lastRecordsLsn: asLsn(0),
};

const markVersion = 1;
const markBytes = 25;
export const markKey = Uint8Array.from([metaPrefix, ...Buffer.from('applied')]);

/** `version u8 | applied LSN u64 | hash low u32 | hash high u32 | last records LSN u64`. */
export function encodeMark(mark: AppliedMark): Uint8Array {
  const bytes = Buffer.allocUnsafe(markBytes);
  bytes[0] = markVersion;
  bytes.writeUInt32BE(Math.floor(mark.appliedLsn / 0x1_0000_0000), 1);
  bytes.writeUInt32BE(mark.appliedLsn >>> 0, 5);
  bytes.writeUInt32BE(mark.stateHash.low, 9);
  bytes.writeUInt32BE(mark.stateHash.high, 13);
  bytes.writeUInt32BE(Math.floor(mark.lastRecordsLsn / 0x1_0000_0000), 17);
  bytes.writeUInt32BE(mark.lastRecordsLsn >>> 0, 21);
  return bytes;
}

/** @throws LogboomError DATA_DIRECTORY_MISMATCH for a version that this build does not know */
export function decodeMark(bytes: Uint8Array): AppliedMark {
  assert(bytes.length > 0, () => 'the applied mark is empty');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getUint8(0) !== markVersion) {
    const version = view.getUint8(0);
    throw new LogboomError(
      'DATA_DIRECTORY_MISMATCH',
      `a state store has format ${version}, this build reads format ${markVersion}`,
      {
        facts: { version, supported: markVersion },
      },
    );
  }
  assert(bytes.length === markBytes, () => `the applied mark has ${bytes.length} bytes, not ${markBytes}`);
  const appliedLsn = lsnAt(view, 1);
  const lastRecordsLsn = lsnAt(view, 17);
  assert(
    appliedLsn !== undefined && lastRecordsLsn !== undefined && lastRecordsLsn <= appliedLsn,
    () => `the applied mark is ${Buffer.from(bytes).toString('hex')}: it has LSNs that cannot be`,
  );
  return { appliedLsn, stateHash: { low: view.getUint32(9), high: view.getUint32(13) }, lastRecordsLsn };
}
