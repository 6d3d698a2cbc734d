import { asLsn, type Lsn } from '../base/ids.js';
import type { OrderedStore } from './ordered-store.js';
import { endOfKeys, recordsKey, startOfKeys } from './sealed-values.js';

/** Part of the bytes of a span that must be deleted: the rest of the span is written anew. */
const densityMin = 0.25;
/** Part of the whole database that is worth writing all of the rest anew. */
const storePartMin = 0.25;
/** Less than this is not worth a compaction, however small the database. */
const deletedBytesFloor = 1 << 20;
/** Beyond, the nearest ones become one: it bounds what is kept in mind, and how often LevelDB is asked for sizes. */
const runsMax = 1024;

/** LSNs from `from` to `to`, `count` of which are deleted. */
export interface DeletedRun {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

interface MeasuredRun extends DeletedRun {
  readonly deletedBytes: number;
}

/**
 * Gives back the space of deleted records. LevelDB drops a deleted value only when a compaction passes over it, and
 * over a range that is written once it never passes by itself. A compaction rewrites what lives in the tables that its
 * range touches, so it waits until that is worth it, one of:
 *
 *  - a span with as many deleted bytes as a table has, which are a quarter of the span: this much of a large database;
 *  - a quarter of the whole database: what a small one has, or what lies scattered between other streams' records.
 *
 * So what is deleted and still there is never more than a quarter of the database, but for the floor. One compaction at
 * a time; they share LevelDB's one background thread with the flushes. A restart forgets what was collected; a later
 * span that covers it takes it along.
 */
export class RangeReclaimer {
  readonly #records: OrderedStore;
  readonly #bytesMin: number;
  readonly #onFailure: (error: unknown) => void;
  /** Ascending, apart from each other. */
  #runs: readonly DeletedRun[] = [];
  #running = false;

  /** @param bytesMin deleted bytes of a span that make a compaction worth its while */
  constructor(records: OrderedStore, bytesMin: number, onFailure: (error: unknown) => void) {
    this.#records = records;
    this.#bytesMin = bytesMin;
    this.#onFailure = onFailure;
  }

  deleted(lsns: readonly Lsn[]): void {
    if (lsns.length === 0) return;
    this.#runs = joinRuns([...this.#runs, ...runsOf(lsns)], runsMax);
    if (!this.#running) void this.#reclaim();
  }

  /** Whether the space of these alone would be given back at once if they were deleted. */
  async isWorthwhile(lsns: readonly Lsn[]): Promise<boolean> {
    // A rough answer, asked for after every flush.
    return (await this.#worthwhile(joinRuns(runsOf(lsns), 64))) !== undefined;
  }

  async #reclaim(): Promise<void> {
    this.#running = true;
    try {
      for (;;) {
        const span = await this.#worthwhile(this.#runs);
        if (span === undefined) break;
        this.#runs = this.#runs.filter(({ from, to }) => from < span.from || to > span.to);
        await this.#records.compactRange(recordsKey(asLsn(span.from)), recordsKey(asLsn(span.to + 1)));
      }
    } catch (error) {
      this.#onFailure(error);
    }
    this.#running = false;
  }

  /** A span from the beginning of a run to the end of one that is worth a compaction. */
  async #worthwhile(runs: readonly DeletedRun[]): Promise<{ from: number; to: number } | undefined> {
    const [first] = runs;
    const last = runs.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const measured: MeasuredRun[] = [];
    for (const run of runs) {
      const bytes = await this.#bytesBetween(run);
      measured.push({ ...run, deletedBytes: (bytes * run.count) / (run.to + 1 - run.from) });
    }
    const deletedBytes = measured.reduce((sum, run) => sum + run.deletedBytes, 0);
    const floor = Math.min(this.#bytesMin, deletedBytesFloor);
    if (deletedBytes < floor) return undefined;
    const span = deletedBytes < this.#bytesMin ? undefined : await this.#denseSpan(measured);
    if (span !== undefined) return span;
    const storeBytes = await this.#records.approximateBytes(startOfKeys, endOfKeys);
    return deletedBytes >= storeBytes * storePartMin ? { from: first.from, to: last.to } : undefined;
  }

  /** The first span of neighbours that is dense and large enough. */
  async #denseSpan(runs: readonly MeasuredRun[]): Promise<{ from: number; to: number } | undefined> {
    let span: MeasuredRun | undefined;
    for (const run of runs) {
      const longer = span && { ...run, from: span.from, deletedBytes: span.deletedBytes + run.deletedBytes };
      const isDense = longer && longer.deletedBytes >= (await this.#bytesBetween(longer)) * densityMin;
      span = isDense ? longer : run;
      const isDenseEnough = span.deletedBytes >= this.#bytesMin && span.deletedBytes > 0;
      if (isDenseEnough && span.deletedBytes >= (await this.#bytesBetween(span)) * densityMin) return span;
    }
    return undefined;
  }

  #bytesBetween({ from, to }: { readonly from: number; readonly to: number }): Promise<number> {
    return this.#records.approximateBytes(recordsKey(asLsn(from)), recordsKey(asLsn(to + 1)));
  }
}

/** Runs without a gap. @param lsns in any order, none twice */
export function runsOf(lsns: readonly number[]): DeletedRun[] {
  return joinRuns(
    lsns.map((lsn) => ({ from: lsn, to: lsn, count: 1 })),
    lsns.length,
  );
}

/**
 * The same runs in ascending order: those that touch or overlap become one, and of the rest those with the smallest gaps
 * between them, until there are no more than `max`.
 */
export function joinRuns(runs: readonly DeletedRun[], max: number): DeletedRun[] {
  const ascending = runs.toSorted((a, b) => a.from - b.from);
  const apart = joinWhere(ascending, (gap) => gap <= 0);
  const tooMany = apart.length - max;
  if (tooMany <= 0) return apart;
  const gaps = apart.slice(1).map((run, index) => run.from - (apart[index]?.to ?? 0) - 1);
  const widest = gaps.toSorted((a, b) => a - b)[tooMany - 1] ?? 0;
  return joinWhere(apart, (gap) => gap <= widest);
}

function joinWhere(ascending: readonly DeletedRun[], isNear: (gap: number) => boolean): DeletedRun[] {
  const joined: DeletedRun[] = [];
  for (const run of ascending) {
    const last = joined.at(-1);
    if (last === undefined || !isNear(run.from - last.to - 1)) joined.push(run);
    else {
      joined[joined.length - 1] = {
        from: last.from,
        to: Math.max(last.to, run.to),
        count: last.count + run.count,
      };
    }
  }
  return joined;
}
