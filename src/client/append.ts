import { isLogboomError } from '../base/errors.js';
import { Codec } from '../base/ports/compressor.js';
import type { Compressor } from '../base/ports/compressor.js';
import { BatchBuffer } from './batch-buffer.js';
import type { RecordInput } from './batch-buffer.js';
import { method } from './connection.js';
import type { CallOptions, Connection } from './connection.js';
import { ClientError, isClientError } from './errors.js';
import { appendResponse } from './messages.js';
import { HeaderWriter } from './request-header.js';

export interface AppendBatchOptions extends CallOptions {
  /** Makes the append idempotent: who sends it, and the number of its first record. */
  readonly producer?: { readonly id: string; readonly epoch?: number; readonly firstRecordNumber: number } | undefined;
  /** Only when the stream's next record will have this position; otherwise SEQ_MISMATCH. */
  readonly expectedNextSeq?: number | undefined;
  /** Needed when the stream carries a fencing token. */
  readonly fencingToken?: string | undefined;
  readonly expectedEpoch?: number | undefined;
  readonly codec?: 'zstd' | 'none' | undefined;
}

export interface AppendBatchResult {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly streamEpoch: number;
  readonly lsn: number;
  readonly appendTimeMs: number;
  /** These records were stored before; the positions are those of then. */
  readonly repeated: boolean;
}

interface AppendSetup {
  readonly connection: Connection;
  readonly compressor: Compressor;
  readonly codec: Codec;
}

/** Smaller batches are not worth the codec's own bytes and time. */
const compressBytesMin = 512;

/** One batch in one call. */
export async function appendBatch(
  setup: AppendSetup,
  stream: string,
  records: readonly RecordInput[],
  options: AppendBatchOptions,
): Promise<AppendBatchResult> {
  const { producer, fencingToken, expectedEpoch, expectedNextSeq } = options;
  const identity = producer && { id: producer.id, epoch: producer.epoch ?? 0 };
  const header = new HeaderWriter({ stream, fencingToken, expectedEpoch, producer: identity });
  const buffer = new BatchBuffer(header.bytesMax, 1024, false);
  for (const record of records) {
    buffer.measure(record);
    buffer.add(record);
  }
  const { payloadBytes } = buffer;
  const compressed =
    setup.codec === Codec.zstd && payloadBytes >= compressBytesMin
      ? await setup.compressor.compress(Codec.zstd, buffer.payload)
      : undefined;
  const worth = compressed && compressed.length < payloadBytes ? compressed : undefined;
  const bytes = worth ? Buffer.concat([Buffer.allocUnsafe(header.bytesMax), worth]) : buffer.bytes;
  const start = header.writeBefore(bytes, header.bytesMax, {
    requestId: 0,
    firstRecordNumber: producer?.firstRecordNumber ?? 0,
    expectedNextSeq,
    codec: worth ? Codec.zstd : Codec.none,
    recordCount: buffer.recordCount,
    uncompressedBytes: payloadBytes,
    payloadBytes: worth?.length ?? payloadBytes,
  });
  const request = bytes.subarray(start, worth ? bytes.length : buffer.position);
  const { signal, deadlineMs } = options;
  const idempotent = producer !== undefined;
  try {
    const answer = await setup.connection.unaryBytes(method.append, request, {
      stream,
      signal,
      deadlineMs,
      idempotent,
    });
    const { appendTimeUnixMs, durability: _, ...stored } = appendResponse.decode(answer);
    return { ...stored, appendTimeMs: appendTimeUnixMs };
  } catch (error) {
    if (idempotent || !leavesOutcomeOpen(error)) throw error;
    const message = `it is not known whether the batch was stored: ${(error as Error).message}`;
    throw new ClientError('OUTCOME_UNKNOWN', message, { cause: error });
  }
}

function leavesOutcomeOpen(error: unknown): boolean {
  if (isLogboomError(error)) {
    const open = error.reason === 'DEADLINE_EXCEEDED' || error.reason === 'LEADERSHIP_LOST';
    // What the server says of appends that it had taken when their partition could not go on.
    return open || error.facts['outcome'] === 'unknown';
  }
  return isClientError(error, 'CONNECTION_LOST');
}
