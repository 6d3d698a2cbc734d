/**
 * Messages on the wire. One version byte leads; a receiver refuses versions it does not know, and the group is upgraded
 * by teaching receivers first.
 *
 * ```
 * u8 version = 1 | u8 type | varint from | varint to | varint term | body
 *
 * append              varint previousLsn, previousTerm, commit, entries x (u8 kind, varint term, varint length, data)
 * append-response     varint lsn | u8 rejected | varint hintLsn, hintTerm
 * heartbeat           varint commit, round
 * heartbeat-response  varint round
 * quiet               varint commit, round, epoch
 * quiet-response      varint round
 * vote, pre-vote      varint lastLsn, lastTerm | u8 leadershipTransfer
 * ...-vote-response   u8 rejected
 * snapshot            varint lsn, term | 4 x (varint count, varint replica...) | u8 autoLeave
 * propose             varint count, count x (u8 kind, varint length, data)
 * read-index          varint context
 * read-index-response varint lsn, context
 * host                varint length, payload
 * snapshot-failed, timeout-now, transfer-leader: nothing
 * ```
 *
 * Entries are contiguous, so their LSNs follow from `previousLsn`. Nothing may follow the body.
 */
import { assert, unreachable } from '../base/assert.js';
import { asLsn, asReplicaId, asTerm, type Lsn, type ReplicaId } from '../base/ids.js';
import { EntryKind, type ConfState, type Entry, type LogStart, type WireMessage, type Proposal } from './types.js';
import { ByteReader, ByteWriter, RaftDecodeError, varintBytes, type ByteSink } from './wire.js';

const formatVersion = 1;

/** Position is the number on the wire: append only. */
const types: readonly WireMessage['type'][] = [
  'append',
  'append-response',
  'heartbeat',
  'heartbeat-response',
  'vote',
  'vote-response',
  'pre-vote',
  'pre-vote-response',
  'snapshot',
  'snapshot-failed',
  'timeout-now',
  'transfer-leader',
  'propose',
  'read-index',
  'read-index-response',
  'host',
  'quiet',
  'quiet-response',
];

/** A new buffer of exactly the message's size; the data of entries is copied into it. */
export function encodeMessage(message: WireMessage): Uint8Array {
  const writer = new ByteWriter(messageBytes(message));
  writeMessage(writer, message);
  assert(
    writer.written === writer.bytes.length,
    () => `${message.type}: ${writer.written} of ${writer.bytes.length} bytes written`,
  );
  return writer.bytes;
}

/** Writes exactly `messageBytes(message)` bytes to `sink`; the data of entries and proposals goes through `sink.blob`. */
export function writeMessage(sink: ByteSink, message: WireMessage): void {
  sink.byte(formatVersion);
  sink.byte(types.indexOf(message.type));
  sink.varint(message.from);
  sink.varint(message.to);
  sink.varint(message.term);
  writeBody(sink, message);
}

/**
 * The message in `bytes`, all of it. Data of entries are views of `bytes`.
 *
 * @throws RaftDecodeError for anything that `encodeMessage` does not make
 */
export function decodeMessage(bytes: Uint8Array): WireMessage {
  const reader = new ByteReader(bytes);
  const version = reader.byte();
  if (version !== formatVersion) throw new RaftDecodeError(`message of version ${version}`);
  const type = types[reader.byte()];
  if (type === undefined) throw new RaftDecodeError('unknown message type');
  const message = readMessage(reader, type);
  reader.end();
  if (message.from === 0 || message.to === 0) throw new RaftDecodeError('message from or to replica 0');
  return message;
}

/** Encoded size. */
export function messageBytes(message: WireMessage): number {
  return 2 + varintBytes(message.from) + varintBytes(message.to) + varintBytes(message.term) + bodySize(message);
}

