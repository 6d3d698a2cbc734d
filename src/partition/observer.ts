/**
 * A view into replicas for the simulator's checkers: everything a replica promises and learns, as it happens. Production
 * sets none. An observer changes nothing and does not throw.
 */
import type { Lsn, PartitionId, ReplicaId, Term } from '../base/ids.js';
import type { ConfState, HardState, LogReader, LogStart, RaftOutput, StorageFault } from '../raft/types.js';
import type { StateHash } from '../state-store/types.js';
import type { ArchiveState } from './archive-state.js';

/** What a replica starts from. */
export interface ReplicaStart {
  readonly partitionId: PartitionId;
  readonly replicaId: ReplicaId;
  readonly log: LogReader;
  readonly hardState: HardState;
  readonly confState: ConfState;
  readonly durableLsn: Lsn;
  readonly appliedLsn: Lsn;
  readonly persistedLsn: Lsn;
  readonly stateHash: StateHash;
}

export interface ReplicaObserver {
  /** Before the output is carried out. */
  onOutput(output: RaftOutput): void;
  /** The WAL synced what was handed over with `token`, and everything before. */
  onDurable(token: number, durableLsn: Lsn): void;
  /** Every time, also when an entry is applied once more after the store was reopened. */
  onConfChange(lsn: Lsn, term: Term, confState: ConfState): void;
  onApplied(appliedLsn: Lsn, stateHash: StateHash): void;
  /** The store failed and was opened again, at an LSN not above the one before. */
  onStoreReopened(appliedLsn: Lsn): void;
  /** The replica led, and steps down because its node's disk hangs or is full. */
  onLeadershipGivenUp(fault: StorageFault): void;
  onPersisted(persistedLsn: Lsn): void;
  onTrimPoint(trimPoint: Lsn): void;
  /** The group has committed that a snapshot is archived, and how far the log may be trimmed; as applied here. */
  onArchive(archive: ArchiveState): void;
  /** State and log are about to be replaced by a snapshot; after a crash from here on, the replica begins there or as it was. `from`: the replica whose state it is; undefined: a repository's. */
  onInstalling(start: LogStart, from: ReplicaId | undefined): void;
  /** State and log were replaced by a snapshot: they begin at `start`, durably. */
  onInstalled(start: LogStart, stateHash: StateHash): void;
  /** The replica has stopped for good. */
  onFault(error: Error): void;
  /** The node has given the replica up, durably: it must never start again. */
  onDiscarded(): void;
}
