/** CRC-32 of a few bytes, without the way into native code and back, which costs more than the sum does. */
import type { Crc32 } from './ports/environment.js';

/** Measured: here both ways take the same time. Frames of the log, keys and values of the index are shorter, batches longer. */
const shortBytesMax = 128;

const reversedPolynomial = 0xedb88320;

/** `tables[256 * k + b]`: what byte `b` does to the sum when `k` more bytes of a word follow it (slicing by 4). */
const tables = new Int32Array(4 * 256);
for (let byte = 0; byte < 256; byte += 1) {
  let sum = byte;
  for (let bit = 0; bit < 8; bit += 1) sum = (sum & 1) === 1 ? (sum >>> 1) ^ reversedPolynomial : sum >>> 1;
  tables[byte] = sum;
}
for (let at = 256; at < tables.length; at += 1) {
  const before = tables[at - 256] as number;
  tables[at] = (before >>> 8) ^ (tables[before & 0xff] as number);
}

/** The same function, that leaves only what is long to `native`. */
export function withShortCrc32(native: Crc32): Crc32 {
  return (bytes, seed = 0) => (bytes.length <= shortBytesMax ? shortCrc32(bytes, seed) : native(bytes, seed));
}

function shortCrc32(bytes: Uint8Array, seed: number): number {
  const { length } = bytes;
  let sum = ~seed;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    sum ^=
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    sum =
      (tables[768 + (sum & 0xff)] as number) ^
      (tables[512 + ((sum >>> 8) & 0xff)] as number) ^
      (tables[256 + ((sum >>> 16) & 0xff)] as number) ^
      (tables[sum >>> 24] as number);
  }
  for (; at < length; at += 1) sum = (tables[(sum ^ (bytes[at] as number)) & 0xff] as number) ^ (sum >>> 8);
  return ~sum >>> 0;
}
