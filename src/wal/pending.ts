/** What waits to be written: the operations on partitions, and the pieces of them that go into one group. */
import { assert } from '../base/assert.js';
import { asLsn, type Lsn, type PartitionId } from '../base/ids.js';
import type { ConfState, Entry, HardState, LogStart } from '../raft/types.js';
import { arenaBytesOfEntry, type GroupEncoder } from './group-encoder.js';
import { bodyBytes, entryFrameBytes, frameBytes } from './frame.js';
import type { EntryIndex } from './entry-index.js';
import { initialState, type MutablePartitionState, withCommit } from './replay.js';
import type { Segment } from './segment.js';
import { entryPositionBytes, sectionHeadBytes, sectionOf, termRunBytes } from './segment-index.js';

export interface PieceCost {
  /** Room that the piece takes in a segment: frames, and what they add to the footer. At most; never less. */
  readonly roomBytes: number;
  readonly arenaBytes: number;
}

/** What operations do to a partition's log. */
export interface PartitionTarget {
  readonly partitionId: PartitionId;
  /** The state after the last frame that was encoded: what the next segment begins with. */
  readonly written: MutablePartitionState;
  /** Whether the frames encoded so far know this partition. */
  isWritten: boolean;
  /** The commit LSN as of the last operation that was encoded; `written.hardState.commit` follows it. */
  commitToWrite: Lsn;
  /** Of synced entries only, so that what a pending truncation replaces is dropped only when the truncation is durable. */
  readonly index: EntryIndex;
  durableLsn: Lsn;
  pendingBytes: number;
  onOperationDurable(operation: Operation): void;
  onTrimDurable(lsn: Lsn): void;
  onResetDurable(lsn: Lsn): void;
}

/** Part of an operation that goes into one group. Frames are encoded in the order of the pieces. */
export interface Piece extends PieceCost {
  readonly operation: Operation;
  /** The last piece of its operation. */
  readonly last: boolean;
  readonly entries: number;
  encode(encoder: GroupEncoder): void;
  /** The group, which begins at `groupOffset`, is synced. */
  durable(segment: Segment, groupOffset: number): void;
}

export interface Operation {
  readonly partition: PartitionTarget;
  /** Bytes that it counts for in the back-pressure. */
  readonly bytes: number;
  /** False when it may wait for a group that is written for others. */
  readonly urgent: boolean;
  readonly onDurable: (() => void) | undefined;
  /** The next piece that fits, or undefined when none does. A piece ends at about `softBytes`. */
  nextPiece(roomBytes: number, softBytes: number): Piece | undefined;
}

/** What an operation adds besides its entries' data, in the back-pressure. */
export const operationBytes = 256;

/** A group may end with a hard state for the commit LSN of a partition. */
export const commitFrameBytes = frameBytes(bodyBytes.hardState);

/**
 * Hard state and entries. The commit LSN goes with the entries, each of them carrying no more than its own LSN: so a
 * crash between two groups never leaves a commit LSN that speaks of entries which are not there yet, or that are still
 * to be replaced.
 */
export class PersistOperation implements Operation {
  readonly partition: PartitionTarget;
  readonly bytes: number;
  readonly urgent: boolean;
  readonly onDurable: () => void;
  /** Entries above it were replaced by a later operation before they became durable. */
  validThrough: Lsn;
  private readonly hardState: HardState | undefined;
  private readonly entries: readonly Entry[];
  private hardStateTaken = false;
  private taken = 0;

  constructor(
    partition: PartitionTarget,
    hardState: HardState | undefined,
    entries: readonly Entry[],
    options: { readonly urgent: boolean; readonly onDurable: () => void },
  ) {
    this.partition = partition;
    this.hardState = hardState;
    this.entries = entries;
    this.urgent = options.urgent;
    this.onDurable = options.onDurable;
    this.validThrough = entries.at(-1)?.lsn ?? asLsn(0);
    let bytes = operationBytes;
    for (const entry of entries) bytes += entryFrameBytes(entry.data.length);
    this.bytes = bytes;
  }

