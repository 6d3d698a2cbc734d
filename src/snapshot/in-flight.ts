/** Bounded work under way: for writing in any order, and for reading ahead in one order. */

export interface InFlightLimits {
  readonly chunksInFlightMax: number;
  /** One item may be larger. */
  readonly bytesInFlightMax: number;
}

/** Tasks that run beside one another, bounded in number and bytes. After the first failure none starts any more. */
export class TasksInFlight {
  readonly #limits: InFlightLimits;
  readonly #onFailure: (error: unknown) => void;
  readonly #running = new Set<Promise<void>>();
  #bytes = 0;
  #failure: { readonly error: unknown } | undefined;

  /** @param onFailure called once, with the first error, so that what else runs can be ended */
  constructor(limits: InFlightLimits, onFailure: (error: unknown) => void) {
    this.#limits = limits;
    this.#onFailure = onFailure;
  }

  /** Resolves when the task has started; rejects with the first failure of any. */
  async start(bytes: number, task: () => Promise<void>): Promise<void> {
    const { chunksInFlightMax, bytesInFlightMax } = this.#limits;
    while (
      this.#failure === undefined &&
      this.#running.size > 0 &&
      (this.#running.size >= chunksInFlightMax || this.#bytes + bytes > bytesInFlightMax)
    ) {
      await Promise.race(this.#running);
    }
    this.#throwFailure();
    this.#bytes += bytes;
    const running = this.#run(bytes, task).then(() => {
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** Resolves when all have ended; rejects then, with the first failure. */
  async finish(): Promise<void> {
    await this.settled();
    this.#throwFailure();
  }

  /** As `finish`, whatever came of them. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.race(this.#running);
  }

  async #run(bytes: number, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      if (this.#failure !== undefined) return;
      this.#failure = { error };
      this.#onFailure(error);
    } finally {
      this.#bytes -= bytes;
    }
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/**
 * Results in the order of the items, several of them worked on ahead. When the consumer ends early, or one fails, what is
 * under way is waited for, after `abandon` was told to end it.
 */
export async function* readAhead<Item, Result>(
  items: readonly Item[],
  bytesOf: (item: Item) => number,
  limits: InFlightLimits,
  work: (item: Item) => Promise<Result>,
  abandon: () => void,
): AsyncGenerator<{ item: Item; result: Result }, void> {
  const ahead: { item: Item; bytes: number; result: Promise<Result> }[] = [];
  let next = 0;
  let bytes = 0;
  const fill = (): void => {
    for (; next < items.length; next += 1) {
      const item = items[next] as Item;
      const itemBytes = bytesOf(item);
      const isFull = ahead.length >= limits.chunksInFlightMax || bytes + itemBytes > limits.bytesInFlightMax;
      if (ahead.length > 0 && isFull) return;
      bytes += itemBytes;
      const result = work(item);
      // It is awaited in its turn; until then a rejection is not an unhandled one.
      result.catch(() => {});
      ahead.push({ item, bytes: itemBytes, result });
    }
  };
  try {
    for (fill(); ahead.length > 0; fill()) {
      const [first] = ahead;
      if (first === undefined) return;
      const result = await first.result;
      ahead.shift();
      yield { item: first.item, result };
      // Only now: what was handed out is still in memory while it is worked on.
      bytes -= first.bytes;
    }
  } finally {
    if (ahead.length > 0) abandon();
    await Promise.allSettled(ahead.map(({ result }) => result));
  }
}
