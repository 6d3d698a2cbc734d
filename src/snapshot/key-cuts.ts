/** Where chunks of index entries end: at keys that the content itself picks, so that a change moves no cut but those near it. */
import type { Crc32 } from '../base/ports/environment.js';

/**
 * Ends a chunk behind an entry with a probability of its bytes over the average, decided by a hash of its key; not before a
 * quarter of the average, and at the latest at four times of it. Two writers that have the same entries from some point on
 * cut at the same places from the next common cut on.
 */
export class KeyCuts {
  readonly #crc32: Crc32;
  readonly #averageBytes: number;

  constructor(crc32: Crc32, averageBytes: number) {
    this.#crc32 = crc32;
    this.#averageBytes = averageBytes;
  }

  /** @param chunkBytes of the chunk with this entry */
  endsBehind(key: Uint8Array, entryBytes: number, chunkBytes: number): boolean {
    if (chunkBytes < this.#averageBytes / 4) return false;
    if (chunkBytes >= this.#averageBytes * 4) return true;
    return mixed(this.#crc32(key)) < (entryBytes / this.#averageBytes) * 0x1_0000_0000;
  }
}

/** The finisher of MurmurHash3: a CRC is linear, and neighbouring keys would have neighbouring values. */
function mixed(word: number): number {
  let hash = word | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
