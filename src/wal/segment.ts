/** Segment files: names, open handles, and what is known of each one. */
import { LogboomError } from '../base/errors.js';
import type { Disk, DiskFile } from '../base/ports/disk.js';
import type { Environment } from '../base/ports/environment.js';
import { nextInteger } from '../base/ports/random.js';
import type { SegmentId } from './frame.js';
import { encodeHeaderBlock, headerBlockBytes, trailerBytes } from './segment-format.js';
import type { SegmentIndex } from './segment-index.js';

const segmentName = /^(\d{12})\.wal$/;
const spareName = /^spare-(\d{12})\.wal$/;
const fillingName = /^filling-\d{12}\.tmp$/;

export const fileNames = {
  segment: (sequence: number): string => `${String(sequence).padStart(12, '0')}.wal`,
  /** A dropped segment that waits for its next use; named after its last one. */
  spare: (sequence: number): string => `spare-${String(sequence).padStart(12, '0')}.wal`,
  /** A new file that is not filled with zeros yet. */
  filling: (sequence: number): string => `filling-${String(sequence).padStart(12, '0')}.tmp`,
  sequenceOfSegment: (name: string): number | undefined => numberIn(segmentName, name),
  isSpare: (name: string): boolean => spareName.test(name),
  isFilling: (name: string): boolean => fillingName.test(name),
};

function numberIn(pattern: RegExp, name: string): number | undefined {
  const match = pattern.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export function newSegmentId({ random }: Environment): SegmentId {
  // The tag is never 0, so that zeros are never taken for a frame.
  return { seed: random.nextUint32(), tag: 1 + nextInteger(random, 0xffff_ffff) };
}

/** Writes and syncs the header block; the file must not bear a segment's name yet, nor come to bear it after a crash. */
export async function writeHeader(
  environment: Environment,
  file: DiskFile,
  header: { readonly segmentBytes: number; readonly sequence: number; readonly id: SegmentId },
): Promise<void> {
  const madeAtMs = Math.max(0, Math.floor(environment.clock.wallMs()));
  await file.write([encodeHeaderBlock({ ...header, madeAtMs }, environment.crc32)], 0);
  await file.datasync();
}

export class Segment {
  readonly path: string;
  readonly sequence: number;
  readonly id: SegmentId;
  readonly sizeBytes: number;
  /** End of the last synced group. */
  endOffset = headerBlockBytes;
  /** Number of the last synced group; 0 when there is none, and then the segment is not in use yet. */
  lastGroup = 0;
  index: SegmentIndex = new Map();
  /** Bytes of the sections of `index`. */
  indexBytes = 0;
  /** Reads under way; a segment is not recycled under them. */
  users = 0;
  file: DiskFile | undefined;

  constructor(path: string, sequence: number, id: SegmentId, sizeBytes: number) {
    this.path = path;
    this.sequence = sequence;
    this.id = id;
    this.sizeBytes = sizeBytes;
  }

  /** Bytes left for frames and for what they add to the footer. */
  get room(): number {
    return this.sizeBytes - this.endOffset - this.indexBytes - trailerBytes;
  }

  corrupt(offset: number, what: string): LogboomError {
    return walCorrupt(this.path, offset, what);
  }
}

/** Damage found at a start. What the operator can do about it is the same in all cases. */
export function walCorrupt(path: string, offset: number, what: string): LogboomError {
  return new LogboomError(
    'WAL_CORRUPT',
    `${path}: damaged at offset ${offset}: ${what}. What lies behind the damage was acknowledged, so it is not cut ` +
      'away. If the other replicas of its partitions are healthy, replace this node: remove it from the cluster, ' +
      'and start it on an empty data directory as a new one. Otherwise restore the data directory from a copy of its disk.',
    { facts: { file: path, offset } },
  );
}

/** Handles of segments, opened when needed; at most `max` stay open while nobody reads through them. */
export class OpenSegments {
  private readonly disk: Disk;
  private readonly max: number;
  /** In the order of their last use. */
  private readonly open = new Set<Segment>();
  /** The last of them; nearly every use is another write to the segment at hand. */
  private lastUsed: Segment | undefined;
  private readonly opening = new Map<Segment, Promise<DiskFile>>();
  private ended = false;

  constructor(disk: Disk, max: number) {
    this.disk = disk;
    this.max = Math.max(1, max);
  }

  /** Runs `use` with the segment's file, which stays open and is not recycled until it is done. */
  async with<Result>(segment: Segment, use: (file: DiskFile) => Promise<Result>): Promise<Result> {
    const file = this.hold(segment);
    try {
      return await use(file instanceof Promise ? await file : file);
    } finally {
      await this.letGo(segment);
    }
  }

  /**
   * The segment's file, which stays open and is not recycled until `letGo`, to be called once, also when opening it
   * fails. A file only when it is open, for those who have no time for a promise.
   */
  hold(segment: Segment): DiskFile | Promise<DiskFile> {
    if (this.ended) throw new LogboomError('SHUTTING_DOWN', 'the write-ahead log has stopped');
    segment.users++;
    return segment.file ?? this.openFile(segment);
  }

  /** A promise only when there is something to wait for. */
  letGo(segment: Segment): Promise<void> | undefined {
    segment.users--;
    if (this.lastUsed !== segment) {
      this.open.delete(segment);
      this.open.add(segment);
      this.lastUsed = segment;
    }
    return this.open.size > this.max || this.ended ? this.closeIdle(this.ended ? 0 : this.max) : undefined;
  }

  async close(segment: Segment): Promise<void> {
    this.open.delete(segment);
    if (this.lastUsed === segment) this.lastUsed = undefined;
    const { file } = segment;
    segment.file = undefined;
    await file?.close();
  }

  /** Closes all, those in use as soon as they are not. */
  async end(): Promise<void> {
    this.ended = true;
    await this.closeIdle(0);
  }

  private async openFile(segment: Segment): Promise<DiskFile> {
    let opening = this.opening.get(segment);
    if (opening === undefined) {
      opening = this.disk.open(segment.path, 'read-write').finally(() => this.opening.delete(segment));
      this.opening.set(segment, opening);
    }
    segment.file = await opening;
    return segment.file;
  }

  private async closeIdle(max: number): Promise<void> {
    for (const segment of this.open) {
      if (this.open.size <= max) return;
      if (segment.users === 0) await this.close(segment);
    }
  }
}
