/** Values of the index database; the keys are in keys.ts, the drawings in docs/formats/streams.md. */
import { encodeUtf8 } from '../base/bytes.js';
import { LayoutReader, LayoutWriter, textBytes } from '../base/fixed-layout.js';
import { asSeq } from '../base/ids.js';
import type { StreamFork } from './fork.js';
import type { StreamConfig } from './types.js';

const version = 1;
/** Of a stream that was restored. */
const forkedVersion = 2;
const withProducer = 1;

/** What the batch index says of a stored batch. */
export interface BatchValue {
  readonly lsn: number;
  readonly recordCount: number;
  /** Payload bytes, as stored. */
  readonly storedBytes: number;
  readonly appendTimeMs: number;
  /** Stored bytes of all batches that the stream ever had, up to and with this one. */
  readonly bytesThrough: number;
  readonly producer: { readonly lsn: number; readonly firstNumber: number } | undefined;
}

export function encodeBatchValue(value: BatchValue): Uint8Array {
  const { producer } = value;
  const writer = new LayoutWriter(version, producer === undefined ? 34 : 50)
    .uint8(producer === undefined ? 0 : withProducer)
    .uint64(value.lsn)
    .uint32(value.recordCount)
    .uint32(value.storedBytes)
    .uint64(value.appendTimeMs)
    .uint64(value.bytesThrough);
  if (producer !== undefined) writer.uint64(producer.lsn).uint64(producer.firstNumber);
  return writer.finish();
}

export function decodeBatchValue(bytes: Uint8Array): BatchValue {
  const reader = new LayoutReader('batch index entry', bytes, version);
  const flags = reader.uint8();
  if ((flags & ~withProducer) !== 0) throw reader.corrupt(`unknown flags ${flags}`);
  const value = {
    lsn: reader.uint64(),
    recordCount: reader.uint32(),
    storedBytes: reader.uint32(),
    appendTimeMs: reader.uint64(),
    bytesThrough: reader.uint64(),
    producer: flags === withProducer ? { lsn: reader.uint64(), firstNumber: reader.uint64() } : undefined,
  };
  reader.end();
  return value;
}

/** A producer of a stream. */
export interface ProducerValue {
  /** LSN of the append that made this state: the key of the producer's batches. */
  readonly lsn: number;
  readonly epoch: number;
  readonly nextNumber: number;
  readonly lastSeq: number;
  readonly lastAppendMs: number;
}

export function encodeProducerValue(value: ProducerValue): Uint8Array {
  return new LayoutWriter(version, 41)
    .uint64(value.lsn)
    .uint64(value.epoch)
    .uint64(value.nextNumber)
    .uint64(value.lastSeq)
    .uint64(value.lastAppendMs)
    .finish();
}

export function decodeProducerValue(bytes: Uint8Array): ProducerValue {
  const reader = new LayoutReader('producer', bytes, version);
  const value = {
    lsn: reader.uint64(),
    epoch: reader.uint64(),
    nextNumber: reader.uint64(),
    lastSeq: reader.uint64(),
    lastAppendMs: reader.uint64(),
  };
  reader.end();
  return value;
}

/** A stored batch seen from its producer. */
export interface ProducerBatchValue {
  readonly firstSeq: number;
  readonly recordCount: number;
  readonly contentCrc: number;
  readonly uncompressedBytes: number;
  readonly epoch: number;
  readonly lsn: number;
}

export function encodeProducerBatchValue(value: ProducerBatchValue): Uint8Array {
  return new LayoutWriter(version, 37)
    .uint64(value.firstSeq)
    .uint32(value.recordCount)
    .uint32(value.contentCrc)
    .uint32(value.uncompressedBytes)
    .uint64(value.epoch)
    .uint64(value.lsn)
    .finish();
}

export function decodeProducerBatchValue(bytes: Uint8Array): ProducerBatchValue {
  const reader = new LayoutReader("producer's batch entry", bytes, version);
  const value = {
    firstSeq: reader.uint64(),
    recordCount: reader.uint32(),
    contentCrc: reader.uint32(),
    uncompressedBytes: reader.uint32(),
    epoch: reader.uint64(),
    lsn: reader.uint64(),
  };
  reader.end();
  return value;
}

/**
 * A stream. Written when it is created, when its configuration, first seq or number of producers changes, and not with
 * every append: `nextSeq`, `bytesThrough` and `lastAppendMs` are those of that moment, and the newest batch index entry,
 * when it is newer, overrides them on load.
 */
export interface StreamValue {
  readonly name: string;
  readonly epoch: number;
  readonly createdMs: number;
  readonly config: StreamConfig;
  readonly fencingToken: string;
  readonly firstSeq: number;
  readonly nextSeq: number;
  /** Stored bytes of all batches below `firstSeq`. */
  readonly bytesBefore: number;
  readonly bytesThrough: number;
  readonly lastAppendMs: number;
  readonly producerCount: number;
  readonly forks: readonly StreamFork[];
}

export function encodeStreamValue(value: StreamValue): Uint8Array {
  const { forks } = value;
  const name = encodeUtf8(value.name);
  const token = encodeUtf8(value.fencingToken);
  const isForked = forks.length > 0;
  const length = 77 + textBytes(name) + textBytes(token) + (isForked ? 1 + 16 * forks.length : 0);
  const writer = new LayoutWriter(isForked ? forkedVersion : version, length)
    .uint64(value.epoch)
    .uint64(value.createdMs)
    .uint64(value.config.retentionAgeMs)
    .uint64(value.config.retentionBytes)
    .uint64(value.firstSeq)
    .uint64(value.nextSeq)
    .uint64(value.bytesBefore)
    .uint64(value.bytesThrough)
    .uint64(value.lastAppendMs)
    .uint32(value.producerCount)
    .text(name)
    .text(token);
  if (isForked) writer.uint8(forks.length);
  for (const { epoch, seq } of forks) writer.uint64(epoch).uint64(seq);
  return writer.finish();
}

export function decodeStreamValue(bytes: Uint8Array): StreamValue {
  const isForked = bytes[0] === forkedVersion;
  const reader = new LayoutReader('stream', bytes, isForked ? forkedVersion : version);
  const value = {
    epoch: reader.uint64(),
    createdMs: reader.uint64(),
    config: { retentionAgeMs: reader.uint64(), retentionBytes: reader.uint64() },
    firstSeq: reader.uint64(),
    nextSeq: reader.uint64(),
    bytesBefore: reader.uint64(),
    bytesThrough: reader.uint64(),
    lastAppendMs: reader.uint64(),
    producerCount: reader.uint32(),
    name: reader.text(),
    fencingToken: reader.text(),
  };
  const forkCount = isForked ? reader.uint8() : 0;
  const forks = Array.from({ length: forkCount }, () => ({ epoch: reader.uint64(), seq: asSeq(reader.uint64()) }));
  reader.end();
  return { ...value, forks };
}

/** One number: the entry time, the LSN of a deletion, or the seq below which all is cleared. */
export function encodeNumberValue(value: number): Uint8Array {
  return new LayoutWriter(version, 9).uint64(value).finish();
}

export function decodeNumberValue(bytes: Uint8Array): number {
  const reader = new LayoutReader('number', bytes, version);
  const value = reader.uint64();
  reader.end();
  return value;
}
