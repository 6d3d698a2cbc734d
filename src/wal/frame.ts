/**
 * Frames: what a write-ahead log is made of. A pure codec; docs/formats/wal.md draws the whole file.
 *
 * All numbers are little-endian. `u64` holds a safe integer. A frame begins at a multiple of 8 in its file:
 *
 * ```
 *        0        4        8    9    10   12          16       20       24
 *        +--------+--------+----+----+----+-----------+--------+--------+--------------+---------+
 *        | crc    | length |type|kind| 0  | partition | group  | tag    | body, length | zeros   |
 *        | u32    | u32    | u8 | u8 |u16 | u32       | u32    | u32    | bytes        | to 8    |
 *        +--------+--------+----+----+----+-----------+--------+--------+--------------+---------+
 *   crc        CRC-32 of everything from `length` to the last byte of the body, seeded with the segment's seed
 *   kind       of an entry: EntryKind; else 0
 *   partition  0 in frames that belong to no partition (metadata's own partition is 0 too: the type tells)
 *   group      number of the commit group within its segment, from 1
 *   tag        the same in every frame of one segment file, new each time a file is used again
 *
 *   entry            | lsn u64 | term u64 | commit u64 | data ...                 commit: known when it was written, <= lsn
 *   hard state       | term u64 | vote u64 | commit u64 |
 *   trim point       | lsn u64 | term u64 | configuration |
 *   created          | replica id u64 | configuration |
 *   removed          | |
 *   reset            | lsn u64 | term u64 | term u64 | vote u64 | commit u64 | configuration |
 *   partition state  | replica id u64 | term u64 | vote u64 | commit u64 | trim lsn u64 | trim term u64
 *                    | last lsn u64 | last term u64 | configuration |
 *   segment start    | sequence u64 | id of the segment before u64 | its last group u32 | its end u32
 *                    | partitions u32 | 0 u32 |
 *   group end        | segment id u64 | bytes u32 | frames u32 | crc u32 | 0 u32 |
 *                      bytes: of the group before this frame; frames: their number; crc: CRC-32 of their crc fields in
 *                      order, seeded with the segment's seed
 *   configuration    | voters u16 | outgoing u16 | learners u16 | learners next u16 | auto leave u32 | 0 u32 | ids u64 ... |
 * ```
 */
import { assert } from '../base/assert.js';
import { asLsn, asReplicaId, asTerm, type Lsn, type ReplicaId, type Term } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { ConfState, EntryKind, HardState } from '../raft/types.js';

export const frameHeaderBytes = 24;
/** Fixed part of an entry's body, before its data. */
export const entryBodyBytes = 24;
export const groupEndBytes = frameHeaderBytes + 24;

export const FrameType = {
  segmentStart: 1,
  partitionState: 2,
  entry: 3,
  hardState: 4,
  trimPoint: 5,
  created: 6,
  removed: 7,
  reset: 8,
  groupEnd: 9,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/**
 * The random id of a segment, new each time a file is used again. Both halves are in its header and in each group end;
 * together they make it impossible to take the frames of a file's former use for those of its present one.
 */
export interface SegmentId {
  /** Start value of every CRC: under another seed the same bytes always have another CRC. */
  readonly seed: number;
  /** In every frame; never 0. */
  readonly tag: number;
}

export function frameBytes(bodyBytes: number): number {
  return (frameHeaderBytes + bodyBytes + 7) & ~7;
}

export const entryFrameBytes = (dataBytes: number): number => frameBytes(entryBodyBytes + dataBytes);

export function confStateBytes(confState: ConfState): number {
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  return 16 + 8 * (voters.length + votersOutgoing.length + learners.length + learnersNext.length);
}

/** Everything about a partition that is not entries. */
export interface PartitionState {
  readonly replicaId: ReplicaId;
  readonly hardState: HardState;
  readonly trimPoint: Lsn;
  readonly trimTerm: Term;
  readonly confState: ConfState;
  readonly lastLsn: Lsn;
  readonly lastTerm: Term;
}

export interface SegmentStart {
  readonly sequence: number;
  /** The end of the segment before: all of it must be there. Zeros in the first segment. */
  readonly previous: { readonly id: SegmentId; readonly lastGroup: number; readonly endOffset: number };
  readonly partitions: number;
}

/** Body sizes of the frames of fixed size, and the fixed parts of the others. */
export const bodyBytes = {
  segmentStart: 32,
  partitionState: (confState: ConfState): number => 64 + confStateBytes(confState),
  hardState: 24,
  trimPoint: (confState: ConfState): number => 16 + confStateBytes(confState),
  created: (confState: ConfState): number => 8 + confStateBytes(confState),
  removed: 0,
  reset: (confState: ConfState): number => 40 + confStateBytes(confState),
  groupEnd: 24,
} as const;

export function writeUint64(target: Buffer, value: number, offset: number): number {
  assert(Number.isSafeInteger(value) && value >= 0, () => `number on disk: ${value} is not in [0, 2^53)`);
  target.writeUInt32LE(value >>> 0, offset);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), offset + 4);
  return offset + 8;
}

