/**
 * What a node accepts. Checked by the leader before it proposes. The two limits that apply has to judge (`streamsMax`,
 * `producersPerStreamMax`) travel in the command, so that nodes with different settings still agree.
 */
export interface StreamsLimits {
  /** Encoded bytes of one Record message. */
  readonly recordBytesMax: number;
  /** Bytes of a batch's encoded RecordSet, before and after compression. */
  readonly batchBytesMax: number;
  readonly batchRecordsMax: number;
  readonly attributesPerRecordMax: number;
  /** Keys and values of a record's attributes together, in bytes of UTF-8. */
  readonly attributeBytesPerRecordMax: number;
  readonly streamNameBytesMax: number;
  readonly fencingTokenBytesMax: number;
  readonly producerIdBytesMax: number;
  /** Streams of one partition. */
  readonly streamsMax: number;
  readonly producersPerStreamMax: number;
  /** Entry time that must pass after a producer's last record before its state may be dropped. */
  readonly producerIdleMs: number;
}

export const defaultStreamsLimits: StreamsLimits = {
  recordBytesMax: 1024 * 1024,
  batchBytesMax: 8 * 1024 * 1024,
  batchRecordsMax: 10_000,
  attributesPerRecordMax: 64,
  attributeBytesPerRecordMax: 16 * 1024,
  streamNameBytesMax: 255,
  fencingTokenBytesMax: 256,
  producerIdBytesMax: 128,
  streamsMax: 20_000,
  producersPerStreamMax: 10_000,
  producerIdleMs: 7 * 24 * 60 * 60 * 1000,
};

/** Bounds of read requests; part of the API (proto/logboom/v1/streams.proto). */
export const readLimits = {
  recordsMax: 10_000,
  recordsDefault: 1_000,
  bytesMin: 1024,
  bytesMax: 64 * 1024 * 1024,
  bytesDefault: 3 * 1024 * 1024,
  contextRecordsMax: 5_000,
  listMax: 1_000,
  listDefault: 100,
} as const;
