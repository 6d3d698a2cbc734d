/** The naive model: every stream an array of records. */
import type { ContextPage, Page } from '../../../src/streams/index.js';
import { encodedSliceBytes, sliceValues } from './records.js';
import type { TestPartition } from './partition.js';

export interface OracleRecord {
  readonly value: string;
  readonly appendTimeMs: number;
  readonly batchFirstSeq: number;
  readonly producerId: string | undefined;
  readonly number: number;
}

export class OracleStream {
  readonly records: OracleRecord[] = [];
  firstSeq = 0;
  /** Stored bytes of each batch at its first record, 0 at the others. */
  readonly storedBytes: number[] = [];

  get retainedBytes(): number {
    return this.storedBytes.slice(this.firstSeq).reduce((sum, bytes) => sum + bytes, 0);
  }

  get nextSeq(): number {
    return this.records.length;
  }

  append(values: readonly string[], appendTimeMs: number, producer?: { id: string; firstRecordNumber: number }): void {
    const batchFirstSeq = this.records.length;
    for (const [index, value] of values.entries()) {
      const number = (producer?.firstRecordNumber ?? 0) + index;
      this.records.push({ value, appendTimeMs, batchFirstSeq, producerId: producer?.id, number });
    }
  }

  values(from: number, to: number): string[] {
    return this.records.slice(from, to).map((record) => record.value);
  }

  /** First records of batches, and the end. */
  boundaries(): number[] {
    return [...new Set(this.records.map((record) => record.batchFirstSeq)), this.nextSeq];
  }

  /** Seqs of a record's context, without the record. */
  context(
    seq: number,
    before: number,
    after: number,
    scope: 'stream' | 'producer',
  ): { before: number[]; after: number[] } {
    const { producerId } = this.records[seq]!;
    const others = this.records.map((record, index) => ({ record, index }));
    const inScope = others.filter(
      ({ record, index }) => index >= this.firstSeq && (scope === 'stream' || record.producerId === producerId),
    );
    const below = inScope.filter(({ index }) => index < seq).map(({ index }) => index);
    const above = inScope.filter(({ index }) => index > seq).map(({ index }) => index);
    return { before: below.slice(below.length - Math.min(before, below.length)), after: above.slice(0, after) };
  }
}

/** Records of a page in reading order, with their seqs; checks what must hold for every page. */
export async function pageRecords(
  page: Page,
  direction: 'forward' | 'backward',
): Promise<{ seq: number; value: string }[]> {
  const records: { seq: number; value: string }[] = [];
  for (const slice of page.slices) {
    const values = await sliceValues(slice);
    if (values.length === 0) throw new Error('an empty slice');
    const numbered = values.map((value, index) => ({ seq: slice.firstSeq + slice.windowOffset + index, value }));
    records.push(...(direction === 'forward' ? numbered : numbered.toReversed()));
  }
  if (records.length !== page.recordCount) throw new Error(`${records.length} records, page says ${page.recordCount}`);
  return records;
}

export const pageBytes = (page: Pick<Page | ContextPage, 'slices'>): number =>
  page.slices.reduce((sum, slice) => sum + encodedSliceBytes(slice), 0);

export interface WalkOptions {
  readonly direction: 'forward' | 'backward';
  /** Limit and bytes of the next page. */
  readonly next: () => { limit: number; maxBytes: number; acceptCodecs: readonly number[] };
  readonly betweenPages?: () => Promise<void>;
}

/** Reads page by page with tokens until the end of the stream; answers what was read. */
export async function walk(
  partition: TestPartition,
  name: string,
  options: WalkOptions,
): Promise<{ seq: number; value: string }[]> {
  const { direction } = options;
  const records: { seq: number; value: string }[] = [];
  let start: Parameters<typeof partition.pages.readPage>[2]['start'] = { type: 'edge' };
  for (let pages = 0; ; pages++) {
    if (pages > 1_000_000) throw new Error('no end');
    const bounds = options.next();
    const page = await partition.pages.readPage(partition.store, name, { start, direction, ...bounds });
    const read = await pageRecords(page, direction);
    if (read.length > bounds.limit) throw new Error(`${read.length} records, limit ${bounds.limit}`);
    if (read.length > 1 && pageBytes(page) > bounds.maxBytes)
      throw new Error(`${pageBytes(page)} bytes, limit ${bounds.maxBytes}`);
    if (read.length === 0 && page.end === 'limit') throw new Error('an empty page before the end');
    records.push(...read);
    start = { type: 'token', token: page.nextPageToken };
    if (page.end === 'stream') return records;
    await options.betweenPages?.();
  }
}
