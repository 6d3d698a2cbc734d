/**
 * Histories that were cut off. A restore brings a stream back as it was at a snapshot; what was appended after it is lost, and
 * its positions are given anew. So the stream gets another epoch, and keeps where the one before ended: a position of the
 * old epoch at or below the fork still stands for the same records, one above it stands for none.
 */
import type { Seq } from '../base/ids.js';

export interface StreamFork {
  /** Of the history that ended. */
  readonly epoch: number;
  /** Its records below this one are part of the stream; those from here on were lost. */
  readonly seq: Seq;
}

/** Older ones are forgotten: their tokens are those of an unknown epoch then. */
export const forksKept = 8;

/**
 * The epoch after a fork, the same on every replica.
 *
 * @param salt of the restore, drawn at random: in [1, 2^53)
 */
export function forkedEpoch(epoch: number, salt: number): number {
  const half = 0x1_0000_0000;
  const high = (Math.floor(epoch / half) ^ Math.floor(salt / half)) >>> 0;
  const low = ((epoch % half) ^ (salt % half)) >>> 0;
  return high * half + low || (epoch === 1 ? 2 : 1);
}

/** Up to where positions of an older epoch are good; undefined when the epoch is not known. */
export function forkSeqOf({ forks }: { readonly forks: readonly StreamFork[] }, epoch: number): Seq | undefined {
  const at = forks.findIndex((fork) => fork.epoch === epoch);
  if (at < 0) return undefined;
  return forks.slice(at).reduce((lowest, { seq }) => (seq < lowest ? seq : lowest), (forks[at] as StreamFork).seq);
}
