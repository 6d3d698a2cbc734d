/** Reads entries back from segment files, checking every frame. */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import { asLsn, type Lsn, type PartitionId } from '../base/ids.js';
import { isDiskError } from '../base/ports/disk.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { Entry } from '../raft/types.js';
import type { EntryIndex, EntryPosition } from './entry-index.js';
import { decodeEntryHead, entryFrameBytes, FrameType, readFrame } from './frame.js';
import type { WalMetrics } from './metrics.js';
import type { OpenSegments, Segment } from './segment.js';
import type { PositionMemory, SegmentSection } from './segment-index.js';

/** Frames of other partitions between two wanted ones are read along up to this size: cheaper than another read. */
const gapBytesMax = 16 * 1024;
const spanBytesMax = 4 * 1024 * 1024;
/** Reads of one call; what is not read is left to the next call. */
const spansMax = 256;
/** Smaller data is copied out of the span, so that one small entry does not keep a large buffer alive. */
const copiedBytesMax = 16 * 1024;

interface Span {
  readonly segment: Segment;
  readonly offset: number;
  endOffset: number;
  readonly entries: { readonly lsn: Lsn; readonly offset: number; readonly dataBytes: number }[];
}

export class EntryReader {
  private readonly crc32: Crc32;
  private readonly openSegments: OpenSegments;
  private readonly positions: PositionMemory;
  private readonly metrics: WalMetrics;

  constructor(crc32: Crc32, openSegments: OpenSegments, positions: PositionMemory, metrics: WalMetrics) {
    this.crc32 = crc32;
    this.openSegments = openSegments;
    this.positions = positions;
    this.metrics = metrics;
  }

  /**
   * Brings the positions of a sealed segment back into memory.
   *
   * @throws LogboomError DATA_CORRUPT naming file and offset
   */
  async loadPositions(partition: PartitionId, segment: Segment, section: SegmentSection): Promise<void> {
    const { storedAt } = section;
    assert(storedAt !== undefined, () => `${segment.path}: positions of partition ${partition} are nowhere`);
    const bytes = Buffer.allocUnsafeSlow(section.positionBytes);
    await this.readBytes(segment, bytes, storedAt, { partition, lsn: section.first });
    if (!section.restore(bytes, this.crc32)) {
      throw damaged(
        segment,
        storedAt,
        { partition, lsn: section.first },
        'the index is damaged; a restart makes it again',
      );
    }
    this.positions.touch(section);
  }

  /**
   * Entries of [from, to), cut at `maxBytes` of data, at least one, and where positions are not in memory. All of them
   * must be in the index, the position of the first one in memory.
   *
   * @throws LogboomError DATA_CORRUPT naming file and offset
   */
  async read(
    partition: PartitionId,
    index: EntryIndex,
    range: { readonly from: Lsn; readonly to: Lsn; readonly maxBytes: number },
  ): Promise<Entry[]> {
    const spans = planSpans(index, range);
    this.positions.touch(index.sectionOf(range.from).section);
    // No segment may be recycled until all is read, whatever happens to the index meanwhile.
    for (const { segment } of spans) segment.users++;
    try {
      const entries: Entry[] = [];
      for (const span of spans) entries.push(...(await this.readSpan(partition, span)));
      return entries;
    } finally {
      for (const { segment } of spans) segment.users--;
    }
  }

  private async readSpan(partition: PartitionId, span: Span): Promise<Entry[]> {
    const { segment } = span;
    const bytes = Buffer.allocUnsafeSlow(span.endOffset - span.offset);
    await this.readBytes(segment, bytes, span.offset, { partition, lsn: span.entries[0]?.lsn ?? asLsn(0) });
    return span.entries.map(({ lsn, offset, dataBytes }) => {
      const frame = readFrame(bytes, offset - span.offset, segment.id, this.crc32);
      const head =
        frame?.type === FrameType.entry && frame.partition === partition ? decodeEntryHead(frame) : undefined;
      if (head?.lsn !== lsn || head.dataBytes !== dataBytes) {
        throw damaged(segment, offset, { partition, lsn }, 'its frame is not intact');
      }
      const data = bytes.subarray(head.dataOffset, head.dataOffset + dataBytes);
      return {
        term: head.term,
        lsn,
        kind: head.kind,
        data: dataBytes <= copiedBytesMax ? Uint8Array.from(data) : plainView(data),
      };
    });
  }

  private async readBytes(segment: Segment, target: Buffer, offset: number, what: Wanted): Promise<void> {
    try {
      await this.openSegments.with(segment, (file) => file.read(target, offset));
    } catch (error) {
      if (!isDiskError(error)) throw error;
      throw damaged(segment, offset, what, `it cannot be read: ${error.message}`, error);
    }
    this.metrics.readBytes.add(target.length);
  }
}

/** Not a Buffer, whose `slice` means something else. */
function plainView(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

interface Wanted {
  readonly partition: PartitionId;
  readonly lsn: Lsn;
}

function planSpans(
  index: EntryIndex,
  range: { readonly from: Lsn; readonly to: Lsn; readonly maxBytes: number },
): Span[] {
  const spans: Span[] = [];
  let bytes = 0;
  for (let lsn = range.from; lsn < range.to; lsn = asLsn(lsn + 1)) {
    if (!index.sectionOf(lsn).section.resident) break;
    const position = index.position(lsn);
    bytes += position.dataBytes;
    if (lsn > range.from && bytes > range.maxBytes) break;
    addToSpans(spans, lsn, position);
    if (spans.length === spansMax) break;
  }
  return spans;
}

function addToSpans(spans: Span[], lsn: Lsn, { segment, offset, dataBytes }: EntryPosition): void {
  const endOffset = offset + entryFrameBytes(dataBytes);
  const entry = { lsn, offset, dataBytes };
  const span = spans.at(-1);
  const joins =
    span?.segment === segment &&
    offset >= span.endOffset &&
    offset - span.endOffset <= gapBytesMax &&
    endOffset - span.offset <= spanBytesMax;
  if (joins) {
    span.endOffset = endOffset;
    span.entries.push(entry);
  } else spans.push({ segment, offset, endOffset, entries: [entry] });
}

function damaged(
  segment: Segment,
  offset: number,
  { partition, lsn }: Wanted,
  what: string,
  cause?: unknown,
): LogboomError {
  return new LogboomError(
    'DATA_CORRUPT',
    `${segment.path}: entry ${lsn} of partition ${partition} at offset ${offset}: ${what}. It is not served; rebuild ` +
      'this replica from the others: remove it from its group and add it again under a new replica id.',
    { facts: { file: segment.path, offset, partition, lsn }, ...(cause === undefined ? {} : { cause }) },
  );
}
