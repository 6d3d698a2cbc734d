/** What a partition of streams replicates. Every number is a safe non-negative integer. */
import type { Codec } from '../../base/ports/compressor.js';
import type { ProducerPosition, StreamConfig } from '../types.js';

export interface CreateStreamCommand {
  readonly type: 'create-stream';
  readonly name: string;
  /** Of the stream that comes into being; drawn by the leader with `nextIdentity`. */
  readonly epoch: number;
  readonly config: StreamConfig;
  /** Empty for none. */
  readonly fencingToken: string;
  readonly ifNotExists: boolean;
  /** The leader's limit of streams in the partition. */
  readonly streamsMax: number;
}

/** Fields that are undefined stay as they are. */
export interface UpdateStreamCommand {
  readonly type: 'update-stream';
  readonly streamId: number;
  readonly retentionAgeMs: number | undefined;
  readonly retentionBytes: number | undefined;
  readonly fencingToken: string | undefined;
  /** Only when the stream carries this token now; empty: none. */
  readonly expectedFencingToken: string | undefined;
}

export interface DeleteStreamCommand {
  readonly type: 'delete-stream';
  readonly streamId: number;
  readonly expectedEpoch: number | undefined;
}

export interface AppendCommand {
  readonly type: 'append';
  readonly streamId: number;
  readonly codec: Codec;
  readonly recordCount: number;
  readonly uncompressedBytes: number;
  /** CRC-32 of the uncompressed RecordSet; with its length it is the content hash that tells a repeat from a conflict. */
  readonly contentCrc: number;
  readonly producer: ProducerPosition | undefined;
  /** The leader's limit of producers in a stream. */
  readonly producersMax: number;
  readonly expectedNextSeq: number | undefined;
  readonly fencingToken: string | undefined;
  readonly expectedEpoch: number | undefined;
  /** The producer's bytes, untouched. */
  readonly payload: Uint8Array;
}

/** Retention: records below `firstSeq` are gone from here on. */
export interface SetFirstSeqCommand {
  readonly type: 'set-first-seq';
  readonly streamId: number;
  /** First record of a stored batch, or the end of the stream. */
  readonly firstSeq: number;
}

/** Expiry: drops the state of those of the named producers that have no retained record and were idle long enough. */
export interface DropProducersCommand {
  readonly type: 'drop-producers';
  readonly streamId: number;
  readonly producerIds: readonly string[];
  /** The leader's limit of idle entry time. */
  readonly idleMs: number;
}

export type StreamsCommand =
  | CreateStreamCommand
  | UpdateStreamCommand
  | DeleteStreamCommand
  | AppendCommand
  | SetFirstSeqCommand
  | DropProducersCommand;
