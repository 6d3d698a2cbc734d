/**
 * Everything that a run is made of, decided beforehand from the seed and written down: so that a run can be repeated,
 * stored as JSON, and shrunk by leaving things out.
 */
import type { NetworkWeather } from './network/network.js';
import type { Topology } from './network/topologies.js';
import type { SimulatedStoreFaults } from './simulated-ordered-store.js';

/**
 * `bootstrap`: logs that are trimmed all the time, nodes that are away for long, replaced or added; `churn`: spare nodes,
 * configurations that change, nodes that are replaced; `single`: one node alone, which may trim; `lease`: reads by lease,
 * clocks that drift as far as is allowed, leaders that are cut off; `cluster`: the server's own links, metadata and placement,
 * nodes that join, are emptied, removed and replaced.
 */
export const profiles = ['swarm', 'calm', 'bootstrap', 'churn', 'single', 'lease', 'cluster'] as const;
export type Profile = (typeof profiles)[number];

/** Odds a million operations. */
export interface DiskWeather {
  readonly operationMsMax: number;
  readonly syncMsMax: number;
  readonly tornSectorsPerMille: number;
  /** The process is killed at an operation; ten times likelier while writes are pending. */
  readonly crashPerMillion: number;
  /** Of those crashes, how many of a thousand are power losses. */
  readonly powerLossPerMille: number;
}

export interface ClockWeather {
  readonly skewMs: number;
  readonly drift: number;
}

export interface ClientPlan {
  /** Appends a second, of all clients together. */
  readonly appendsPerSecond: number;
  readonly producers: number;
  readonly conditionalAppenders: number;
  readonly readers: number;
  readonly walkers: number;
  /** Loss of requests, and of answers: each makes an outcome unknown. */
  readonly loss: number;
  readonly recordsMax: number;
  readonly recordBytesMax: number;
  /** All clients leave the cluster alone for so long, at the start of each period; a period of 0: never. */
  readonly lullMs: number;
  readonly lullEveryMs: number;
}

export interface StreamPlan {
  readonly name: string;
  readonly partition: number;
  readonly retentionBytes: number;
  readonly retentionAgeMs: number;
  /** May be deleted and created again during the run. */
  readonly mayBeDeleted: boolean;
}

/** Odds a million operations of the object store, each fault by itself; the others of a store that is as it should be. */
export interface ObjectWeather {
  readonly networkMsMax: number;
  readonly unavailableMsMax: number;
  readonly failPerMillion: number;
  readonly loseAnswerPerMillion: number;
  /** A put or a deletion that failed is carried out up to so long afterwards. */
  readonly happenLaterPerMillion: number;
  readonly happenLaterMsMax: number;
  readonly delayPerMillion: number;
  readonly delayMsMax: number;
  /** An answer is damaged, cut short or incomplete on its way; what is stored stays as it is. */
  readonly misreadPerMillion: number;
}

export interface SnapshotPlan {
  readonly logBytes: number;
  readonly ageMs: number;
  readonly marginEntries: number;
  readonly delayMs: number;
  readonly bootstrapHoldMs: number;
  readonly manifestsKept: number;
  readonly graceMs: number;
  readonly collectEveryMs: number;
  /** Each node reads the identity of the repository this often. */
  readonly checkEveryMs: number;
  readonly recordsChunkBytes: number;
  readonly indexChunkBytes: number;
  /** Content between two points from which an interrupted restore goes on. */
  readonly checkpointBytes: number;
  readonly objects: ObjectWeather;
  /** Nodes that have a repository of their own, by mistake, until somebody corrects their configuration. */
  readonly blind: readonly { readonly node: number; readonly untilMs: number }[];
}

/** Whom an action strikes: a node by number, or whoever leads a partition at that moment. */
export type Target = { readonly node: number } | { readonly leaderOf: number };

