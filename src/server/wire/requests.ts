/**
 * Requests of the hot methods, read from the wire in place: no message object is built, and a batch is a view of the
 * bytes that came. Field numbers are those of proto/logboom/v1/streams.proto.
 *
 * Unknown fields are skipped, of a repeated scalar field the last value counts, as protobuf demands. A message field that
 * comes twice is refused instead of merged: no encoder writes it, and a merged batch would not be the producer's bytes.
 */
import { LogboomError } from '../../base/errors.js';
import { ProtobufError, ProtobufReader, WireType } from '../../base/protobuf.js';
import type { Direction, ProducerPosition, ReadStart } from '../../streams/index.js';

export interface AppendRequest {
  readonly stream: string;
  /** An encoded RecordBatch, without copy; undefined when the request has none. */
  readonly batch: Uint8Array | undefined;
  readonly producer: ProducerPosition | undefined;
  readonly expectedNextSeq: number | undefined;
  readonly fencingToken: string | undefined;
  readonly expectedEpoch: number | undefined;
}

export interface AppendSessionRequest {
  /** The varint as it came: it goes back as it is, whatever its 64 bits are. */
  readonly requestId: Uint8Array;
  /** An encoded AppendRequest; undefined when there is none. */
  readonly append: Uint8Array | undefined;
}

export interface ReadRequest {
  readonly stream: string;
  readonly start: ReadStart;
  readonly direction: Direction;
  readonly limit: number | undefined;
  readonly maxBytes: number | undefined;
  readonly acceptCodecs: readonly number[];
  readonly expectedEpoch: number | undefined;
}

export type TailRequest = Omit<ReadRequest, 'direction' | 'limit'>;

export interface GetContextRequest {
  readonly stream: string;
  readonly seq: number;
  readonly before: number;
  readonly after: number;
  readonly scope: 'stream' | 'producer';
  readonly maxBytes: number | undefined;
  readonly acceptCodecs: readonly number[];
  readonly expectedEpoch: number | undefined;
}

/** Runs a decoder; answers INVALID_ARGUMENT for what is no encoding of the message. */
function decode<Message>(name: string, bytes: Uint8Array, read: (reader: ProtobufReader) => Message): Message {
  try {
    return read(new ProtobufReader(bytes));
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    throw new LogboomError('INVALID_ARGUMENT', `the bytes are no ${name}: ${error.message}`, {
      facts: { message: name },
      cause: error,
    });
  }
}

function once(previous: unknown, field: string): void {
  if (previous !== undefined) throw new ProtobufError(`${field} comes twice`);
}

const zeroVarint = new Uint8Array(1);

export function decodeAppendRequest(bytes: Uint8Array): AppendRequest {
  return decode('AppendRequest', bytes, (reader) => {
    let stream = '';
    let batch: Uint8Array | undefined;
    let producer: ProducerPosition | undefined;
    let expectedNextSeq: number | undefined;
    let fencingToken: string | undefined;
    let expectedEpoch: number | undefined;
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          stream = reader.string();
          break;
        case 2:
          once(batch, 'batch');
          batch = reader.bytes();
          break;
        case 3:
          once(producer, 'producer');
          producer = readProducerPosition(reader.message());
          break;
        case 4:
          expectedNextSeq = reader.uint64();
          break;
        case 5:
          fencingToken = reader.string();
          break;
        case 6:
          expectedEpoch = reader.uint64();
          break;
        default:
          reader.skip();
      }
    }
    return { stream, batch, producer, expectedNextSeq, fencingToken, expectedEpoch };
  });
}

function readProducerPosition(reader: ProtobufReader): ProducerPosition {
  let id = '';
  let epoch = 0;
  let firstRecordNumber = 0;
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        id = reader.string();
        break;
      case 2:
        epoch = reader.uint64();
        break;
      case 3:
        firstRecordNumber = reader.uint64();
        break;
      default:
        reader.skip();
    }
  }
  return { id, epoch, firstRecordNumber };
}

export function decodeAppendSessionRequest(bytes: Uint8Array): AppendSessionRequest {
  return decode('AppendSessionRequest', bytes, (reader) => {
    let requestId: Uint8Array = zeroVarint;
    let append: Uint8Array | undefined;
    while (reader.next()) {
      switch (reader.field) {
        case 1: {
          if (reader.wireType !== WireType.varint) throw new ProtobufError('request_id is no varint');
          const start = reader.position;
          reader.skip();
          requestId = bytes.subarray(start, reader.position);
          break;
        }
        case 2:
          once(append, 'append');
          append = reader.bytes();
          break;
        default:
          reader.skip();
      }
    }
    return { requestId, append };
  });
}

