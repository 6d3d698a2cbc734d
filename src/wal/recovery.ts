/**
 * What a start finds. Footers tell what sealed segments hold; only the last segment in use is read whole.
 *
 * A torn tail and damage look alike at the place where they begin. What tells them apart: no byte of a group is written
 * before the sync of the group before it returned. So if an intact frame of a later group, or a later segment in use,
 * lies behind the place, what was there had been synced, and may have been acknowledged: damage, refused. If nothing
 * does, the group was the last one. It is cut: it was never reported durable, unless the disk lost what it had
 * confirmed, which nothing on this disk could tell (a clean stop writes an empty group behind the last one for this).
 */
import { LogboomError } from '../base/errors.js';
import { asLsn, asPartitionId, type PartitionId } from '../base/ids.js';
import type { DiskFile } from '../base/ports/disk.js';
import type { Environment } from '../base/ports/environment.js';
import { EntryIndex } from './entry-index.js';
import {
  bodyBytes,
  decodeSegmentStart,
  frameBytes,
  FrameType,
  readFrame,
  type PartitionState,
  type RawFrame,
  type SegmentStart,
} from './frame.js';
import { findLaterGroup, holdsFrameRemains, scanGroup } from './group-scan.js';
import { Replay } from './replay.js';
import { fileNames, Segment, walCorrupt, type OpenSegments } from './segment.js';
import {
  decodeHeaderBlock,
  decodeSections,
  decodeTrailer,
  headerBlockBytes,
  segmentFormatVersion,
  trailerBytes,
} from './segment-format.js';
import type { PositionMemory, SegmentIndex } from './segment-index.js';

export interface RecoveredLog {
  readonly state: PartitionState;
  readonly index: EntryIndex;
}

export interface Recovered {
  /** In ascending order; the last one is written on. Empty on an empty directory, or when nothing was ever synced. */
  readonly segments: Segment[];
  /** Made ready by the run before, and not in use yet. */
  readonly next: Segment | undefined;
  readonly spares: string[];
  readonly partitions: ReadonlyMap<PartitionId, RecoveredLog>;
  /** Sealed segments without an intact footer. */
  readonly footerless: readonly Segment[];
  /** Bytes of the torn group that were cut; 0 after a clean stop. */
  readonly cutBytes: number;
}

export async function recover(
  environment: Environment,
  shared: { readonly openSegments: OpenSegments; readonly positions: PositionMemory },
  directory: string,
  segmentBytes: number,
): Promise<Recovered> {
  return new Recovery(environment, shared, directory).run(segmentBytes);
}

class Recovery {
  private readonly environment: Environment;
  private readonly openSegments: OpenSegments;
  private readonly positions: PositionMemory;
  private readonly directory: string;
  private readonly footerless: Segment[] = [];
  private readonly cuts: (() => Promise<void>)[] = [];
  private cutBytes = 0;
  /** The last intact group of the last segment that was scanned. */
  private tailGroup: Buffer = Buffer.alloc(0);

  constructor(
    environment: Environment,
    { openSegments, positions }: { readonly openSegments: OpenSegments; readonly positions: PositionMemory },
    directory: string,
  ) {
    this.environment = environment;
    this.openSegments = openSegments;
    this.positions = positions;
    this.directory = directory;
  }

