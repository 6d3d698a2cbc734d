/** What the benchmark asks of each system: how its three servers are started, and what its client does. */
import type { Part } from '../install/install.js';

export type SystemName =
  'logboom' | 'jetstream' | 'jetstream-sync' | 'jetstream-batch' | 'etcd' | 'kafka' | 'kafka-sync';

export const nodeCount = 3;

/** How to start one server. */
export interface NodeLayout {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Answers 200 once the server takes requests; without it the client finds out. */
  readonly readyUrl?: string;
}

export interface ClusterLayout {
  readonly nodes: readonly NodeLayout[];
  /** `host:port` for clients, in the order of the nodes. */
  readonly endpoints: readonly string[];
}

export interface ClusterSettings {
  /** Exists, is empty, and is removed afterwards; `n1`, `n2`, `n3` in it are made for the nodes. */
  readonly directory: string;
  /** Free ports on loopback, {@link portsPerNode} a node. */
  readonly ports: readonly number[];
  readonly partitions: number;
}

export const portsPerNode = 3;

export interface System {
  readonly name: SystemName;
  readonly title: string;
  /** What has happened when an append is acknowledged. */
  readonly acknowledged: string;
  /** What its client makes of many small appends in flight. */
  readonly batching: string;
  /** Compression that its client, or else its server, offers; `none` is the first. */
  readonly codecs: readonly string[];
  readonly recommendedCodec: string;
  readonly needs: readonly Part[];
  layOut(settings: ClusterSettings): Promise<ClusterLayout>;
}

export interface ClientSettings {
  readonly system: SystemName;
  readonly endpoints: readonly string[];
  readonly codec: string;
  /** What the names of streams begin with, so that loads on the same servers do not meet: letters, digits and hyphens. */
  readonly prefix: string;
  /** A node is going to be killed: the client must not depend on one. */
  readonly survivesNodes: boolean;
  /** Upper bounds of what the load keeps in flight; a client that bounds it itself takes these. */
  readonly inFlightRecordsMax: number;
  readonly inFlightBytesMax: number;
}

export interface StreamsShape {
  /** Ordered logs that can be read one by one. */
  readonly streams: number;
  /** Units of replication that they are spread over, where the system has both. */
  readonly partitions: number;
  /** Streams share units of replication, so that a system where each is its own opens only `partitions` of them. */
  readonly keyed?: boolean;
  /** The streams are there: only open them. */
  readonly existing?: boolean;
}

export interface PeerStream {
  /** Resolves when the record is acknowledged. The value must not change until then. */
  append(value: Buffer): Promise<unknown>;
}

export interface PeerClient {
  openStreams(shape: StreamsShape): Promise<readonly PeerStream[]>;
  /** Records stored in all of the streams, as the servers have it. */
  storedRecords(): Promise<number>;
  /** Reads the first stream from its beginning, and ends when `onValue` has answered true, or at the end of the stream. */
  read(onValue: (value: Uint8Array) => boolean): Promise<void>;
  /** Follows the first stream from now on; resolves once nothing that is appended afterwards can be missed. */
  tail(onValue: (value: Uint8Array) => void): Promise<void>;
  /** Index of the node that leads the first stream. */
  leaderIndex(): Promise<number>;
  close(): Promise<void>;
}

export type Connect = (settings: ClientSettings) => Promise<PeerClient>;
