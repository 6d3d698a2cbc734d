/** A snapshot of a partition as the repository holds it, and what goes in and out of the package. */
import type { Lsn, NodeId, PartitionId, ReplicaId, Term } from '../base/ids.js';
import type { ConfState } from '../raft/types.js';
import type { StateHash } from '../state-store/index.js';

/** What the log says of the LSN at which a snapshot is taken, and who takes it. */
export interface SnapshotFacts {
  readonly lsn: Lsn;
  readonly term: Term;
  readonly confState: ConfState;
  readonly stateHash: StateHash;
  readonly replicaId: ReplicaId;
  readonly nodeId: NodeId;
  readonly softwareVersion: string;
}

interface ChunkFacts {
  /** The last part of the object's name: SHA-256 of the content in hex, a dash, and what makes the name unique. */
  readonly name: string;
  /** Of the content, uncompressed. */
  readonly bytes: number;
  /** Of the object. */
  readonly storedBytes: number;
  readonly entries: number;
}

/** Records values, by LSN. */
export interface RecordsChunk extends ChunkFacts {
  readonly kind: 'records';
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
}

/** Index entries, by key. */
export interface IndexChunk extends ChunkFacts {
  readonly kind: 'index';
  readonly firstKeyHex: string;
  readonly lastKeyHex: string;
}

export type ManifestChunk = RecordsChunk | IndexChunk;

export interface Manifest extends SnapshotFacts {
  readonly clusterId: string;
  readonly partitionId: PartitionId;
  /** By the wall clock of the node that wrote it; for people. */
  readonly createdUnixMs: number;
  /** SHA-256, in hex, over the live index entries in key order, each as an index chunk holds it. */
  readonly digest: string;
  /** Index chunks in the order of their keys, then records chunks in the order of their LSNs; ranges do not overlap. */
  readonly chunks: readonly ManifestChunk[];
}

/** What the name of a manifest says. */
export interface ManifestEntry {
  readonly name: string;
  readonly lsn: Lsn;
  readonly term: Term;
}

export interface WrittenSnapshot {
  readonly name: string;
  readonly manifest: Manifest;
  /** Of objects, chunks and manifest. */
  readonly uploadedBytes: number;
  /** Of the chunks that were there already. */
  readonly reusedBytes: number;
}

/** In bytes of content. The total is an estimate that becomes exact at the end. */
export interface SnapshotProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface SnapshotSizes {
  /** Content at which a chunk of records ends. One value may be larger. */
  readonly recordsChunkBytes: number;
  /** Content that a chunk of index entries has on average. */
  readonly indexChunkBytes: number;
  /** Chunks that are compressed, stored or fetched at the same time. */
  readonly chunksInFlightMax: number;
  /** Content of chunks in flight; one chunk may be larger. */
  readonly bytesInFlightMax: number;
  /** Content that is imported between two points from which an interrupted restore goes on. */
  readonly checkpointBytes: number;
}
