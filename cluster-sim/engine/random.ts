/** Random numbers of a run: one stream a subsystem, all from one seed, so that more draws of one do not shift another's. */
import type { Random } from '../../src/base/ports/random.js';

/** sfc32 (PractRand's small fast counting generator): 128 bits of state, passes its own author's tests, and is cheap. */
export class RandomStream implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number, subsystem: string) {
    // FNV-1a over the name keeps the streams of different subsystems apart.
    let name = 0x811c9dc5;
    for (let at = 0; at < subsystem.length; at += 1) name = Math.imul(name ^ subsystem.charCodeAt(at), 0x01000193);
    this.#a = name >>> 0;
    this.#b = seed >>> 0;
    this.#c = Math.floor(seed / 0x1_0000_0000) >>> 0;
    for (let warmUp = 0; warmUp < 15; warmUp += 1) this.nextUint32();
  }

  nextUint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return this.nextUint32() / 0x1_0000_0000;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  /** Uniform in [from, to). */
  between(from: number, to: number): number {
    return from + (to - from) * this.fraction();
  }

  /** Uniform integer in [from, to]. */
  integer(from: number, to: number): number {
    return from + Math.floor((to - from + 1) * this.fraction());
  }

  /** Exponentially distributed: the time to the next event of a Poisson process. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.fraction());
  }

  pick<Item>(items: readonly Item[]): Item {
    const item = items[Math.floor(items.length * this.fraction())];
    if (item === undefined) throw new RangeError('nothing to pick from');
    return item;
  }

  shuffled<Item>(items: readonly Item[]): Item[] {
    const shuffled = [...items];
    for (let last = shuffled.length - 1; last > 0; last -= 1) {
      const other = this.integer(0, last);
      [shuffled[last], shuffled[other]] = [shuffled[other] as Item, shuffled[last] as Item];
    }
    return shuffled;
  }
}
