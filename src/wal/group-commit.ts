/**
 * Group commit: one write loop for all partitions. Everything that arrived while the last fdatasync ran goes out in the
 * next group.
 *
 * A group is not written while the one before it is being synced: recovery tells a torn tail from damage by it.
 */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import type { Timer } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import { bodyBytes, frameBytes, groupEndBytes } from './frame.js';
import { GroupEncoder } from './group-encoder.js';
import type { WalMetrics } from './metrics.js';
import type { WalOptions } from './options.js';
import type { Operation, PartitionTarget, Piece } from './pending.js';
import { withCommit } from './replay.js';
import type { OpenSegments, Segment } from './segment.js';
import { headerBlockBytes, trailerBytes } from './segment-format.js';

export interface GroupCommitHost {
  readonly environment: Environment;
  readonly options: WalOptions;
  readonly metrics: WalMetrics;
  readonly openSegments: OpenSegments;
  /** Partitions known to the frames encoded so far. */
  writtenPartitions(): Iterable<PartitionTarget>;
  /** The next segment; undefined when there will be none. */
  takeSegment(): Promise<Segment | undefined>;
  /** The first group of `segment` is synced: `sealed` gets no more. */
  onRolled(segment: Segment, sealed: Segment | undefined): void;
  /** A group is synced and its callbacks have run. */
  onSynced(): void;
  onFailure(error: unknown): void;
}

/** From this size on, a copy into the page cache costs more than it gains: docs/decisions/0009-past-the-page-cache.md. */
const uncachedBytesMin = 256 * 1024;
const uncached = { uncached: true } as const;

/** Kept free in every segment: the end of the group, and the empty group of a clean stop. */
const reservedBytes = 2 * groupEndBytes;

export class GroupCommit {
  private readonly host: GroupCommitHost;
  private segment: Segment | undefined;
  /** Taken to be written next, while its first group is not synced yet. */
  private nextSegment: Segment | undefined;
  private queue: Operation[] = [];
  private queueHead = 0;
  private queuedUrgent = 0;
  private queuedBytes = 0;
  private running: Promise<void> | undefined;
  private lazyTimer: Timer | undefined;
  private flushing = false;
  private ended = false;
  /** When the write under way began. */
  private writingSinceMs: number | undefined;
  private arena = Buffer.allocUnsafeSlow(64 * 1024);
  /** Whether the newest group holds nothing that could be missed. */
  private tailGuarded = false;

  constructor(host: GroupCommitHost, segment: Segment | undefined) {
    this.host = host;
    this.segment = segment;
  }

  /** The segment being written. */
  get current(): Segment | undefined {
    return this.segment;
  }

  /** Bytes that the segment at hand still takes: of the one being rolled to, from the moment that it is taken. */
  get roomBytes(): number {
    return (this.nextSegment ?? this.segment)?.room ?? 0;
  }

  get pendingBytes(): number {
    return this.queuedBytes;
  }

  /** How long the disk has been at a group; 0 when it is at none. */
  get writeAgeMs(): number {
    return this.writingSinceMs === undefined ? 0 : this.host.environment.clock.monotonicMs() - this.writingSinceMs;
  }

  enqueue(operation: Operation): void {
    this.queue.push(operation);
    this.queuedBytes += operation.bytes;
    operation.partition.pendingBytes += operation.bytes;
    this.host.metrics.pendingBytes.set(this.queuedBytes);
    if (operation.urgent) {
      this.queuedUrgent++;
      this.start();
    } else {
      this.lazyTimer ??= this.host.environment.clock.setTimer(this.host.options.lazySyncDelayMs, () => {
        this.lazyTimer = undefined;
        this.flushing = true;
        this.start();
      });
    }
  }

  /** Begins a segment without any operation: a new log is not accepted before it is on disk. */
  async begin(): Promise<void> {
    if (this.segment === undefined) await this.writeGroup();
  }

  /** Writes what is queued, then an empty group, so that the last one with content is not the tail; ends the loop. */
  async finish(): Promise<void> {
    this.flushing = true;
    this.start();
    await this.running;
    this.lazyTimer?.cancel();
    const { segment } = this;
    if (!this.ended && !this.tailGuarded && segment !== undefined) {
      await this.write(segment, [], undefined).catch((error: unknown) => this.failed(error));
    }
    this.ended = true;
  }

