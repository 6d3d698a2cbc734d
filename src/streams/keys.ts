/**
 * Keys of the index database. First byte at or above 0x10 (below are the store's own); integers big-endian, so that the
 * order of keys is the order of numbers. docs/formats/streams.md has the drawings.
 *
 *     0x10                                                             entry time of the partition
 *     0x11 | stream id u64                                             stream
 *     0x12 | stream id u64 | first seq u64                             batch
 *     0x13 | stream id u64 | producer id, UTF-8                        producer
 *     0x14 | stream id u64 | producer LSN u64 | first number u64       producer's batch
 *     0x15 | stream id u64                                             deleted stream, to be cleared
 *     0x16 | stream id u64                                             local: batches below this seq are cleared
 *
 * Stream ids, and producer LSNs (the LSN that made the producer's state), are never used twice. So a physical deletion,
 * which runs beside apply, never meets a key that apply may write again.
 */
import { decodeUtf8, encodeUtf8, readUint64, writeUint64 } from '../base/bytes.js';

export const Keyspace = {
  entryTime: 0x10,
  stream: 0x11,
  batch: 0x12,
  producer: 0x13,
  producerBatch: 0x14,
  deletedStream: 0x15,
  cleared: 0x16,
} as const;
type Keyspace = (typeof Keyspace)[keyof typeof Keyspace];

/** `from <= key < to`. */
export interface KeyRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

export const entryTimeKey: Uint8Array = new Uint8Array([Keyspace.entryTime]);

export const streamKey = (streamId: number): Uint8Array => integerKey(Keyspace.stream, streamId);
export const batchKey = (streamId: number, firstSeq: number): Uint8Array =>
  integerKey(Keyspace.batch, streamId, firstSeq);
export const producerBatchKey = (streamId: number, producerLsn: number, firstNumber: number): Uint8Array =>
  integerKey(Keyspace.producerBatch, streamId, producerLsn, firstNumber);
export const deletedStreamKey = (streamId: number): Uint8Array => integerKey(Keyspace.deletedStream, streamId);
export const clearedKey = (streamId: number): Uint8Array => integerKey(Keyspace.cleared, streamId);

export function producerKey(streamId: number, producerId: string): Uint8Array {
  const id = encodeUtf8(producerId);
  const key = new Uint8Array(9 + id.length);
  key[0] = Keyspace.producer;
  writeUint64(key, 1, streamId);
  key.set(id, 9);
  return key;
}

/** All keys of a keyspace. */
export function keyspaceRange(keyspace: Keyspace): KeyRange {
  return { from: new Uint8Array([keyspace]), to: new Uint8Array([keyspace + 1]) };
}

/** All keys of a stream in one of its keyspaces. */
export function streamRange(keyspace: Keyspace, streamId: number): KeyRange {
  return { from: integerKey(keyspace, streamId), to: integerKey(keyspace, streamId + 1) };
}

/** Batches whose first seq is in `[from, to)`. */
export function batchRange(streamId: number, from: number, to: number): KeyRange {
  return { from: batchKey(streamId, from), to: batchKey(streamId, to) };
}

/** Batches of one producer whose first record number is in `[from, to)`. */
export function producerBatchRange(streamId: number, producerLsn: number, from: number, to: number): KeyRange {
  return { from: producerBatchKey(streamId, producerLsn, from), to: producerBatchKey(streamId, producerLsn, to) };
}

/** The stream of any key but `entryTimeKey`. */
export const keyStreamId = (key: Uint8Array): number => readUint64(key, 1);
/** First seq of a batch key. */
export const keyFirstSeq = (key: Uint8Array): number => readUint64(key, 9);
/** First record number of a producer's batch key. */
export const keyFirstNumber = (key: Uint8Array): number => readUint64(key, 17);
/** Producer id of a producer key. */
export const keyProducerId = (key: Uint8Array): string => decodeUtf8(key.subarray(9));

function integerKey(keyspace: Keyspace, ...parts: readonly number[]): Uint8Array {
  const key = new Uint8Array(1 + 8 * parts.length);
  key[0] = keyspace;
  for (let index = 0; index < parts.length; index++) writeUint64(key, 1 + 8 * index, parts[index] ?? 0);
  return key;
}
