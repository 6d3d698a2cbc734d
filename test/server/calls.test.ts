import { afterEach, describe, expect, test } from 'vitest';
import { orAborted } from '../../src/server/rpc/calls.js';

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
process.prependListener('unhandledRejection', onUnhandled);
afterEach(() => {
  unhandled.length = 0;
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('waiting for work of a call that its caller gave up', () => {
  const reason = new Error('the caller gave up');

  test('a rejection that nobody waits for any more ended the process', async () => {
    const failed = Promise.reject(new Error('the work failed as well'));
    await expect(orAborted(failed, AbortSignal.abort(reason))).rejects.toBe(reason);
    const { promise, reject } = withReject();
    await expect(orAborted(promise, AbortSignal.abort(reason))).rejects.toBe(reason);
    reject(new Error('later'));
    await turn();
    expect(unhandled).toEqual([]);
  });

  test('a signal that comes while the work is under way, and a rejection after it', async () => {
    const controller = new AbortController();
    const { promise, reject } = withReject();
    const waiting = orAborted(promise, controller.signal);
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    reject(new Error('later'));
    await turn();
    expect(unhandled).toEqual([]);
  });

  test('without a signal, what the work answers', async () => {
    const { signal } = new AbortController();
    await expect(orAborted(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(orAborted(Promise.reject(reason), signal)).rejects.toBe(reason);
  });
});

function withReject(): { readonly promise: Promise<never>; readonly reject: (error: Error) => void } {
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<never>((_, rejectPromise) => (reject = rejectPromise));
  return { promise, reject };
}
