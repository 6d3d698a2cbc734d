/** One replica of a partition put together, as the server sees it. */
import type { Lsn, NodeId, PartitionId, ReplicaId, Term } from '../base/ids.js';
import type { StateMachine, StateReader } from '../base/state-machine.js';
import type { WireMessage, Role } from '../raft/types.js';
import type { SnapshotProgress } from '../snapshot/index.js';
import type { StateHash, StateStoreVerification } from '../state-store/types.js';
import type { ArchiveState } from './archive-state.js';

export type TrimMode = 'archived' | 'persisted' | 'none';

/** A snapshot that is being taken. */
export interface SnapshotUnderWay {
  readonly lsn: Lsn | undefined;
  readonly progress: SnapshotProgress | undefined;
}

/** A replica that is fetching a snapshot. */
export interface BootstrapStatus {
  /** The leader's log begins behind it. */
  readonly neededLsn: Lsn;
  /** LSN of the snapshot that is being fetched; undefined between attempts. */
  readonly snapshotLsn: Lsn | undefined;
  readonly progress: SnapshotProgress | undefined;
  /** The replica whose own state is being fetched; undefined: none, the snapshot is the repository's. */
  readonly fromReplica: ReplicaId | undefined;
  /** That replica is reading its state, to see what there is to send; `progress` is that of it. */
  readonly isPreparing: boolean;
  /** Why the last attempt failed; empty before the first one has. */
  readonly problem: string;
}

export interface ReplicaStatus {
  readonly partitionId: PartitionId;
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly role: Role | 'stopped';
  readonly leader: ReplicaId;
  readonly term: Term;
  readonly firstLsn: Lsn;
  readonly durableLsn: Lsn;
  readonly commitLsn: Lsn;
  readonly appliedLsn: Lsn;
  readonly persistedLsn: Lsn;
  /** Undefined: unknown, which means no trim in a cluster. */
  readonly archivedLsn: Lsn | undefined;
  readonly trimPoint: Lsn;
  readonly trimMode: TrimMode;
  readonly trimHeldBecause: string;
  /** Of the group, as applied here; this replica's own log may begin earlier. */
  readonly groupTrimPoint: Lsn;
  /** Name of the manifest of the newest archived snapshot; empty: none. */
  readonly archivedManifest: string;
  /** A snapshot that this replica, as the leader, is taking. */
  readonly snapshot: SnapshotUnderWay | undefined;
  /** Why the last snapshot of this leader failed; empty when it did not. */
  readonly snapshotFailure: string;
  /** A snapshot that this replica is fetching, because its group no longer has the entries that it lacks. */
  readonly bootstrap: BootstrapStatus | undefined;
  readonly stateHash: StateHash;
  readonly dirtyBytes: number;
  /** Why the replica stopped, or neither leads nor stores anything now; undefined when it is well. */
  readonly fault: string | undefined;
}

export interface TrimOutcome {
  /** Where the log of the group may begin, after the call; with a dry run, where it could. */
  readonly trimPoint: Lsn;
  readonly archivedLsn: Lsn;
  readonly mode: TrimMode;
  /** What holds the rest; empty: nothing. */
  readonly heldBecause: string;
}

export interface AskOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
}

/** Between the replicas of a group. */
export interface ReplicaTransport {
  /** May lose, delay, repeat and reorder messages. */
  send(partitionId: PartitionId, messages: readonly WireMessage[]): void;
  /**
   * What `PartitionManager.answer` of the other replica's node answers. The request may arrive more than once.
   *
   * @throws LogboomError what is answered; NODE_UNREACHABLE, LINK_CORRUPT, QUEUE_FULL, DEADLINE_EXCEEDED, CANCELLED
   */
  ask(partitionId: PartitionId, to: ReplicaId, request: Uint8Array, options: AskOptions): Promise<Uint8Array>;
}

/** Signs of life between nodes; may be lost, delayed and repeated. */
export interface PresenceTransport {
  /** The node that a replica is on; undefined when that is not known here. */
  nodeOf(partitionId: PartitionId, replicaId: ReplicaId): NodeId | undefined;
  /** To every other node: this one lives. */
  send(epoch: number): void;
}

export interface Applied<Result> {
  readonly lsn: Lsn;
  readonly result: Result;
}

/** What the server does with a replica, whatever its state machine. */
export interface PartitionReplica<Result, Machine extends StateMachine<Result>> {
  readonly partitionId: PartitionId;
  /** Reads of the machine's memory; shows what is published. Refused as `reader` is: take it anew for each request. */
  readonly machine: Machine;
  /** Reads of the applied state. The object changes when the store is reopened: take it anew for each request. */
  readonly reader: StateReader;
  readonly status: ReplicaStatus;
  readonly isLeader: boolean;
  /**
   * Proposes a command and resolves when it is durable on a quorum and applied here.
   *
   * @throws LogboomError NOT_LEADER, LEADERSHIP_LOST (outcome unknown), QUEUE_FULL, DISK_FULL, PARTITION_STOPPED, SHUTTING_DOWN
   */
  propose(command: Uint8Array): Promise<Applied<Result>>;
  /** Calls back after every publish that names the topic, until the answered function is called. */
  watch(topic: number, onChange: () => void): () => void;
  /** Calls back after every change of role, leader or term, and when the replica stops, until the answered function is called. */
  watchLeadership(onChange: () => void): () => void;
  /** Resolves when the applied state is confirmed to be at least as new as any append acknowledged before the call. */
  awaitLinearizable(signal?: AbortSignal): Promise<void>;
  verify(
    onProgress?: (done: { values: number; bytes: number }) => void,
    signal?: AbortSignal,
  ): Promise<StateStoreVerification & { readonly appliedLsn: Lsn }>;
  storeBytes(): Promise<number>;
  /**
   * Takes a snapshot of what is applied, and has it confirmed by a quorum and committed; joins the one under way.
   *
   * @throws LogboomError NOT_LEADER, REPOSITORY_NOT_CONFIGURED, REPOSITORY_UNAVAILABLE, SNAPSHOT_NOT_CONFIRMED, ...
   */
  snapshot(): Promise<ArchiveState>;
  /**
   * Lets the log go as far as is safe now, or says with `dryRun` how far that is.
   *
   * @throws LogboomError NOT_LEADER, REPOSITORY_NOT_CONFIGURED
   */
  trim(options: { readonly dryRun: boolean }): Promise<TrimOutcome>;
}
