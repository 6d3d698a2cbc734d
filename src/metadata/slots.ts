/** Which partition has which hash slot. */
import { asPartitionId } from '../base/ids.js';
import type { PartitionId } from '../base/ids.js';
import { slotCount } from './limits.js';

/** Slot s belongs to `pattern[s % pattern.length]`. */
export function slotsOfPattern(pattern: readonly number[]): Uint16Array {
  return Uint16Array.from({ length: slotCount }, (_, slot) => pattern[slot % pattern.length] ?? 0);
}

/**
 * The shortest pattern that gives these slots: what is stored and sent of them. A few numbers as long as the slots are
 * dealt out in turn; all of them after a partition was split in some other way.
 */
export function patternOfSlots(slots: Uint16Array): readonly number[] {
  // The failure function of Knuth, Morris and Pratt: its last value is how far the sequence overlaps itself.
  const overlap = new Uint16Array(slots.length);
  for (let at = 1, length = 0; at < slots.length; at++) {
    while (length > 0 && slots[at] !== slots[length]) length = overlap[length - 1] ?? 0;
    if (slots[at] === slots[length]) length += 1;
    overlap[at] = length;
  }
  return [...slots.subarray(0, slots.length - (overlap[slots.length - 1] ?? 0))];
}

/** Slots dealt out in turn to stream partitions 1 to `partitionCount`. */
export function initialSlotPattern(partitionCount: number): readonly PartitionId[] {
  return Array.from({ length: partitionCount }, (_, index) => asPartitionId(1 + index));
}
