import { at } from './at.js';
import { assert } from '../base/assert.js';
import type { Lsn, Term } from '../base/ids.js';
import type { DurabilityToken } from './types.js';

/** What becomes true when a handing-over is durable. */
export interface Handover {
  readonly token: DurabilityToken;
  /** Term of this replica when it handed over. */
  readonly term: Term;
  /** The end of the log at that time; everything up to it was handed over. */
  readonly lastLsn: Lsn;
  readonly lastTerm: Term;
  /** It carries this replica's vote for itself in `term`. */
  readonly votesForSelf: boolean;
  /** It carries entries that this replica appended as leader of `term`: their ends. Empty otherwise. */
  readonly ownAppends: readonly Lsn[];
}

/**
 * Handings-over that must be synced, in order. Reports are cumulative: the WAL is one sequence, so what was handed
 * over earlier is durable earlier.
 */
export class Durability {
  #next: DurabilityToken = 1;
  #durable: DurabilityToken = 0;
  #lastSync: DurabilityToken = 0;
  #outstanding: Handover[] = [];

  /** Highest token reported durable. */
  get durableToken(): DurabilityToken {
    return this.#durable;
  }

  /** The last token that was handed over with something to sync; 0 before. */
  get lastSyncToken(): DurabilityToken {
    return this.#lastSync;
  }

  nextToken(): DurabilityToken {
    const token = this.#next;
    this.#next += 1;
    return token;
  }

  handedOver(handover: Handover): void {
    this.#outstanding.push(handover);
    this.#lastSync = handover.token;
  }

  /** Answers what is durable now, oldest first. */
  reported(token: DurabilityToken): readonly Handover[] {
    assert(token < this.#next, () => `durability of token ${token} reported, ${this.#next - 1} were handed over`);
    if (token <= this.#durable) return [];
    this.#durable = token;
    const outstanding = this.#outstanding;
    if (outstanding.length === 0) return outstanding;
    if (at(outstanding, outstanding.length - 1).token <= token) {
      this.#outstanding = [];
      return outstanding;
    }
    let count = 0;
    while (at(outstanding, count).token <= token) count += 1;
    return outstanding.splice(0, count);
  }

  /** The log was replaced by a snapshot: what is outstanding says nothing about the new one. */
  forget(): void {
    this.#outstanding = [];
  }
}

const noAppends: readonly Lsn[] = [];

/** Ends of this replica's own appends since the last handing-over. */
export class OwnAppends {
  readonly #each: boolean;
  #ends: Lsn[] = [];

  constructor(each: boolean) {
    this.#each = each;
  }

  add(lsn: Lsn): void {
    if (this.#each || this.#ends.length === 0) this.#ends.push(lsn);
    else this.#ends[0] = lsn;
  }

  take(): readonly Lsn[] {
    if (this.#ends.length === 0) return noAppends;
    const taken = this.#ends;
    this.#ends = [];
    return taken;
  }
}

/** Bytes that a leader appended in its term and that are not committed yet. */
export class UncommittedBytes {
  #batches: { readonly lsn: Lsn; readonly bytes: number }[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(lsn: Lsn, bytes: number): void {
    if (bytes === 0) return;
    this.#batches.push({ lsn, bytes });
    this.#bytes += bytes;
  }

  committedTo(lsn: Lsn): void {
    if (this.#batches.length === 0 || at(this.#batches, 0).lsn > lsn) return;
    let count = 0;
    while (count < this.#batches.length && at(this.#batches, count).lsn <= lsn) {
      this.#bytes -= at(this.#batches, count).bytes;
      count += 1;
    }
    if (count === this.#batches.length) this.#batches = [];
    else this.#batches.splice(0, count);
  }

  reset(): void {
    this.#batches = [];
    this.#bytes = 0;
  }
}