function bodySize(message: WireMessage): number {
  switch (message.type) {
    case 'append':
      return (
        varintBytes(message.previousLsn) +
        varintBytes(message.previousTerm) +
        varintBytes(message.commit) +
        entriesSize(message.entries)
      );
    case 'append-response':
      return 1 + varintBytes(message.lsn) + varintBytes(message.hintLsn) + varintBytes(message.hintTerm);
    case 'heartbeat':
      return varintBytes(message.commit) + varintBytes(message.round);
    case 'heartbeat-response':
    case 'quiet-response':
      return varintBytes(message.round);
    case 'quiet':
      return varintsSize(message.commit, message.round, message.epoch);
    case 'vote':
    case 'pre-vote':
      return 1 + varintsSize(message.lastLsn, message.lastTerm);
    case 'vote-response':
    case 'pre-vote-response':
      return 1;
    case 'snapshot':
      return varintsSize(message.start.lsn, message.start.term) + confSize(message.start.confState);
    case 'propose':
      return (
        varintBytes(message.proposals.length) +
        message.proposals.reduce((sum, proposal) => sum + 1 + blobSize(proposal.data), 0)
      );
    case 'read-index':
      return varintBytes(message.context);
    case 'read-index-response':
      return varintsSize(message.lsn, message.context);
    case 'host':
      return blobSize(message.payload);
    case 'snapshot-failed':
    case 'timeout-now':
    case 'transfer-leader':
      return 0;
    default:
      return unreachable(message);
  }
}

function writeBody(sink: ByteSink, message: WireMessage): void {
  switch (message.type) {
    case 'append':
      sink.varint(message.previousLsn);
      sink.varint(message.previousTerm);
      sink.varint(message.commit);
      writeEntries(sink, message.entries);
      break;
    case 'append-response':
      sink.varint(message.lsn);
      sink.byte(Number(message.rejected));
      sink.varint(message.hintLsn);
      sink.varint(message.hintTerm);
      break;
    case 'heartbeat':
      sink.varint(message.commit);
      sink.varint(message.round);
      break;
    case 'heartbeat-response':
    case 'quiet-response':
      sink.varint(message.round);
      break;
    case 'quiet':
      writeAll(sink, message.commit, message.round, message.epoch);
      break;
    case 'vote':
    case 'pre-vote':
      writeAll(sink, message.lastLsn, message.lastTerm);
      sink.byte(Number(message.leadershipTransfer));
      break;
    case 'vote-response':
    case 'pre-vote-response':
      sink.byte(Number(message.rejected));
      break;
    case 'snapshot':
      writeAll(sink, message.start.lsn, message.start.term);
      writeConf(sink, message.start.confState);
      break;
    case 'propose':
      writeProposals(sink, message.proposals);
      break;
    case 'read-index':
      sink.varint(message.context);
      break;
    case 'read-index-response':
      writeAll(sink, message.lsn, message.context);
      break;
    case 'host':
      sink.blob(message.payload);
      break;
    case 'snapshot-failed':
    case 'timeout-now':
    case 'transfer-leader':
      break;
    default:
      unreachable(message);
  }
}

function readMessage(reader: ByteReader, type: WireMessage['type']): WireMessage {
  const from = readReplica(reader);
  const to = readReplica(reader);
  const term = asTerm(reader.varint());
  switch (type) {
    case 'append': {
      const previousLsn = readLsn(reader);
      const previousTerm = asTerm(reader.varint());
      const commit = readLsn(reader);
      return { type, from, to, term, previousLsn, previousTerm, commit, entries: readEntries(reader, previousLsn) };
    }
    case 'append-response': {
      const lsn = readLsn(reader);
      const rejected = reader.flag();
      return { type, from, to, term, lsn, rejected, hintLsn: readLsn(reader), hintTerm: asTerm(reader.varint()) };
    }
    case 'heartbeat':
      return { type, from, to, term, commit: readLsn(reader), round: reader.varint() };
    case 'heartbeat-response':
    case 'quiet-response':
      return { type, from, to, term, round: reader.varint() };
    case 'quiet':
      return { type, from, to, term, commit: readLsn(reader), round: reader.varint(), epoch: reader.varint() };
    case 'vote':
    case 'pre-vote': {
      const lastLsn = readLsn(reader);
      const lastTerm = asTerm(reader.varint());
      return { type, from, to, term, lastLsn, lastTerm, leadershipTransfer: reader.flag() };
    }
    case 'vote-response':
    case 'pre-vote-response':
      return { type, from, to, term, rejected: reader.flag() };
    case 'snapshot':
      return { type, from, to, term, start: readStart(reader) };
    case 'propose':
      return { type, from, to, term, proposals: readProposals(reader) };
    case 'read-index':
      return { type, from, to, term, context: reader.varint() };
    case 'read-index-response':
      return { type, from, to, term, lsn: readLsn(reader), context: reader.varint() };
    case 'host':
      return { type, from, to, term, payload: reader.blob() };
    case 'snapshot-failed':
    case 'timeout-now':
    case 'transfer-leader':
      return { type, from, to, term };
    default:
      return unreachable(type);
  }
}

