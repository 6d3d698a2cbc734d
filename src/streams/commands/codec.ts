/** A command as an entry of the log: the envelope of base/command-entry.ts, a msgpack header, and the payload of an append. */
import { InvariantViolation } from '../../base/assert.js';
import { encodeEntry, splitEntry } from '../../base/command-entry.js';
import { firstFeatureLevel, requireFeatureLevel } from '../../base/feature-level.js';
import type { HeaderReader } from '../../base/header-reader.js';
import { appendType, appendVersion, decodeAppend, encodeAppend } from './append.js';
import type { StreamsCommand } from './commands.js';
import { createStreamType, createStreamVersion, decodeCreateStream, encodeCreateStream } from './create-stream.js';
import { decodeDeleteStream, deleteStreamType, deleteStreamVersion, encodeDeleteStream } from './delete-stream.js';
import { decodeDropProducers, dropProducersType, dropProducersVersion, encodeDropProducers } from './drop-producers.js';
import { encodeHeader, readHeader } from './header.js';
import type { HeaderField } from './header.js';
import { decodeSetFirstSeq, encodeSetFirstSeq, setFirstSeqType, setFirstSeqVersion } from './set-first-seq.js';
import { decodeUpdateStream, encodeUpdateStream, updateStreamType, updateStreamVersion } from './update-stream.js';

const nothing = new Uint8Array(0);

/** A command and the time that its leader gave to it. */
export interface StampedCommand {
  readonly timeMs: number;
  readonly command: StreamsCommand;
}

/**
 * What is proposed. One copy of the payload.
 *
 * @param stamp `timeMs`: the leader's wall time; fractions are dropped. `featureLevel`: the cluster's, the first by default
 * @throws LogboomError FEATURE_LEVEL_UNSUPPORTED for a command that not every node can read yet
 */
export function encodeCommand(
  command: StreamsCommand,
  stamp: { readonly timeMs: number; readonly featureLevel?: number | undefined },
): Uint8Array {
  requireFeatureLevel(command.type, sinceFeatureLevels[command.type], stamp.featureLevel ?? firstFeatureLevel);
  const { type, version, fields } = headerOf(command);
  const header = encodeHeader([version, Math.max(0, Math.floor(stamp.timeMs)), ...fields]);
  const payload = command.type === 'append' ? command.payload : nothing;
  return encodeEntry({ type, header, payload });
}

/** Since when builds know a command. A new one gets the next level, and `supportedFeatureLevel` is raised to it. */
const sinceFeatureLevels: Readonly<Record<StreamsCommand['type'], number>> = {
  'create-stream': 1,
  'update-stream': 1,
  'delete-stream': 1,
  append: 1,
  'set-first-seq': 1,
  'drop-producers': 1,
};

function headerOf(command: StreamsCommand): { type: number; version: number; fields: readonly HeaderField[] } {
  switch (command.type) {
    case 'create-stream':
      return { type: createStreamType, version: createStreamVersion, fields: encodeCreateStream(command) };
    case 'update-stream':
      return { type: updateStreamType, version: updateStreamVersion, fields: encodeUpdateStream(command) };
    case 'delete-stream':
      return { type: deleteStreamType, version: deleteStreamVersion, fields: encodeDeleteStream(command) };
    case 'append':
      return { type: appendType, version: appendVersion, fields: encodeAppend(command) };
    case 'set-first-seq':
      return { type: setFirstSeqType, version: setFirstSeqVersion, fields: encodeSetFirstSeq(command) };
    case 'drop-producers':
      return { type: dropProducersType, version: dropProducersVersion, fields: encodeDropProducers(command) };
  }
}

/**
 * Reads an entry of the log. Its payload is a view of `entry`.
 *
 * @throws InvariantViolation: what a quorum has accepted cannot be skipped, so a replica that cannot read it must stop
 */
export function decodeCommand(entry: Uint8Array): StampedCommand {
  const { type, header: headerBytes, payload } = splitEntry(entry);
  const decoder = decoderOf(type);
  const header = readHeader(headerBytes);
  const version = header.integer();
  if (version !== decoder.version) {
    throw new InvariantViolation(
      `entry was written by a newer version: command type ${type} has version ${version}, this node knows ${decoder.version}`,
    );
  }
  const timeMs = header.integer();
  if (!decoder.hasPayload && payload.length > 0) {
    throw new InvariantViolation(`entry cannot be decoded: ${payload.length} bytes behind a command without payload`);
  }
  const command = decoder.decode(header, payload);
  header.end();
  return { timeMs, command };
}

interface CommandDecoder {
  readonly version: number;
  readonly hasPayload: boolean;
  readonly decode: (header: HeaderReader, payload: Uint8Array) => StreamsCommand;
}

function decoderOf(type: number): CommandDecoder {
  const decoder = decoders.get(type);
  if (decoder !== undefined) return decoder;
  throw new InvariantViolation(`entry was written by a newer version: command type ${type} is not known to this node`);
}

const decoders: ReadonlyMap<number, CommandDecoder> = new Map<number, CommandDecoder>([
  [createStreamType, { version: createStreamVersion, hasPayload: false, decode: decodeCreateStream }],
  [updateStreamType, { version: updateStreamVersion, hasPayload: false, decode: decodeUpdateStream }],
  [deleteStreamType, { version: deleteStreamVersion, hasPayload: false, decode: decodeDeleteStream }],
  [appendType, { version: appendVersion, hasPayload: true, decode: decodeAppend }],
  [setFirstSeqType, { version: setFirstSeqVersion, hasPayload: false, decode: decodeSetFirstSeq }],
  [dropProducersType, { version: dropProducersVersion, hasPayload: false, decode: decodeDropProducers }],
]);
