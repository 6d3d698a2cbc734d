/** Clients that read: single looks that must be linearizable, and walks that must meet every record exactly once. */
import { isLogboomError } from '../../src/base/errors.js';
import type { Direction, Page, ReadStart } from '../../src/streams/index.js';
import { Client } from './client.js';
import { getStream, readPage } from './node-service.js';
import { recordsOf, type ReadRecord } from './records.js';

/** Asks any node for a stream as it is, and now and then for its newest records. */
export class Reader extends Client {
  protected async work(): Promise<void> {
    const { plan } = this.cluster;
    await this.pause(plan.profile === 'calm' ? 5000 : 1500);
    const index = this.random.integer(0, plan.streams.length - 1);
    const stream = plan.streams[index];
    if (stream === undefined) return;
    const nodeId = this.anyNode();
    const floor = this.books.floor(index);
    if (this.random.chance(0.3)) {
      const page = await this.call(nodeId, (serving) =>
        readPage(serving, stream, { start: { type: 'last', count: 20 }, direction: 'forward', acceptCodecs: [0, 1] }),
      );
      this.books.viewed(index, page.stream, floor);
      this.books.read(index, page.stream.epoch, recordsOf(page.slices));
      this.cluster.count('pages read');
      return;
    }
    const operation = this.history.invoke(this.id, index, { type: 'get' });
    try {
      const view = await this.call(nodeId, (serving) => getStream(serving, stream));
      this.cluster.count('linearizable reads');
      if (view === undefined) {
        this.history.returned(operation, { type: 'absent' });
      } else {
        this.history.returned(operation, { type: 'found', epoch: view.epoch, nextSeq: view.nextSeq });
        this.books.viewed(index, view, floor);
      }
    } catch (error) {
      this.history.refused(operation);
      throw error;
    }
  }
}

/** Streams longer than this are walked in part, from anywhere. */
const wholeWalkMax = 2000;
const pagesMax = 20;

/** Walks a stream by its page tokens, over all nodes, forward or backward, in pages of any size. */
export class Walker extends Client {
  protected async work(): Promise<void> {
    const { plan } = this.cluster;
    await this.pause(plan.profile === 'calm' ? 60_000 : 15_000);
    const index = this.random.integer(0, plan.streams.length - 1);
    const stream = plan.streams[index];
    if (stream === undefined) return;
    const direction = this.random.chance(0.5) ? 'forward' : 'backward';
    const { nextSeq } = this.books.floor(index) ?? { nextSeq: 0 };
    // Whole walks of a stream that only grows would take more of a long run than all the rest; its end does one.
    const firstSeq = nextSeq > wholeWalkMax ? this.random.integer(0, nextSeq - 1) : undefined;
    const walk = new Walk(direction, firstSeq);
    let start: ReadStart = firstSeq === undefined ? { type: 'edge' } : { type: 'seq', seq: firstSeq };
    for (let pages = 0; pages < pagesMax && this.isRunning; pages += 1) {
      const request = {
        start,
        direction,
        limit: this.random.integer(1, 300),
        acceptCodecs: this.random.chance(0.5) ? [0] : [0, 1],
      } as const;
      let page: Page;
      try {
        page = await this.call(this.anyNode(), (serving) => readPage(serving, stream, request));
      } catch (error) {
        if (isLogboomError(error, 'RECORD_TRIMMED') || isLogboomError(error, 'PAGE_TOKEN_WRONG_STREAM')) return;
        // The seq was one of an earlier life of the stream.
        if (stream.mayBeDeleted && isLogboomError(error, 'SEQ_BEYOND_END')) return;
        if (!this.isExpected(error)) throw error;
        // The same page again, from another node: the walk must not notice.
        await this.pause(200);
        continue;
      }
      const records = recordsOf(page.slices);
      this.books.read(index, page.stream.epoch, records);
      const problem = walk.take(page, records);
      if (problem !== undefined) {
        this.cluster.verdict.broken(
          'page-walks-return-each-record-once',
          `${direction} walk over ${stream.name}: ${problem}`,
        );
      }
      this.cluster.count('pages read');
      if (page.end === 'stream') {
        this.cluster.count('walks');
        return;
      }
      start = { type: 'token', token: page.nextPageToken };
    }
  }
}

/** Follows one walk: each page must go on exactly where the last one ended. */
export class Walk {
  readonly #direction: Direction;
  /** Forward the next seq; backward one above it. */
  #expected: number | undefined;

  /** @param firstSeq the first record asked for; the edge of the stream when undefined */
  constructor(direction: Direction, firstSeq?: number) {
    this.#direction = direction;
    if (firstSeq !== undefined) this.#expected = direction === 'forward' ? firstSeq : firstSeq + 1;
  }

  /** Answers what is wrong. */
  take(page: Pick<Page, 'stream' | 'end'>, records: readonly ReadRecord[]): string | undefined {
    const seqs = records.map(({ seq }) => seq).sort((a, b) => a - b);
    const first = seqs[0];
    const last = seqs.at(-1);
    if (first === undefined || last === undefined) {
      return page.end === 'limit' ? 'an empty page that says there is more' : undefined;
    }
    if (last - first + 1 !== seqs.length || new Set(seqs).size !== seqs.length)
      return `a page with a gap or a repeat: ${seqs.join()}`;
    const begin = this.#direction === 'forward' ? first : last + 1;
    const expected = this.#expected ?? begin;
    this.#expected = this.#direction === 'forward' ? last + 1 : first;
    return begin === expected ? undefined : `a page of [${first}, ${last}], expected to go on at ${expected}`;
  }
}
