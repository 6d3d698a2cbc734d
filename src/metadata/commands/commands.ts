/** What partition 0 replicates. Every number is a safe non-negative integer. */
import type { NodeDescription, ReplicaRole } from '../types.js';

/** The cluster comes into being. Repeating it with the same cluster id changes nothing. */
export interface InitializeClusterCommand {
  readonly type: 'initialize-cluster';
  /** Drawn by the proposer; 14 hexadecimal digits. */
  readonly clusterId: string;
  readonly featureLevel: number;
  readonly replicationFactor: number;
  /** Slot s belongs to the partition `slotPattern[s % slotPattern.length]`. */
  readonly slotPattern: readonly number[];
  readonly nodes: readonly NodeDescription[];
  /** Partition 0 among them. */
  readonly partitions: readonly InitialPartition[];
}
export interface InitialPartition {
  readonly id: number;
  /** The voters that the group begins with, in order of preference as leader. */
  readonly replicas: readonly { readonly replicaId: number; readonly nodeId: number }[];
}

/** A node joins, or has started again: then its addresses, software version and repository are brought up to date. */
export interface RegisterNodeCommand {
  readonly type: 'register-node';
  readonly clusterId: string;
  readonly node: NodeDescription;
}

/** An operator's change; fields that are undefined stay as they are. */
export interface UpdateNodeCommand {
  readonly type: 'update-node';
  readonly nodeId: number;
  /** Table version of the node when it was read; undefined: unconditional. */
  readonly expectedVersion: number | undefined;
  readonly name: string | undefined;
  readonly zone: string | undefined;
  readonly advertisedAddresses: readonly string[] | undefined;
  readonly linkAddress: string | undefined;
  readonly repositoryId: string | undefined;
}

export interface DrainNodeCommand {
  readonly type: 'drain-node';
  readonly nodeId: number;
  /** False: it is to be used again. */
  readonly drain: boolean;
  readonly expectedVersion: number | undefined;
}

export interface RemoveNodeCommand {
  readonly type: 'remove-node';
  readonly nodeId: number;
  readonly expectedVersion: number | undefined;
}

/** A node comes back under its id with an empty data directory: its replicas are lost, and made anew under other ids. */
export interface ReplaceNodeCommand {
  readonly type: 'replace-node';
  readonly oldIncarnation: string;
  readonly node: NodeDescription;
}

/** The replicas that a partition is to have. */
export interface SetPlacementCommand {
  readonly type: 'set-placement';
  readonly partitionId: number;
  /** Drawn by the proposer, not 0; sent again with a retry. */
  readonly requestId: number;
  /** Table version of the partition when it was read. */
  readonly expectedVersion: number;
  /** In order of preference as leader. Nodes that hold a replica keep it; the others get one under a new id. */
  readonly desired: readonly { readonly nodeId: number; readonly role: ReplicaRole }[];
}

/** A replica whose data is lost or has diverged is made anew, on its node, under another id. */
export interface ReplaceReplicaCommand {
  readonly type: 'replace-replica';
  readonly partitionId: number;
  readonly replicaId: number;
}

/** The partition's leader: its configuration has the replica in its role now. */
export interface ReplicaJoinedCommand {
  readonly type: 'replica-joined';
  readonly partitionId: number;
  readonly replicaId: number;
}

/** The partition's leader: its configuration, not a joint one, does not have the replica any more. */
export interface ReplicaRemovedCommand {
  readonly type: 'replica-removed';
  readonly partitionId: number;
  readonly replicaId: number;
}

export interface SetSettingCommand {
  readonly type: 'set-setting';
  readonly name: string;
  /** Undefined: back to the default. */
  readonly value: string | undefined;
  /** Table version of the setting when it was read, 0 of one that was not set; undefined: unconditional. */
  readonly expectedVersion: number | undefined;
}

export interface RaiseFeatureLevelCommand {
  readonly type: 'raise-feature-level';
  readonly level: number;
}

export interface SetRepositoryCommand {
  readonly type: 'set-repository';
  /** Empty: none. */
  readonly repositoryId: string;
  /** What it is to replace. */
  readonly expectedRepositoryId: string;
}

export type MetadataCommand =
  | InitializeClusterCommand
  | RegisterNodeCommand
  | UpdateNodeCommand
  | DrainNodeCommand
  | RemoveNodeCommand
  | ReplaceNodeCommand
  | SetPlacementCommand
  | ReplaceReplicaCommand
  | ReplicaJoinedCommand
  | ReplicaRemovedCommand
  | SetSettingCommand
  | RaiseFeatureLevelCommand
  | SetRepositoryCommand;
