/**
 * One ordered key-value database: LevelDB, or a simulated one with every fault a disk has. Its contract is the suite in
 * test/contracts/ordered-store.ts, which every implementation passes.
 *
 * Durability is by flush alone. After a crash or power loss, `open` shows exactly the writes of a prefix of the batches
 * that were written, at least all of those that the last completed flush covered, and the prefix ends at a batch.
 *
 * A database may make a later prefix durable by itself, but only when the {@link memtableCharge} of what was written
 * since it was opened, or since the start of its last completed flush, exceeds `writeBufferBytes`, or while a flush is
 * under way: that may make durable anything from the writes before it to the newest one. The pair of databases of a
 * state store depends on that: it keeps the index below the limit, so that only a flush persists it.
 *
 * Keys begin with a byte above 0x00, and are not empty.
 */
export interface OrderedStore {
  /**
   * Writes in the order of the calls, each call atomically visible; resolves when readers see it. Not durable before a
   * flush. After a rejection every later call rejects too: a prefix with a hole is none.
   */
  write(operations: readonly StoreOperation[]): Promise<void>;
  /** Synchronous point read; undefined when absent. */
  get(key: Uint8Array): Uint8Array | undefined;
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /** Entries with `from <= key < to` of one consistent view, that of the moment of the call; see {@link StoreRange}. */
  scan(range: StoreRange): Promise<StoreEntry[]>;
  /** A consistent view that later writes do not change; to be closed. */
  snapshot(): StoreSnapshot;
  /**
   * Makes every write that resolved before the call durable. Writes go on meanwhile. Rejects with StoreFailure when the
   * database has failed; it is then of no more use, and must be closed and reopened.
   */
  flush(): Promise<void>;
  /** Compacts a range that deletions have emptied, so that its space is given back. Also persists what was written. */
  compactRange(from: Uint8Array, to: Uint8Array): Promise<void>;
  /** Bytes on disk of a range, roughly; what was not flushed does not count. */
  approximateBytes(from: Uint8Array, to: Uint8Array): Promise<number>;
  /** Without a flush: what was not flushed is lost, as in a crash. Idempotent. */
  close(): Promise<void>;
}

export type StoreOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

export interface StoreEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A scan answers at most `limit` entries, ascending unless `reverse`, and ends with the entry that reaches `maxBytes`. */
export interface StoreRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly limit: number;
  readonly reverse?: boolean;
  readonly maxBytes?: number;
}

export interface StoreSnapshot {
  get(key: Uint8Array): Uint8Array | undefined;
  scan(range: StoreRange): Promise<StoreEntry[]>;
  close(): Promise<void>;
}

/** Opens databases; the adapter that `server/` picks, or the simulator's. */
export interface OrderedStoreProvider {
  /**
   * Opens the database in `directory`, creating it when it is absent (in a way that survives power loss: staged, flushed,
   * renamed, parent synced). Deletes the database's own log first, so that it opens in the state of its last flush.
   *
   * @throws StoreFailure when it is damaged or cannot be opened, or is open already
   */
  open(directory: string, options: OrderedStoreOptions): Promise<OrderedStore>;
}

export interface OrderedStoreOptions {
  /** Memtable size: below it the database persists nothing by itself. */
  readonly writeBufferBytes: number;
  /** Size of a table file that compaction writes. */
  readonly tableBytes: number;
  readonly blockCacheBytes: number;
}

/** The database failed; what it holds beyond its last flush is not to be trusted. */
export class StoreFailure extends Error {
  override readonly name: string = 'StoreFailure';
}

/** Its files are damaged, where the database itself can see it; most damage only the checksums of the values show. */
export class StoreCorruption extends StoreFailure {
  override readonly name = 'StoreCorruption';
}

/**
 * An upper bound of the memtable bytes that operations take, and so of how near a database is to persisting something
 * by itself. LevelDB's memtable is a skip list in an arena of 4 KiB blocks: an entry takes key and value, 8 bytes of
 * sequence, at most 10 of lengths, and a node of at most 12 pointers (1.33 on average) behind alignment; the rest of a
 * block that a new entry does not fit is lost, at most a quarter of it, and a block has a pointer of its own.
 */
export function memtableCharge(operations: readonly StoreOperation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    bytes +=
      operation.key.length + (operation.type === 'put' ? operation.value.length : 0) + memtableEntryOverheadBytes;
  }
  return Math.ceil((bytes * 4) / 3);
}
export const memtableEntryOverheadBytes = 64;