export function decodeReadRequest(bytes: Uint8Array): ReadRequest {
  return decode('ReadRequest', bytes, (reader) => {
    let stream = '';
    let start: ReadStart = { type: 'edge' };
    let direction = 0;
    let limit: number | undefined;
    let maxBytes: number | undefined;
    let expectedEpoch: number | undefined;
    const acceptCodecs: number[] = [];
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          stream = reader.string();
          break;
        case 2:
        case 3:
        case 4:
        case 5:
          start = readStart(reader);
          break;
        case 6:
          direction = reader.int32();
          break;
        case 7:
          limit = reader.uint32();
          break;
        case 8:
          maxBytes = reader.uint32();
          break;
        case 9:
          readCodecs(reader, acceptCodecs);
          break;
        case 10:
          expectedEpoch = reader.uint64();
          break;
        default:
          reader.skip();
      }
    }
    const named = oneOf(direction, ['forward', 'backward'] as const, 'direction');
    return { stream, start, direction: named, limit, maxBytes, acceptCodecs, expectedEpoch };
  });
}

export function decodeTailRequest(bytes: Uint8Array): TailRequest {
  return decode('TailRequest', bytes, (reader) => {
    let stream = '';
    let start: ReadStart = { type: 'end' };
    let maxBytes: number | undefined;
    let expectedEpoch: number | undefined;
    const acceptCodecs: number[] = [];
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          stream = reader.string();
          break;
        case 2:
        case 3:
        case 4:
        case 5:
          start = readStart(reader);
          break;
        case 6:
          maxBytes = reader.uint32();
          break;
        case 7:
          readCodecs(reader, acceptCodecs);
          break;
        case 8:
          expectedEpoch = reader.uint64();
          break;
        default:
          reader.skip();
      }
    }
    return { stream, start, maxBytes, acceptCodecs, expectedEpoch };
  });
}

export function decodeGetContextRequest(bytes: Uint8Array): GetContextRequest {
  return decode('GetContextRequest', bytes, (reader) => {
    let stream = '';
    let seq = 0;
    let before = 0;
    let after = 0;
    let scope = 0;
    let maxBytes: number | undefined;
    let expectedEpoch: number | undefined;
    const acceptCodecs: number[] = [];
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          stream = reader.string();
          break;
        case 2:
          seq = reader.uint64();
          break;
        case 3:
          before = reader.uint32();
          break;
        case 4:
          after = reader.uint32();
          break;
        case 5:
          scope = reader.int32();
          break;
        case 6:
          maxBytes = reader.uint32();
          break;
        case 7:
          readCodecs(reader, acceptCodecs);
          break;
        case 8:
          expectedEpoch = reader.uint64();
          break;
        default:
          reader.skip();
      }
    }
    const named = oneOf(scope, ['stream', 'producer'] as const, 'scope');
    return { stream, seq, before, after, scope: named, maxBytes, acceptCodecs, expectedEpoch };
  });
}

/** The `start` of ReadRequest and TailRequest, whose field numbers are the same. */
function readStart(reader: ProtobufReader): ReadStart {
  switch (reader.field) {
    case 2:
      return { type: 'seq', seq: reader.uint64() };
    case 3:
      return { type: 'since', timeMs: reader.int64() };
    case 4:
      return { type: 'last', count: reader.uint64() };
    default:
      return { type: 'token', token: reader.string() };
  }
}

/** Enums a page of which is enough: more are skipped over, so that a request cannot grow a list without bound. */
const codecsMax = 64;

function readCodecs(reader: ProtobufReader, into: number[]): void {
  if (reader.wireType !== WireType.lengthDelimited) return addCodec(reader.int32(), into);
  const packed = reader.bytes();
  // A packed list is varints one after another; a tag of field 1 before each makes it a message that the reader reads.
  for (let at = 0; at < packed.length;) {
    const length = varintLength(packed, at);
    const single = new Uint8Array(length + 1);
    single[0] = 8;
    single.set(packed.subarray(at, at + length), 1);
    const element = new ProtobufReader(single);
    element.next();
    addCodec(element.int32(), into);
    at += length;
  }
}

function varintLength(bytes: Uint8Array, start: number): number {
  for (let at = start; at < bytes.length; at++) if ((bytes[at] ?? 0) < 0x80) return at + 1 - start;
  throw new ProtobufError('a packed list ends within a value');
}

function addCodec(codec: number, into: number[]): void {
  if (into.length < codecsMax && !into.includes(codec)) into.push(codec);
}

function oneOf<const Name extends string>(value: number, names: readonly Name[], field: string): Name {
  const name = names[value];
  if (name !== undefined) return name;
  throw new LogboomError('INVALID_ARGUMENT', `${field} is ${value}, which this server does not know`, {
    facts: { field, value },
  });
}
