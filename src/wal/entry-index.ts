/** Where the entries of one partition lie on disk, and their terms. */
import { assert } from '../base/assert.js';
import { asLsn, type Lsn, type Term } from '../base/ids.js';
import type { Segment } from './segment.js';
import type { SegmentSection, TermRun } from './segment-index.js';

/** Entries [first, last] of the partition that lie in one segment. */
interface IndexRun {
  readonly segment: Segment;
  readonly section: SegmentSection;
  readonly first: Lsn;
  last: Lsn;
}

export interface EntryPosition {
  readonly segment: Segment;
  readonly offset: number;
  readonly dataBytes: number;
}

/**
 * LSN -> segment, offset, size, for the synced entries of one partition. Invariant: the runs are contiguous and ascend,
 * in LSN and in segment alike. The numbers themselves are in the segments' sections, shared with their footers.
 */
export class EntryIndex {
  private readonly runs: IndexRun[] = [];

  get empty(): boolean {
    return this.runs.length === 0;
  }

  /** Meaningful when not empty. */
  get first(): Lsn {
    return this.runs[0]?.first ?? asLsn(0);
  }

  get last(): Lsn {
    return this.runs.at(-1)?.last ?? asLsn(0);
  }

  get oldestSegment(): Segment | undefined {
    return this.runs[0]?.segment;
  }

  /** Whether entries from `first` on can follow what is here, replacing what is at or above it. */
  accepts(first: Lsn): boolean {
    return this.empty || first <= this.last + 1;
  }

  /** Entries [first, last] were stored in the section; what was here from `first` on is replaced. */
  append(segment: Segment, section: SegmentSection, first: Lsn, last: Lsn): void {
    assert(this.accepts(first), () => `entry index: LSN ${first} after ${this.last}`);
    this.cut(first);
    const tail = this.runs.at(-1);
    if (tail?.section === section) tail.last = last;
    else this.runs.push({ segment, section, first, last });
  }

  clear(): void {
    this.runs.length = 0;
  }

  /** Forgets the runs that lie wholly at or below `floor`. */
  dropThrough(floor: Lsn): void {
    let drop = 0;
    while (drop < this.runs.length && (this.runs[drop] as IndexRun).last <= floor) drop++;
    if (drop > 0) this.runs.splice(0, drop);
  }

  position(lsn: Lsn): EntryPosition {
    const { segment, section } = this.runOf(lsn);
    return { segment, offset: section.offsetOf(lsn), dataBytes: section.dataBytesOf(lsn) };
  }

  /** Where the position of an entry is to be found. */
  sectionOf(lsn: Lsn): { readonly segment: Segment; readonly section: SegmentSection } {
    return this.runOf(lsn);
  }

  private runOf(lsn: Lsn): IndexRun {
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.runs[middle] as IndexRun).last < lsn) low = middle + 1;
      else high = middle;
    }
    const run = this.runs[low];
    assert(
      run !== undefined && lsn >= run.first && lsn <= run.last,
      () => `entry index: LSN ${lsn} not in [${this.first}, ${this.last}]`,
    );
    return run;
  }

  /** Term runs of all entries here, for a start. */
  termRuns(): TermRun[] {
    const result: TermRun[] = [];
    for (const { section, first, last } of this.runs) {
      section.termRuns.forEach(({ from, term }, index) => {
        const until = section.termRuns[index + 1]?.from ?? asLsn(section.last + 1);
        if (until <= first || from > last || result.at(-1)?.term === term) return;
        result.push({ from: asLsn(Math.max(from, first)), term });
      });
    }
    return result;
  }

  private cut(from: Lsn): void {
    while (this.runs.length > 0 && (this.runs.at(-1) as IndexRun).first >= from) this.runs.pop();
    const tail = this.runs.at(-1);
    if (tail !== undefined && tail.last >= from) tail.last = asLsn(from - 1);
  }
}

/** The terms of a log's entries. Terms never fall along a log, so there are few runs. */
export class TermRuns {
  private readonly runs: TermRun[];

  constructor(runs: TermRun[]) {
    this.runs = runs;
  }

  append(lsn: Lsn, term: Term): void {
    if (this.runs.at(-1)?.term !== term) this.runs.push({ from: lsn, term });
  }

  /** Forgets entries from `from` on. */
  cut(from: Lsn): void {
    while ((this.runs.at(-1)?.from ?? 0) >= from) this.runs.pop();
  }

  /** Forgets runs that end at or below `lsn`. */
  dropThrough(lsn: Lsn): void {
    let drop = 0;
    while (drop + 1 < this.runs.length && (this.runs[drop + 1] as TermRun).from <= lsn + 1) drop++;
    if (drop > 0) this.runs.splice(0, drop);
  }

  clear(): void {
    this.runs.length = 0;
  }

  /** The term of a stored entry. */
  at(lsn: Lsn): Term {
    let low = 0;
    let high = this.runs.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.runs[middle] as TermRun).from <= lsn) low = middle;
      else high = middle - 1;
    }
    const run = this.runs[low];
    assert(run !== undefined && run.from <= lsn, () => `term runs: nothing known of LSN ${lsn}`);
    return run.term;
  }
}