  async run(segmentBytes: number): Promise<Recovered> {
    const names = await this.environment.disk.list(this.directory);
    const spares = await this.tidy(names, segmentBytes);
    const found = await this.openAll(names);
    let last = found.pop();
    let tail = last === undefined ? undefined : await this.scanTail(last);
    let next: Segment | undefined;
    if (last !== undefined && last.lastGroup === 0) {
      // Prepared by the run before and not in use yet: its first group was never synced.
      next = last;
      const attempted = tail?.start;
      last = found.pop();
      tail = last === undefined ? undefined : await this.scanTail(last);
      if (last === undefined && next.sequence > 1) throw walCorrupt(next.path, 0, 'the segments before it are missing');
      if (last?.lastGroup === 0) throw last.corrupt(headerBlockBytes, `it holds nothing, yet ${next.path} follows it`);
      if (last !== undefined && attempted !== undefined && attempted.previous.lastGroup > last.lastGroup) {
        throw last.corrupt(
          last.endOffset,
          `group ${last.lastGroup + 1} is not intact, but ${next.path} was begun after it`,
        );
      }
    }
    await this.loadSealed(found, last);
    const partitions = this.assemble(found, last, tail);
    // Nothing was changed so far: a log that is refused stays as it was found.
    for (const cut of this.cuts) await cut();
    if (last !== undefined) await this.secure(last);
    // Names, too, may be in memory only.
    await this.environment.disk.syncDirectory(this.directory);
    if (next !== undefined && next.sizeBytes !== segmentBytes) {
      // Of another configuration: what is accepted under the present one might not fit.
      await this.openSegments.close(next);
      await this.environment.disk.removeFile(next.path);
      await this.environment.disk.syncDirectory(this.directory);
      next = undefined;
    }
    return {
      segments: last === undefined ? [] : [...found, last],
      next,
      spares,
      partitions,
      footerless: this.footerless,
      cutBytes: this.cutBytes,
    };
  }

  /** Removes what a crash left half made; answers the spares. */
  private async tidy(names: readonly string[], segmentBytes: number): Promise<string[]> {
    const { disk } = this.environment;
    const spares: string[] = [];
    let removed = false;
    for (const name of names) {
      const path = `${this.directory}/${name}`;
      if (fileNames.isSpare(name) && (await this.sizeOf(path)) === segmentBytes) spares.push(name);
      else if (fileNames.isSpare(name) || fileNames.isFilling(name)) {
        await disk.removeFile(path);
        removed = true;
      }
    }
    if (removed) await disk.syncDirectory(this.directory);
    return spares;
  }

  private async sizeOf(path: string): Promise<number> {
    const file = await this.environment.disk.open(path, 'read');
    try {
      return await file.sizeBytes();
    } finally {
      await file.close();
    }
  }

  private async openAll(names: readonly string[]): Promise<Segment[]> {
    const segments: Segment[] = [];
    for (const name of names) {
      const sequence = fileNames.sequenceOfSegment(name);
      if (sequence === undefined) continue;
      const before = segments.at(-1);
      const path = `${this.directory}/${name}`;
      if (before !== undefined && before.sequence + 1 !== sequence) {
        throw walCorrupt(path, 0, `segment ${before.sequence + 1} is missing before it`);
      }
      segments.push(await this.openSegment(path, sequence));
    }
    return segments;
  }

  private async openSegment(path: string, sequence: number): Promise<Segment> {
    const file = await this.environment.disk.open(path, 'read-write');
    try {
      const header = decodeHeaderBlock(await readExactly(file, 0, headerBlockBytes), this.environment.crc32);
      if (header === undefined) throw walCorrupt(path, 0, 'the header fails its checksum');
      if (header.version !== segmentFormatVersion) {
        throw new LogboomError(
          'DATA_DIRECTORY_MISMATCH',
          `${path}: format version ${header.version}; this build reads version ${segmentFormatVersion}. Start the ` +
            'version of Logboom that wrote it.',
          { facts: { file: path, version: header.version } },
        );
      }
      if (header.sequence !== sequence) throw walCorrupt(path, 24, `the header is that of segment ${header.sequence}`);
      const size = await file.sizeBytes();
      if (size < header.segmentBytes) throw walCorrupt(path, size, `the file should have ${header.segmentBytes} bytes`);
      return new Segment(path, sequence, header.id, header.segmentBytes);
    } finally {
      await file.close();
    }
  }

