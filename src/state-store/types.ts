/** The state of one replica: two databases, records and index, kept as one prefix of the log. */
import type { Lsn } from '../base/ids.js';
import type { IndexEntry, IndexWrite, LogicalView, StateReader } from '../base/state-machine.js';

/** Effects of consecutive entries up to and with `appliedLsn`, written as one. */
export interface AppliedBatch {
  /** In ascending order, above the applied LSN before and not above the new one. */
  readonly records: readonly RecordsWrite[];
  readonly index: readonly IndexWrite[];
  readonly appliedLsn: Lsn;
  readonly stateHash: StateHash;
}

export interface RecordsWrite {
  readonly lsn: Lsn;
  /** The value, one after another. */
  readonly pieces: readonly Uint8Array[];
  /** CRC-32 of the value where it is known already, so that large values are summed once for hash and store. */
  readonly crc32?: number;
}

/** Rolling hash over the effects of all entries up to the applied LSN: two 32-bit lanes. */
export interface StateHash {
  readonly low: number;
  readonly high: number;
}

export interface StateStoreStats {
  /** Bytes written since the start of the last completed flush, an upper bound of what the memtables hold. */
  readonly dirtyBytes: number;
  /** Those of them that a flush under way is writing. */
  readonly flushingBytes: number;
  /** Monotonic time of the oldest unflushed write; undefined when clean. */
  readonly dirtySinceMs: number | undefined;
  /** Index bytes held in memory until the flush under way ends. */
  readonly heldBytes: number;
}

/**
 * Invariant: what is durable of the index never goes beyond what is durable of the records. Records are written first,
 * then index, applied LSN and hash in one atomic batch; records are flushed first, then the index. Records above the
 * applied LSN are leftovers of a crash: ignored, and written again, identically, by the replay.
 */
export interface StateStore extends StateReader {
  readonly appliedLsn: Lsn;
  readonly stateHash: StateHash;
  /** Highest LSN whose effects survive power loss; never regresses while the store lives in its directory. */
  readonly persistedLsn: Lsn;
  readonly stats: StateStoreStats;
  /** One call at a time; LSNs ascend. Rejects with LogboomError STATE_STORE_FAILED: the instance is then finished (rule 7). */
  write(batch: AppliedBatch): Promise<void>;
  /**
   * Deletes what nothing points to any more; not part of the state, not in the hash. The index part and the requests
   * for the records are one batch for each 512 of them; readers miss both at once. The records themselves go later,
   * after a flush that covers the requests, many at a time; a crash in between forgets nothing. Cheap: no flush.
   */
  deletePhysically(deletion: { recordLsns: readonly Lsn[]; index: readonly IndexWrite[] }): Promise<void>;
  /** Flushes both databases and answers the new persisted LSN. Calls made while one runs share the next. */
  flush(): Promise<Lsn>;
  /** A view of one applied LSN that later writes do not change; to be closed. */
  snapshot(): Promise<StateSnapshot>;
  /** Reads every value of one snapshot and verifies its checksum; reports progress; answers what is damaged. */
  verify(
    onProgress?: (done: { values: number; bytes: number }) => void,
    signal?: AbortSignal,
    view?: LogicalView,
  ): Promise<StateStoreVerification>;
  sizeBytes(): Promise<number>;
  /** With a flush first unless `flush` is false. */
  close(options?: { flush?: boolean }): Promise<void>;
}

/** Reads of a snapshot reject with LogboomError DATA_CORRUPT at the first damaged value. */
export interface StateSnapshot {
  readonly appliedLsn: Lsn;
  readonly stateHash: StateHash;
  /** Records values with `from <= lsn < to`, up to the applied LSN, ascending; at least one where there is one, cut at `maxBytes`. */
  scanRecords(range: { from: Lsn; to: Lsn; limit: number; maxBytes: number }): Promise<RecordsEntry[]>;
  /** The value of an index key, from memory or the page cache. */
  getIndex(key: Uint8Array): Uint8Array | undefined;
  /** Index entries as {@link StateReader.scanIndex} answers them. */
  scanIndex(range: { from: Uint8Array; to: Uint8Array; reverse?: boolean; limit: number }): Promise<IndexEntry[]>;
  close(): Promise<void>;
}

export interface RecordsEntry {
  readonly lsn: Lsn;
  readonly value: Uint8Array;
}

export interface StateStoreVerification {
  readonly appliedLsn: Lsn;
  readonly stateHash: StateHash;
  readonly values: number;
  readonly bytes: number;
  /**
   * Digest of the logical content, equal on equal replicas at the same applied LSN. With a view, of the live index
   * entries and the records that they point to. Without, of everything up to the applied LSN: then equal only among
   * replicas that have deleted the same things physically.
   */
  readonly digest: string;
  /** At most 1,000 of them. */
  readonly damaged: readonly DamagedValue[];
}

export interface DamagedValue {
  readonly database: 'records' | 'index';
  readonly keyHex: string;
  readonly problem: string;
}
