/**
 * What physical deletion has still to do: batches below the first seq of a stream, and everything of deleted streams.
 *
 * Not part of the replicated state. Invariant: a stretch is offered only after the entry that made it garbage survives
 * power loss here (its LSN is at or below the persisted LSN). So after any crash the replayed state never points to
 * something that is physically gone.
 */
interface Retained {
  /** Batches below this are physically gone. */
  clearedBelow: number;
  /**
   * First seqs that were set, ascending: at most the oldest that is not persisted yet and the newest. The oldest is not
   * replaced, so that work goes on however often first seq moves.
   */
  targets: { lsn: number; firstSeq: number }[];
}

export type ClearingTask = {
  /** Of the load after which it was offered. */
  readonly generation: number;
  readonly streamId: number;
  readonly fromSeq: number;
} & ({ readonly type: 'retention'; readonly toSeq: number } | { readonly type: 'deleted-stream' });

export class ClearingWork {
  readonly #retained = new Map<number, Retained>();
  /** Streams with targets. */
  readonly #pending = new Set<number>();
  readonly #deleted = new Map<number, { lsn: number; fromSeq: number }>();

  /** Counts loads: a report from before one is about a store that is gone, and may be undone. */
  #generation = 0;

  clear(): void {
    this.#generation += 1;
    this.#retained.clear();
    this.#pending.clear();
    this.#deleted.clear();
  }

  /** On load, before `firstSeqSet`: how far an earlier run came. */
  clearedBelow(streamId: number, seq: number): void {
    this.#retainedOf(streamId).clearedBelow = seq;
  }

  firstSeqSet(lsn: number, streamId: number, firstSeq: number): void {
    const retained = this.#retainedOf(streamId);
    if (firstSeq <= retained.clearedBelow) return;
    if (retained.targets.length === 2) retained.targets.pop();
    retained.targets.push({ lsn, firstSeq });
    this.#pending.add(streamId);
  }

  streamDeleted(lsn: number, streamId: number): void {
    this.#retained.delete(streamId);
    this.#pending.delete(streamId);
    this.#deleted.set(streamId, { lsn, fromSeq: 0 });
  }

  /** Something to clear whose cause is at or below `persistedLsn`. */
  next(persistedLsn: number): ClearingTask | undefined {
    for (const streamId of this.#pending) {
      const retained = this.#retainedOf(streamId);
      const target = retained.targets.findLast((candidate) => candidate.lsn <= persistedLsn);
      if (target === undefined) continue;
      const { clearedBelow: fromSeq } = retained;
      return { type: 'retention', generation: this.#generation, streamId, fromSeq, toSeq: target.firstSeq };
    }
    for (const [streamId, { lsn, fromSeq }] of this.#deleted) {
      if (lsn <= persistedLsn) return { type: 'deleted-stream', generation: this.#generation, streamId, fromSeq };
    }
    return undefined;
  }

  /** Batches below `seq` are physically gone. */
  retentionCleared({ generation, streamId }: Pick<ClearingTask, 'generation' | 'streamId'>, seq: number): void {
    const retained = this.#retained.get(streamId);
    // Deleted, or loaded anew, meanwhile.
    if (retained === undefined || generation !== this.#generation) return;
    retained.clearedBelow = Math.max(retained.clearedBelow, seq);
    retained.targets = retained.targets.filter((target) => target.firstSeq > retained.clearedBelow);
    if (retained.targets.length === 0) this.#pending.delete(streamId);
  }

  /** Batches below `seq` of a deleted stream are physically gone; undefined: all of the stream is. */
  deletedStreamCleared(
    { generation, streamId }: Pick<ClearingTask, 'generation' | 'streamId'>,
    seq: number | undefined,
  ): void {
    const deleted = this.#deleted.get(streamId);
    if (deleted === undefined || generation !== this.#generation) return;
    if (seq === undefined) this.#deleted.delete(streamId);
    else deleted.fromSeq = Math.max(deleted.fromSeq, seq);
  }

  #retainedOf(streamId: number): Retained {
    let retained = this.#retained.get(streamId);
    if (retained === undefined) {
      retained = { clearedBelow: 0, targets: [] };
      this.#retained.set(streamId, retained);
    }
    return retained;
  }
}