/** NaN when the number is not a safe integer. */
export function readUint64(source: Buffer, offset: number): number {
  const high = source.readUInt32LE(offset + 4);
  // A product with 2^32 is a floating-point number for V8 also when it is 0, and so is everything that is read from here on
  // and goes into messages: each of them then has another shape than those of a replica that was never restarted.
  if (high === 0) return source.readUInt32LE(offset);
  return high < 0x20_0000 ? high * 0x1_0000_0000 + source.readUInt32LE(offset) : Number.NaN;
}

export function writeHardState(target: Buffer, { term, vote, commit }: HardState, offset: number): number {
  return writeUint64(target, commit, writeUint64(target, vote, writeUint64(target, term, offset)));
}

export function writeConfState(target: Buffer, confState: ConfState, offset: number): number {
  const lists = [confState.voters, confState.votersOutgoing, confState.learners, confState.learnersNext];
  let at = offset;
  for (const list of lists) at = target.writeUInt16LE(list.length, at);
  at = target.writeUInt32LE(confState.autoLeave ? 1 : 0, at);
  at = target.writeUInt32LE(0, at);
  for (const list of lists) for (const id of list) at = writeUint64(target, id, at);
  return at;
}

/** A frame whose checksum is right; the body still lies in `source`. */
export interface RawFrame {
  readonly source: Buffer;
  readonly offset: number;
  readonly type: number;
  readonly kind: number;
  readonly partition: number;
  readonly group: number;
  readonly crc: number;
  readonly bodyOffset: number;
  readonly bodyLength: number;
  readonly endOffset: number;
}

/** The frame at `offset`, or undefined when no intact frame of this segment lies there. */
export function readFrame(source: Buffer, offset: number, id: SegmentId, crc32: Crc32): RawFrame | undefined {
  if (offset + frameHeaderBytes > source.length) return undefined;
  if (source.readUInt32LE(offset + 20) !== id.tag) return undefined;
  const bodyLength = source.readUInt32LE(offset + 4);
  const bodyOffset = offset + frameHeaderBytes;
  if (bodyLength > source.length - bodyOffset) return undefined;
  const bodyEnd = bodyOffset + bodyLength;
  const crc = source.readUInt32LE(offset);
  if (crc32(source.subarray(offset + 4, bodyEnd), id.seed) !== crc) return undefined;
  const endOffset = (bodyEnd + 7) & ~7;
  if (endOffset > source.length) return undefined;
  for (let at = bodyEnd; at < endOffset; at++) if (source[at] !== 0) return undefined;
  if (source.readUInt16LE(offset + 10) !== 0) return undefined;
  return {
    source,
    offset,
    type: source.readUInt8(offset + 8),
    kind: source.readUInt8(offset + 9),
    partition: source.readUInt32LE(offset + 12),
    group: source.readUInt32LE(offset + 16),
    crc,
    bodyOffset,
    bodyLength,
    endOffset,
  };
}

/** What a body says. Decoders answer undefined for a body that no version of this code writes. */
export interface EntryHead {
  readonly lsn: Lsn;
  readonly term: Term;
  readonly commit: Lsn;
  readonly kind: EntryKind;
  readonly dataOffset: number;
  readonly dataBytes: number;
}

export function decodeEntryHead({ source, bodyOffset, bodyLength, kind }: RawFrame): EntryHead | undefined {
  if (bodyLength < entryBodyBytes || kind > 2) return undefined;
  const lsn = readUint64(source, bodyOffset);
  const term = readUint64(source, bodyOffset + 8);
  const commit = readUint64(source, bodyOffset + 16);
  if (!(lsn >= 1 && term >= 0 && commit <= lsn)) return undefined;
  return {
    lsn: asLsn(lsn),
    term: asTerm(term),
    commit: asLsn(commit),
    kind: kind as EntryKind,
    dataOffset: bodyOffset + entryBodyBytes,
    dataBytes: bodyLength - entryBodyBytes,
  };
}

