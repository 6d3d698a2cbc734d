import type { HeaderReader } from '../../base/header-reader.js';
import type { HeaderField } from './header.js';
import { refused } from './apply-context.js';
import type { ApplyContext } from './apply-context.js';
import type { CreateStreamCommand } from './commands.js';
import { viewOf } from '../stream-table.js';
import type { StreamState } from '../stream-table.js';
import type { StreamsResult } from '../types.js';

export const createStreamType = 1;
export const createStreamVersion = 1;

export function encodeCreateStream(command: CreateStreamCommand): readonly HeaderField[] {
  return [
    command.name,
    command.epoch,
    command.config.retentionAgeMs,
    command.config.retentionBytes,
    command.fencingToken,
    command.ifNotExists,
    command.streamsMax,
  ];
}

export function decodeCreateStream(header: HeaderReader): CreateStreamCommand {
  return {
    type: 'create-stream',
    name: header.text(),
    epoch: header.integer(),
    config: { retentionAgeMs: header.integer(), retentionBytes: header.integer() },
    fencingToken: header.text(),
    ifNotExists: header.boolean(),
    streamsMax: header.integer(),
  };
}

/** Creating a stream again with the same configuration answers the one there is, so that a lost answer can be retried. */
export function applyCreateStream(command: CreateStreamCommand, context: ApplyContext): StreamsResult {
  const { streams } = context;
  const existing = streams.applyingByName(command.name);
  if (existing !== undefined) {
    if (command.ifNotExists || isSame(existing, command)) {
      return { type: 'stream-created', stream: viewOf(existing), created: false };
    }
    return refused(
      'STREAM_ALREADY_EXISTS',
      `Stream ${JSON.stringify(command.name)} exists with another configuration or fencing token.`,
      { stream_epoch: existing.epoch },
    );
  }
  if (streams.applyingCount >= command.streamsMax) {
    return refused('STREAM_LIMIT_REACHED', `The partition holds ${command.streamsMax} streams, which is the limit.`, {
      streams_max: command.streamsMax,
    });
  }
  const state = newStream(command, context);
  streams.add(state);
  streams.store(state, context.transaction);
  return { type: 'stream-created', stream: viewOf(state), created: true };
}

function newStream(command: CreateStreamCommand, { lsn, timeMs }: ApplyContext): StreamState {
  return {
    id: lsn,
    name: command.name,
    epoch: command.epoch,
    createdMs: timeMs,
    config: command.config,
    fencingToken: command.fencingToken,
    firstSeq: 0,
    nextSeq: 0,
    bytesBefore: 0,
    bytesThrough: 0,
    lastAppendMs: 0,
    producerCount: 0,
    forks: [],
  };
}

function isSame(existing: StreamState, command: CreateStreamCommand): boolean {
  return (
    existing.config.retentionAgeMs === command.config.retentionAgeMs &&
    existing.config.retentionBytes === command.config.retentionBytes &&
    existing.fencingToken === command.fencingToken
  );
}
