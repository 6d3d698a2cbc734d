import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { isLogboomError } from '../../src/base/errors.js';
import type { Reason } from '../../src/base/errors.js';
import { AppendAdmission, ReadBudget } from '../../src/server/admission.js';

function reasonOf(call: () => unknown): Reason | undefined {
  try {
    call();
  } catch (error) {
    if (isLogboomError(error)) return error.reason;
    throw error;
  }
  return undefined;
}

describe('appends', () => {
  const make = (): AppendAdmission =>
    new AppendAdmission({ inFlightBytesMax: 100, inFlightItemsMax: 3, retryAfterMs: 7 });

  test('are refused with a hint when bytes or items are full, and taken again afterwards', () => {
    const admission = make();
    const release = admission.admit(60);
    try {
      admission.admit(41);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({
        reason: 'QUEUE_FULL',
        retryAfterMs: 7,
        facts: { limit: 'append.inFlightBytes', used: 60, max: 100 },
      });
    }
    const others = [admission.admit(40), admission.admit(0)];
    expect(reasonOf(() => admission.admit(0))).toBe('QUEUE_FULL');
    for (const done of [release, ...others]) done();
    expect(admission.inFlight).toEqual({ bytes: 0, items: 0 });
    admission.admit(100)();
  });

  test('give back once', () => {
    const release = make().admit(1);
    release();
    expect(release).toThrow(InvariantViolation);
  });

  test('are refused while the disk is full, and when the node stops', async () => {
    const admission = make();
    admission.setDiskFull({ freeBytes: 5, lowWaterMarkBytes: 10 });
    expect(reasonOf(() => admission.admit(1))).toBe('DISK_FULL');
    expect(reasonOf(() => admission.assertDiskHasRoom())).toBe('DISK_FULL');
    admission.setDiskFull(undefined);
    const release = admission.admit(1);
    let drained = false;
    const closed = admission.close().then(() => (drained = true));
    expect(reasonOf(() => admission.admit(1))).toBe('SHUTTING_DOWN');
    await Promise.resolve();
    expect(drained).toBe(false);
    release();
    await closed;
    await admission.close();
  });
});

describe('pages', () => {
  const { signal } = new AbortController();

  test('wait their turn, one larger than the budget goes alone, and too many waiters are refused', async () => {
    const budget = new ReadBudget({ inFlightBytesMax: 100, waitingItemsMax: 2 });
    const first = await budget.acquire(500, signal);
    const order: string[] = [];
    const small = budget.acquire(10, signal).then((release) => (order.push('small'), release));
    const large = budget.acquire(95, signal).then((release) => (order.push('large'), release));
    await expect(budget.acquire(1, signal)).rejects.toMatchObject({ reason: 'QUEUE_FULL' });
    expect(budget.usedBytes).toBe(500);
    first();
    const releaseSmall = await small;
    expect(order).toEqual(['small']);
    releaseSmall();
    (await large)();
    expect(order).toEqual(['small', 'large']);
    expect(budget.usedBytes).toBe(0);
  });

  test('of a caller that gave up are not read, and hold up nobody', async () => {
    const budget = new ReadBudget({ inFlightBytesMax: 100, waitingItemsMax: 10 });
    const first = await budget.acquire(90, signal);
    const gone = new AbortController();
    const waiting = budget.acquire(50, gone.signal);
    const behind = budget.acquire(10, signal);
    gone.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    (await behind)();
    first();
    await expect(budget.acquire(1, gone.signal)).rejects.toThrow('gone');
    expect(budget.usedBytes).toBe(0);
  });

  test('never hold more than the budget, except for one page alone, whatever the order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 150 }), { maxLength: 30 }),
        fc.scheduler(),
        async (sizes, scheduler) => {
          const budget = new ReadBudget({ inFlightBytesMax: 100, waitingItemsMax: 100 });
          const held: number[] = [];
          const readers = sizes.map(async (bytes) => {
            const release = await budget.acquire(bytes, signal);
            held.push(bytes);
            const total = held.reduce((sum, each) => sum + each, 0);
            expect(total <= 100 || held.length === 1).toBe(true);
            await scheduler.schedule(Promise.resolve());
            held.splice(held.indexOf(bytes), 1);
            release();
          });
          await scheduler.waitFor(Promise.all(readers));
          expect(budget.usedBytes).toBe(0);
        },
      ),
    );
  });
});
