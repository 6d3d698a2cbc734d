import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { atMost } from '../../../bench/peers/systems/at-most.js';

test('results are in order, never more than so many run, and a failure is told', async () => {
  let running = 0;
  let most = 0;
  const double = async (item: number): Promise<number> => {
    running += 1;
    most = Math.max(most, running);
    await delay(item % 3);
    running -= 1;
    if (item === 99) throw new Error('99');
    return 2 * item;
  };
  const items = Array.from({ length: 20 }, (_, index) => index);
  expect(await atMost(4, items, double)).toEqual(items.map((item) => 2 * item));
  expect(most).toBe(4);
  expect(await atMost(4, [], double)).toEqual([]);
  await expect(atMost(4, [1, 99, 2], double)).rejects.toThrow('99');
});
