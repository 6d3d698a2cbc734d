import type { HeaderReader } from '../../base/header-reader.js';
import type { HeaderField } from './header.js';
import { epochMismatch, fencingMismatch, refused, streamGone } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { AppendCommand } from './commands.js';
import { judgeProducer } from './judge-producer.js';
import type { ProducerVerdict } from './judge-producer.js';
import { InvariantViolation } from '../../base/assert.js';
import { asSeq } from '../../base/ids.js';
import { Codec } from '../../base/ports/compressor.js';
import { encodeBatchValue, encodeProducerBatchValue } from '../index-values.js';
import { batchKey, producerBatchKey } from '../keys.js';
import type { StreamState } from '../stream-table.js';
import { encodeStoredHead } from '../stored-records.js';
import type { ProducerPosition, StreamsResult } from '../types.js';

export const appendType = 4;
export const appendVersion = 1;

export function encodeAppend(command: AppendCommand): readonly HeaderField[] {
  const { producer } = command;
  return [
    command.streamId,
    command.codec,
    command.recordCount,
    command.uncompressedBytes,
    command.contentCrc,
    command.producersMax,
    command.expectedNextSeq ?? null,
    command.fencingToken ?? null,
    command.expectedEpoch ?? null,
    producer?.id ?? null,
    producer?.epoch ?? null,
    producer?.firstRecordNumber ?? null,
  ];
}

export function decodeAppend(header: HeaderReader, payload: Uint8Array): AppendCommand {
  const command = {
    type: 'append',
    streamId: header.integer(),
    codec: decodeCodec(header.integer()),
    recordCount: header.integer(),
    uncompressedBytes: header.integer(),
    contentCrc: header.integer(),
    producersMax: header.integer(),
    expectedNextSeq: header.optionalInteger(),
    fencingToken: header.optionalText(),
    expectedEpoch: header.optionalInteger(),
    producer: decodeProducer(header),
    payload,
  } as const;
  if (command.recordCount === 0 || payload.length === 0) {
    throw new InvariantViolation('entry cannot be decoded: an append without records');
  }
  return command;
}

function decodeCodec(value: number): Codec {
  if (value === Codec.none || value === Codec.zstd) return value;
  throw new InvariantViolation(`entry cannot be decoded: codec ${value} is not known to this version`);
}

function decodeProducer(header: HeaderReader): ProducerPosition | undefined {
  const id = header.optionalText();
  const epoch = header.optionalInteger();
  const firstRecordNumber = header.optionalInteger();
  if (id === undefined || epoch === undefined || firstRecordNumber === undefined) return undefined;
  return { id, epoch, firstRecordNumber };
}

/**
 * Checks in this order: stream, expected epoch, fencing token, producer, expected next seq, limit of producers. The
 * producer comes before the expected next seq, so that a conditional append that is sent again because its answer was
 * lost is answered as the repeat that it is.
 */
export function applyAppend(command: AppendCommand, context: ApplyContext): StreamsResult {
  const stream = context.streams.applyingById(command.streamId);
  if (stream === undefined) return streamGone(command.streamId);
  if (command.expectedEpoch !== undefined && command.expectedEpoch !== stream.epoch) {
    return epochMismatch(stream, command.expectedEpoch);
  }
  if (!isFencingTokenRight(stream, command)) return fencingMismatch(stream);
  const verdict = judgeProducer(stream, command, context);
  if (verdict.type === 'answered') return verdict.result;
  if (command.expectedNextSeq !== undefined && command.expectedNextSeq !== stream.nextSeq) {
    return refused(
      'SEQ_MISMATCH',
      `The next record of stream ${JSON.stringify(stream.name)} will have seq ${stream.nextSeq}, not ${command.expectedNextSeq}.`,
      { next_seq: stream.nextSeq, expected_next_seq: command.expectedNextSeq },
    );
  }
  if (verdict.type === 'new-producer' && stream.producerCount >= command.producersMax) {
    return refused('PRODUCER_LIMIT_REACHED', `The stream has ${stream.producerCount} producers, which is the limit.`, {
      producers_max: command.producersMax,
    });
  }
  return store(stream, command, verdict, context);
}

/** A token that is named must be the stream's; a token that the stream carries must be named. */
function isFencingTokenRight(stream: StreamState, command: AppendCommand): boolean {
  return (command.fencingToken ?? '') === stream.fencingToken;
}

function store(
  stream: StreamState,
  command: AppendCommand,
  verdict: ProducerVerdict,
  context: ApplyContext,
): StreamsResult {
  const { lsn, timeMs, transaction, streams } = context;
  const firstSeq = stream.nextSeq;
  transaction.putRecords(encodeStoredHead(command, firstSeq, timeMs), command.payload);
  stream.nextSeq += command.recordCount;
  stream.bytesThrough += command.payload.length;
  stream.lastAppendMs = timeMs;
  streams.changed(stream);
  const producerLsn = storeProducer(stream, command, verdict, firstSeq, context);
  transaction.putIndex(
    batchKey(stream.id, firstSeq),
    encodeBatchValue({
      lsn,
      recordCount: command.recordCount,
      storedBytes: command.payload.length,
      appendTimeMs: timeMs,
      bytesThrough: stream.bytesThrough,
      producer: command.producer && { lsn: producerLsn, firstNumber: command.producer.firstRecordNumber },
    }),
  );
  return {
    type: 'appended',
    streamEpoch: stream.epoch,
    firstSeq: asSeq(firstSeq),
    lastSeq: asSeq(stream.nextSeq - 1),
    lsn,
    appendTimeMs: timeMs,
    repeated: false,
  };
}

/** Moves the producer on, and answers the LSN that its batches are keyed by; 0 without a producer. */
function storeProducer(
  stream: StreamState,
  command: AppendCommand,
  verdict: ProducerVerdict,
  firstSeq: number,
  { lsn, timeMs, transaction, streams, producers }: ApplyContext,
): number {
  const { producer } = command;
  if (producer === undefined) return 0;
  const producerLsn = verdict.type === 'next-batch' ? verdict.producer.lsn : lsn;
  const { epoch, firstRecordNumber } = producer;
  transaction.putIndex(
    producerBatchKey(stream.id, producerLsn, firstRecordNumber),
    encodeProducerBatchValue({
      firstSeq,
      recordCount: command.recordCount,
      contentCrc: command.contentCrc,
      uncompressedBytes: command.uncompressedBytes,
      epoch,
      lsn,
    }),
  );
  const nextNumber = firstRecordNumber + command.recordCount;
  const value = { lsn: producerLsn, epoch, nextNumber, lastSeq: stream.nextSeq - 1, lastAppendMs: timeMs };
  producers.put(stream.id, producer.id, value, transaction);
  if (verdict.type === 'new-producer') {
    stream.producerCount += 1;
    streams.store(stream, transaction);
  }
  return producerLsn;
}
