/** Lets one line through in `intervalMs`, and counts those held back in between. */
export class LogRate {
  readonly #intervalMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;
  #heldBack = 0;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** How many lines were held back since the last one, if one may be written now; else undefined. */
  take(nowMs: number): number | undefined {
    if (nowMs - this.#lastMs < this.#intervalMs) {
      this.#heldBack += 1;
      return undefined;
    }
    const heldBack = this.#heldBack;
    this.#heldBack = 0;
    this.#lastMs = nowMs;
    return heldBack;
  }
}
