/** Which chunks of records of an earlier snapshot are used again, and which ranges of LSNs are read from the store: pure. */
import { asLsn, type Lsn } from '../base/ids.js';
import { recordsEntryBytes } from './chunk.js';
import type { RecordsChunk } from './types.js';

/** What live index entries point to. */
interface Live {
  entries: number;
  bytes: number;
}

export type RecordsStep =
  | { readonly reuse: RecordsChunk }
  /** Values with `from <= lsn < to`, of which so many are alive. */
  | { readonly from: Lsn; readonly to: Lsn; readonly live: Readonly<Live> };

/**
 * Counts, for every chunk and for every gap before, between and behind them, what is alive, and decides:
 *
 *  - a chunk is used again when at least half of its bytes are alive;
 *  - but a small one, below half of the size at which chunks end, is written anew together with a neighbour that is
 *    written anyway or is small too. So the tail, which grows with every snapshot, and chunks that retention has eaten at
 *    become whole ones, for an upload of less than half a chunk each, and no chunk is written again for ever.
 *
 * Memory: a few numbers a chunk, whatever the records are.
 */
export class RecordsPlan {
  readonly #chunks: readonly RecordsChunk[];
  readonly #chunkBytes: number;
  readonly #endLsn: Lsn;
  /** Gap 0, chunk 0, gap 1, ... gap n: the last is what came after the earlier snapshot. */
  readonly #live: Live[];

  /**
   * @param chunks usable ones, ascending, at or below `lsn`
   * @param lsn of the snapshot to be written
   * @param chunkBytes at which a chunk of records ends
   */
  constructor(chunks: readonly RecordsChunk[], lsn: Lsn, chunkBytes: number) {
    this.#chunks = chunks;
    this.#chunkBytes = chunkBytes;
    this.#endLsn = asLsn(lsn + 1);
    this.#live = Array.from({ length: 2 * chunks.length + 1 }, () => ({ entries: 0, bytes: 0 }));
  }

  /** A live index entry points to the value of this LSN. */
  countLive(lsn: Lsn, valueBytes: number): void {
    const live = this.#live[this.#elementOf(lsn)];
    if (live === undefined) return;
    live.entries += 1;
    live.bytes += recordsEntryBytes(valueBytes);
  }

  steps(): RecordsStep[] {
    const isRewritten = this.#rewritten();
    const steps: RecordsStep[] = [];
    let run: { from: Lsn; live: Live } | undefined;
    const endRun = (to: Lsn): void => {
      if (run !== undefined && run.live.entries > 0) steps.push({ from: run.from, to, live: run.live });
      run = undefined;
    };
    this.#live.forEach((live, element) => {
      const chunk = this.#chunkAt(element);
      if (chunk !== undefined && !isRewritten[element]) {
        endRun(chunk.firstLsn);
        steps.push({ reuse: chunk });
        return;
      }
      run ??= { from: this.#startOf(element), live: { entries: 0, bytes: 0 } };
      run.live.entries += live.entries;
      run.live.bytes += live.bytes;
    });
    endRun(this.#endLsn);
    return steps;
  }

  #rewritten(): boolean[] {
    const isRewritten = this.#live.map(({ entries, bytes }, element) => {
      const chunk = this.#chunkAt(element);
      if (chunk === undefined) return entries > 0;
      // More alive than it holds: it is not what it should be.
      return entries > chunk.entries || 2 * bytes < chunk.bytes;
    });
    const withLive = [...this.#live.keys()].filter((element) => (this.#live[element]?.entries ?? 0) > 0);
    const isJoined = (element: number | undefined): boolean =>
      element !== undefined && (isRewritten[element] === true || this.#isSmall(element));
    const joined = withLive.filter(
      (element, at) => this.#isSmall(element) && (isJoined(withLive[at - 1]) || isJoined(withLive[at + 1])),
    );
    for (const element of joined) isRewritten[element] = true;
    return isRewritten;
  }

  #isSmall(element: number): boolean {
    const chunk = this.#chunkAt(element);
    return chunk !== undefined && chunk.bytes < this.#chunkBytes / 2;
  }

  #chunkAt(element: number): RecordsChunk | undefined {
    return element % 2 === 1 ? this.#chunks[(element - 1) / 2] : undefined;
  }

  #startOf(element: number): Lsn {
    const chunk = this.#chunkAt(element);
    if (chunk !== undefined) return chunk.firstLsn;
    const before = this.#chunkAt(element - 1);
    return asLsn(before === undefined ? 0 : before.lastLsn + 1);
  }

  #elementOf(lsn: Lsn): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.lastLsn ?? 0) < lsn) low = middle + 1;
      else high = middle;
    }
    // `low` is the first chunk that ends at or behind it.
    const chunk = this.#chunks[low];
    return chunk !== undefined && chunk.firstLsn <= lsn ? 2 * low + 1 : 2 * low;
  }
}
