/** A value that is in several pieces of memory, one after another. */
import type { Crc32 } from '../base/ports/environment.js';

export function bytesOfAll(pieces: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const piece of pieces) bytes += piece.length;
  return bytes;
}

export function crc32OfAll(crc32: Crc32, pieces: readonly Uint8Array[]): number {
  let sum = 0;
  for (const piece of pieces) sum = crc32(piece, sum);
  return sum;
}
