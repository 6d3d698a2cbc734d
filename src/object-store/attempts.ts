/** Trying again, within a time: for stores behind a network. */
import { sleep, type Clock } from '../base/ports/clock.js';
import { nextInteger, type Random } from '../base/ports/random.js';
import { abortable } from './abortable.js';
import { ObjectStoreError } from './types.js';

export interface AttemptLimits {
  /** One attempt, its answer included. */
  readonly attemptTimeoutMs: number;
  /** All attempts of an operation of the port together, with the waits between them. */
  readonly overallTimeoutMs: number;
  readonly attemptsMax: number;
  /** The longest wait before the second attempt; it doubles from there. Every wait is drawn from 0 up to the longest. */
  readonly backoffMsMin: number;
  readonly backoffMsMax: number;
}

export interface Failure {
  readonly error: ObjectStoreError;
  /** Whether the same request may succeed when it is sent again. */
  readonly passes: boolean;
}

/** The attempts of one operation: however many requests it takes, they share one time. */
export class Attempts {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: AttemptLimits;
  readonly #signal: AbortSignal | undefined;
  readonly #deadlineMs: number;

  constructor(parts: {
    readonly clock: Clock;
    readonly random: Random;
    readonly limits: AttemptLimits;
    readonly signal: AbortSignal | undefined;
  }) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#limits = parts.limits;
    this.#signal = parts.signal;
    this.#deadlineMs = parts.clock.monotonicMs() + parts.limits.overallTimeoutMs;
  }

  /**
   * @param send one attempt; told which one (from 1), and a signal for when nobody waits for it any more
   * @param judge what an error of `send` means
   * @throws ObjectStoreError the last failure; the reason of the caller's signal once that aborts
   */
  async run<Result>(
    send: (signal: AbortSignal, attempt: number) => Promise<Result>,
    judge: (error: unknown) => Failure,
  ): Promise<Result> {
    for (let attempt = 1; ; attempt++) {
      this.#signal?.throwIfAborted();
      const failure = await this.#attempt(send, judge, attempt);
      if ('result' in failure) return failure.result;
      const { attemptsMax, backoffMsMin, backoffMsMax } = this.#limits;
      if (!failure.passes || attempt >= attemptsMax) throw failure.error;
      const longestMs = Math.min(backoffMsMax, backoffMsMin * 2 ** (attempt - 1));
      const waitMs = nextInteger(this.#random, Math.max(1, Math.ceil(longestMs)));
      if (this.#clock.monotonicMs() + waitMs >= this.#deadlineMs) throw failure.error;
      await sleep(this.#clock, waitMs, this.#signal);
    }
  }

  async #attempt<Result>(
    send: (signal: AbortSignal, attempt: number) => Promise<Result>,
    judge: (error: unknown) => Failure,
    attempt: number,
  ): Promise<{ readonly result: Result } | Failure> {
    const restMs = this.#deadlineMs - this.#clock.monotonicMs();
    const timeoutMs = Math.max(0, Math.min(this.#limits.attemptTimeoutMs, restMs));
    const controller = new AbortController();
    let timedOut = false;
    const timer = this.#clock.setTimer(timeoutMs, () => {
      timedOut = true;
      controller.abort(new Error('timeout'));
    });
    const onAbort = (): void => controller.abort(this.#signal?.reason);
    this.#signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return { result: await abortable(controller.signal, () => send(controller.signal, attempt)) };
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (!timedOut) return judge(error);
      const message = `there was no answer within ${Math.round(timeoutMs)} ms`;
      return judge(new ObjectStoreError('UNAVAILABLE', message));
    } finally {
      timer.cancel();
      this.#signal?.removeEventListener('abort', onAbort);
    }
  }
}
