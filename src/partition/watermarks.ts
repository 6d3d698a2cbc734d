/**
 * The LSNs of one replica and the rule that binds them, asserted at every move:
 * persisted <= applied <= commit <= durable.
 */
import { assert } from '../base/assert.js';
import { asLsn, type Lsn } from '../base/ids.js';

export interface WatermarkValues {
  readonly durable: Lsn;
  readonly commit: Lsn;
  readonly applied: Lsn;
  readonly persisted: Lsn;
}

export class Watermarks {
  #durable: Lsn;
  #commit: Lsn;
  #applied: Lsn;
  #persisted: Lsn;

  /** @param start what the WAL and the state store hold at the start; a store is never ahead of its own WAL. */
  constructor(start: WatermarkValues) {
    this.#durable = start.durable;
    this.#commit = start.commit;
    this.#applied = start.applied;
    this.#persisted = start.persisted;
    this.#check();
  }

  get durable(): Lsn {
    return this.#durable;
  }
  /** As far as it is durable here: what this replica may apply. */
  get commit(): Lsn {
    return this.#commit;
  }
  get applied(): Lsn {
    return this.#applied;
  }
  get persisted(): Lsn {
    return this.#persisted;
  }

  /** May go back above the commit LSN, when a new leader replaces what was never committed. */
  durableMoved(lsn: Lsn): void {
    assert(lsn >= this.#commit, () => `durable LSN ${lsn} falls below commit LSN ${this.#commit}`);
    this.#durable = lsn;
    this.#check();
  }

  commitAdvanced(lsn: Lsn): void {
    assert(lsn >= this.#commit, () => `commit LSN goes back from ${this.#commit} to ${lsn}`);
    this.#commit = lsn;
    this.#check();
  }

  appliedAdvanced(lsn: Lsn): void {
    assert(lsn > this.#applied, () => `applied LSN does not advance from ${this.#applied} to ${lsn}`);
    this.#applied = lsn;
    this.#check();
  }

  persistedAdvanced(lsn: Lsn): void {
    assert(lsn >= this.#persisted, () => `persisted LSN goes back from ${this.#persisted} to ${lsn}`);
    this.#persisted = lsn;
    this.#check();
  }

  /** The store was closed after a failure and opened again: what it had not flushed is applied once more. */
  storeReopened(applied: Lsn): void {
    assert(
      applied >= this.#persisted && applied <= this.#applied,
      () => `a store reopened at ${applied}, outside of [persisted ${this.#persisted}, applied ${this.#applied}]`,
    );
    this.#applied = applied;
    this.#persisted = asLsn(Math.max(this.#persisted, applied));
    this.#check();
  }

  /** State and log were replaced by a snapshot of `lsn`, durably. */
  installed(lsn: Lsn): void {
    assert(lsn > this.#commit, () => `a snapshot of LSN ${lsn} is not above commit LSN ${this.#commit}`);
    this.#durable = lsn;
    this.#commit = lsn;
    this.#applied = lsn;
    this.#persisted = lsn;
  }

  #check(): void {
    assert(
      this.#persisted <= this.#applied && this.#applied <= this.#commit && this.#commit <= this.#durable,
      () =>
        `watermarks out of order: persisted ${this.#persisted}, applied ${this.#applied}, ` +
        `commit ${this.#commit}, durable ${this.#durable}`,
    );
  }
}

export function statusOf({ durable, commit, applied, persisted }: WatermarkValues): {
  readonly durableLsn: Lsn;
  readonly commitLsn: Lsn;
  readonly appliedLsn: Lsn;
  readonly persistedLsn: Lsn;
} {
  return { durableLsn: durable, commitLsn: commit, appliedLsn: applied, persistedLsn: persisted };
}
