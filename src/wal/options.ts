import { LogboomError } from '../base/errors.js';
import { headerBlockBytes } from './segment-format.js';

export interface WalOptions {
  /** Size of a segment file; may differ from one start to the next. */
  readonly segmentBytes: number;
  /** A commit group ends at about this size. */
  readonly maxGroupBytes: number;
  /** Entries handed over and not yet durable, over all partitions; at or above it the WAL asks for no more. */
  readonly maxPendingBytes: number;
  /** Newest entries kept in memory, over all partitions. Those not yet durable are kept besides. */
  readonly recentEntriesCacheBytes: number;
  /** Older entries brought into memory for `entriesInMemory`, over all partitions. */
  readonly loadedEntriesCacheBytes: number;
  /** Positions of entries in sealed segments kept in memory, 8 bytes an entry; others are read from the footers. */
  readonly positionBytesMax: number;
  /** Dropped segment files kept for reuse; more are deleted. */
  readonly spareSegments: number;
  /** A new segment file is made only if this much stays free on the file system. */
  readonly minFreeBytes: number;
  /** How often making a segment is tried again on a full disk. */
  readonly spaceRetryMs: number;
  /** How long hard states that need no sync, and trim points, wait for a group to ride with. */
  readonly lazySyncDelayMs: number;
  /**
   * Pace of zero-filling a segment ahead of time, as long as appends do not need it sooner. The fill competes with their
   * commit groups for the disk, and with the flushes of the state stores: a fast one delays both.
   */
  readonly zeroFillBytesPerSecond: number;
  /** Segment files that stay open for reading. */
  readonly openFilesMax: number;
}

const mebibyte = 1024 * 1024;

export const defaultWalOptions: WalOptions = {
  segmentBytes: 64 * mebibyte,
  maxGroupBytes: 4 * mebibyte,
  maxPendingBytes: 32 * mebibyte,
  recentEntriesCacheBytes: 16 * mebibyte,
  loadedEntriesCacheBytes: 32 * mebibyte,
  positionBytesMax: 32 * mebibyte,
  spareSegments: 2,
  minFreeBytes: 128 * mebibyte,
  spaceRetryMs: 1000,
  lazySyncDelayMs: 50,
  zeroFillBytesPerSecond: 16 * mebibyte,
  openFilesMax: 64,
};

/** The largest entry: with its frame and the state of the partitions it must fit into an empty segment. */
export function maxEntryBytes(options: WalOptions): number {
  return Math.floor(options.segmentBytes / 2);
}

/** Room for the partitions' state at the start of a segment. */
export function maxStateBytes(options: WalOptions): number {
  return Math.floor(options.segmentBytes / 4);
}

/** @throws LogboomError CONFIGURATION_INVALID */
export function checkWalOptions(options: WalOptions): void {
  const invalid = (message: string): never => {
    throw new LogboomError('CONFIGURATION_INVALID', `write-ahead log: ${message}`);
  };
  for (const [name, value] of Object.entries(options) as [string, number][]) {
    if (!Number.isFinite(value) || value < 0) invalid(`${name} is ${value}; it must be a number of 0 or more`);
  }
  const { segmentBytes, maxPendingBytes } = options;
  if (segmentBytes % headerBlockBytes !== 0 || segmentBytes < 4 * headerBlockBytes || segmentBytes > 2 ** 31) {
    invalid(`segmentBytes is ${segmentBytes}; it must be a multiple of ${headerBlockBytes} in [16 KiB, 2 GiB]`);
  }
  if (maxPendingBytes > segmentBytes / 2) {
    // What was accepted before the disk was found full must fit into the segment at hand.
    invalid(`maxPendingBytes is ${maxPendingBytes}; it must not exceed half of segmentBytes, ${segmentBytes / 2}`);
  }
}
