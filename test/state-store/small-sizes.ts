import type { StateStoreSizes } from '../../src/state-store/index.js';

/** So small that LevelDB rotates and compacts the records by itself, and that the index is flushed for its size. */
export const smallSizes: StateStoreSizes = {
  records: { writeBufferBytes: 1 << 20, tableBytes: 1 << 20, blockCacheBytes: 1 << 16 },
  index: { writeBufferBytes: 1 << 18, tableBytes: 1 << 20, blockCacheBytes: 1 << 16 },
  indexMemtableBytesMax: 200_000,
  heldBytesMax: 50_000,
  sweepDeletionsMin: 100,
};