export type Action = { readonly atMs: number } & (
  | { readonly kind: 'cut'; readonly topology: Topology; readonly order: readonly number[]; readonly forMs: number }
  | {
      readonly kind: 'slow-link';
      readonly from: number;
      readonly to: number;
      readonly extraMs: number;
      readonly bytesPerMs: number;
      readonly forMs: number;
    }
  | { readonly kind: 'crash'; readonly target: Target; readonly downMs: number }
  | { readonly kind: 'power-loss'; readonly target: Target; readonly downMs: number }
  | { readonly kind: 'power-loss-all'; readonly downMs: readonly number[] }
  | { readonly kind: 'restart'; readonly target: Target; readonly downMs: number }
  | { readonly kind: 'rolling-restart'; readonly order: readonly number[]; readonly everyMs: number }
  | { readonly kind: 'pause'; readonly target: Target; readonly forMs: number }
  | { readonly kind: 'clock-jump'; readonly node: number; readonly byMs: number }
  | { readonly kind: 'clock-drift'; readonly node: number; readonly drift: number }
  | { readonly kind: 'disk-slow'; readonly target: Target; readonly factor: number; readonly forMs: number }
  | { readonly kind: 'disk-hang'; readonly target: Target; readonly forMs: number }
  | { readonly kind: 'disk-full'; readonly target: Target; readonly forMs: number }
  | { readonly kind: 'disk-error'; readonly target: Target; readonly operation: 'write' | 'read' | 'datasync' }
  | { readonly kind: 'store-failures'; readonly target: Target; readonly perMille: number; readonly forMs: number }
  | { readonly kind: 'bit-rot'; readonly node: number; readonly where: 'log' | 'store'; readonly pick: number }
  /** Of the leader, in what no snapshot has yet; it is asked for one at once. */
  | { readonly kind: 'rot-before-snapshot'; readonly partition: number }
  | { readonly kind: 'misdirected-write'; readonly target: Target; readonly pick: number }
  | { readonly kind: 'wipe'; readonly node: number; readonly downMs: number }
  | { readonly kind: 'node-joins'; readonly node: number }
  | { readonly kind: 'node-leaves'; readonly node: number }
  | { readonly kind: 'node-drained'; readonly node: number; readonly forMs: number }
  | { readonly kind: 'replica-moves'; readonly partition: number; readonly pick: number }
  | { readonly kind: 'zone-changes'; readonly node: number; readonly zone: string }
  | { readonly kind: 'setting-changes'; readonly name: string; readonly value: string }
  | { readonly kind: 'transfer-leader'; readonly partition: number; readonly to: number }
  | { readonly kind: 'change-voters'; readonly partition: number; readonly pick: number }
  | { readonly kind: 'flush'; readonly target: Target }
  | { readonly kind: 'delete-stream'; readonly stream: number }
  /** Down for so long that the log of its groups is trimmed meanwhile. */
  | { readonly kind: 'away'; readonly target: Target; readonly downMs: number }
  | { readonly kind: 'objects-unavailable'; readonly forMs: number }
  | { readonly kind: 'objects-slow'; readonly factor: number; readonly forMs: number }
  | { readonly kind: 'objects-cut-off'; readonly target: Target; readonly forMs: number }
  | {
      readonly kind: 'objects-damage';
      readonly partition: number;
      readonly what: 'manifest-damaged' | 'manifest-missing' | 'chunk-damaged' | 'chunk-cut' | 'chunk-missing';
      readonly pick: number;
    }
);
export type ActionKind = Action['kind'];

/** What operators of a cluster do; a disk that is lost is replaced by the cluster's own means. */
export type MembershipAction = Extract<
  Action,
  {
    readonly kind:
      'node-joins' | 'node-leaves' | 'node-drained' | 'replica-moves' | 'zone-changes' | 'setting-changes' | 'wipe';
  }
>;

/** The server's own cluster code, formed of the nodes that vote from the start. */
export interface MembershipPlan {
  readonly replicationFactor: number;
  /** By node. */
  readonly zones: readonly string[];
}

export interface Plan {
  readonly seed: number;
  readonly profile: Profile;
  /** Of the part with faults; the end of the run comes behind it. */
  readonly durationMs: number;
  readonly nodes: number;
  /** Nodes whose replicas vote from the start; the others wait to be added. */
  readonly initialVoters: readonly number[];
  /** Undefined: the simulator wires replicas together itself, without links and metadata. */
  readonly membership?: MembershipPlan;
  readonly partitions: number;
  readonly tickMs: number;
  readonly electionTicks: number;
  readonly segmentBytes: number;
  readonly flushAgeMs: number;
  /** What need not be durable at once, such as a commit LSN alone, is written this late. */
  readonly lazySyncMs: number;
  /** Retention proposals and physical deletions are looked for this often. */
  readonly maintenanceMs: number;
  /** How reads are confirmed. */
  readonly readMode: 'read-index' | 'lease';
  readonly network: NetworkWeather;
  readonly disk: DiskWeather;
  readonly stores: SimulatedStoreFaults;
  readonly clocks: readonly ClockWeather[];
  readonly streams: readonly StreamPlan[];
  readonly clients: ClientPlan;
  /** Undefined: no node has a repository, and nothing is archived. */
  readonly snapshots?: SnapshotPlan;
  readonly actions: readonly Action[];
}