  nextPiece(roomBytes: number, softBytes: number): Piece | undefined {
    const withHardState = !this.hardStateTaken;
    // Room for the hard state now and for a commit LSN at the end of the group.
    let room = 2 * commitFrameBytes + sectionHeadBytes;
    let arenaBytes = 2 * commitFrameBytes;
    if (room > roomBytes) return undefined;
    const from = this.taken;
    let to = from;
    for (; to < this.entries.length; to++) {
      const entry = this.entries[to] as Entry;
      const newTerm = to === from || this.entries[to - 1]?.term !== entry.term;
      const frame = entryFrameBytes(entry.data.length);
      const grown = room + frame + entryPositionBytes + (newTerm ? termRunBytes : 0);
      if (grown > roomBytes || (grown > softBytes && to > from)) break;
      room = grown;
      arenaBytes += arenaBytesOfEntry(entry.data.length);
    }
    if (to === from && this.entries.length > 0) return undefined;
    this.taken = to;
    this.hardStateTaken = true;
    return new PersistPiece(this, withHardState ? this.hardState : undefined, this.entries.slice(from, to), {
      roomBytes: room,
      arenaBytes,
      last: to === this.entries.length,
    });
  }
}

class PersistPiece implements Piece {
  readonly operation: PersistOperation;
  readonly roomBytes: number;
  readonly arenaBytes: number;
  readonly last: boolean;
  private readonly hardState: HardState | undefined;
  private readonly entryList: readonly Entry[];
  private readonly offsets: number[] = [];

  constructor(
    operation: PersistOperation,
    hardState: HardState | undefined,
    entries: readonly Entry[],
    cost: PieceCost & { readonly last: boolean },
  ) {
    this.operation = operation;
    this.hardState = hardState;
    this.entryList = entries;
    this.roomBytes = cost.roomBytes;
    this.arenaBytes = cost.arenaBytes;
    this.last = cost.last;
  }

  get entries(): number {
    return this.entryList.length;
  }

  encode(encoder: GroupEncoder): void {
    const { partition } = this.operation;
    const { hardState } = this;
    const { written } = partition;
    if (hardState !== undefined) {
      const { term, vote } = written.hardState;
      if (hardState.term !== term || hardState.vote !== vote) {
        const safe = this.entryList[0] === undefined ? hardState.commit : this.entryList[0].lsn - 1;
        const commit = asLsn(Math.max(written.hardState.commit, Math.min(hardState.commit, safe)));
        written.hardState = { term: hardState.term, vote: hardState.vote, commit };
        encoder.hardState(partition.partitionId, written.hardState);
      }
      partition.commitToWrite = hardState.commit;
    }
    for (const entry of this.entryList) {
      const commit = asLsn(Math.max(written.hardState.commit, Math.min(partition.commitToWrite, entry.lsn)));
      this.offsets.push(encoder.entry(partition.partitionId, entry, commit));
      if (commit > written.hardState.commit) written.hardState = withCommit(written.hardState, commit);
      written.lastLsn = entry.lsn;
      written.lastTerm = entry.term;
    }
  }

  durable(segment: Segment, groupOffset: number): void {
    const { partition, validThrough } = this.operation;
    const [first] = this.entryList;
    const last = this.entryList.at(-1);
    if (first === undefined || last === undefined) return;
    const section = sectionOf(segment.index, partition.partitionId);
    this.entryList.forEach((entry, position) => {
      const offset = groupOffset + (this.offsets[position] as number);
      section.append(entry.lsn, entry.term, offset, entry.data.length);
    });
    partition.index.append(segment, section, first.lsn, last.lsn);
    const durableLsn = Math.min(last.lsn, validThrough);
    if (durableLsn > partition.durableLsn) partition.durableLsn = asLsn(durableLsn);
  }
}

