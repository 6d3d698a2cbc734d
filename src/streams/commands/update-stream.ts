import type { HeaderReader } from '../../base/header-reader.js';
import type { HeaderField } from './header.js';
import { fencingMismatch, streamGone } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { UpdateStreamCommand } from './commands.js';
import { viewOf } from '../stream-table.js';
import type { StreamsResult } from '../types.js';

export const updateStreamType = 2;
export const updateStreamVersion = 1;

export function encodeUpdateStream(command: UpdateStreamCommand): readonly HeaderField[] {
  return [
    command.streamId,
    command.retentionAgeMs ?? null,
    command.retentionBytes ?? null,
    command.fencingToken ?? null,
    command.expectedFencingToken ?? null,
  ];
}

export function decodeUpdateStream(header: HeaderReader): UpdateStreamCommand {
  return {
    type: 'update-stream',
    streamId: header.integer(),
    retentionAgeMs: header.optionalInteger(),
    retentionBytes: header.optionalInteger(),
    fencingToken: header.optionalText(),
    expectedFencingToken: header.optionalText(),
  };
}

export function applyUpdateStream(command: UpdateStreamCommand, context: ApplyContext): StreamsResult {
  const stream = context.streams.applyingById(command.streamId);
  if (stream === undefined) return streamGone(command.streamId);
  if (command.expectedFencingToken !== undefined && command.expectedFencingToken !== stream.fencingToken) {
    return fencingMismatch(stream);
  }
  stream.config = {
    retentionAgeMs: command.retentionAgeMs ?? stream.config.retentionAgeMs,
    retentionBytes: command.retentionBytes ?? stream.config.retentionBytes,
  };
  stream.fencingToken = command.fencingToken ?? stream.fencingToken;
  context.streams.store(stream, context.transaction);
  return { type: 'stream-updated', stream: viewOf(stream) };
}
