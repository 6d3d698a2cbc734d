/** The write-ahead log of a node, shared by its partitions, as the layers above see it. */
import type { Lsn, PartitionId, ReplicaId, Term } from '../base/ids.js';
import type { ConfState, Entry, HardState, LogReader, Persist } from '../raft/types.js';

/** One partition's log within the node's WAL. Everything handed over is readable at once, durable when reported. */
export interface PartitionLog extends LogReader {
  readonly partitionId: PartitionId;
  /**
   * What the handle began with, found by a start, given when it was created, or by the last reset: identity, vote, and where
   * the log begins.
   */
  readonly recovered: RecoveredPartition;
  readonly durableLsn: Lsn;
  readonly trimPoint: Lsn;
  /**
   * The lowest LSN that `read` can answer. At or below `firstLsn` as long as entries at or below the trim point are kept
   * for this replica's own replay, because it has not persisted them (rule 3).
   */
  readonly oldestLsn: Lsn;
  /**
   * Queues hard state and entries for the next commit group. `onDurable` is called, in order of the calls, when the
   * group is synced; never after a failure of the WAL. With `mustSync` false and nothing else pending, it may wait for
   * the next group.
   *
   * @throws LogboomError WAL_FAILED, SHUTTING_DOWN, PARTITION_NOT_FOUND (removed)
   */
  append(persist: Persist, onDurable: () => void): void;
  /** Bytes handed over and not yet durable; the caller's back-pressure. */
  readonly pendingBytes: number;
  /**
   * Entries of [from, to), from memory or disk, at least one, cut at `maxBytes` of data; fewer than fit where that saves
   * reads. None when `from` is beyond the last LSN. Checks each frame's checksum.
   *
   * @throws LogboomError DATA_CORRUPT naming file and offset; RECORD_TRIMMED below `oldestLsn`
   */
  read(from: Lsn, to: Lsn, maxBytes: number): Promise<readonly Entry[]>;
  /** Brings entries into memory for `entriesInMemory`; bounded. */
  load(from: Lsn, to: Lsn, maxBytes: number): Promise<void>;
  /** The log now begins at `lsn + 1`, with this configuration in force at `lsn`. Durable with the next group. Never regresses. */
  setTrimPoint(lsn: Lsn, confState: ConfState): void;
  /** The replica's persisted LSN: entries above it are never dropped (rule 3). */
  setPersistedLsn(lsn: Lsn): void;
  /**
   * Starts a log at an imported snapshot: forgets all entries. Resolves when that is durable. Everything that was appended
   * before has to be durable already: what the callback of such an append would find is the new log.
   *
   * @throws LogboomError WAL_FAILED, SHUTTING_DOWN when it does not become durable any more
   */
  resetTo(start: { lsn: Lsn; term: Term; confState: ConfState; hardState: HardState }): Promise<void>;
}

export interface RecoveredPartition {
  readonly replicaId: ReplicaId;
  readonly hardState: HardState;
  readonly trimPoint: Lsn;
  readonly trimTerm: Term;
  readonly confState: ConfState;
}

export interface WalStats {
  readonly segments: number;
  readonly bytes: number;
  /** The partition whose entries hold the oldest segment: it should flush (and later snapshot) first. */
  readonly oldestSegmentHeldBy: PartitionId | undefined;
  /** Bytes of segments that could go if that partition persisted everything. */
  readonly reclaimableBytes: number;
}

export interface WriteAheadLog {
  /** The handle of a partition found at the start or opened before; creates the log of a new one (durable when resolved). */
  partition(id: PartitionId): PartitionLog | undefined;
  createPartition(id: PartitionId, replicaId: ReplicaId, confState: ConfState): Promise<PartitionLog>;
  /** Forgets a partition: its frames no longer hold segments. Durable when resolved. */
  removePartition(id: PartitionId): Promise<void>;
  readonly partitionIds: readonly PartitionId[];
  readonly stats: WalStats;
  /**
   * 'low' while no further segment can be made because the disk is full: appends should be refused with DISK_FULL. What
   * was accepted before still fits, and so do votes and configuration changes for a long time. Ends by itself when
   * there is space again, or when a segment is dropped.
   */
  readonly space: 'ok' | 'low';
  /** False while `space` is low, or as much is pending as may be: new proposals should be refused. */
  readonly canAccept: boolean;
  /** Bytes handed over and not yet durable, over all partitions. */
  readonly pendingBytes: number;
  /**
   * How long the disk has been at the write, with its sync, that commit groups wait for; 0 when it is at none. Waiting
   * for space is not counted: see `space`.
   */
  readonly writeAgeMs: number;
  /** Resolves when the WAL has failed for good: the node must stop (rule 7). */
  readonly failed: Promise<Error>;
  /** Writes out and syncs what is pending, then closes. What is pending for lack of disk space is given up. */
  stop(): Promise<void>;
}
