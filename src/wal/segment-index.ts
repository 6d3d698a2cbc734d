/**
 * What the entries of one segment amount to, partition by partition: kept while the segment is written, stored as its
 * footer when it is sealed, and made again from its frames when the footer is damaged.
 */
import { assert } from '../base/assert.js';
import { asLsn, asPartitionId, asTerm, type Lsn, type PartitionId, type Term } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import { readUint64, writeUint64 } from './frame.js';

export interface TermRun {
  readonly from: Lsn;
  readonly term: Term;
}

/** Bytes that a partition, a term run and an entry add to a footer. */
export const sectionHeadBytes = 32;
export const termRunBytes = 16;
export const entryPositionBytes = 8;

/**
 * One partition's entries in a segment: those that no later frame of the same segment replaced. They are contiguous and
 * start at the lowest LSN ever written here, so whatever an earlier segment holds from `first` on is replaced.
 */
export class SegmentSection {
  first = asLsn(0);
  count = 0;
  /** True when frames of this segment made everything before them void: partition removed or created, log reset. */
  forgets = false;
  termRuns: TermRun[] = [];
  /** Where the positions lie in the segment file, once its footer is durable: from then on they can leave memory. */
  storedAt: number | undefined;
  private positions: Positions | undefined = newPositions(8);
  /** Where the last encoding put the positions, from the start of the footer. */
  private encodedAt = 0;
  private storedCrc = 0;

  get last(): Lsn {
    return asLsn(this.first + this.count - 1);
  }

  /** Whether `offsetOf` and `dataBytesOf` can be asked. */
  get resident(): boolean {
    return this.positions !== undefined;
  }

  get positionBytes(): number {
    return entryPositionBytes * this.count;
  }

  offsetOf(lsn: Lsn): number {
    return 8 * (this.present.offsets[this.slot(lsn)] as number);
  }

  dataBytesOf(lsn: Lsn): number {
    return this.present.dataSizes[this.slot(lsn)] as number;
  }

  append(lsn: Lsn, term: Term, offset: number, dataBytes: number): void {
    if (this.count === 0 || lsn <= this.first) this.restart(lsn);
    else this.cut(lsn);
    if (this.count === this.present.offsets.length) this.resize(2 * this.count);
    this.present.offsets[this.count] = offset / 8;
    this.present.dataSizes[this.count] = dataBytes;
    this.count++;
    if (this.termRuns.at(-1)?.term !== term) this.termRuns.push({ from: lsn, term });
  }

  forget(): void {
    this.forgets = true;
    this.restart(asLsn(0));
  }

  /** Gives up spare room; nothing is appended to a sealed segment. */
  seal(): void {
    this.resize(this.count);
  }

  /** The footer that was encoded last is durable, and begins at this offset. */
  markStored(footerOffset: number): void {
    this.storedAt = footerOffset + this.encodedAt;
  }

  evict(): void {
    assert(this.storedAt !== undefined, () => 'segment index: positions that are stored nowhere');
    this.positions = undefined;
  }

  /** Takes positions read back from `storedAt`; false when they are damaged. */
  restore(bytes: Buffer, crc32: Crc32): boolean {
    if (bytes.length !== this.positionBytes || crc32(bytes) !== this.storedCrc) return false;
    this.positions = decodePositions(bytes, 0, this.count);
    return true;
  }

  get encodedBytes(): number {
    return sectionHeadBytes + termRunBytes * this.termRuns.length + entryPositionBytes * this.count;
  }

  encode(partition: PartitionId, target: Buffer, start: number, crc32: Crc32): number {
    const { offsets, dataSizes } = this.present;
    let at = start + sectionHeadBytes;
    for (const run of this.termRuns) at = writeUint64(target, run.term, writeUint64(target, run.from, at));
    this.encodedAt = at;
    for (let slot = 0; slot < this.count; slot++) at = target.writeUInt32LE(offsets[slot] as number, at);
    for (let slot = 0; slot < this.count; slot++) at = target.writeUInt32LE(dataSizes[slot] as number, at);
    this.storedCrc = crc32(target.subarray(this.encodedAt, at));
    let head = target.writeUInt32LE(partition, start);
    head = target.writeUInt32LE(this.forgets ? 1 : 0, head);
    head = writeUint64(target, this.first, head);
    head = target.writeUInt32LE(this.count, head);
    head = target.writeUInt32LE(this.termRuns.length, head);
    head = target.writeUInt32LE(this.storedCrc, head);
    target.writeUInt32LE(0, head);
    return at;
  }

