/** Random numbers that a seed brings back. Real processes and disks do not repeat with it, but what a test asks of them does. */
export class SeededRandom {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 2^32): mulberry32. */
  uint32(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** Uniform in [0, bound). */
  below(bound: number): number {
    return this.uint32() % bound;
  }

  /** Uniform in [from, to]. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)] as Item;
  }
}

/** New each time, unless LOGBOOM_TEST_SEED brings a former one back. */
export function testSeed(): number {
  return Number(process.env['LOGBOOM_TEST_SEED'] ?? Date.now() % 0x1_0000_0000);
}
