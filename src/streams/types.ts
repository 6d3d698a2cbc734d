/** The nouns of streams: what is shown of a stream, what apply answers, and what reads answer. */
import type { Reason, ErrorFacts } from '../base/errors.js';
import type { Lsn, Seq } from '../base/ids.js';
import type { Codec } from '../base/ports/compressor.js';
import type { StreamFork } from './fork.js';

export interface StreamConfig {
  /** Records older than this, by append time, are deleted; 0 keeps them. */
  readonly retentionAgeMs: number;
  /** The oldest batches are deleted while the stream holds more stored bytes; 0 keeps them. */
  readonly retentionBytes: number;
}

/** One stream as readers see it: immutable, replaced when the stream changes. */
export interface StreamView {
  /** LSN of the entry that created it: unique in its partition for all time. The topic of `publish` and `watch`. */
  readonly id: number;
  readonly name: string;
  /**
   * Drawn at random by the leader that created it; another one after deletion and creation under the same name, and after
   * a restore.
   */
  readonly epoch: number;
  /** Restores, oldest first. */
  readonly forks: readonly StreamFork[];
  readonly config: StreamConfig;
  /** Empty when none is set. */
  readonly fencingToken: string;
  /** Oldest retained record; equal to `nextSeq` when there is none. */
  readonly firstSeq: Seq;
  readonly nextSeq: Seq;
  /** Payload bytes of the retained batches, as stored. */
  readonly storedBytes: number;
  readonly createdMs: number;
  /** 0 before the first append. */
  readonly lastAppendMs: number;
  readonly producerCount: number;
}

/** Where a producer stands in a stream. */
export interface ProducerView {
  readonly epoch: number;
  readonly nextRecordNumber: number;
  /** Position of its last record. */
  readonly lastSeq: Seq;
  /** Append time of its last record. */
  readonly lastAppendMs: number;
}

export interface ProducerPosition {
  readonly id: string;
  readonly epoch: number;
  /** Number of the first record of the batch in the producer's own numbering. */
  readonly firstRecordNumber: number;
}

/** What apply answers. A refused command has changed nothing. */
export type StreamsResult =
  | AppendedResult
  | { readonly type: 'stream-created'; readonly stream: StreamView; readonly created: boolean }
  | { readonly type: 'stream-updated'; readonly stream: StreamView }
  | { readonly type: 'stream-deleted'; readonly firstSeq: Seq; readonly nextSeq: Seq }
  | { readonly type: 'first-seq-set'; readonly firstSeq: Seq }
  | { readonly type: 'producers-dropped'; readonly count: number }
  | RefusedResult;

export interface AppendedResult {
  readonly type: 'appended';
  readonly streamEpoch: number;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  /** LSN under which the records are stored; of a repeat, the original's. */
  readonly lsn: Lsn;
  /** Of a repeat, the original's. */
  readonly appendTimeMs: number;
  /** The records were stored before; nothing was appended. */
  readonly repeated: boolean;
}

export interface RefusedResult {
  readonly type: 'refused';
  readonly reason: Reason;
  readonly message: string;
  readonly facts: ErrorFacts;
}

export type Direction = 'forward' | 'backward';

/** Where a read begins. */
export type ReadStart =
  /** Forward at the oldest record, backward at the newest. */
  | { readonly type: 'edge' }
  /** After the newest record: only what is appended from now on. */
  | { readonly type: 'end' }
  /** This record first. Forward, `nextSeq` answers an empty page; backward it stands for the newest record. */
  | { readonly type: 'seq'; readonly seq: number }
  /** Forward from the oldest record appended at or after this time; backward from the newest down to that one. */
  | { readonly type: 'since'; readonly timeMs: number }
  /** The newest so many records. */
  | { readonly type: 'last'; readonly count: number }
  | { readonly type: 'token'; readonly token: string };

/** A resolved position of a read; what a page token carries. */
export interface ReadPosition {
  readonly direction: Direction;
  /** Forward: the next record to be read. Backward: one above it. */
  readonly seq: Seq;
  /** Backward: the last record to be read, 0 for the oldest. Forward always 0. */
  readonly boundSeq: Seq;
}

/** Records of one stored batch: what `BatchSlice` of the API carries. */
export interface PageSlice {
  /** Position of the first record in `payload`. */
  readonly firstSeq: Seq;
  readonly appendTimeMs: number;
  readonly lsn: Lsn;
  readonly codec: Codec;
  /** Records in `payload`. */
  readonly recordCount: number;
  /** Bytes of `payload` when it is not compressed. */
  readonly uncompressedBytes: number;
  /** Without codec the encoded RecordSet, otherwise its compressed form. */
  readonly payload: Uint8Array;
  /** The window of `payload` that belongs to the page; without codec always the whole. */
  readonly windowOffset: number;
  readonly windowCount: number;
  /** Of the first record in `payload`. */
  readonly producer: ProducerPosition | undefined;
}

export interface PageOptions {
  /** 1 to 10,000 records; 1,000 when undefined. */
  readonly limit?: number | undefined;
  /** 1 KiB to 64 MiB of encoded slices; 3 MiB when undefined. One record is always taken, however large. */
  readonly maxBytes?: number | undefined;
  /** Codecs in which batches may come; others come uncompressed. */
  readonly acceptCodecs?: readonly number[] | undefined;
}

export interface Page {
  /** In reading order of batches; records within a slice are always ascending. */
  readonly slices: readonly PageSlice[];
  readonly recordCount: number;
  /** Where the next page begins. */
  readonly next: ReadPosition;
  readonly nextPageToken: string;
  /** `limit`: of records or bytes, there is more. `stream`: the newest record; backward the oldest or the bound. */
  readonly end: 'limit' | 'stream';
  /** The stream when the page was read. */
  readonly stream: StreamView;
}

export interface ContextRequest {
  readonly seq: number;
  /** 0 to 5,000 records. */
  readonly before: number;
  /** 0 to 5,000 records. */
  readonly after: number;
  /** `producer`: the records of the same producer, in its own numbering. */
  readonly scope: 'stream' | 'producer';
  readonly maxBytes?: number | undefined;
  readonly acceptCodecs?: readonly number[] | undefined;
}

export interface ContextPage {
  /** Ascending; the record itself is among them. */
  readonly slices: readonly PageSlice[];
  readonly beforeCount: number;
  readonly afterCount: number;
  readonly moreBefore: boolean;
  readonly moreAfter: boolean;
  readonly stream: StreamView;
}
