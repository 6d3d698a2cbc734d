/** Bounds of the time for which an address is left alone after it failed; it doubles with every failure in a row. */
const suspectMsMin = 500;
const suspectMsMax = 10_000;

interface Suspect {
  readonly failures: number;
  readonly untilMs: number;
}

/** Addresses that did not answer lately, and are to be tried after all others. */
export class Suspects {
  readonly #suspects = new Map<string, Suspect>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  has(address: string): boolean {
    return this.#nowMs() < (this.#suspects.get(address)?.untilMs ?? 0);
  }

  failed(address: string): void {
    // Calls that were under way together fail together: that is one failure.
    if (this.has(address)) return;
    const failures = (this.#suspects.get(address)?.failures ?? 0) + 1;
    const forMs = Math.min(suspectMsMax, suspectMsMin * 2 ** (failures - 1));
    this.#suspects.set(address, { failures, untilMs: this.#nowMs() + forMs });
  }

  answered(address: string): void {
    this.#suspects.delete(address);
  }
}
