import { LogboomError } from '../base/errors.js';

/** How failed requests are sent again: exponential backoff with full jitter, never sooner than the server's hint. */
export interface RetryOptions {
  /** Most attempts at one request, the first included; 1 switches retries off. Default 8. */
  readonly attemptsMax: number;
  /** Upper bound of the first delay. Default 50 ms. */
  readonly initialDelayMs: number;
  /** Upper bound of every delay but the server's own hint. Default 2,000 ms. */
  readonly delayMsMax: number;
}

export const defaultRetry: RetryOptions = { attemptsMax: 8, initialDelayMs: 50, delayMsMax: 2000 };

/**
 * The delay before the attempt after `failures` failures. Jitter spreads clients that failed together; half of the bound
 * is kept as a floor so that no attempt is wasted at once.
 */
export function backoffMs(
  options: RetryOptions,
  failures: number,
  error: unknown,
  random: () => number = Math.random,
): number {
  const bound = Math.min(options.delayMsMax, options.initialDelayMs * 2 ** Math.max(0, failures - 1));
  const delay = bound / 2 + (random() * bound) / 2;
  const hint = error instanceof LogboomError ? (error.retryAfterMs ?? 0) : 0;
  // A hint is when the server expects to be ready: everybody coming back in that very instant would undo it.
  return hint > 0 ? Math.max(delay, hint * (1 + random() / 4)) : delay;
}

/** Resolves after `delayMs`. @throws the signal's reason when it aborts first */
export function pause(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortError(signal));
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(abortError(signal as AbortSignal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** What an aborted call throws: the reason given to `abort()`, an `AbortError` by default. */
export function abortError(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error('aborted', { cause: reason });
}
