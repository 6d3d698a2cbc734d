/** What an append's record numbers mean, given what the stream knows of its producer. */
import { assert } from '../../base/assert.js';
import { asLsn, asSeq } from '../../base/ids.js';
import { decodeBatchValue, decodeProducerBatchValue } from '../index-values.js';
import type { ProducerBatchValue, ProducerValue } from '../index-values.js';
import { batchKey, producerBatchKey } from '../keys.js';
import type { StreamState } from '../stream-table.js';
import type { ProducerPosition, RefusedResult, StreamsResult } from '../types.js';
import { refused } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { AppendCommand } from './commands.js';

export type ProducerVerdict =
  | { readonly type: 'no-producer' }
  | { readonly type: 'new-producer' }
  | { readonly type: 'next-batch'; readonly producer: ProducerValue }
  | { readonly type: 'answered'; readonly result: StreamsResult };

/**
 * With `next` the number that the producer's next record should have (0 of a producer that is not known):
 *
 *     epoch lower than the known one             PRODUCER_FENCED
 *     first > next                               PRODUCER_GAP
 *     first = next                               to be appended
 *     first < next < first + count               PRODUCER_OVERLAP
 *     first + count <= next, and a stored batch with first and count
 *                            of the same content answered as a repeat
 *                            of other content    PRODUCER_CONFLICT
 *     first + count <= next otherwise            PRODUCER_OVERLAP: stored in batches cut otherwise, or deleted by
 *                                                retention since, so that the content cannot be compared
 *
 * Every refusal names `next_record_number`.
 */
export function judgeProducer(stream: StreamState, command: AppendCommand, context: ApplyContext): ProducerVerdict {
  const position = command.producer;
  if (position === undefined) return { type: 'no-producer' };
  const producer = context.producers.get(stream.id, position.id, context.transaction);
  const nextNumber = producer?.nextNumber ?? 0;
  if (producer !== undefined && position.epoch < producer.epoch) return answered(fenced(position, producer));
  if (position.firstRecordNumber > nextNumber) return answered(gap(position, nextNumber));
  if (producer === undefined) return { type: 'new-producer' };
  if (position.firstRecordNumber === nextNumber) return { type: 'next-batch', producer };
  return answered(judgeStored(stream, command, position, producer, context));
}

function judgeStored(
  stream: StreamState,
  command: AppendCommand,
  position: ProducerPosition,
  producer: ProducerValue,
  context: ApplyContext,
): StreamsResult {
  const stored = retainedBatch(stream, position, producer, context);
  if (stored?.recordCount !== command.recordCount) return overlap(command, position, producer, stored !== undefined);
  if (stored.contentCrc !== command.contentCrc || stored.uncompressedBytes !== command.uncompressedBytes) {
    return refused(
      'PRODUCER_CONFLICT',
      `Producer ${JSON.stringify(position.id)} has stored ${numbers(command, position)} with other content.`,
      { ...facts(producer), first_seq: stored.firstSeq },
    );
  }
  if (position.epoch > producer.epoch) {
    context.producers.put(stream.id, position.id, { ...producer, epoch: position.epoch }, context.transaction);
  }
  return repeated(stream, stored, context);
}

/**
 * The stored batch that begins with this record number. One below the first seq counts as absent, whether physical
 * deletion, which differs from replica to replica, has come to it or not.
 */
function retainedBatch(
  stream: StreamState,
  position: ProducerPosition,
  producer: ProducerValue,
  { transaction }: ApplyContext,
): ProducerBatchValue | undefined {
  const bytes = transaction.getIndex(producerBatchKey(stream.id, producer.lsn, position.firstRecordNumber));
  if (bytes === undefined) return undefined;
  const stored = decodeProducerBatchValue(bytes);
  return stored.firstSeq >= stream.firstSeq ? stored : undefined;
}

function repeated(stream: StreamState, stored: ProducerBatchValue, { transaction }: ApplyContext): StreamsResult {
  const bytes = transaction.getIndex(batchKey(stream.id, stored.firstSeq));
  assert(bytes !== undefined, () => `stream ${stream.id} has no batch at seq ${stored.firstSeq}, but its producer has`);
  return {
    type: 'appended',
    streamEpoch: stream.epoch,
    firstSeq: asSeq(stored.firstSeq),
    lastSeq: asSeq(stored.firstSeq + stored.recordCount - 1),
    lsn: asLsn(stored.lsn),
    appendTimeMs: decodeBatchValue(bytes).appendTimeMs,
    repeated: true,
  };
}

function fenced(position: ProducerPosition, producer: ProducerValue): RefusedResult {
  return refused(
    'PRODUCER_FENCED',
    `Producer ${JSON.stringify(position.id)} has appended with epoch ${producer.epoch}; epoch ${position.epoch} is fenced.`,
    facts(producer),
  );
}

function gap(position: ProducerPosition, nextNumber: number): RefusedResult {
  return refused(
    'PRODUCER_GAP',
    `Producer ${JSON.stringify(position.id)} sent record number ${position.firstRecordNumber}, expected next is ${nextNumber}.`,
    { next_record_number: nextNumber, first_record_number: position.firstRecordNumber },
  );
}

function overlap(
  command: AppendCommand,
  position: ProducerPosition,
  producer: ProducerValue,
  isCutOtherwise: boolean,
): RefusedResult {
  const reachesBeyond = position.firstRecordNumber + command.recordCount > producer.nextNumber;
  const why = reachesBeyond
    ? `the numbers below ${producer.nextNumber} are stored already`
    : isCutOtherwise
      ? 'they are stored already, in batches cut otherwise'
      : 'they are stored already, in batches cut otherwise or deleted since';
  return refused(
    'PRODUCER_OVERLAP',
    `Producer ${JSON.stringify(position.id)} sent ${numbers(command, position)}: ${why}; go on with ${producer.nextNumber}.`,
    facts(producer),
  );
}

function numbers(command: AppendCommand, position: ProducerPosition): string {
  return `record numbers ${position.firstRecordNumber} to ${position.firstRecordNumber + command.recordCount - 1}`;
}

const facts = (producer: ProducerValue): Record<string, number> => ({
  next_record_number: producer.nextNumber,
  producer_epoch: producer.epoch,
});

const answered = (result: StreamsResult): ProducerVerdict => ({ type: 'answered', result });