function varintsSize(...values: readonly number[]): number {
  let bytes = 0;
  for (const value of values) bytes += varintBytes(value);
  return bytes;
}

function entriesSize(entries: readonly Entry[]): number {
  let bytes = varintBytes(entries.length);
  for (const { term, data } of entries) bytes += 1 + varintBytes(term) + blobSize(data);
  return bytes;
}

function blobSize(data: Uint8Array): number {
  return varintBytes(data.length) + data.length;
}

function writeAll(sink: ByteSink, ...values: readonly number[]): void {
  for (const value of values) sink.varint(value);
}

const readLsn = (reader: ByteReader): Lsn => asLsn(reader.varint());
const readReplica = (reader: ByteReader): ReplicaId => asReplicaId(reader.varint());

function readKind(reader: ByteReader): EntryKind {
  const kind = reader.byte();
  if (kind !== EntryKind.normal && kind !== EntryKind.confChange && kind !== EntryKind.confChangeV2) {
    throw new RaftDecodeError(`entry of kind ${kind}`);
  }
  return kind;
}

function writeEntries(sink: ByteSink, entries: readonly Entry[]): void {
  sink.varint(entries.length);
  for (const entry of entries) {
    sink.byte(entry.kind);
    sink.varint(entry.term);
    sink.blob(entry.data);
  }
}

function readEntries(reader: ByteReader, previousLsn: Lsn): Entry[] {
  const count = reader.count(3);
  if (previousLsn + count > Number.MAX_SAFE_INTEGER) throw new RaftDecodeError(`${count} entries after ${previousLsn}`);
  const entries: Entry[] = [];
  for (let i = 1; i <= count; i += 1) {
    const kind = readKind(reader);
    const term = asTerm(reader.varint());
    entries.push({ term, lsn: asLsn(previousLsn + i), kind, data: reader.blob() });
  }
  return entries;
}

function writeProposals(sink: ByteSink, proposals: readonly Proposal[]): void {
  sink.varint(proposals.length);
  for (const proposal of proposals) {
    sink.byte(proposal.kind);
    sink.blob(proposal.data);
  }
}

function readProposals(reader: ByteReader): Proposal[] {
  const proposals: Proposal[] = [];
  for (let left = reader.count(2); left > 0; left -= 1) {
    const kind = readKind(reader);
    proposals.push({ kind, data: reader.blob() });
  }
  return proposals;
}

function confSize(conf: ConfState): number {
  return 1 + replicaListsOf(conf).reduce((sum, list) => sum + varintsSize(list.length, ...list), 0);
}

function writeConf(sink: ByteSink, conf: ConfState): void {
  for (const list of replicaListsOf(conf)) writeAll(sink, list.length, ...list);
  sink.byte(Number(conf.autoLeave));
}

function replicaListsOf(conf: ConfState): readonly (readonly ReplicaId[])[] {
  return [conf.voters, conf.votersOutgoing, conf.learners, conf.learnersNext];
}

function readStart(reader: ByteReader): LogStart {
  const lsn = readLsn(reader);
  const term = asTerm(reader.varint());
  const voters = readReplicas(reader);
  const votersOutgoing = readReplicas(reader);
  const learners = readReplicas(reader);
  const learnersNext = readReplicas(reader);
  return { lsn, term, confState: { voters, votersOutgoing, learners, learnersNext, autoLeave: reader.flag() } };
}

function readReplicas(reader: ByteReader): ReplicaId[] {
  const replicas: ReplicaId[] = [];
  for (let left = reader.count(1); left > 0; left -= 1) {
    const replica = readReplica(reader);
    if (replica <= (replicas.at(-1) ?? 0)) throw new RaftDecodeError(`replica ${replica} out of order`);
    replicas.push(replica);
  }
  return replicas;
}
