export interface AccumulatorOptions<Item> {
  readonly send: (items: readonly Item[]) => Promise<unknown>;
  readonly bytesOf: (item: Item) => number;
  readonly inFlightMax: number;
  readonly recordsMax: number;
  readonly bytesMax: number;
}

interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Batches for clients that leave it to their caller: what is added in one turn of the event loop, or while as many batches
 * are in flight as may be, goes out together. Nothing waits while there is room in flight, so that one record at a time has
 * the latency of one.
 */
export class Accumulator<Item> {
  readonly #options: AccumulatorOptions<Item>;
  readonly #waiting: Waiting<Item>[] = [];
  #from = 0;
  #inFlight = 0;
  #scheduled = false;

  constructor(options: AccumulatorOptions<Item>) {
    this.#options = options;
  }

  add(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= this.#options.inFlightMax) return;
    this.#scheduled = true;
    // Behind the reactions of all promises that settle now: what those who were answered append goes out as well.
    queueMicrotask(() =>
      process.nextTick(() => {
        this.#scheduled = false;
        while (this.#inFlight < this.#options.inFlightMax && this.#from < this.#waiting.length) this.#sendOne();
      }),
    );
  }

  #sendOne(): void {
    const batch = this.#take();
    this.#inFlight += 1;
    this.#options
      .send(batch.map(({ item }) => item))
      .then(
        () => {
          for (const { resolve } of batch) resolve();
        },
        (error: unknown) => {
          for (const { reject } of batch) reject(error);
        },
      )
      .finally(() => {
        this.#inFlight -= 1;
        if (this.#from < this.#waiting.length) this.#schedule();
      });
  }

  #take(): readonly Waiting<Item>[] {
    const { bytesOf, bytesMax, recordsMax } = this.#options;
    const batch: Waiting<Item>[] = [];
    let bytes = 0;
    while (this.#from < this.#waiting.length && batch.length < recordsMax) {
      const next = this.#waiting[this.#from] as Waiting<Item>;
      bytes += bytesOf(next.item);
      if (batch.length > 0 && bytes > bytesMax) break;
      batch.push(next);
      this.#from += 1;
    }
    if (this.#from === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#from = 0;
    } else if (this.#from > 4096) {
      this.#waiting.splice(0, this.#from);
      this.#from = 0;
    }
    return batch;
  }
}
