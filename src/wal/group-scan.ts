/** Finds commit groups in the bytes of a segment. Pure. */
import type { Crc32 } from '../base/ports/environment.js';
import { decodeGroupEnd, frameHeaderBytes, FrameType, readFrame, type RawFrame, type SegmentId } from './frame.js';

export interface ScannedGroup {
  readonly frames: readonly RawFrame[];
  readonly endOffset: number;
}

/**
 * The commit group `number` at `offset`, or where it stops being one: the first frame that is not intact or does not
 * belong to it.
 */
export function scanGroup(
  source: Buffer,
  offset: number,
  number: number,
  id: SegmentId,
  crc32: Crc32,
): ScannedGroup | { readonly damagedAt: number } {
  const frames: RawFrame[] = [];
  let at = offset;
  for (;;) {
    const frame = readFrame(source, at, id, crc32);
    if (frame === undefined || frame.group !== number) return { damagedAt: at };
    if (frame.type === FrameType.groupEnd) {
      const complete = groupEndFits(frame, frames, at - offset, id, crc32);
      return complete ? { frames, endOffset: frame.endOffset } : { damagedAt: at };
    }
    frames.push(frame);
    at = frame.endOffset;
  }
}

function groupEndFits(
  frame: RawFrame,
  frames: readonly RawFrame[],
  groupBytes: number,
  id: SegmentId,
  crc32: Crc32,
): boolean {
  const end = decodeGroupEnd(frame);
  if (end === undefined || end.id.seed !== id.seed || end.id.tag !== id.tag) return false;
  if (end.frames !== frames.length || end.bytes !== groupBytes) return false;
  const crcs = Buffer.allocUnsafe(4 * frames.length);
  frames.forEach(({ crc }, index) => crcs.writeUInt32LE(crc, 4 * index));
  return crc32(crcs, id.seed) === end.crc;
}

/**
 * The first intact frame at or after `offset` that belongs to a later group than `number`: proof that the group `number`
 * was synced, because no byte of a group is written before the sync of the group before it returned.
 *
 * The search needs no frame boundaries: every frame header carries the segment's random tag.
 */
export function findLaterGroup(
  source: Buffer,
  offset: number,
  number: number,
  id: SegmentId,
  crc32: Crc32,
): RawFrame | undefined {
  for (const at of frameCandidates(source, offset, id)) {
    const group = source.readUInt32LE(at + 16);
    if (group <= number) continue;
    const frame = readFrame(source, at, id, crc32);
    if (frame !== undefined) return frame;
  }
  return undefined;
}

/** Whether anything at or after `offset` could be the header of a frame of this segment. */
export function holdsFrameRemains(source: Buffer, offset: number, id: SegmentId): boolean {
  return frameCandidates(source, offset, id).next().done !== true;
}

function* frameCandidates(source: Buffer, offset: number, id: SegmentId): Generator<number, void> {
  const tag = Buffer.allocUnsafe(4);
  tag.writeUInt32LE(id.tag);
  const tagOffset = 20;
  let found = source.indexOf(tag, offset + tagOffset);
  while (found !== -1) {
    const at = found - tagOffset;
    if (at % 8 === 0 && at + frameHeaderBytes <= source.length) yield at;
    found = source.indexOf(tag, found + 1);
  }
}
