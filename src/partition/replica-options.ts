/** What a replica is made of, and what it needs of the node around it. */
import type { LogboomError } from '../base/errors.js';
import type { Lsn, NodeId, PartitionId, ReplicaId } from '../base/ids.js';
import type { Environment } from '../base/ports/environment.js';
import type { LogicalView, StateMachine, StateScan } from '../base/state-machine.js';
import type { WireMessage, RaftLimits, RaftOptions, StorageFault } from '../raft/types.js';
import type { ChunkSource, Manifest, SnapshotProgress, SnapshotSizes } from '../snapshot/index.js';
import type { StateStore } from '../state-store/index.js';
import type { PartitionLog } from '../wal/types.js';
import type { ReplicaObserver, ReplicaStart } from './observer.js';
import { defaultProcessorOptions, type ProcessorOptions } from './processor.js';
import type { RepositoryAccess } from './repository-access.js';
import { defaultArchivingOptions, type ArchivingOptions } from './snapshot-options.js';
import type { Slots } from './slots.js';
import type { ReplicaTransport, TrimMode } from './types.js';

export interface ReplicaOptions {
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** A group in which nothing is to be done for so many ticks falls quiet. */
  readonly quietAfterTicks: number;
  readonly raftLimits: Partial<RaftLimits>;
  /** How reads are confirmed; the core's defaults where nothing is set. */
  readonly reads: Pick<RaftOptions, 'readMode' | 'clockDriftBound'>;
  readonly processor: ProcessorOptions;
  /** Proposals that are not applied yet. */
  readonly proposalsMax: number;
  readonly proposalBytesMax: number;
  /** Linearizable reads that wait. */
  readonly readsMax: number;
  readonly trimMode: TrimMode;
  readonly archiving: ArchivingOptions;
}

export const defaultReplicaOptions: ReplicaOptions = {
  electionTicks: 10,
  heartbeatTicks: 1,
  quietAfterTicks: 10,
  raftLimits: {},
  reads: {},
  processor: defaultProcessorOptions,
  proposalsMax: 16_384,
  proposalBytesMax: 64 << 20,
  readsMax: 65_536,
  trimMode: 'persisted',
  archiving: defaultArchivingOptions,
};

/** What a replica needs from the node around it. */
export interface ReplicaHost {
  /** Sends to the replicas named in the messages; may drop. */
  send(partitionId: PartitionId, messages: readonly WireMessage[]): void;
  ask: ReplicaTransport['ask'];
  /** Calls back once, in this turn of the event loop, after those that were given before. */
  atEndOfTurn(work: () => void): void;
  /** Waits until the node's memory for unflushed state has room. */
  awaitRoom(): Promise<void> | undefined;
  nodesKnown(): number;
  /** Why appends are refused now; undefined when they are not. */
  appendsRefused(): LogboomError | undefined;
  /** What is wrong with the disk of the node's log. */
  storageFault(): StorageFault | undefined;
  /** Whether the node takes no appends, to keep the space that is left for what frees some. */
  isShortOfSpace(): boolean;
  /** Neither of the two before: nothing is wrong with the disk. */
  isSound(): boolean;
  /** Of this node; undefined where groups do not fall quiet. */
  readonly presence: ReplicaPresence | undefined;
  onFault(partitionId: PartitionId, error: Error): void;
}

/** What a replica knows of the nodes that the others of its group are on. */
export interface ReplicaPresence {
  readonly epoch: number;
  /** What the node promises with its epoch cannot be kept: it takes another. */
  withdraw(): void;
  nodeOf(replicaId: ReplicaId): NodeId | undefined;
  epochOf(nodeId: NodeId): number | undefined;
}

export interface ReplicaParts<Result, Machine extends StateMachine<Result>> {
  readonly environment: Environment;
  readonly nodeId: NodeId;
  readonly options: ReplicaOptions;
  readonly host: ReplicaHost;
  readonly log: PartitionLog;
  readonly machine: Machine;
  /** Opens the replica's store, also once more after it failed. `onPersisted` is told of every completed flush. */
  readonly openStore: (onPersisted: (lsn: Lsn) => void) => Promise<StateStore>;
  /** Of the state store; what belongs to an import is beside it. */
  readonly directory: string;
  /** Undefined: no snapshot repository is configured. */
  readonly repository: RepositoryAccess | undefined;
  /** What the node of a replica has recorded of the repository that it has proved to see; empty: nothing. */
  readonly recordedRepository: (replicaId: ReplicaId) => string;
  /** Builds a store of the snapshot in `directory`, ready to be put in place; goes on where it was interrupted. */
  readonly restoreSnapshot: (
    source: ChunkSource,
    manifest: Manifest,
    options: {
      readonly directory: string;
      readonly logicalView: (state: StateScan) => Promise<LogicalView>;
      readonly signal: AbortSignal;
      readonly onProgress: (progress: SnapshotProgress) => void;
      readonly bytesPerSecondMax: number;
    },
  ) => Promise<void>;
  readonly clusterId: string;
  /** Of the chunks of states that are streamed. */
  readonly snapshotSizes: SnapshotSizes;
  /** The node's places for states that its replicas offer. */
  readonly offerSlots: Slots;
  readonly softwareVersion: string;
  /** Of the file system that the store is on. */
  readonly freeBytes: () => Promise<number>;
  readonly mutant?: string;
  /** Called once, before the replica does anything. */
  readonly observe?: (start: ReplicaStart) => ReplicaObserver;
}