/** Reads a body field by field; `complete` when every field was in range and nothing is left over. */
class BodyReader {
  private readonly frame: RawFrame;
  private at: number;
  private broken = false;

  constructor(frame: RawFrame) {
    this.frame = frame;
    this.at = frame.bodyOffset;
  }

  get complete(): boolean {
    return !this.broken && this.at === this.frame.bodyOffset + this.frame.bodyLength;
  }

  uint64(): number {
    const value = this.has(8) ? readUint64(this.frame.source, this.at) : Number.NaN;
    this.at += 8;
    if (Number.isNaN(value)) this.broken = true;
    return value;
  }

  uint32(): number {
    const value = this.has(4) ? this.frame.source.readUInt32LE(this.at) : 0;
    this.at += 4;
    return value;
  }

  uint16(): number {
    const value = this.has(2) ? this.frame.source.readUInt16LE(this.at) : 0;
    this.at += 2;
    return value;
  }

  segmentId(): SegmentId {
    return { seed: this.uint32(), tag: this.uint32() };
  }

  hardState(): HardState {
    return { term: asTerm(this.uint64()), vote: asReplicaId(this.uint64()), commit: asLsn(this.uint64()) };
  }

  confState(): ConfState {
    const lengths = [this.uint16(), this.uint16(), this.uint16(), this.uint16()] as const;
    const autoLeave = this.uint32();
    if (autoLeave > 1 || this.uint32() !== 0) this.broken = true;
    const list = (length: number): ReplicaId[] => {
      if (!this.has(8 * length)) return [];
      return Array.from({ length }, () => asReplicaId(this.uint64()));
    };
    return {
      voters: list(lengths[0]),
      votersOutgoing: list(lengths[1]),
      learners: list(lengths[2]),
      learnersNext: list(lengths[3]),
      autoLeave: autoLeave === 1,
    };
  }

  private has(bytes: number): boolean {
    const there = this.at + bytes <= this.frame.bodyOffset + this.frame.bodyLength;
    if (!there) this.broken = true;
    return there;
  }
}

function decoder<Body>(read: (reader: BodyReader) => Body): (frame: RawFrame) => Body | undefined {
  return (frame) => {
    const reader = new BodyReader(frame);
    const body = read(reader);
    return reader.complete ? body : undefined;
  };
}

export const decodeHardState = decoder((reader) => reader.hardState());

export const decodeTrimPoint = decoder((reader) => ({
  lsn: asLsn(reader.uint64()),
  term: asTerm(reader.uint64()),
  confState: reader.confState(),
}));

export const decodeCreated = decoder((reader) => ({
  replicaId: asReplicaId(reader.uint64()),
  confState: reader.confState(),
}));

export const decodeReset = decoder((reader) => ({
  lsn: asLsn(reader.uint64()),
  term: asTerm(reader.uint64()),
  hardState: reader.hardState(),
  confState: reader.confState(),
}));

export const decodePartitionState = decoder((reader): PartitionState => ({
  replicaId: asReplicaId(reader.uint64()),
  hardState: reader.hardState(),
  trimPoint: asLsn(reader.uint64()),
  trimTerm: asTerm(reader.uint64()),
  lastLsn: asLsn(reader.uint64()),
  lastTerm: asTerm(reader.uint64()),
  confState: reader.confState(),
}));

export const decodeSegmentStart = decoder((reader): SegmentStart => {
  const sequence = reader.uint64();
  const previous = { id: reader.segmentId(), lastGroup: reader.uint32(), endOffset: reader.uint32() };
  const partitions = reader.uint32();
  reader.uint32();
  return { sequence, previous, partitions };
});

export interface GroupEnd {
  readonly id: SegmentId;
  readonly bytes: number;
  readonly frames: number;
  readonly crc: number;
}

export const decodeGroupEnd = decoder((reader): GroupEnd => {
  const id = reader.segmentId();
  const end = { id, bytes: reader.uint32(), frames: reader.uint32(), crc: reader.uint32() };
  reader.uint32();
  return end;
});
