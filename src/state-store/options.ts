import type { Lsn } from '../base/ids.js';
import type { Clock } from '../base/ports/clock.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { Logger } from '../base/ports/logger.js';
import type { MetricLabels, Metrics } from '../base/ports/metrics.js';
import type { OrderedStoreOptions, OrderedStoreProvider } from './ordered-store.js';

/** Sizes of the two databases; why these: docs/decisions/0001-two-databases-a-replica.md. */
export interface StateStoreSizes {
  readonly records: OrderedStoreOptions;
  readonly index: OrderedStoreOptions;
  /** A flush starts by itself before the index memtable holds more; below `index.writeBufferBytes`. */
  readonly indexMemtableBytesMax: number;
  /** Index bytes that wait in memory during a flush before writes wait. */
  readonly heldBytesMax: number;
  /** Physical deletions that are carried out without waiting for an idle moment; 1,024 when not set. */
  readonly sweepDeletionsMin?: number;
}

const mebibyte = 1 << 20;
export const defaultStateStoreSizes: StateStoreSizes = {
  records: { writeBufferBytes: 64 * mebibyte, tableBytes: 64 * mebibyte, blockCacheBytes: mebibyte / 4 },
  index: { writeBufferBytes: 32 * mebibyte, tableBytes: 8 * mebibyte, blockCacheBytes: mebibyte / 4 },
  indexMemtableBytesMax: 24 * mebibyte,
  heldBytesMax: 16 * mebibyte,
};

export interface StateStoreOptions {
  /** Holds `records/` and `index/`; created when it is absent. */
  readonly directory: string;
  readonly provider: OrderedStoreProvider;
  readonly clock: Clock;
  readonly crc32: Crc32;
  readonly logger?: Logger;
  readonly metrics?: Metrics;
  /** Labels of the metrics, such as the partition. */
  readonly labels?: MetricLabels;
  readonly sizes?: StateStoreSizes;
  /** Called with every new persisted LSN, also of flushes that the store starts by itself. */
  readonly onPersisted?: (lsn: Lsn) => void;
}
