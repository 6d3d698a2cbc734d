import { asLsn, asTerm, type Lsn, type Term } from '../../src/base/ids.js';
import { emptyConfState, type Entry, type LogReader, type LogStart } from '../../src/raft/index.js';

/** A log in memory. A node keeps two: what was handed over, and what is "on disk". */
export class ScenarioLog implements LogReader {
  #start: LogStart;
  #entries: Entry[] = [];

  constructor(start: LogStart = { lsn: asLsn(0), term: asTerm(0), confState: emptyConfState }) {
    this.#start = start;
  }

  get firstLsn(): Lsn {
    return asLsn(this.#start.lsn + 1);
  }

  get lastLsn(): Lsn {
    return asLsn(this.#start.lsn + this.#entries.length);
  }

  get start(): LogStart {
    return this.#start;
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  termAt(lsn: Lsn): Term | undefined {
    return lsn === this.#start.lsn ? this.#start.term : this.#entries[lsn - this.firstLsn]?.term;
  }

  entriesInMemory(from: Lsn, to: Lsn, maxBytes: number): readonly Entry[] | undefined {
    if (from < this.firstLsn || from > this.lastLsn) return undefined;
    const taken: Entry[] = [];
    let bytes = 0;
    for (const entry of this.#entries.slice(from - this.firstLsn, to - this.firstLsn)) {
      bytes += entry.data.length;
      if (taken.length > 0 && bytes > maxBytes) break;
      taken.push(entry);
    }
    return taken;
  }

  /** Replaces what is stored from the first entry on. Entries at or below the start are skipped. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.lsn < this.firstLsn) continue;
      if (entry.lsn > this.lastLsn + 1) throw new Error(`hole in log: ${entry.lsn} after ${this.lastLsn}`);
      this.#entries.length = entry.lsn - this.firstLsn;
      this.#entries.push(entry);
    }
  }

  /** Drops entries up to and including `lsn`. */
  compactTo(lsn: Lsn): void {
    const term = this.termAt(lsn);
    if (lsn <= this.#start.lsn || term === undefined)
      throw new Error('requested index is unavailable due to compaction');
    this.#entries = this.#entries.slice(lsn - this.#start.lsn);
    this.#start = { ...this.#start, lsn, term };
  }

  install(start: LogStart): void {
    this.#start = start;
    this.#entries = [];
  }

  clone(): ScenarioLog {
    const copy = new ScenarioLog(this.#start);
    copy.#entries = [...this.#entries];
    return copy;
  }
}
