/** A pending timer; `cancel` is idempotent and also allowed after it fired. */
export interface Timer {
  cancel(): void;
}

/** Time, real or simulated. Wall time may jump either way; monotonic time never goes back. */
export interface Clock {
  /** Milliseconds since the Unix epoch, possibly fractional. */
  wallMs(): number;
  /** Milliseconds since an arbitrary point, possibly fractional. */
  monotonicMs(): number;
  /** Runs `callback` once, not before `delayMs` from now. A pending timer keeps no process alive. */
  setTimer(delayMs: number, callback: () => void): Timer;
}

/** Resolves after `delayMs`, or at once when `signal` aborts (it does not reject: callers look at the signal). */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = clock.setTimer(delayMs, finish);
    signal?.addEventListener('abort', finish, { once: true });
  });
}