/** An operation of one frame. */
abstract class SingleFrame implements Operation, Piece {
  readonly partition: PartitionTarget;
  readonly onDurable: (() => void) | undefined;
  readonly bytes = operationBytes;
  readonly last = true;
  readonly entries = 0;
  abstract readonly urgent: boolean;
  abstract readonly arenaBytes: number;

  constructor(partition: PartitionTarget, onDurable: (() => void) | undefined) {
    this.partition = partition;
    this.onDurable = onDurable;
  }

  get operation(): Operation {
    return this;
  }

  get roomBytes(): number {
    return this.arenaBytes + sectionHeadBytes;
  }

  nextPiece(roomBytes: number): Piece | undefined {
    return this.roomBytes <= roomBytes ? this : undefined;
  }

  abstract encode(encoder: GroupEncoder): void;
  abstract durable(segment: Segment): void;
}

export class TrimOperation extends SingleFrame {
  readonly urgent = false;
  private readonly start: LogStart;

  constructor(partition: PartitionTarget, start: LogStart) {
    super(partition, undefined);
    this.start = start;
  }

  get arenaBytes(): number {
    return frameBytes(bodyBytes.trimPoint(this.start.confState));
  }

  override encode(encoder: GroupEncoder): void {
    const { lsn, term, confState } = this.start;
    const { written, partitionId } = this.partition;
    assert(
      lsn <= written.lastLsn,
      () => `partition ${partitionId}: trim point ${lsn} above last LSN ${written.lastLsn}`,
    );
    Object.assign(written, { trimPoint: lsn, trimTerm: term, confState });
    encoder.trimPoint(partitionId, this.start);
  }

  override durable(): void {
    this.partition.onTrimDurable(this.start.lsn);
  }
}

export class CreateOperation extends SingleFrame {
  readonly urgent = true;
  private readonly confState: ConfState;

  constructor(partition: PartitionTarget, confState: ConfState, onDurable: () => void) {
    super(partition, onDurable);
    this.confState = confState;
  }

  get arenaBytes(): number {
    return frameBytes(bodyBytes.created(this.confState));
  }

  override encode(encoder: GroupEncoder): void {
    const { replicaId } = this.partition.written;
    Object.assign(this.partition.written, initialState(replicaId, this.confState));
    encoder.created(this.partition.partitionId, replicaId, this.confState);
    this.partition.isWritten = true;
  }

  override durable(segment: Segment): void {
    sectionOf(segment.index, this.partition.partitionId).forget();
  }
}

export class RemoveOperation extends SingleFrame {
  readonly urgent = true;
  readonly arenaBytes = frameBytes(bodyBytes.removed);

  override encode(encoder: GroupEncoder): void {
    encoder.removed(this.partition.partitionId);
    this.partition.isWritten = false;
  }

  override durable(segment: Segment): void {
    sectionOf(segment.index, this.partition.partitionId).forget();
    this.partition.index.clear();
  }
}

export class ResetOperation extends SingleFrame {
  readonly urgent = true;
  private readonly start: LogStart;
  private readonly hardState: HardState;

  constructor(partition: PartitionTarget, start: LogStart, hardState: HardState, onDurable: () => void) {
    super(partition, onDurable);
    this.start = start;
    this.hardState = hardState;
  }

  get arenaBytes(): number {
    return frameBytes(bodyBytes.reset(this.start.confState));
  }

  override encode(encoder: GroupEncoder): void {
    const { lsn, term, confState } = this.start;
    const { hardState, partition } = this;
    Object.assign(partition.written, {
      hardState,
      trimPoint: lsn,
      trimTerm: term,
      confState,
      lastLsn: lsn,
      lastTerm: term,
    });
    partition.commitToWrite = hardState.commit;
    encoder.reset(partition.partitionId, this.start, hardState);
  }

  override durable(segment: Segment): void {
    sectionOf(segment.index, this.partition.partitionId).forget();
    this.partition.index.clear();
    this.partition.onResetDurable(this.start.lsn);
  }
}
