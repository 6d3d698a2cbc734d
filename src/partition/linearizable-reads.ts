/** Linearizable reads of one replica (ReadIndex): all that arrive in one turn of the event loop share one confirmation. */
import { LogboomError } from '../base/errors.js';
import type { Lsn } from '../base/ids.js';
import type { Random } from '../base/ports/random.js';
import type { ConfirmedRead, Refusal, RequestResult } from '../raft/types.js';
import { notReadable } from './refusals.js';

interface Batch {
  readonly context: number;
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readers: number;
  /** Since it was asked for, as long as another replica is to confirm it. */
  ticks: number;
  confirmedLsn: Lsn | undefined;
}

export interface LinearizableReadsParts {
  /** Readers that may wait, for their confirmation or for it to be applied. */
  readonly readersMax: number;
  /** After so many ticks without an answer of the leader, the request or the answer counts as lost. */
  readonly answerTicksMax: number;
  readonly random: Random;
  /** Asks the core; throws when the replica has stopped. */
  readonly request: (context: number) => RequestResult;
  /** No answer to this request is waited for any more. */
  readonly forget: (context: number) => void;
  readonly appliedLsn: () => Lsn;
  /** Why nothing more is applied for now. */
  readonly heldUp: () => LogboomError | undefined;
  readonly refused: (refusal: Refusal) => LogboomError;
  readonly notLeader: () => LogboomError;
}

/** Every reader ends: confirmed and applied, refused, dropped by the core, given up here, or with the replica. */
export class LinearizableReads {
  readonly #parts: LinearizableReadsParts;
  /**
   * Begins at random: the leader's answer to a read of this replica's last process, or a copy of one, may still be on its
   * way, and must not confirm a read of this one, which may have to see more.
   */
  #nextContext: number;
  #collecting: Batch | undefined;
  /** Also the one that still collects. */
  readonly #batches = new Map<number, Batch>();
  #readers = 0;

  constructor(parts: LinearizableReadsParts) {
    this.#parts = parts;
    this.#nextContext = 1 + parts.random.nextUint32() * contextsOfOneProcess;
  }

  /**
   * Resolves when what was acknowledged before the call is readable.
   *
   * @throws LogboomError QUEUE_FULL; NOT_LEADER when nobody can confirm it now; STATE_STORE_FAILED when what was
   * acknowledged cannot be applied here now; CANCELLED
   */
  wait(signal?: AbortSignal): Promise<void> {
    const joined = this.#join();
    return signal === undefined ? joined : orCancelled(joined, signal);
  }

  #join(): Promise<void> {
    const { readersMax } = this.#parts;
    if (this.#readers >= readersMax) {
      throw new LogboomError('QUEUE_FULL', `the partition has ${this.#readers} reads waiting; send again later`, {
        facts: { items: this.#readers, itemsMax: readersMax },
        retryAfterMs: 50,
      });
    }
    this.#collecting ??= this.#open();
    this.#collecting.readers += 1;
    this.#readers += 1;
    return this.#collecting.promise;
  }

  confirmed(read: ConfirmedRead): void {
    const batch = this.#batches.get(read.context);
    if (batch === undefined) return;
    batch.confirmedLsn = read.lsn;
    this.applied();
  }

  /** The applied LSN moved, or will not for some time. */
  applied(): void {
    const appliedLsn = this.#parts.appliedLsn();
    const heldUp = this.#parts.heldUp();
    for (const { context, confirmedLsn } of this.#batches.values()) {
      if (confirmedLsn === undefined) continue;
      if (confirmedLsn <= appliedLsn) this.#take(context)?.resolve();
      else if (heldUp !== undefined) this.#take(context)?.reject(notReadable(heldUp));
    }
  }

  dropped(context: number): void {
    this.#take(context)?.reject(this.#parts.notLeader());
  }

  /** A tick in which another replica leads: the network may have lost a request or its answer, and tells nobody. */
  tick(): void {
    for (const batch of this.#batches.values()) {
      if (batch.confirmedLsn !== undefined || batch === this.#collecting) continue;
      batch.ticks += 1;
      if (batch.ticks <= this.#parts.answerTicksMax) continue;
      this.#parts.forget(batch.context);
      this.dropped(batch.context);
    }
  }

  rejectAll(error: Error): void {
    this.#collecting = undefined;
    for (const context of [...this.#batches.keys()]) this.#take(context)?.reject(error);
  }

  #open(): Batch {
    let resolve: () => void = () => {};
    let reject: (error: Error) => void = () => {};
    const promise = new Promise<void>((resolvePromise, rejectPromise) => {
      resolve = resolvePromise;
      reject = rejectPromise;
    });
    const context = this.#nextContext;
    this.#nextContext += 1;
    const batch: Batch = { context, promise, resolve, reject, readers: 0, ticks: 0, confirmedLsn: undefined };
    this.#batches.set(context, batch);
    // Readers that come in the same turn join; the request itself must come after all of them.
    queueMicrotask(() => this.#ask(batch));
    return batch;
  }

  #ask(batch: Batch): void {
    // Ended with the replica meanwhile: nobody would ever answer.
    if (this.#collecting !== batch) return;
    this.#collecting = undefined;
    try {
      const answer = this.#parts.request(batch.context);
      if (!answer.ok) this.#take(batch.context)?.reject(this.#parts.refused(answer));
    } catch (error) {
      this.#take(batch.context)?.reject(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #take(context: number): Batch | undefined {
    const batch = this.#batches.get(context);
    this.#batches.delete(context);
    this.#readers -= batch?.readers ?? 0;
    return batch;
  }
}

/** Contexts stay below 2^53, which is what a message can carry. */
const contextsOfOneProcess = 2 ** 20;

async function orCancelled(read: Promise<void>, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(new LogboomError('CANCELLED', 'the caller gave up the read'));
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    read.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * What reads need not wait for any more. While committed entries cannot be applied, that is everything for the only
 * member of a group: it has acknowledged, and shown, nothing of its term that is not applied. What another leader,
 * or this one before it was started again, has put there may have been acknowledged.
 *
 * @param facts `isOfThisTerm`: whether this replica leads in the term of the first entry that is not applied
 */
export function readableLsn(facts: {
  readonly applied: Lsn;
  readonly commit: Lsn;
  readonly isHeldUp: boolean;
  readonly isOnlyMember: boolean;
  readonly isOfThisTerm: () => boolean;
}): Lsn {
  const { applied, commit } = facts;
  if (!facts.isHeldUp || applied === commit) return applied;
  return facts.isOnlyMember && facts.isOfThisTerm() ? commit : applied;
}
