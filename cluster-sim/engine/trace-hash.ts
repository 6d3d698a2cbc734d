/**
 * A rolling hash over everything that happens in a run. Two runs of one seed and commit that end with the same hash did
 * the same things at the same times in the same order; the first check after any change to the simulator.
 */
export class TraceHash {
  #low = 0x9e3779b9;
  #high = 0x85ebca6b;
  readonly #float = new Float64Array(1);
  readonly #words = new Uint32Array(this.#float.buffer);

  /** A number of any size, by its bits. */
  mix(value: number): void {
    this.#float[0] = value;
    this.#mixWord(this.#words[0] as number);
    this.#mixWord(this.#words[1] as number);
  }

  mixText(text: string): void {
    for (let at = 0; at < text.length; at += 1) this.#mixWord(text.charCodeAt(at));
  }

  #mixWord(word: number): void {
    this.#low = Math.imul(this.#low ^ word, 0x01000193) + (this.#high >>> 15);
    this.#high = Math.imul(this.#high ^ (word + (this.#low >>> 13)), 0x85ebca6b);
  }

  /** 16 hexadecimal digits. */
  get digest(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return hex(this.#high) + hex(this.#low);
  }
}
