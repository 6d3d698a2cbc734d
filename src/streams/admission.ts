/**
 * What the leader checks before it proposes, and the commands that come of it. Only checks that nothing in flight can
 * make wrong: what is malformed stays malformed, and an epoch that is gone does not come back. Whether positions, tokens
 * and record numbers fit is left to apply, because what is in flight may change that.
 */
import { LogboomError } from '../base/errors.js';
import type {
  AppendCommand,
  CreateStreamCommand,
  DeleteStreamCommand,
  UpdateStreamCommand,
} from './commands/commands.js';
import { encodeUtf8 } from '../base/bytes.js';
import type { StreamsLimits } from './limits.js';
import { inRange } from './read-options.js';
import type { VerifiedBatch } from './record-batch.js';
import { validateStreamName } from './stream-name.js';
import { requireEpoch } from './stream-table.js';
import type { ProducerPosition, StreamConfig, StreamView } from './types.js';

export interface CreateStreamRequest {
  readonly name: string;
  readonly config: StreamConfig;
  /** Empty for none. */
  readonly fencingToken: string;
  readonly ifNotExists: boolean;
}

export interface UpdateStreamRequest {
  readonly retentionAgeMs?: number | undefined;
  readonly retentionBytes?: number | undefined;
  /** Empty removes it. */
  readonly fencingToken?: string | undefined;
  /** Empty: only when there is none. */
  readonly expectedFencingToken?: string | undefined;
}

/** What an append asks for beside its records. */
export interface AppendConditions {
  readonly producer?: ProducerPosition | undefined;
  readonly expectedNextSeq?: number | undefined;
  readonly fencingToken?: string | undefined;
  readonly expectedEpoch?: number | undefined;
}

/**
 * @param epoch of the stream to be; from `nextIdentity` of base/ports/random.ts
 * @throws LogboomError STREAM_NAME_INVALID, INVALID_ARGUMENT
 */
export function createStreamCommand(
  request: CreateStreamRequest,
  epoch: number,
  limits: StreamsLimits,
): CreateStreamCommand {
  validateStreamName(request.name, limits.streamNameBytesMax);
  requireUnsigned('retention_age_ms', request.config.retentionAgeMs);
  requireUnsigned('retention_bytes', request.config.retentionBytes);
  requireTextBytes('fencing_token', request.fencingToken, 0, limits.fencingTokenBytesMax);
  return { type: 'create-stream', ...request, epoch, streamsMax: limits.streamsMax };
}

/** @throws LogboomError INVALID_ARGUMENT */
export function updateStreamCommand(
  stream: StreamView,
  request: UpdateStreamRequest,
  limits: StreamsLimits,
): UpdateStreamCommand {
  requireUnsigned('retention_age_ms', request.retentionAgeMs ?? 0);
  requireUnsigned('retention_bytes', request.retentionBytes ?? 0);
  requireTextBytes('fencing_token', request.fencingToken ?? '', 0, limits.fencingTokenBytesMax);
  return {
    type: 'update-stream',
    streamId: stream.id,
    retentionAgeMs: request.retentionAgeMs,
    retentionBytes: request.retentionBytes,
    fencingToken: request.fencingToken,
    expectedFencingToken: request.expectedFencingToken,
  };
}

/** @throws LogboomError STREAM_EPOCH_MISMATCH */
export function deleteStreamCommand(stream: StreamView, expectedEpoch?: number): DeleteStreamCommand {
  requireEpoch(stream, expectedEpoch);
  return { type: 'delete-stream', streamId: stream.id, expectedEpoch };
}

/** @throws LogboomError INVALID_ARGUMENT, STREAM_EPOCH_MISMATCH */
export function appendCommand(
  stream: StreamView,
  batch: VerifiedBatch,
  conditions: AppendConditions,
  limits: StreamsLimits,
): AppendCommand {
  const { producer, expectedNextSeq, fencingToken, expectedEpoch } = conditions;
  if (producer !== undefined) requireProducer(producer, batch, limits);
  requireUnsigned('expected_next_seq', expectedNextSeq ?? 0);
  requireEpoch(stream, expectedEpoch);
  return {
    type: 'append',
    streamId: stream.id,
    codec: batch.codec,
    recordCount: batch.recordCount,
    uncompressedBytes: batch.uncompressedBytes,
    contentCrc: batch.contentCrc,
    payload: batch.payload,
    producer,
    producersMax: limits.producersPerStreamMax,
    expectedNextSeq,
    fencingToken,
    expectedEpoch,
  };
}

function requireProducer(producer: ProducerPosition, batch: VerifiedBatch, limits: StreamsLimits): void {
  requireTextBytes('producer.id', producer.id, 1, limits.producerIdBytesMax);
  requireUnsigned('producer.epoch', producer.epoch);
  inRange('producer.first_record_number', producer.firstRecordNumber, 0, Number.MAX_SAFE_INTEGER - batch.recordCount);
}

const requireUnsigned = (field: string, value: number): number => inRange(field, value, 0, Number.MAX_SAFE_INTEGER);

function requireTextBytes(field: string, text: string, min: number, max: number): void {
  const bytes = encodeUtf8(text).length;
  if (bytes >= min && bytes <= max) return;
  throw new LogboomError('INVALID_ARGUMENT', `${field} has ${bytes} bytes; it must have ${min} to ${max}.`, {
    facts: { field, bytes, min, max },
  });
}
