/**
 * The rolling hash over effects (rule 5): replicas that applied the same entries to the same state have the same hash,
 * however the entries were grouped. It is made to find a state machine, a memory or a disk that diverged, not to
 * withstand an adversary.
 */
import { assert } from '../base/assert.js';
import type { Lsn } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { IndexWrite } from '../base/state-machine.js';
import { bytesOfAll, crc32OfAll } from './pieces.js';
import type { RecordsWrite, StateHash } from './types.js';

export const initialStateHash: StateHash = { low: 0, high: 0 };

/** Up to here a value goes into both lanes byte by byte; a longer one as its length and CRC-32. */
const inlineValueBytes = 256;
const absent = 0xffff_ffff;

const scratch = Buffer.alloc(16 * 1024);
const words = new Int32Array(scratch.buffer, scratch.byteOffset, scratch.length / 4);
/** A key of at most this many bytes fits behind any header. */
const keyBytesMax = 8 * 1024;

/**
 * The hash after the entry at `lsn`, whose effects these are, in the order in which the state machine made them.
 *
 * The effects are written one after another, 4-byte aligned and little-endian, each behind its lengths:
 *
 *     lsn low u32 | lsn high u32 | records count u32 | index writes count u32
 *     a records write:  0 | value length u32 | value CRC-32 u32
 *     an index write:   key length u32 | value length u32 (all ones for a deletion) | key, zero-padded
 *                       | value, zero-padded, up to 256 bytes; its CRC-32 u32 beyond
 *
 * Two lanes run over these bytes, in blocks that are cut before the piece that would exceed 16 KiB: `low` is a CRC-32 continued from the
 * previous one, `high` is MurmurHash3 (32 bit, seeded with the previous one, finished with the length of the block).
 * A CRC is linear: changes that cancel out in one lane do not do so in the other.
 */
export function hashEffects(
  previous: StateHash,
  lsn: Lsn,
  records: readonly RecordsWrite[],
  index: readonly IndexWrite[],
  crc32: Crc32,
): StateHash {
  let low = previous.low;
  let high = previous.high;
  words[0] = lsn | 0;
  words[1] = Math.floor(lsn / 0x1_0000_0000);
  words[2] = records.length;
  words[3] = index.length;
  let at = 4;
  const cutBlock = (): void => {
    low = crc32(scratch.subarray(0, at * 4), low);
    high = murmur3(words, at, high);
    at = 0;
  };
  for (const { pieces, crc32: known } of records) {
    if ((at + 3) * 4 > scratch.length) cutBlock();
    words[at++] = 0;
    words[at++] = bytesOfAll(pieces);
    words[at++] = known ?? crc32OfAll(crc32, pieces);
  }
  for (const { key, value } of index) {
    assert(
      key.length > 0 && key.length <= keyBytesMax,
      () => `an index key has ${key.length} bytes, 1 to ${keyBytesMax} are allowed`,
    );
    if (8 + key.length + 4 + inlineValueBytes + 4 > scratch.length - at * 4) cutBlock();
    words[at++] = key.length;
    words[at++] = value === undefined ? absent : value.length;
    at = putPadded(at, key);
    if (value === undefined) continue;
    if (value.length <= inlineValueBytes) at = putPadded(at, value);
    else words[at++] = crc32(value);
  }
  cutBlock();
  return { low, high };
}

function putPadded(at: number, bytes: Uint8Array): number {
  const end = at + ((bytes.length + 3) >>> 2);
  if (end > at) words[end - 1] = 0;
  const offset = at * 4;
  // A call of `set` costs more than copying a few dozen bytes here.
  if (bytes.length <= 48) for (let i = 0; i < bytes.length; i++) scratch[offset + i] = bytes[i] ?? 0;
  else scratch.set(bytes, offset);
  return end;
}

/** MurmurHash3_x86_32 by Austin Appleby (public domain) over whole words; unsigned. */
function murmur3(block: Int32Array, count: number, seed: number): number {
  let hash = seed | 0;
  for (let i = 0; i < count; i++) {
    let word = Math.imul(block[i] ?? 0, 0xcc9e2d51);
    word = (word << 15) | (word >>> 17);
    hash ^= Math.imul(word, 0x1b873593);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  hash ^= count * 4;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export function equalStateHashes(one: StateHash, other: StateHash): boolean {
  return one.low === other.low && one.high === other.high;
}

/** 16 hexadecimal digits, for logs and for people. */
export function formatStateHash(hash: StateHash): string {
  return hash.high.toString(16).padStart(8, '0') + hash.low.toString(16).padStart(8, '0');
}

// Int32Array has the byte order of the processor; the hash is compared between machines.
assert(new Uint8Array(Int32Array.of(1).buffer)[0] === 1, () => 'the state hash needs a little-endian processor');