  /** Nothing more is written or reported. */
  abort(): void {
    this.ended = true;
    this.lazyTimer?.cancel();
    this.queue = [];
    this.queueHead = 0;
  }

  private start(): void {
    if (this.running === undefined && !this.ended) this.running = this.run();
  }

  private async run(): Promise<void> {
    try {
      // What is appended in the same turn of the event loop goes into the same group.
      await Promise.resolve();
      while (this.hasWork()) await this.writeGroup();
      // At once, not a microtask later: an operation enqueued in between would start no loop.
      this.running = undefined;
    } catch (error) {
      this.failed(error);
    }
  }

  private failed(error: unknown): void {
    if (this.ended) return;
    this.abort();
    this.host.onFailure(error);
  }

  private hasWork(): boolean {
    if (this.ended) return false;
    if (this.queueHead === this.queue.length) {
      this.flushing = false;
      return false;
    }
    return this.queuedUrgent > 0 || this.flushing;
  }

  /** No function of its own to wait in: with small groups, what a group costs is the promises on its way. */
  private writeGroup(): Promise<void> {
    const { segment } = this;
    const pieces = segment === undefined ? [] : this.plan(segment.room - reservedBytes);
    if (segment !== undefined && pieces.length > 0) return this.write(segment, pieces, undefined);
    return this.beginSegment(segment);
  }

  private async beginSegment(segment: Segment | undefined): Promise<void> {
    const next = await this.takeNext();
    if (next === undefined || this.ended) return this.abort();
    const room = next.sizeBytes - headerBlockBytes - trailerBytes - reservedBytes - this.snapshotBytes();
    const firstPieces = this.plan(room);
    assert(
      firstPieces.length > 0 || this.queueHead === this.queue.length,
      () =>
        `an operation of ${this.queue[this.queueHead]?.bytes ?? 0} bytes does not fit into an empty segment with ${room}`,
    );
    this.nextSegment = next;
    await this.write(next, firstPieces, { previous: segment });
    this.nextSegment = undefined;
  }

  private async takeNext(): Promise<Segment | undefined> {
    const { clock } = this.host.environment;
    const startMs = clock.monotonicMs();
    const next = await this.host.takeSegment();
    const waitedMs = clock.monotonicMs() - startMs;
    if (waitedMs >= 1 && this.segment !== undefined) {
      this.host.metrics.stalls.add(1);
      this.host.metrics.stallSeconds.observe(waitedMs / 1000);
    }
    return next;
  }

  /** Takes from the queue what fits into one group. */
  private plan(roomBytes: number): Piece[] {
    const pieces: Piece[] = [];
    let room = roomBytes;
    let soft = this.host.options.maxGroupBytes;
    while (this.queueHead < this.queue.length && (soft > 0 || pieces.length === 0)) {
      const operation = this.queue[this.queueHead] as Operation;
      const piece = operation.nextPiece(room, soft);
      if (piece === undefined) break;
      pieces.push(piece);
      room -= piece.roomBytes;
      soft -= piece.roomBytes;
      if (!piece.last) break;
      this.dequeue(operation);
    }
    return pieces;
  }

  private dequeue(operation: Operation): void {
    if (operation.urgent) this.queuedUrgent--;
    this.queueHead++;
    if (this.queueHead === this.queue.length) {
      this.queue = [];
      this.queueHead = 0;
    } else if (this.queueHead > 1024 && this.queueHead > this.queue.length / 2) {
      this.queue = this.queue.slice(this.queueHead);
      this.queueHead = 0;
    }
  }

  private async write(
    segment: Segment,
    pieces: readonly Piece[],
    roll: { readonly previous: Segment | undefined } | undefined,
  ): Promise<void> {
    const number = segment.lastGroup + 1;
    const encoder = this.encode(segment, number, pieces, roll);
    const { parts, bytes } = encoder.end();
    const offset = segment.endOffset;
    const { environment, metrics, openSegments } = this.host;
    const { clock } = environment;
    const startMs = clock.monotonicMs();
    this.writingSinceMs = startMs;
    const held = openSegments.hold(segment);
    try {
      const file = held instanceof Promise ? await held : held;
      await file.write(parts, offset, bytes >= uncachedBytesMin ? uncached : undefined);
      const writtenMs = clock.monotonicMs();
      await file.datasync();
      metrics.writeSeconds.observe((writtenMs - startMs) / 1000);
      metrics.fsyncSeconds.observe((clock.monotonicMs() - writtenMs) / 1000);
    } finally {
      const closing = openSegments.letGo(segment);
      if (closing !== undefined) await closing;
    }
    this.writingSinceMs = undefined;
    if (this.ended) return;
    segment.endOffset = offset + bytes;
    segment.lastGroup = number;
    this.segment = segment;
    this.tailGuarded = pieces.length === 0;
    this.report(segment, offset, bytes, pieces);
    if (roll !== undefined) this.host.onRolled(segment, roll.previous);
    this.host.onSynced();
  }

