/** The parts of a segment file that are not frames: header block and footer. docs/formats/wal.md draws the whole file. */
import { asPartitionId } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import { readUint64, writeUint64, type SegmentId } from './frame.js';
import { SegmentSection, type SegmentIndex } from './segment-index.js';

export const segmentFormatVersion = 1;

/**
 * ```
 * header block, 4096 bytes, written and synced before the file gets its name, never changed afterwards:
 *   0 magic "LOGBOOMW" | 8 version u32 | 12 block size u32 | 16 segment size u64 | 24 sequence u64
 *   32 segment id: seed u32, tag u32 | 40 made at u64 (ms since the epoch) | 48 zeros | 4092 CRC-32 of bytes 0..4091 u32
 * ```
 */
export const headerBlockBytes = 4096;

/**
 * ```
 * footer of a sealed segment: sections, then a trailer of 64 bytes that ends with the file:
 *   section  0 partition u32 | 4 forgets u32 | 8 first lsn u64 | 16 entries u32 | 20 term runs u32
 *            24 CRC-32 of the positions u32 | 28 zeros | 32 (from lsn u64, term u64) ...
 *            positions: (frame offset / 8) u32 ... | data bytes u32 ...
 *   trailer  0 magic "LBWINDEX" | 8 segment id: seed u32, tag u32 | 16 bytes of sections u32 | 20 sections u32
 *            24 last group u32 | 28 end of the last group u32 | 32 CRC-32 of the sections u32 | 36 zeros
 *            60 CRC-32 of bytes 0..59 u32                                     both CRCs seeded with the segment's seed
 * ```
 */
export const trailerBytes = 64;

const headerMagic = 'LOGBOOMW';
const trailerMagic = 'LBWINDEX';

export interface SegmentHeader {
  readonly version: number;
  readonly segmentBytes: number;
  readonly sequence: number;
  readonly id: SegmentId;
  readonly madeAtMs: number;
}

export function encodeHeaderBlock(header: Omit<SegmentHeader, 'version'>, crc32: Crc32): Buffer {
  const block = Buffer.alloc(headerBlockBytes);
  let at = block.write(headerMagic, 0, 'latin1');
  at = block.writeUInt32LE(segmentFormatVersion, at);
  at = block.writeUInt32LE(headerBlockBytes, at);
  at = writeUint64(block, header.segmentBytes, at);
  at = writeUint64(block, header.sequence, at);
  at = block.writeUInt32LE(header.id.seed, at);
  at = block.writeUInt32LE(header.id.tag, at);
  writeUint64(block, header.madeAtMs, at);
  block.writeUInt32LE(crc32(block.subarray(0, -4)), headerBlockBytes - 4);
  return block;
}

/** Undefined when the block is damaged. The version is the caller's to judge; other versions have the same first 48 bytes. */
export function decodeHeaderBlock(block: Buffer, crc32: Crc32): SegmentHeader | undefined {
  if (block.length !== headerBlockBytes || block.toString('latin1', 0, 8) !== headerMagic) return undefined;
  if (block.readUInt32LE(headerBlockBytes - 4) !== crc32(block.subarray(0, -4))) return undefined;
  return {
    version: block.readUInt32LE(8),
    segmentBytes: readUint64(block, 16),
    sequence: readUint64(block, 24),
    id: { seed: block.readUInt32LE(32), tag: block.readUInt32LE(36) },
    madeAtMs: readUint64(block, 40),
  };
}

export interface FooterTrailer {
  readonly sectionsBytes: number;
  readonly sections: number;
  readonly lastGroup: number;
  readonly endOffset: number;
  readonly sectionsCrc: number;
}

/** Sections and trailer; belongs at the very end of the file. */
export function encodeFooter(
  index: SegmentIndex,
  end: { readonly lastGroup: number; readonly endOffset: number },
  id: SegmentId,
  crc32: Crc32,
): Buffer {
  let sectionsBytes = 0;
  for (const section of index.values()) sectionsBytes += section.encodedBytes;
  const footer = Buffer.alloc(sectionsBytes + trailerBytes);
  let at = 0;
  for (const [partition, section] of index) at = section.encode(partition, footer, at, crc32);
  const trailer = footer.subarray(sectionsBytes);
  at = trailer.write(trailerMagic, 0, 'latin1');
  at = trailer.writeUInt32LE(id.seed, at);
  at = trailer.writeUInt32LE(id.tag, at);
  at = trailer.writeUInt32LE(sectionsBytes, at);
  at = trailer.writeUInt32LE(index.size, at);
  at = trailer.writeUInt32LE(end.lastGroup, at);
  at = trailer.writeUInt32LE(end.endOffset, at);
  trailer.writeUInt32LE(crc32(footer.subarray(0, sectionsBytes), id.seed), at);
  trailer.writeUInt32LE(crc32(trailer.subarray(0, -4), id.seed), trailerBytes - 4);
  return footer;
}

/** Undefined when the segment was not sealed, or its trailer is damaged or a former use's. */
export function decodeTrailer(trailer: Buffer, id: SegmentId, crc32: Crc32): FooterTrailer | undefined {
  if (trailer.length !== trailerBytes || trailer.toString('latin1', 0, 8) !== trailerMagic) return undefined;
  if (trailer.readUInt32LE(8) !== id.seed || trailer.readUInt32LE(12) !== id.tag) return undefined;
  if (trailer.readUInt32LE(trailerBytes - 4) !== crc32(trailer.subarray(0, -4), id.seed)) return undefined;
  return {
    sectionsBytes: trailer.readUInt32LE(16),
    sections: trailer.readUInt32LE(20),
    lastGroup: trailer.readUInt32LE(24),
    endOffset: trailer.readUInt32LE(28),
    sectionsCrc: trailer.readUInt32LE(32),
  };
}

/** Undefined when the sections are damaged. */
export function decodeSections(
  bytes: Buffer,
  trailer: FooterTrailer,
  id: SegmentId,
  crc32: Crc32,
): SegmentIndex | undefined {
  if (bytes.length !== trailer.sectionsBytes || crc32(bytes, id.seed) !== trailer.sectionsCrc) return undefined;
  const index: SegmentIndex = new Map();
  let at = 0;
  while (at < bytes.length) {
    const decoded = SegmentSection.decode(bytes, at);
    if (decoded === undefined) return undefined;
    index.set(asPartitionId(decoded.partition), decoded.section);
    at = decoded.end;
  }
  return index.size === trailer.sections ? index : undefined;
}
