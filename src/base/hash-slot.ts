/** Which hash slot a stream belongs to; the partition table says which partition has the slot. */
import { encodeUtf8 } from './bytes.js';
import type { Crc32 } from './ports/environment.js';

/** The hash slot of a stream, 0 to `slotCount` - 1: CRC-32 of the name's UTF-8 bytes, modulo. Never to be changed. */
export function slotOf(name: string, slotCount: number, crc32: Crc32): number {
  return crc32(encodeUtf8(name)) % slotCount;
}