  private encode(
    segment: Segment,
    number: number,
    pieces: readonly Piece[],
    roll: { readonly previous: Segment | undefined } | undefined,
  ): GroupEncoder {
    let arenaBytes = groupEndBytes + (roll === undefined ? 0 : this.snapshotBytes());
    for (const piece of pieces) arenaBytes += piece.arenaBytes;
    if (arenaBytes > this.arena.length) this.arena = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(arenaBytes)));
    const encoder = new GroupEncoder(this.host.environment.crc32, segment.id, number, this.arena);
    if (roll !== undefined) this.encodeSnapshot(encoder, segment, roll.previous);
    for (const piece of pieces) piece.encode(encoder);
    for (const piece of pieces) encodeCommit(encoder, piece.operation.partition);
    return encoder;
  }

  /** The group is durable: tells everybody, in the order of the operations. */
  private report(segment: Segment, offset: number, bytes: number, pieces: readonly Piece[]): void {
    const { metrics } = this.host;
    let entries = 0;
    for (const piece of pieces) {
      entries += piece.entries;
      this.applyToIndex(segment, offset, piece);
    }
    metrics.groups.add(1);
    metrics.groupBytes.observe(bytes);
    metrics.writtenBytes.add(bytes);
    metrics.entries.add(entries);
    metrics.pendingBytes.set(this.queuedBytes);
    for (const { operation, last } of pieces) {
      if (last && !this.ended) operation.onDurable?.();
    }
  }

  private applyToIndex(segment: Segment, offset: number, piece: Piece): void {
    const { operation, last } = piece;
    const { partition } = operation;
    const before = segment.index.get(partition.partitionId)?.encodedBytes ?? 0;
    piece.durable(segment, offset);
    segment.indexBytes += (segment.index.get(partition.partitionId)?.encodedBytes ?? 0) - before;
    if (!last) return;
    this.queuedBytes -= operation.bytes;
    partition.onOperationDurable(operation);
  }

  /** Room for the state that a segment begins with. */
  private snapshotBytes(): number {
    let bytes = frameBytes(bodyBytes.segmentStart);
    for (const { written } of this.host.writtenPartitions()) {
      bytes += frameBytes(bodyBytes.partitionState(written.confState));
    }
    return bytes;
  }

  private encodeSnapshot(encoder: GroupEncoder, segment: Segment, previous: Segment | undefined): void {
    const partitions = [...this.host.writtenPartitions()];
    encoder.segmentStart({
      sequence: segment.sequence,
      previous:
        previous === undefined
          ? { id: { seed: 0, tag: 0 }, lastGroup: 0, endOffset: 0 }
          : { id: previous.id, lastGroup: previous.lastGroup, endOffset: previous.endOffset },
      partitions: partitions.length,
    });
    for (const { partitionId, written } of partitions) encoder.partitionState(partitionId, written);
  }
}

/** A commit LSN that no entry of the group carried. */
function encodeCommit(encoder: GroupEncoder, partition: PartitionTarget): void {
  const { written, commitToWrite } = partition;
  if (!partition.isWritten || commitToWrite <= written.hardState.commit || commitToWrite > written.lastLsn) return;
  written.hardState = withCommit(written.hardState, commitToWrite);
  encoder.hardState(partition.partitionId, written.hardState);
}

export function stoppedError(failure: Error | undefined): LogboomError {
  if (failure === undefined) return new LogboomError('SHUTTING_DOWN', 'the write-ahead log is stopping');
  return new LogboomError('WAL_FAILED', `the write-ahead log has failed: ${failure.message}`, { cause: failure });
}
