/** Which configuration was in force at which LSN, back to the persisted LSN: a trim point is stored with its own. */
import { assert } from '../base/assert.js';
import type { Lsn } from '../base/ids.js';
import type { ConfState } from '../raft/types.js';

export class ConfHistory {
  /** Ascending; the first holds for every LSN this history may be asked about and that comes before the second. */
  #changes: { readonly lsn: Lsn; readonly confState: ConfState }[];

  constructor(lsn: Lsn, confState: ConfState) {
    this.#changes = [{ lsn, confState }];
  }

  get latest(): ConfState {
    return this.#at(this.#changes.length - 1).confState;
  }

  /** Whether an entry at `lsn` has taken effect already: it is applied once more after a store was reopened. */
  covers(lsn: Lsn): boolean {
    return lsn <= this.#at(this.#changes.length - 1).lsn;
  }

  changed(lsn: Lsn, confState: ConfState): void {
    assert(!this.covers(lsn), () => `configuration change at LSN ${lsn} is known already`);
    this.#changes.push({ lsn, confState });
  }

  at(lsn: Lsn): ConfState {
    for (let index = this.#changes.length - 1; index >= 0; index -= 1) {
      const change = this.#at(index);
      if (change.lsn <= lsn) return change.confState;
    }
    const first = this.#at(0);
    assert(false, () => `configuration at LSN ${lsn} is asked for, but history begins at ${first.lsn}`);
  }

  /**
   * For a trim point, which after a restart may lie before this history: the store then begins above it. If the configuration
   * changed in between, the store holds the later one, and what the log says of its beginning is not looked at any more
   * (`startState`); if it did not, the earliest known one held there too.
   */
  atTrimPoint(lsn: Lsn): ConfState {
    const first = this.#at(0);
    return lsn < first.lsn ? first.confState : this.at(lsn);
  }

  /** Nothing below `lsn` will be asked for any more. */
  forgetBelow(lsn: Lsn): void {
    while (this.#changes.length > 1 && this.#at(1).lsn <= lsn) this.#changes.shift();
  }

  #at(index: number): { readonly lsn: Lsn; readonly confState: ConfState } {
    const change = this.#changes[index];
    assert(change !== undefined, () => `configuration history has ${this.#changes.length} changes, not ${index + 1}`);
    return change;
  }
}
