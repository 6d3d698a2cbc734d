/** Encodes one commit group: frames, and the group end that makes them count. */
import { assert } from '../base/assert.js';
import type { Lsn, PartitionId, ReplicaId } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { Entry, HardState, LogStart } from '../raft/types.js';
import {
  bodyBytes,
  entryBodyBytes,
  frameBytes,
  frameHeaderBytes,
  FrameType,
  writeConfState,
  writeHardState,
  writeUint64,
  type PartitionState,
  type SegmentId,
  type SegmentStart,
} from './frame.js';

/** Data up to this size is copied beside its header: cheaper than one more part of the vectored write. */
export const copiedDataBytesMax = 8 * 1024;

const zeros = new Uint8Array(8);

/** What the group needs of the arena for an entry. */
export function arenaBytesOfEntry(dataBytes: number): number {
  return dataBytes <= copiedDataBytesMax ? frameBytes(entryBodyBytes + dataBytes) : frameHeaderBytes + entryBodyBytes;
}

/**
 * One use encodes one group. The headers and small data go into `arena`, large data is referred to: neither may change
 * until the group is written.
 */
export class GroupEncoder {
  private readonly crc32: Crc32;
  private readonly id: SegmentId;
  private readonly group: number;
  private readonly arena: Buffer;
  private arenaUsed = 0;
  /** Start of the arena's bytes that are not in `parts` yet. */
  private arenaTaken = 0;
  private readonly parts: Uint8Array[] = [];
  private readonly crcs: number[] = [];
  private bytes = 0;

  constructor(crc32: Crc32, id: SegmentId, group: number, arena: Buffer) {
    this.crc32 = crc32;
    this.id = id;
    this.group = group;
    this.arena = arena;
  }

  /** Answers where the frame begins, from the start of the group. */
  entry(partition: PartitionId, entry: Entry, commit: Lsn): number {
    const { data } = entry;
    const offset = this.bytes;
    const length = entryBodyBytes + data.length;
    const header = this.reserve(frameHeaderBytes + entryBodyBytes);
    this.writeHeader(header, FrameType.entry, entry.kind, partition, length);
    const body = header + frameHeaderBytes;
    const { arena } = this;
    writeUint64(arena, commit, writeUint64(arena, entry.term, writeUint64(arena, entry.lsn, body)));
    const padding = frameBytes(length) - frameHeaderBytes - length;
    if (data.length <= copiedDataBytesMax) {
      const copy = this.reserve(data.length + padding);
      arena.set(data, copy);
      arena.fill(0, copy + data.length, copy + data.length + padding);
      this.writeCrc(header, this.crc32(arena.subarray(header + 4, copy + data.length), this.id.seed));
    } else {
      const headerCrc = this.crc32(arena.subarray(header + 4, body + entryBodyBytes), this.id.seed);
      this.writeCrc(header, this.crc32(data, headerCrc));
      this.takeArena();
      this.parts.push(data);
      this.bytes += data.length;
      if (padding > 0) {
        this.parts.push(zeros.subarray(0, padding));
        this.bytes += padding;
      }
    }
    return offset;
  }

  hardState(partition: PartitionId, hardState: HardState): void {
    this.frame(FrameType.hardState, partition, bodyBytes.hardState, (at) => writeHardState(this.arena, hardState, at));
  }

  trimPoint(partition: PartitionId, { lsn, term, confState }: LogStart): void {
    this.frame(FrameType.trimPoint, partition, bodyBytes.trimPoint(confState), (at) =>
      writeConfState(this.arena, confState, writeUint64(this.arena, term, writeUint64(this.arena, lsn, at))),
    );
  }

  created(partition: PartitionId, replicaId: ReplicaId, confState: LogStart['confState']): void {
    this.frame(FrameType.created, partition, bodyBytes.created(confState), (at) =>
      writeConfState(this.arena, confState, writeUint64(this.arena, replicaId, at)),
    );
  }

  removed(partition: PartitionId): void {
    this.frame(FrameType.removed, partition, bodyBytes.removed, (at) => at);
  }

