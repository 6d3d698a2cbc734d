import type { HeaderReader } from '../../base/header-reader.js';
import type { HeaderField } from './header.js';
import { epochMismatch, streamGone } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { DeleteStreamCommand } from './commands.js';
import { asSeq } from '../../base/ids.js';
import { encodeNumberValue } from '../index-values.js';
import { deletedStreamKey, streamKey } from '../keys.js';
import type { StreamsResult } from '../types.js';

export const deleteStreamType = 3;
export const deleteStreamVersion = 1;

export function encodeDeleteStream(command: DeleteStreamCommand): readonly HeaderField[] {
  return [command.streamId, command.expectedEpoch ?? null];
}

export function decodeDeleteStream(header: HeaderReader): DeleteStreamCommand {
  return { type: 'delete-stream', streamId: header.integer(), expectedEpoch: header.optionalInteger() };
}

/** Constant work, however large the stream: its batches and producers are left to physical deletion. */
export function applyDeleteStream(command: DeleteStreamCommand, context: ApplyContext): StreamsResult {
  const { streams, transaction, lsn } = context;
  const stream = streams.applyingById(command.streamId);
  if (stream === undefined) return streamGone(command.streamId);
  if (command.expectedEpoch !== undefined && command.expectedEpoch !== stream.epoch) {
    return epochMismatch(stream, command.expectedEpoch);
  }
  transaction.deleteIndex(streamKey(stream.id));
  transaction.putIndex(deletedStreamKey(stream.id), encodeNumberValue(lsn));
  streams.remove(stream);
  context.clearing.streamDeleted(lsn, stream.id);
  return { type: 'stream-deleted', firstSeq: asSeq(stream.firstSeq), nextSeq: asSeq(stream.nextSeq) };
}
