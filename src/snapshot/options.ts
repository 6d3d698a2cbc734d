import type { Clock } from '../base/ports/clock.js';
import type { Compressor } from '../base/ports/compressor.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { Logger } from '../base/ports/logger.js';
import type { Random } from '../base/ports/random.js';
import type { ObjectStore } from '../object-store/types.js';
import type { SnapshotSizes } from './types.js';

const mebibyte = 1 << 20;

export const defaultSnapshotSizes: SnapshotSizes = {
  recordsChunkBytes: 8 * mebibyte,
  indexChunkBytes: mebibyte,
  chunksInFlightMax: 4,
  bytesInFlightMax: 64 * mebibyte,
  checkpointBytes: 256 * mebibyte,
};

export const defaultGraceMs = 6 * 60 * 60 * 1000;

/** What every part of the package works with. */
export interface SnapshotTools {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly compressor: Compressor;
  readonly random: Random;
  readonly logger: Logger;
  readonly sizes: SnapshotSizes;
  /**
   * How long a chunk that no manifest names is left alone; equal on all nodes that use the repository, for a writer gives
   * up after half of it (src/snapshot/collector.ts argues why).
   */
  readonly graceMs: number;
}

export interface SnapshotOptions extends Omit<SnapshotTools, 'logger' | 'sizes' | 'graceMs'> {
  readonly logger?: Logger;
  readonly sizes?: Partial<SnapshotSizes>;
  /** Default six hours. */
  readonly graceMs?: number;
}
