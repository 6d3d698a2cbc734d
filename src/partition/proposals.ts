/** Proposals of this leader that are not applied yet, in LSN order. */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import type { Lsn, Term } from '../base/ids.js';
import { sleep, type Clock } from '../base/ports/clock.js';
import { leadershipLost } from './refusals.js';
import type { Applied } from './types.js';

interface Pending<Result> {
  readonly lsn: Lsn;
  readonly term: Term;
  readonly bytes: number;
  readonly resolve: (applied: Applied<Result>) => void;
  readonly reject: (error: Error) => void;
}

const drainPollMs = 2;

/**
 * Bounded in items and bytes. A proposal leaves when its entry is applied, or when leadership is lost, whichever comes
 * first; after the latter nobody here can know its outcome, and it says so.
 */
export class PendingProposals<Result> {
  readonly #itemsMax: number;
  readonly #bytesMax: number;
  /** Ascending by LSN; `#head` is the first that still waits. */
  #queue: Pending<Result>[] = [];
  #head = 0;
  #bytes = 0;

  constructor(limits: { itemsMax: number; bytesMax: number }) {
    this.#itemsMax = limits.itemsMax;
    this.#bytesMax = limits.bytesMax;
  }

  get items(): number {
    return this.#queue.length - this.#head;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** @throws LogboomError QUEUE_FULL; one proposal of any size is taken when there is no other. */
  admit(bytes: number): void {
    if (this.items === 0) return;
    if (this.items + 1 > this.#itemsMax || this.#bytes + bytes > this.#bytesMax) {
      throw new LogboomError(
        'QUEUE_FULL',
        `the partition has ${this.items} appends with ${this.#bytes} bytes under way (limits ${this.#itemsMax} and ` +
          `${this.#bytesMax} bytes); send again later`,
        {
          facts: { items: this.items, bytes: this.#bytes, itemsMax: this.#itemsMax, bytesMax: this.#bytesMax },
          retryAfterMs: 50,
        },
      );
    }
  }

  /** Resolves when none waits any more, when `isOver` says so, or after `timeoutMs`. */
  async drained(clock: Clock, timeoutMs: number, isOver: () => boolean): Promise<void> {
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    while (this.items > 0 && !isOver() && clock.monotonicMs() < deadlineMs) await sleep(clock, drainPollMs);
  }

  wait(lsn: Lsn, term: Term, bytes: number): Promise<Applied<Result>> {
    const last = this.#queue[this.#queue.length - 1];
    assert(last === undefined || last.lsn < lsn, () => `proposal at ${lsn} comes after one at ${last?.lsn}`);
    this.#bytes += bytes;
    return new Promise((resolve, reject) => {
      this.#queue.push({ lsn, term, bytes, resolve, reject });
    });
  }

  /** Whether someone waits for the entry. */
  awaits(lsn: Lsn, term: Term): boolean {
    return this.#queue.slice(this.#head).some((pending) => pending.lsn === lsn && pending.term === term);
  }

  /** The entry at `lsn` of `term` is applied with `result`. */
  applied(lsn: Lsn, term: Term, result: Result): void {
    const first = this.#queue[this.#head];
    if (first === undefined || first.lsn > lsn) return;
    assert(first.lsn === lsn, () => `entry ${lsn} is applied while a proposal waits at ${first.lsn}`);
    this.#shift(first);
    if (first.term === term) first.resolve({ lsn, result });
    else first.reject(outcomeUnknown(leadershipLost()));
  }

  /** Ends all that wait. They are in the log or may be, so they are told that their outcome is open. */
  rejectAll(error: LogboomError): void {
    const waiting = this.#queue.slice(this.#head);
    this.#queue = [];
    this.#head = 0;
    this.#bytes = 0;
    for (const proposal of waiting) proposal.reject(outcomeUnknown(error));
  }

  #shift(first: Pending<Result>): void {
    this.#bytes -= first.bytes;
    this.#head += 1;
    // Amortized: the array is cut when half of it is spent.
    if (this.#head > 64 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** The same error; who gets it must not take it for a refusal. */
function outcomeUnknown({ reason, message, facts, retryAfterMs, cause }: LogboomError): LogboomError {
  return new LogboomError(reason, message, {
    facts: { ...facts, outcome: 'unknown' },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    cause,
  });
}