  /** Undefined when the bytes are no section. Their checksum is the caller's to verify. */
  static decode(
    source: Buffer,
    start: number,
  ): { partition: PartitionId; section: SegmentSection; end: number } | undefined {
    if (start + sectionHeadBytes > source.length) return undefined;
    const section = new SegmentSection();
    const partition = asPartitionId(source.readUInt32LE(start));
    section.forgets = source.readUInt32LE(start + 4) === 1;
    section.first = asLsn(readUint64(source, start + 8));
    section.count = source.readUInt32LE(start + 16);
    const runs = source.readUInt32LE(start + 20);
    section.storedCrc = source.readUInt32LE(start + 24);
    let at = start + sectionHeadBytes;
    const end = at + termRunBytes * runs + entryPositionBytes * section.count;
    if (end > source.length || Number.isNaN(section.first)) return undefined;
    for (let run = 0; run < runs; run++, at += termRunBytes) {
      const [from, term] = [readUint64(source, at), readUint64(source, at + 8)];
      if (Number.isNaN(from + term)) return undefined;
      section.termRuns.push({ from: asLsn(from), term: asTerm(term) });
    }
    section.encodedAt = at;
    section.positions = decodePositions(source, at, section.count);
    return { partition, section, end };
  }

  private get present(): Positions {
    const { positions } = this;
    assert(
      positions !== undefined,
      () => `segment index: positions of [${this.first}, ${this.last}] are not in memory`,
    );
    return positions;
  }

  private slot(lsn: Lsn): number {
    const slot = lsn - this.first;
    assert(slot >= 0 && slot < this.count, () => `segment index: LSN ${lsn} not in [${this.first}, ${this.last}]`);
    return slot;
  }

  private restart(first: Lsn): void {
    this.first = first;
    this.count = 0;
    this.termRuns = [];
  }

  private cut(from: Lsn): void {
    assert(from <= this.last + 1, () => `segment index: LSN ${from} after ${this.last}`);
    this.count = from - this.first;
    while ((this.termRuns.at(-1)?.from ?? 0) >= from) this.termRuns.pop();
  }

  private resize(length: number): void {
    const resized = newPositions(Math.max(length, 1));
    resized.offsets.set(this.present.offsets.subarray(0, this.count));
    resized.dataSizes.set(this.present.dataSizes.subarray(0, this.count));
    this.positions = resized;
  }
}

/** Offset of each entry's frame, in units of 8 bytes, and the size of its data. */
interface Positions {
  readonly offsets: Uint32Array;
  readonly dataSizes: Uint32Array;
}

function newPositions(length: number): Positions {
  return { offsets: new Uint32Array(length), dataSizes: new Uint32Array(length) };
}

function decodePositions(source: Buffer, start: number, count: number): Positions {
  const positions = newPositions(Math.max(count, 1));
  for (let slot = 0; slot < count; slot++) {
    positions.offsets[slot] = source.readUInt32LE(start + 4 * slot);
    positions.dataSizes[slot] = source.readUInt32LE(start + 4 * (count + slot));
  }
  return positions;
}

/** The sections of a segment, by partition. */
export type SegmentIndex = Map<PartitionId, SegmentSection>;

export function sectionOf(index: SegmentIndex, partition: PartitionId): SegmentSection {
  let section = index.get(partition);
  if (section === undefined) {
    section = new SegmentSection();
    index.set(partition, section);
  }
  return section;
}

/**
 * Bounds the memory that positions of sealed segments take, least recently used out first; they are read back from the
 * footer when they are needed. Those of the segment being written, and of the few whose footer is on its way, come on top.
 */
export class PositionMemory {
  private readonly maxBytes: number;
  private usedBytes = 0;
  /** In the order of their last use. */
  private readonly sections = new Set<SegmentSection>();

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.usedBytes;
  }

  /** The section's positions are in memory, stored, and in use now. */
  touch(section: SegmentSection): void {
    if (section.storedAt === undefined) return;
    if (!this.sections.delete(section)) this.usedBytes += section.positionBytes;
    this.sections.add(section);
    for (const oldest of this.sections) {
      if (this.usedBytes <= this.maxBytes || oldest === section) break;
      this.forget(oldest);
      oldest.evict();
    }
  }

  /** The section is gone with its segment. */
  forget(section: SegmentSection): void {
    if (this.sections.delete(section)) this.usedBytes -= section.positionBytes;
  }
}
