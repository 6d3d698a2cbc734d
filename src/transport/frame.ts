/**
 * The unit of everything that links carry, in both directions. All numbers are little-endian.
 *
 * ```
 * 0   u32 crc      CRC-32 of all that follows
 * 4   u32 length   of the whole frame
 * 8   u8  version = 1
 * 9   u8  kind     messages 1, payload 2, end 3, error 4, presence 5
 * 10  u16 zero
 * 12  u32 count    messages: how many; otherwise 0
 * 16  body
 *
 * messages  count x (varint partition | varint length | Raft message, see raft/message-codec.ts)
 * payload   one message of a call: any bytes
 * end       nothing; a call's answer is whole only with it
 * error     see error-codec.ts
 * presence  varint epoch: the sender lives; only to nodes whose hello says that they take it
 * ```
 */
import { assert } from '../base/assert.js';
import { asPartitionId, type PartitionId } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import {
  decodeMessage,
  RaftDecodeError,
  varintBytes,
  writeMessage,
  type ByteSink,
  type WireMessage,
} from '../raft/index.js';

export const FrameKind = { messages: 1, payload: 2, end: 3, error: 4, presence: 5 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export const frameVersion = 1;
export const frameHeaderBytes = 16;
/** The CRC itself is not covered. */
const crcBytes = 4;
const frameKinds: readonly number[] = Object.values(FrameKind);

export interface Frame {
  readonly kind: FrameKind;
  /** Messages in the body; 0 for other kinds. */
  readonly count: number;
  readonly body: Uint8Array;
}

/** A frame as chunks to be written one after another; those of large data are the data itself. */
export interface EncodedFrame {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
}

/** A Raft message and the group it belongs to. */
export interface Delivery {
  readonly partitionId: PartitionId;
  readonly message: WireMessage;
}

export type LinkFormatFault = 'length' | 'checksum' | 'version' | 'kind' | 'header' | 'message' | 'truncated';

/** Bytes that no encoder of this version makes. The only error that decoders of this folder throw. */
export class LinkFormatError extends Error {
  override readonly name = 'LinkFormatError';
  readonly fault: LinkFormatFault;

  constructor(fault: LinkFormatFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

const blockBytes = 8192;
/** Below this, a copy is cheaper than one more chunk. */
const gatherBytesMin = 1024;
/** Of a varint. */
const numberBytesMax = 8;

/** Collects small pieces in blocks, and keeps large ones as they are. */
class ChunkSink implements ByteSink {
  readonly chunks: Uint8Array[] = [];
  #block = Buffer.allocUnsafeSlow(blockBytes);
  /** What of the block is in no chunk yet. */
  #start = 0;
  #at = frameHeaderBytes;
  #bytesBefore = 0;

  /** Where the header goes: the start of the first chunk. */
  readonly header = this.#block;

  get bytes(): number {
    return this.#bytesBefore + this.#at - this.#start;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#block[this.#at++] = value;
  }

  varint(value: number): void {
    this.#reserve(numberBytesMax);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#block[this.#at++] = (rest % 0x80) | 0x80;
    this.#block[this.#at++] = rest;
  }

  blob(value: Uint8Array): void {
    this.varint(value.length);
    this.raw(value);
  }

  raw(value: Uint8Array): void {
    if (value.length >= gatherBytesMin) {
      this.flush();
      this.chunks.push(value);
      this.#bytesBefore += value.length;
      return;
    }
    this.#reserve(value.length);
    this.#block.set(value, this.#at);
    this.#at += value.length;
  }

  flush(): void {
    if (this.#at === this.#start) return;
    this.chunks.push(this.#block.subarray(this.#start, this.#at));
    this.#bytesBefore += this.#at - this.#start;
    this.#start = this.#at;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#block.length) return;
    this.flush();
    this.#block = Buffer.allocUnsafeSlow(blockBytes);
    this.#start = 0;
    this.#at = 0;
  }
}

/** Bytes that a message takes in a frame, of which `messageBytes` are its own. */
export function deliveryBytes(partitionId: PartitionId, messageBytes: number): number {
  return varintBytes(partitionId) + varintBytes(messageBytes) + messageBytes;
}

/** @param sizes of the messages, in the same order */
export function encodeMessages(crc32: Crc32, deliveries: readonly Delivery[], sizes: readonly number[]): EncodedFrame {
  const sink = new ChunkSink();
  for (const [index, { partitionId, message }] of deliveries.entries()) {
    const size = sizes[index] ?? 0;
    sink.varint(partitionId);
    sink.varint(size);
    const before = sink.bytes;
    writeMessage(sink, message);
    assert(sink.bytes - before === size, () => `${message.type}: ${sink.bytes - before} bytes, ${size} announced`);
  }
  return finish(crc32, sink, FrameKind.messages, deliveries.length);
}

/** A frame of one of the other kinds; `body` is not copied when it is large. */
export function encodeFrame(crc32: Crc32, kind: Exclude<FrameKind, 1 | 5>, body: Uint8Array): EncodedFrame {
  const sink = new ChunkSink();
  sink.raw(body);
  return finish(crc32, sink, kind, 0);
}

export function encodePresence(crc32: Crc32, epoch: number): EncodedFrame {
  const sink = new ChunkSink();
  sink.varint(epoch);
  return finish(crc32, sink, FrameKind.presence, 0);
}

/**
 * The epoch in a frame of kind `presence`.
 *
 * @throws LinkFormatError
 */
export function decodePresence({ body }: Frame): number {
  const cursor = { bytes: new Uint8Array(body.buffer, body.byteOffset, body.byteLength), at: 0 };
  const epoch = readVarint(cursor);
  if (cursor.at !== body.length) {
    throw new LinkFormatError('message', `${body.length - cursor.at} bytes left over after a sign of life`);
  }
  return epoch;
}

function finish(crc32: Crc32, sink: ChunkSink, kind: FrameKind, count: number): EncodedFrame {
  sink.flush();
  const { chunks, bytes, header } = sink;
  header.writeUInt32LE(bytes, 4);
  header[8] = frameVersion;
  header[9] = kind;
  header.writeUInt16LE(0, 10);
  header.writeUInt32LE(count, 12);
  let crc = 0;
  for (const [index, chunk] of chunks.entries()) crc = crc32(index === 0 ? chunk.subarray(crcBytes) : chunk, crc);
  header.writeUInt32LE(crc, 0);
  return { chunks, bytes };
}

/**
 * Cuts a stream of bytes into frames and checks them. A frame that arrives in one piece is answered as a view of it;
 * one that arrives in several is copied once, into memory of its own.
 */
export class FrameAssembler {
  readonly #crc32: Crc32;
  readonly #frameBytesMax: number;
  readonly #header = Buffer.alloc(frameHeaderBytes);
  #headerFilled = 0;
  #frame: Buffer | undefined;
  #filled = 0;

  /** @param frameBytesMax longer frames are refused as soon as their header is there */
  constructor(crc32: Crc32, frameBytesMax: number) {
    this.#crc32 = crc32;
    this.#frameBytesMax = frameBytesMax;
  }

  /**
   * The frames that `chunk` completes.
   *
   * @throws LinkFormatError; nothing may be pushed afterwards
   */
  push(chunk: Uint8Array): Frame[] {
    const frames: Frame[] = [];
    let rest = asBuffer(chunk);
    while (rest.length > 0) {
      const whole = this.#wholeFrame(rest);
      if (whole === undefined) {
        rest = this.#collect(rest, frames);
      } else {
        frames.push(this.#check(whole));
        rest = rest.subarray(whole.length);
      }
    }
    return frames;
  }

  /** @throws LinkFormatError when the stream ended within a frame */
  end(): void {
    const pending = this.#frame === undefined ? this.#headerFilled : this.#filled;
    if (pending > 0) throw new LinkFormatError('truncated', `the stream ended after ${pending} bytes of a frame`);
  }

  #wholeFrame(bytes: Buffer): Buffer | undefined {
    if (this.#headerFilled > 0 || this.#frame !== undefined || bytes.length < frameHeaderBytes) return undefined;
    const length = this.#lengthOf(bytes);
    return length <= bytes.length ? bytes.subarray(0, length) : undefined;
  }

  /** Takes what belongs to the frame under way; answers the rest. */
  #collect(bytes: Buffer, frames: Frame[]): Buffer {
    if (this.#frame === undefined) {
      const taken = bytes.copy(this.#header, this.#headerFilled);
      this.#headerFilled += taken;
      if (this.#headerFilled < frameHeaderBytes) return bytes.subarray(taken);
      this.#frame = Buffer.allocUnsafeSlow(this.#lengthOf(this.#header));
      this.#filled = this.#header.copy(this.#frame);
      this.#headerFilled = 0;
      return this.#completed(frames, bytes.subarray(taken));
    }
    const taken = bytes.copy(this.#frame, this.#filled);
    this.#filled += taken;
    return this.#completed(frames, bytes.subarray(taken));
  }

  #completed(frames: Frame[], rest: Buffer): Buffer {
    if (this.#frame !== undefined && this.#filled === this.#frame.length) {
      frames.push(this.#check(this.#frame));
      this.#frame = undefined;
      this.#filled = 0;
    }
    return rest;
  }

  #lengthOf(header: Buffer): number {
    const length = header.readUInt32LE(4);
    if (length < frameHeaderBytes || length > this.#frameBytesMax) {
      throw new LinkFormatError('length', `a frame of ${length} bytes; at most ${this.#frameBytesMax} are allowed`);
    }
    return length;
  }

  #check(frame: Buffer): Frame {
    const crc = this.#crc32(frame.subarray(crcBytes));
    if (crc !== frame.readUInt32LE(0)) throw new LinkFormatError('checksum', 'a frame fails its checksum');
    const [version, kind, count] = [frame.readUInt8(8), frame.readUInt8(9), frame.readUInt32LE(12)];
    if (version !== frameVersion) throw new LinkFormatError('version', `a frame of version ${version}`);
    if (!frameKinds.includes(kind)) throw new LinkFormatError('kind', `a frame of kind ${kind}`);
    if (frame.readUInt16LE(10) !== 0) throw new LinkFormatError('header', 'reserved bytes of a frame are set');
    if (kind !== FrameKind.messages && count !== 0) throw new LinkFormatError('header', `a count in kind ${kind}`);
    if (kind === FrameKind.end && frame.length > frameHeaderBytes) {
      throw new LinkFormatError('header', 'an end frame has a body');
    }
    return { kind: kind as FrameKind, count, body: frame.subarray(frameHeaderBytes) };
  }
}

/**
 * The messages of a frame of kind `messages`. Data of entries are views of the frame.
 *
 * @throws LinkFormatError
 */
export function decodeMessages(frame: Frame): Delivery[] {
  const deliveries: Delivery[] = [];
  const bytes = new Uint8Array(frame.body.buffer, frame.body.byteOffset, frame.body.byteLength);
  const cursor = { bytes, at: 0 };
  for (let left = frame.count; left > 0; left -= 1) {
    const partitionId = asPartitionId(readVarint(cursor));
    const length = readVarint(cursor);
    if (length > bytes.length - cursor.at) {
      throw new LinkFormatError('message', `a message of ${length} bytes, ${bytes.length - cursor.at} left`);
    }
    deliveries.push({ partitionId, message: messageOf(bytes.subarray(cursor.at, cursor.at + length)) });
    cursor.at += length;
  }
  if (cursor.at !== bytes.length) {
    throw new LinkFormatError('message', `${bytes.length - cursor.at} bytes left over after ${frame.count} messages`);
  }
  return deliveries;
}

function messageOf(bytes: Uint8Array): WireMessage {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (error instanceof RaftDecodeError) throw new LinkFormatError('message', error.message);
    throw error;
  }
}

function readVarint(cursor: { readonly bytes: Uint8Array; at: number }): number {
  let value = 0;
  for (let scale = 1; ; scale *= 0x80) {
    const byte = cursor.bytes[cursor.at++];
    if (byte === undefined) throw new LinkFormatError('message', 'a number is cut short');
    value += (byte & 0x7f) * scale;
    if (value > Number.MAX_SAFE_INTEGER || scale > 2 ** 49) throw new LinkFormatError('message', 'a number too large');
    if (byte >= 0x80) continue;
    if (byte === 0 && scale > 1) throw new LinkFormatError('message', 'a padded number');
    return value;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