  reset(partition: PartitionId, { lsn, term, confState }: LogStart, hardState: HardState): void {
    this.frame(FrameType.reset, partition, bodyBytes.reset(confState), (start) => {
      const at = writeUint64(this.arena, term, writeUint64(this.arena, lsn, start));
      return writeConfState(this.arena, confState, writeHardState(this.arena, hardState, at));
    });
  }

  partitionState(partition: PartitionId, state: PartitionState): void {
    this.frame(FrameType.partitionState, partition, bodyBytes.partitionState(state.confState), (start) => {
      let at = writeHardState(this.arena, state.hardState, writeUint64(this.arena, state.replicaId, start));
      for (const value of [state.trimPoint, state.trimTerm, state.lastLsn, state.lastTerm]) {
        at = writeUint64(this.arena, value, at);
      }
      return writeConfState(this.arena, state.confState, at);
    });
  }

  segmentStart({ sequence, previous, partitions }: SegmentStart): void {
    this.frame(FrameType.segmentStart, 0, bodyBytes.segmentStart, (start) => {
      let at = writeUint64(this.arena, sequence, start);
      at = this.arena.writeUInt32LE(previous.id.seed, at);
      at = this.arena.writeUInt32LE(previous.id.tag, at);
      at = this.arena.writeUInt32LE(previous.lastGroup, at);
      at = this.arena.writeUInt32LE(previous.endOffset, at);
      at = this.arena.writeUInt32LE(partitions, at);
      return this.arena.writeUInt32LE(0, at);
    });
  }

  /** Ends the group; the encoder is used up. */
  end(): { parts: readonly Uint8Array[]; bytes: number } {
    const crcs = Buffer.allocUnsafe(4 * this.crcs.length);
    this.crcs.forEach((crc, index) => crcs.writeUInt32LE(crc, 4 * index));
    const { bytes } = this;
    this.frame(FrameType.groupEnd, 0, bodyBytes.groupEnd, (start) => {
      let at = this.arena.writeUInt32LE(this.id.seed, start);
      at = this.arena.writeUInt32LE(this.id.tag, at);
      at = this.arena.writeUInt32LE(bytes, at);
      at = this.arena.writeUInt32LE(crcs.length / 4, at);
      at = this.arena.writeUInt32LE(this.crc32(crcs, this.id.seed), at);
      return this.arena.writeUInt32LE(0, at);
    });
    this.takeArena();
    return { parts: this.parts, bytes: this.bytes };
  }

  private frame(type: FrameType, partition: number, length: number, writeBody: (at: number) => number): void {
    const header = this.reserve(frameBytes(length));
    const end = header + frameHeaderBytes + length;
    this.writeHeader(header, type, 0, partition, length);
    const written = writeBody(header + frameHeaderBytes);
    assert(written === end, () => `frame of type ${type}: body of ${written - end + length} bytes, not ${length}`);
    this.arena.fill(0, end, this.arenaUsed);
    this.writeCrc(header, this.crc32(this.arena.subarray(header + 4, end), this.id.seed));
  }

  private reserve(bytes: number): number {
    const at = this.arenaUsed;
    this.arenaUsed += bytes;
    this.bytes += bytes;
    assert(this.arenaUsed <= this.arena.length, () => `arena: ${this.arenaUsed} of ${this.arena.length} bytes`);
    return at;
  }

  private writeHeader(at: number, type: FrameType, kind: number, partition: number, length: number): void {
    const { arena } = this;
    arena.writeUInt32LE(length, at + 4);
    arena.writeUInt8(type, at + 8);
    arena.writeUInt8(kind, at + 9);
    arena.writeUInt16LE(0, at + 10);
    arena.writeUInt32LE(partition, at + 12);
    arena.writeUInt32LE(this.group, at + 16);
    arena.writeUInt32LE(this.id.tag, at + 20);
  }

  private writeCrc(at: number, crc: number): void {
    this.arena.writeUInt32LE(crc, at);
    this.crcs.push(crc);
  }

  private takeArena(): void {
    if (this.arenaTaken < this.arenaUsed) this.parts.push(this.arena.subarray(this.arenaTaken, this.arenaUsed));
    this.arenaTaken = this.arenaUsed;
  }
}