  /** Replays a segment as far as it goes, cuts a torn tail, refuses damage. */
  private async scanTail(segment: Segment): Promise<Replay> {
    const { crc32 } = this.environment;
    const source = await this.openSegments.with(segment, (file) => readExactly(file, 0, segment.sizeBytes));
    const replay = new Replay(segment);
    for (;;) {
      const number = segment.lastGroup + 1;
      const group = scanGroup(source, segment.endOffset, number, segment.id, crc32);
      if ('damagedAt' in group) {
        const later = findLaterGroup(source, segment.endOffset, number, segment.id, crc32);
        if (later !== undefined) {
          throw segment.corrupt(
            group.damagedAt,
            `group ${number} is not intact, but group ${later.group} was written after it`,
          );
        }
        break;
      }
      replay.group(group.frames);
      segment.lastGroup = number;
      this.tailGroup = source.subarray(segment.endOffset, group.endOffset);
      segment.endOffset = group.endOffset;
    }
    replay.finish();
    if (segment.lastGroup === 0) replay.start = startOf(readFrame(source, headerBlockBytes, segment.id, crc32));
    this.planCut(segment, source);
    return replay;
  }

  /**
   * Overwrites the remains of a torn group with zeros. They could not be taken for a group as they are: a group counts
   * only whole, at the place where the one before it ends, under the next number. But the first group written here
   * will have the same place and number; should it be torn as well, its sectors and the old ones could together make up
   * the old group. Without a frame header of this segment's present use there is nothing that could.
   */
  private planCut(segment: Segment, source: Buffer): void {
    const { endOffset } = segment;
    if (!holdsFrameRemains(source, endOffset, segment.id)) return;
    const cutBytes = segment.sizeBytes - endOffset;
    this.cutBytes += cutBytes;
    this.cuts.push(() =>
      this.openSegments.with(segment, async (file) => {
        await file.write([Buffer.alloc(cutBytes)], endOffset);
        await file.datasync();
      }),
    );
  }

  /**
   * What a start read may be in the page cache only: the process before was killed before the sync of its last group
   * returned, or the sync failed, after which the kernel takes the pages for clean and a further sync for done. Nobody
   * may act on it before it is durable. It can only be the last group, so that is written once more, and synced.
   */
  private async secure(last: Segment): Promise<void> {
    const bytes = Uint8Array.from(this.tailGroup);
    this.tailGroup = Buffer.alloc(0);
    await this.openSegments.with(last, async (file) => {
      await file.write([bytes], last.endOffset - bytes.length);
      await file.datasync();
    });
  }

  /** Every segment before the last ends where its successor says it does; takes its index from its footer, or makes it again. */
  private async loadSealed(sealed: readonly Segment[], last: Segment | undefined): Promise<void> {
    for (const [position, segment] of sealed.entries()) {
      const successor = sealed[position + 1] ?? last;
      if (successor === undefined) return;
      const start = await this.readStart(successor);
      checkSuccession(successor, start, segment);
      segment.endOffset = start.previous.endOffset;
      segment.lastGroup = start.previous.lastGroup;
      const index = await this.readFooter(segment);
      if (index === undefined) this.footerless.push(segment);
      segment.index = index ?? (await this.scanSealed(segment));
      segment.indexBytes = [...segment.index.values()].reduce((sum, section) => sum + section.encodedBytes, 0);
    }
  }

  private async readStart(segment: Segment): Promise<SegmentStart> {
    const bytes = await this.openSegments.with(segment, (file) =>
      readExactly(file, headerBlockBytes, frameBytes(bodyBytes.segmentStart)),
    );
    const start = startOf(readFrame(bytes, 0, segment.id, this.environment.crc32));
    if (start === undefined) throw segment.corrupt(headerBlockBytes, 'the first frame is not intact');
    return start;
  }

  private async readFooter(segment: Segment): Promise<SegmentIndex | undefined> {
    const { crc32 } = this.environment;
    return this.openSegments.with(segment, async (file) => {
      const trailerOffset = segment.sizeBytes - trailerBytes;
      const trailer = decodeTrailer(await readExactly(file, trailerOffset, trailerBytes), segment.id, crc32);
      if (trailer?.lastGroup !== segment.lastGroup || trailer.endOffset !== segment.endOffset) return undefined;
      const sectionsOffset = trailerOffset - trailer.sectionsBytes;
      if (sectionsOffset < segment.endOffset) return undefined;
      const index = decodeSections(
        await readExactly(file, sectionsOffset, trailer.sectionsBytes),
        trailer,
        segment.id,
        crc32,
      );
      for (const section of index?.values() ?? []) {
        section.markStored(sectionsOffset);
        this.positions.touch(section);
      }
      return index;
    });
  }

