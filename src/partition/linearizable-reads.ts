/** Linearizable reads of one replica (ReadIndex): all that arrive in one turn of the event loop share one confirmation. */
import { LogboomError } from '../base/errors.js';
import type { Lsn } from '../base/ids.js';
import type { ConfirmedRead, RequestResult } from '../raft/types.js';

interface Batch {
  readonly context: number;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  confirmedLsn: Lsn | undefined;
}

/** Bounded: a core takes a limited number of unconfirmed reads, and each batch is one of them. */
export class LinearizableReads {
  readonly #request: (context: number) => RequestResult;
  readonly #appliedLsn: () => Lsn;
  readonly #notLeader: () => LogboomError;
  #nextContext = 1;
  #collecting: Batch | undefined;
  readonly #batches = new Map<number, Batch>();

  constructor(parts: {
    request: (context: number) => RequestResult;
    appliedLsn: () => Lsn;
    notLeader: () => LogboomError;
  }) {
    this.#request = parts.request;
    this.#appliedLsn = parts.appliedLsn;
    this.#notLeader = parts.notLeader;
  }

  /** @throws LogboomError NOT_LEADER when nobody can confirm it now */
  wait(): Promise<void> {
    this.#collecting ??= this.#open();
    return this.#collecting.promise;
  }

  confirmed(read: ConfirmedRead): void {
    const batch = this.#batches.get(read.context);
    if (batch === undefined) return;
    batch.confirmedLsn = read.lsn;
    this.applied();
  }

  /** The applied LSN moved. */
  applied(): void {
    const appliedLsn = this.#appliedLsn();
    for (const batch of this.#batches.values()) {
      if (batch.confirmedLsn === undefined || batch.confirmedLsn > appliedLsn) continue;
      this.#batches.delete(batch.context);
      batch.resolve();
    }
  }

  dropped(context: number): void {
    const batch = this.#batches.get(context);
    this.#batches.delete(context);
    batch?.reject(this.#notLeader());
  }

  rejectAll(error: Error): void {
    const waiting = [...this.#batches.values()];
    this.#batches.clear();
    for (const batch of waiting) batch.reject(error);
  }

  #open(): Batch {
    let resolve: () => void = () => {};
    let reject: (error: Error) => void = () => {};
    const promise = new Promise<void>((resolvePromise, rejectPromise) => {
      resolve = resolvePromise;
      reject = rejectPromise;
    });
    const batch: Batch = { context: this.#nextContext, promise, resolve, reject, confirmedLsn: undefined };
    this.#nextContext += 1;
    // Readers that come in the same turn join; the request itself must come after all of them.
    queueMicrotask(() => {
      this.#collecting = undefined;
      this.#batches.set(batch.context, batch);
      const answer = this.#request(batch.context);
      if (answer.ok) return;
      this.#batches.delete(batch.context);
      batch.reject(
        answer.reason === 'reads-limit'
          ? new LogboomError('QUEUE_FULL', 'the partition has too many unconfirmed reads; send again later', {
              retryAfterMs: 20,
            })
          : this.#notLeader(),
      );
    });
    return batch;
  }
}
