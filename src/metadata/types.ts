/** The nouns of metadata: what the cluster's state consists of, and what apply answers. All values are immutable. */
import type { ErrorFacts, Reason } from '../base/errors.js';
import type { NodeId, PartitionId, ReplicaId } from '../base/ids.js';

/** `draining`: gets no new replicas, and those it has move away. `removed`: kept so that its data directory cannot come back. */
export type NodeState = 'active' | 'draining' | 'removed';

/** What a node says of itself when it joins, and again at every start. */
export interface NodeDescription {
  readonly id: NodeId;
  readonly name: string;
  /** Failure domain; nodes without a label share the empty one. */
  readonly zone: string;
  /** New on every fresh data directory; the text of node.json. */
  readonly incarnation: string;
  /** What clients are told to connect to, as `host:port`. */
  readonly advertisedAddresses: readonly string[];
  /** Where other nodes connect to, as `host:port`. */
  readonly linkAddress: string;
  readonly softwareVersion: string;
  /** The highest feature level that its build supports. */
  readonly featureLevel: number;
  /** The snapshot repository that it has proved to see; empty: none. */
  readonly repositoryId: string;
}

export interface NodeView extends NodeDescription {
  readonly state: NodeState;
  /** LSN, in partition 0, and entry time of the command that brought the node into its state. */
  readonly stateLsn: number;
  readonly stateSinceMs: number;
  /** Incarnations that had this id before; they never join again. The newest last. */
  readonly retiredIncarnations: readonly string[];
  /** Table version of the last change. */
  readonly version: number;
}

/** What a replica is to be in the end: a `learner` gets every entry and has no vote. */
export type ReplicaRole = 'voter' | 'learner';

/**
 * ```
 *   joining ──▶ settled ──▶ leaving ──▶ gone
 *      │           │           ▲  │
 *      └───────────┴───────────┘  ▼
 *              └────────────────▶ lost ──▶ gone
 * ```
 *
 * `joining`: its node makes it, empty; the group is to add it. `settled`: the group's own configuration has it in its role.
 * `leaving`: the group is to remove it; until then it takes part. `lost`: the same, but its data is gone or not to be
 * trusted: its node deletes what is there of it, and never starts it again.
 */
export type ReplicaState = 'joining' | 'settled' | 'leaving' | 'lost';

export interface ReplicaView {
  /** Never used twice in its partition. */
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly role: ReplicaRole;
  readonly state: ReplicaState;
}

export interface PartitionView {
  readonly id: PartitionId;
  /** Desired first, in order of preference as leader; then those that are to go. */
  readonly replicas: readonly ReplicaView[];
  /**
   * Voters of the group's configuration before its first entry. A replica that begins with the first entry of the log
   * starts from these, whoever is a member by then: the entries tell the rest.
   */
  readonly initialVoters: readonly ReplicaId[];
  /** All replica ids below it have been allocated. */
  readonly nextReplicaId: number;
  /** Identity of the last request that changed the placement; 0: none. */
  readonly lastRequestId: number;
  /** Table version of the last change. */
  readonly version: number;
}

export interface SettingView {
  readonly name: string;
  readonly value: string;
  /** Table version of the last change. */
  readonly version: number;
}

export interface ClusterRecord {
  /** 14 hexadecimal digits. */
  readonly clusterId: string;
  /** Commands and formats in use: no higher than what every node supports. */
  readonly featureLevel: number;
  /** The snapshot repository; empty: none. */
  readonly repositoryId: string;
  /** Entry time of the last change; never goes back. */
  readonly entryTimeMs: number;
  /** Counts the changes of anything here. Clients and nodes cache by it. */
  readonly tableVersion: number;
}

/** The cluster as of one table version. Maps are in ascending order of ids or names. */
export interface ClusterState extends ClusterRecord {
  readonly nodes: ReadonlyMap<NodeId, NodeView>;
  readonly partitions: ReadonlyMap<PartitionId, PartitionView>;
  /** Only those that were set; `clusterSettings` adds the defaults. */
  readonly settings: ReadonlyMap<string, SettingView>;
  /** Partition of each hash slot. */
  readonly slots: Uint16Array;
}

/** What apply answers. A refused command has changed nothing. */
export type MetadataResult = AppliedResult | RefusedResult;

export interface AppliedResult {
  readonly type: 'applied';
  /** False when everything was as the command wants it already, as on a retry. */
  readonly changed: boolean;
  readonly tableVersion: number;
  /** Of a command that names a node or a partition: the one as it is now. */
  readonly node: NodeView | undefined;
  readonly partition: PartitionView | undefined;
}

export interface RefusedResult {
  readonly type: 'refused';
  readonly reason: Reason;
  readonly message: string;
  readonly facts: ErrorFacts;
}
