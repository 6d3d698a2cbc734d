import type { Codec } from '../base/ports/compressor.js';
import { appendRequest } from './messages.js';
import { varintLength, writeVarint } from './varint.js';

/** What all requests of an appender have in common. */
export interface AppendTarget {
  readonly stream: string;
  readonly fencingToken?: string | undefined;
  readonly expectedEpoch?: number | undefined;
  /** Id and epoch of the producer; absent for appends that are not idempotent. */
  readonly producer?: { readonly id: string; readonly epoch: number } | undefined;
}

/** What is special to one request. */
export interface BatchHeader {
  /** 0 for a unary Append, which has none. */
  readonly requestId: number;
  readonly firstRecordNumber: number;
  readonly expectedNextSeq: number | undefined;
  readonly codec: Codec;
  readonly recordCount: number;
  readonly uncompressedBytes: number;
  readonly payloadBytes: number;
}

/**
 * Writes the part of an `AppendSessionRequest` (or `AppendRequest`) that stands before the batch's payload. Fields of a
 * protocol buffer may come in any order: the payload comes last, so that it never has to be moved. The layout:
 *
 * ```
 * 08 request id | 12 length of append            only in a session
 *   0a stream, 2a fencing token, 30 epoch        the same in every request
 *   1a length | 0a producer id | 10 epoch | 18 first record number
 *   20 expected next seq
 *   12 length of batch
 *     08 codec | 10 record count | 18 uncompressed bytes | 22 or 2a length of payload
 * ```
 */
export class HeaderWriter {
  readonly #constant: Buffer;
  readonly #producerConstant: Buffer | undefined;
  /** Room that the longest header takes. */
  readonly bytesMax: number;

  constructor(target: AppendTarget) {
    const { stream, fencingToken, expectedEpoch, producer } = target;
    this.#constant = appendRequest.encode({ stream, fencingToken, expectedEpoch });
    // Encoded as a request with nothing but the producer, less tag and length of the producer itself.
    if (producer) {
      const field = appendRequest.encode({ producer: { ...producer, firstRecordNumber: 0 } });
      this.#producerConstant = field.subarray(1 + varintLength(producerLength(producer)));
    }
    this.bytesMax = this.#constant.length + (this.#producerConstant?.length ?? 0) + 96;
  }

  /** Writes the header so that it ends at `end`; answers where it begins. */
  writeBefore(target: Buffer, end: number, header: BatchHeader): number {
    const batchHeaderBytes =
      (header.codec === 0 ? 0 : 2) +
      (1 + varintLength(header.recordCount)) +
      (1 + varintLength(header.uncompressedBytes)) +
      (1 + varintLength(header.payloadBytes));
    const batchBytes = batchHeaderBytes + header.payloadBytes;
    let beforeBatch = this.#constant.length;
    let producerBytes = 0;
    if (this.#producerConstant) {
      producerBytes = this.#producerConstant.length;
      if (header.firstRecordNumber > 0) producerBytes += 1 + varintLength(header.firstRecordNumber);
      beforeBatch += 1 + varintLength(producerBytes) + producerBytes;
    }
    if (header.expectedNextSeq !== undefined) beforeBatch += 1 + varintLength(header.expectedNextSeq);
    const appendBytes = beforeBatch + 1 + varintLength(batchBytes) + batchBytes;
    const inSession = header.requestId > 0;
    const sessionBytes = inSession ? 1 + varintLength(header.requestId) + 1 + varintLength(appendBytes) : 0;

    const start = end - (sessionBytes + appendBytes - header.payloadBytes);
    let at = start;
    if (inSession) {
      at = writeField(target, at, 0x08, header.requestId);
      at = writeField(target, at, 0x12, appendBytes);
    }
    target.set(this.#constant, at);
    at += this.#constant.length;
    if (this.#producerConstant) {
      at = writeField(target, at, 0x1a, producerBytes);
      target.set(this.#producerConstant, at);
      at += this.#producerConstant.length;
      if (header.firstRecordNumber > 0) at = writeField(target, at, 0x18, header.firstRecordNumber);
    }
    if (header.expectedNextSeq !== undefined) at = writeField(target, at, 0x20, header.expectedNextSeq);
    at = writeField(target, at, 0x12, batchBytes);
    if (header.codec !== 0) at = writeField(target, at, 0x08, header.codec);
    at = writeField(target, at, 0x10, header.recordCount);
    at = writeField(target, at, 0x18, header.uncompressedBytes);
    writeField(target, at, header.codec === 0 ? 0x22 : 0x2a, header.payloadBytes);
    return start;
  }
}

function writeField(target: Buffer, position: number, tag: number, value: number): number {
  target[position] = tag;
  return writeVarint(target, position + 1, value);
}

function producerLength(producer: { readonly id: string; readonly epoch: number }): number {
  const idBytes = Buffer.byteLength(producer.id, 'utf8');
  return (
    (idBytes > 0 ? 1 + varintLength(idBytes) + idBytes : 0) +
    (producer.epoch > 0 ? 1 + varintLength(producer.epoch) : 0)
  );
}