  private async scanSealed(segment: Segment): Promise<SegmentIndex> {
    const source = await this.openSegments.with(segment, (file) => readExactly(file, 0, segment.endOffset));
    const replay = new Replay(segment);
    let offset = headerBlockBytes;
    for (let number = 1; number <= segment.lastGroup; number++) {
      const group = scanGroup(source, offset, number, segment.id, this.environment.crc32);
      if ('damagedAt' in group) {
        throw segment.corrupt(group.damagedAt, `group ${number} of ${segment.lastGroup} is not intact`);
      }
      replay.group(group.frames);
      offset = group.endOffset;
    }
    if (offset !== segment.endOffset) throw segment.corrupt(offset, `it ends here, not at ${segment.endOffset}`);
    replay.finish();
    return segment.index;
  }

  /** Puts the segments' indexes together, and checks that no entry above a trim point is missing. */
  private assemble(
    sealed: readonly Segment[],
    last: Segment | undefined,
    tail: Replay | undefined,
  ): Map<PartitionId, RecoveredLog> {
    const indexes = new Map<PartitionId, EntryIndex>();
    if (last === undefined || tail === undefined) return new Map();
    for (const segment of [...sealed, last]) {
      if (segment === last) checkAgainstSnapshot(last, tail, indexes);
      for (const [partition, section] of segment.index) {
        const index = indexes.get(partition) ?? new EntryIndex();
        indexes.set(partition, index);
        if (section.forgets) index.clear();
        if (section.count === 0) continue;
        if (!index.accepts(section.first)) {
          throw segment.corrupt(0, `partition ${partition}: no entry between LSN ${index.last} and ${section.first}`);
        }
        index.append(segment, section, section.first, section.last);
      }
    }
    const recovered = new Map<PartitionId, RecoveredLog>();
    for (const [partition, state] of tail.partitions) {
      const index = indexes.get(partition) ?? new EntryIndex();
      const { trimPoint, lastLsn } = state;
      const whole = index.empty ? lastLsn === trimPoint : index.last === lastLsn && index.first <= trimPoint + 1;
      if (!whole) {
        const there = index.empty ? 'none' : `[${index.first}, ${index.last}]`;
        throw last.corrupt(
          headerBlockBytes,
          `partition ${partition} should have entries [${trimPoint + 1}, ${lastLsn}]; there are ${there}`,
        );
      }
      recovered.set(partition, { state: { ...state }, index });
    }
    return recovered;
  }
}

/** The last segment's own account of each log, as it began, against what the segments before it hold. */
function checkAgainstSnapshot(last: Segment, tail: Replay, indexes: ReadonlyMap<PartitionId, EntryIndex>): void {
  for (const [partition, index] of indexes) {
    const lastLsn = tail.atStart.get(partition) ?? asLsn(0);
    if (!index.empty && index.last !== lastLsn) {
      throw last.corrupt(
        headerBlockBytes,
        `partition ${asPartitionId(partition)} should end at LSN ${lastLsn} before it, but ends at ${index.last}`,
      );
    }
  }
}

function startOf(frame: RawFrame | undefined): SegmentStart | undefined {
  return frame?.type === FrameType.segmentStart ? decodeSegmentStart(frame) : undefined;
}

function checkSuccession(segment: Segment, start: SegmentStart, before: Segment | undefined): void {
  if (start.sequence !== segment.sequence) {
    throw segment.corrupt(headerBlockBytes, `its first group is that of segment ${start.sequence}`);
  }
  const { id } = start.previous;
  if (before !== undefined && (id.seed !== before.id.seed || id.tag !== before.id.tag)) {
    throw before.corrupt(32, `it is not the segment that ${segment.path} follows`);
  }
}

async function readExactly(file: DiskFile, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  const count = await file.read(bytes, offset);
  if (count !== length) throw walCorrupt(file.path, offset + count, `the file ends here, not at ${offset + length}`);
  return bytes;
}
