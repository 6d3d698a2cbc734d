import type { HeaderReader } from '../../base/header-reader.js';
import type { HeaderField } from './header.js';
import { refused, streamGone } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { SetFirstSeqCommand } from './commands.js';
import { asSeq } from '../../base/ids.js';
import { decodeBatchValue } from '../index-values.js';
import { batchKey } from '../keys.js';
import type { StreamState } from '../stream-table.js';
import type { StreamsResult } from '../types.js';

export const setFirstSeqType = 5;
export const setFirstSeqVersion = 1;

export function encodeSetFirstSeq(command: SetFirstSeqCommand): readonly HeaderField[] {
  return [command.streamId, command.firstSeq];
}

export function decodeSetFirstSeq(header: HeaderReader): SetFirstSeqCommand {
  return { type: 'set-first-seq', streamId: header.integer(), firstSeq: header.integer() };
}

/** Never moves back: a first seq at or below the current one changes nothing and answers the current one. */
export function applySetFirstSeq(command: SetFirstSeqCommand, context: ApplyContext): StreamsResult {
  const { streams, transaction } = context;
  const stream = streams.applyingById(command.streamId);
  if (stream === undefined) return streamGone(command.streamId);
  if (command.firstSeq > stream.firstSeq) {
    const bytesBefore = bytesBelow(stream, command.firstSeq, context);
    if (bytesBefore === undefined) {
      return refused(
        'INVALID_ARGUMENT',
        `Seq ${command.firstSeq} is neither the first of a batch nor the end (${stream.nextSeq}) of the stream.`,
        { seq: command.firstSeq, next_seq: stream.nextSeq },
      );
    }
    stream.firstSeq = command.firstSeq;
    stream.bytesBefore = bytesBefore;
    streams.store(stream, transaction);
    context.clearing.firstSeqSet(context.lsn, stream.id, stream.firstSeq);
  }
  return { type: 'first-seq-set', firstSeq: asSeq(stream.firstSeq) };
}

/**
 * Stored bytes of all batches below `seq`; undefined when `seq` is not where a batch begins. Looks only at or above the
 * first seq, where physical deletion never was: equal on all replicas.
 */
function bytesBelow(stream: StreamState, seq: number, { transaction }: ApplyContext): number | undefined {
  if (seq === stream.nextSeq) return stream.bytesThrough;
  const bytes = transaction.getIndex(batchKey(stream.id, seq));
  if (bytes === undefined) return undefined;
  const batch = decodeBatchValue(bytes);
  return batch.bytesThrough - batch.storedBytes;
}
