import { expect, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { StaleMessages } from '../../cluster-sim/network/stale-messages.js';

test('delivers some of the newest messages to one replica, and again when asked again', () => {
  const world = new World();
  const stale = new StaleMessages(world, new RandomStream(1, 'stale'));
  const arrived: string[] = [];
  for (let number = 0; number < 20; number += 1) {
    for (const [from, to, partition] of [
      [1, 2, 1],
      [3, 2, 1],
      [1, 2, 2],
      [1, 3, 1],
    ] as const)
      stale.keep(from, to, partition, () => arrived.push(`${from}-${to} p${partition} ${number}`));
  }
  let count = 0;
  for (let round = 0; round < 40; round += 1) count += stale.deliver(2, 1);
  expect(arrived).toEqual([]);
  world.run(1000);
  expect(arrived).toHaveLength(count);
  const newest = [12, 13, 14, 15, 16, 17, 18, 19];
  const expected = [1, 3].flatMap((from) => newest.map((number) => `${from}-2 p1 ${number}`));
  expect([...new Set(arrived)].sort()).toEqual(expected.sort());
  expect(stale.deliver(9, 1)).toBe(0);
});
