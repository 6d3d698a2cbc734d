/** What a run found out: the first broken invariant ends it. */
import type { Invariant } from './invariants.js';

export interface Violation {
  readonly invariant: Invariant;
  /** What was expected and what was found, with the numbers. */
  readonly message: string;
  readonly atMs: number;
}

export class Verdict {
  #violation: Violation | undefined;
  readonly #nowMs: () => number;
  readonly #onViolation: (violation: Violation) => void;

  constructor(nowMs: () => number, onViolation: (violation: Violation) => void) {
    this.#nowMs = nowMs;
    this.#onViolation = onViolation;
  }

  get violation(): Violation | undefined {
    return this.#violation;
  }

  /** Later ones follow from the first more often than not, and are dropped. */
  broken(invariant: Invariant, message: string): void {
    if (this.#violation !== undefined) return;
    this.#violation = { invariant, message, atMs: this.#nowMs() };
    this.#onViolation(this.#violation);
  }

  /** Reports unless the condition holds. */
  require(condition: boolean, invariant: Invariant, message: () => string): void {
    if (!condition) this.broken(invariant, message());
  }
}
