/** Replays the frames of one segment: the partitions' state, and the index of the segment's entries. */
import { asLsn, asPartitionId, asTerm, noReplica, type Lsn, type PartitionId } from '../base/ids.js';
import {
  decodeCreated,
  decodeEntryHead,
  decodeHardState,
  decodePartitionState,
  decodeReset,
  decodeSegmentStart,
  decodeTrimPoint,
  FrameType,
  type PartitionState,
  type RawFrame,
  type SegmentStart,
} from './frame.js';
import type { HardState } from '../raft/types.js';
import type { Segment } from './segment.js';
import { sectionOf } from './segment-index.js';

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };
export type MutablePartitionState = Mutable<PartitionState>;

export class Replay {
  private readonly segment: Segment;
  start: SegmentStart | undefined;
  readonly partitions = new Map<PartitionId, MutablePartitionState>();
  /** Last LSN of each partition as the segment began. */
  readonly atStart = new Map<PartitionId, Lsn>();

  constructor(segment: Segment) {
    this.segment = segment;
  }

  /** Frames of an intact group; what is wrong with them is not the disk's doing, but refused all the same. */
  group(frames: readonly RawFrame[]): void {
    for (const frame of frames) {
      const problem = this.frame(frame);
      if (problem !== undefined) throw this.segment.corrupt(frame.offset, problem);
    }
    if (this.start?.partitions !== this.atStart.size) {
      throw this.segment.corrupt(
        frames[0]?.offset ?? 0,
        `the state of ${this.atStart.size} partitions at its start, not of ${this.start?.partitions ?? 'unknown'}`,
      );
    }
  }

  finish(): void {
    let bytes = 0;
    for (const section of this.segment.index.values()) bytes += section.encodedBytes;
    this.segment.indexBytes = bytes;
  }

  /** Answers what is wrong with the frame. */
  private frame(frame: RawFrame): string | undefined {
    if (frame.type === FrameType.segmentStart) {
      const start = decodeSegmentStart(frame);
      if (start === undefined || this.start !== undefined) return 'a segment start that makes no sense';
      this.start = start;
      return undefined;
    }
    if (this.start === undefined) return 'the first frame is no segment start';
    const partition = asPartitionId(frame.partition);
    const state = this.partitions.get(partition);
    if (frame.type === FrameType.partitionState || frame.type === FrameType.created) {
      return state === undefined ? this.appear(frame, partition) : `partition ${partition} appears twice`;
    }
    if (state === undefined) return `partition ${partition} is not known here`;
    switch (frame.type) {
      case FrameType.entry:
        return this.entry(frame, partition, state);
      case FrameType.hardState: {
        const hardState = decodeHardState(frame);
        if (hardState === undefined || hardState.commit > state.lastLsn) return 'a hard state that makes no sense';
        state.hardState = hardState;
        return undefined;
      }
      case FrameType.trimPoint: {
        const trim = decodeTrimPoint(frame);
        if (trim === undefined || trim.lsn > state.lastLsn) return 'a trim point that makes no sense';
        Object.assign(state, { trimPoint: trim.lsn, trimTerm: trim.term, confState: trim.confState });
        return undefined;
      }
      case FrameType.removed:
        this.partitions.delete(partition);
        sectionOf(this.segment.index, partition).forget();
        return undefined;
      case FrameType.reset:
        return this.reset(frame, partition, state);
      default:
        return `a frame of the unknown type ${frame.type}`;
    }
  }

  private appear(frame: RawFrame, partition: PartitionId): string | undefined {
    if (frame.type === FrameType.partitionState) {
      const state = decodePartitionState(frame);
      if (state === undefined || frame.group !== 1) return 'a partition state that makes no sense';
      this.partitions.set(partition, { ...state });
      this.atStart.set(partition, state.lastLsn);
      return undefined;
    }
    const created = decodeCreated(frame);
    if (created === undefined) return 'a partition creation that makes no sense';
    this.partitions.set(partition, initialState(created.replicaId, created.confState));
    sectionOf(this.segment.index, partition).forget();
    return undefined;
  }

  private entry(frame: RawFrame, partition: PartitionId, state: MutablePartitionState): string | undefined {
    const head = decodeEntryHead(frame);
    if (head === undefined) return 'an entry that makes no sense';
    const { lsn, term, commit, dataBytes } = head;
    if (lsn <= state.trimPoint || lsn > state.lastLsn + 1) {
      return `partition ${partition}: entry ${lsn} after trim point ${state.trimPoint} and last entry ${state.lastLsn}`;
    }
    state.lastLsn = lsn;
    state.lastTerm = term;
    if (commit > state.hardState.commit) state.hardState = withCommit(state.hardState, commit);
    sectionOf(this.segment.index, partition).append(lsn, term, frame.offset, dataBytes);
    return undefined;
  }

  private reset(frame: RawFrame, partition: PartitionId, state: MutablePartitionState): string | undefined {
    const reset = decodeReset(frame);
    if (reset === undefined) return 'a reset that makes no sense';
    const { lsn, term, hardState, confState } = reset;
    const { replicaId } = state;
    const fresh: PartitionState = {
      replicaId,
      hardState,
      trimPoint: lsn,
      trimTerm: term,
      confState,
      lastLsn: lsn,
      lastTerm: term,
    };
    this.partitions.set(partition, fresh);
    sectionOf(this.segment.index, partition).forget();
    return undefined;
  }
}

/** The state of a partition that was just created. */
/**
 * Not by a spread: V8 has no quick way to one whose shape it met before with other kinds of numbers, and this is done for every group of
 * the log.
 */
export function withCommit({ term, vote }: HardState, commit: Lsn): HardState {
  return { term, vote, commit };
}

export function initialState(
  replicaId: PartitionState['replicaId'],
  confState: PartitionState['confState'],
): MutablePartitionState {
  return {
    replicaId,
    hardState: { term: asTerm(0), vote: noReplica, commit: asLsn(0) },
    trimPoint: asLsn(0),
    trimTerm: asTerm(0),
    confState,
    lastLsn: asLsn(0),
    lastTerm: asTerm(0),
  };
}
