/**
 * A sorted set of strings of a hundred thousand at most: an array of sorted arrays that are split when they are full,
 * so that an insertion moves hundreds of elements and not all of them. New keys wait unsorted until somebody asks for a
 * range: most sets get hundreds of keys for each range that is asked for, and sorting those together costs far less.
 */
export class SortedKeys {
  #chunks: string[][] = [];
  /** Not in their places yet; some may be there already. */
  #fresh: string[] = [];

  add(key: string): void {
    this.#fresh.push(key);
    if (this.#fresh.length >= freshKeysMax) this.#settle();
  }

  delete(key: string): void {
    this.#settle();
    const at = this.#chunkOf(key);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return;
    const position = lowerBound(chunk, key);
    if (chunk[position] !== key) return;
    chunk.splice(position, 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
  }

  /** Keys with `from <= key < to`, ascending; the lowest `limit` of them. */
  range(from: string, to: string, limit = Number.POSITIVE_INFINITY): string[] {
    this.#settle();
    const keys: string[] = [];
    for (let at = this.#chunkOf(from); at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at] ?? [];
      for (let position = lowerBound(chunk, from); position < chunk.length; position++) {
        const key = chunk[position] ?? '';
        if (key >= to || keys.length >= limit) return keys;
        keys.push(key);
      }
    }
    return keys;
  }

  /** Keys with `from <= key < to`, descending; the highest `limit` of them. */
  reversedRange(from: string, to: string, limit = Number.POSITIVE_INFINITY): string[] {
    this.#settle();
    const keys: string[] = [];
    for (let at = Math.min(this.#chunkOf(to), this.#chunks.length - 1); at >= 0; at--) {
      const chunk = this.#chunks[at] ?? [];
      for (let position = lowerBound(chunk, to) - 1; position >= 0; position--) {
        const key = chunk[position] ?? '';
        if (key < from || keys.length >= limit) return keys;
        keys.push(key);
      }
    }
    return keys;
  }

  /** Merges the new keys into the chunks that they belong to. */
  #settle(): void {
    if (this.#fresh.length === 0) return;
    const fresh = this.#fresh.sort();
    this.#fresh = [];
    for (let from = 0; from < fresh.length;) {
      // What is above all chunks goes into the last one.
      const at = Math.max(0, Math.min(this.#chunkOf(fresh[from] ?? ''), this.#chunks.length - 1));
      const chunk = this.#chunks[at] ?? [];
      const isLast = at >= this.#chunks.length - 1;
      const highest = chunk[chunk.length - 1] ?? '';
      let to = from + 1;
      while (to < fresh.length && (isLast || (fresh[to] ?? '') < highest)) to++;
      this.#chunks.splice(at, 1, ...split(merged(chunk, fresh, from, to)));
      from = to;
    }
  }

  /** The first chunk whose last key is not below `key`; the number of chunks when there is none. */
  #chunkOf(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.at(-1) ?? '') < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const chunkKeysMax = 512;
const freshKeysMax = 1024;

/** Of `chunk` and `fresh` from `from` to `to`, both sorted, each key once. */
function merged(chunk: readonly string[], fresh: readonly string[], from: number, to: number): string[] {
  const keys: string[] = [];
  let position = 0;
  for (let at = from; at < to; at++) {
    const key = fresh[at] ?? '';
    for (; position < chunk.length && (chunk[position] ?? '') < key; position++) keys.push(chunk[position] ?? '');
    if (chunk[position] !== key && (keys.length === 0 || keys[keys.length - 1] !== key)) keys.push(key);
  }
  for (; position < chunk.length; position++) keys.push(chunk[position] ?? '');
  return keys;
}

/** Into pieces that leave room for more. */
function split(keys: string[]): string[][] {
  if (keys.length <= chunkKeysMax) return [keys];
  const pieces: string[][] = [];
  for (let at = 0; at < keys.length; at += chunkKeysMax / 2) pieces.push(keys.slice(at, at + chunkKeysMax / 2));
  return pieces;
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
