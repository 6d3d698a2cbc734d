/**
 * What a partition replicates. `streams` is one state machine, `metadata` another; the partition processor runs either.
 * A state machine is deterministic: equal entries in equal order give equal writes, results and hash on every replica.
 */
import { LogboomError } from './errors.js';
import type { Lsn } from './ids.js';

/** A write of the index database; `value` undefined deletes. */
export interface IndexWrite {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** Reads of the applied state. Values come without their checksum, which was verified. */
export interface StateReader {
  /** Highest LSN whose effects these reads show. */
  readonly appliedLsn: Lsn;
  /** The value of an index key, from memory or the page cache; for a few keys an entry, not for scans. */
  getIndex(key: Uint8Array): Uint8Array | undefined;
  /** Entries with `from <= key < to`, ascending or, when `reverse`, descending; at most `limit`. */
  scanIndex(range: { from: Uint8Array; to: Uint8Array; reverse?: boolean; limit: number }): Promise<IndexEntry[]>;
  /** The records value stored under each LSN; undefined where there is none. */
  getRecords(lsns: readonly Lsn[]): Promise<(Uint8Array | undefined)[]>;
}
export interface IndexEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * The effects of the entries being applied. Reads see the writes made before them in the same transaction. All effects
 * of an entry become visible and durable together, with its LSN.
 */
export interface StateTransaction {
  getIndex(key: Uint8Array): Uint8Array | undefined;
  putIndex(key: Uint8Array, value: Uint8Array): void;
  deleteIndex(key: Uint8Array): void;
  /**
   * Stores the records value of the entry that is being applied, under its LSN: the pieces one after another, so that nobody has to
   * put a large one together. The bytes must not change afterwards.
   */
  putRecords(...pieces: readonly Uint8Array[]): void;
}

/** Work that follows from applied entries but is not part of the state: deleting what nothing points to any more. */
export interface PhysicalDeletion {
  /** Records values that no index entry points to any more. */
  readonly recordLsns: readonly Lsn[];
  readonly index: readonly IndexWrite[];
}

export interface StateMachine<Result> {
  /** Builds what is kept in memory from the stored state; called once before the first apply, and again after a store was reopened. */
  load(reader: StateReader): Promise<void>;
  /**
   * Applies one entry. Never throws for bad commands: it answers a result that says so, and changes nothing. An
   * {@link InvariantViolation} stops the partition.
   *
   * @param command the entry's data, without copy; may be kept by `putRecords`
   */
  apply(lsn: Lsn, command: Uint8Array, transaction: StateTransaction): Result;
  /**
   * Called when the effects of everything applied so far are in the store: readers see them from here on, and not
   * before. Answers the topics that changed since the last call (for streams: their ids), for those who wait for news.
   */
  publish(): Iterable<number>;
  /**
   * What of a stored state is part of the state, as of `state` itself and whatever was applied since: without leftovers that
   * wait for their physical deletion, and without what is local to a replica. Only index keys from 0x10 on, the machine's.
   */
  logicalView(state: StateScan): Promise<LogicalView>;
}

/** One consistent stored state, which does not change. */
export interface StateScan {
  /** Ascending entries with `from <= key < to`; at most `limit`. */
  scanIndex(range: { from: Uint8Array; to: Uint8Array; limit: number }): Promise<IndexEntry[]>;
}

/** Equal on equal replicas, whatever they have deleted physically. */
export interface LogicalView {
  /** Whether an index entry is part of the state. */
  isLive(key: Uint8Array, value: Uint8Array): boolean;
  /** The LSN of the records value that a live entry points to: it must be there. No two live entries point to the same. */
  recordsLsn(key: Uint8Array, value: Uint8Array): Lsn | undefined;
  /** About how many bytes that records value has. */
  recordsBytes(key: Uint8Array, value: Uint8Array): number;
  /**
   * The index key of the entry that points to a records value when it is alive: the value is alive when that entry is there,
   * is live, and points to it.
   *
   * @throws LogboomError DATA_CORRUPT
   */
  ownerOf(lsn: Lsn, records: Uint8Array): Uint8Array;
}

/** Of a machine that stores no records and leaves nothing behind. */
export const indexOnlyView: LogicalView = {
  isLive: () => true,
  recordsLsn: () => undefined,
  recordsBytes: () => 0,
  ownerOf(lsn) {
    throw new LogboomError('DATA_CORRUPT', `there is a records value at LSN ${lsn} in a state that has none`);
  },
};
