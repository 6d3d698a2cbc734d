/**
 * Direct checks of what clients see, in constant time a record: positions are dense and unique, content never changes,
 * nothing acknowledged is lost, nothing is there twice, and no read is older than what was acknowledged before it.
 */
import type { Verdict } from './verdict.js';
import type { ReadRecord } from '../clients/records.js';

/** What is known of one life of one stream. */
interface EpochBook {
  /** By seq, of records that were acknowledged or read. */
  readonly values: (string | undefined)[];
  readonly seqs: Map<string, number>;
  readonly acknowledged: Set<number>;
  /** Every record below was acknowledged or seen: no later linearizable read may end before it. */
  nextSeq: number;
  /** Retention has been seen to begin here. */
  firstSeq: number;
}

/** What a read must at least show, as of its invocation. */
export interface Floor {
  readonly epoch: number;
  readonly nextSeq: number;
}

export class StreamBooks {
  readonly #verdict: Verdict;
  /** By stream, then by epoch. */
  readonly #books: (Map<number, EpochBook> | undefined)[] = [];
  /** Values that some client has tried to append. */
  readonly #issued = new Set<string>();
  readonly #floors = new Map<number, Floor>();
  records = 0;

  constructor(verdict: Verdict) {
    this.#verdict = verdict;
  }

  issued(values: readonly string[]): void {
    for (const value of values) this.#issued.add(value);
  }

  acknowledged(stream: number, epoch: number, firstSeq: number, values: readonly string[]): void {
    const book = this.#book(stream, epoch);
    values.forEach((value, index) => {
      this.#see(stream, epoch, book, { seq: firstSeq + index, value });
      book.acknowledged.add(firstSeq + index);
    });
    this.#raise(stream, epoch, firstSeq + values.length);
  }

  floor(stream: number): Floor | undefined {
    return this.#floors.get(stream);
  }

  /** A linearizable look at the stream, invoked when `floor` was the floor. */
  viewed(stream: number, view: { epoch: number; firstSeq: number; nextSeq: number }, floor: Floor | undefined): void {
    if (floor !== undefined && floor.epoch === view.epoch) {
      this.#verdict.require(
        view.nextSeq >= floor.nextSeq,
        'no-stale-reads',
        () =>
          `stream ${stream}: a read shows next seq ${view.nextSeq}, ${floor.nextSeq} was acknowledged before it began`,
      );
    }
    const book = this.#book(stream, view.epoch);
    book.firstSeq = Math.max(book.firstSeq, view.firstSeq);
    this.#raise(stream, view.epoch, view.nextSeq);
  }

  read(stream: number, epoch: number, records: readonly ReadRecord[]): void {
    const book = this.#book(stream, epoch);
    this.records += records.length;
    for (const record of records) this.#see(stream, epoch, book, record);
  }

  /** The whole stream was read back: everything acknowledged must be there, unless retention has taken it. */
  readBack(
    stream: number,
    view: { epoch: number; firstSeq: number; nextSeq: number },
    records: readonly ReadRecord[],
  ): void {
    const book = this.#book(stream, view.epoch);
    this.#verdict.require(
      records.length === view.nextSeq - view.firstSeq,
      'page-walks-return-each-record-once',
      () => `stream ${stream}: ${records.length} records were read of [${view.firstSeq}, ${view.nextSeq})`,
    );
    const found = new Set(records.map(({ seq }) => seq));
    for (const seq of book.acknowledged) {
      this.#verdict.require(
        seq < view.firstSeq || found.has(seq),
        'nothing-acknowledged-is-lost',
        () =>
          `stream ${stream}: seq ${seq} was acknowledged (${book.values[seq]}), and is not in [${view.firstSeq}, ${view.nextSeq})`,
      );
    }
  }

  #see(stream: number, epoch: number, book: EpochBook, { seq, value }: ReadRecord): void {
    const known = book.values[seq];
    if (known === value) return;
    this.#verdict.require(
      known === undefined,
      'content-never-changes',
      () => `stream ${stream} epoch ${epoch}: seq ${seq} holds ${value}, it held ${known}`,
    );
    this.#verdict.require(
      this.#issued.has(value),
      'nothing-is-invented',
      () => `stream ${stream} epoch ${epoch}: seq ${seq} holds ${value}, which nobody appended`,
    );
    const other = book.seqs.get(value);
    this.#verdict.require(
      other === undefined,
      'nothing-is-there-twice',
      () => `stream ${stream} epoch ${epoch}: ${value} is at seq ${other} and at ${seq}`,
    );
    book.values[seq] = value;
    book.seqs.set(value, seq);
  }

  #raise(stream: number, epoch: number, nextSeq: number): void {
    const book = this.#book(stream, epoch);
    book.nextSeq = Math.max(book.nextSeq, nextSeq);
    // Of streams that are deleted and made again, the newest life seen: which of two is newer, the history check knows.
    const floor = this.#floors.get(stream);
    if (floor === undefined || floor.epoch !== epoch || floor.nextSeq < book.nextSeq) {
      this.#floors.set(stream, { epoch, nextSeq: book.nextSeq });
    }
  }

  #book(stream: number, epoch: number): EpochBook {
    const epochs = (this.#books[stream] ??= new Map<number, EpochBook>());
    let book = epochs.get(epoch);
    if (book === undefined) {
      book = { values: [], seqs: new Map(), acknowledged: new Set(), nextSeq: 0, firstSeq: 0 };
      epochs.set(epoch, book);
    }
    return book;
  }
}
