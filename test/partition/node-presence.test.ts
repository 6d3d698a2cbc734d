import { expect, test } from 'vitest';
import { asNodeId } from '../../src/base/ids.js';
import { NodePresence } from '../../src/partition/node-presence.js';

const [one, two] = [asNodeId(1), asNodeId(2)];

function presenceOf(silentAfterTicks = 3, seed = 5) {
  const silences: [number, number][] = [];
  const presence = new NodePresence({
    random: { nextUint32: () => seed },
    silentAfterTicks,
    onSilence: (nodeId, ticks) => void silences.push([nodeId, ticks]),
  });
  const tick = (times: number): void => {
    for (let left = times; left > 0; left -= 1) presence.tick();
  };
  return { presence, silences, tick };
}

test('a node is present for as long as it is heard, and silent once for each time that it is not', () => {
  const { presence, silences, tick } = presenceOf();
  expect(presence.epochOf(one)).toBeUndefined();
  presence.hear(one, 7);
  presence.hear(two, 8);
  for (let beat = 0; beat < 5; beat += 1) {
    tick(2);
    presence.hear(two, 8);
  }
  expect(presence.epochOf(two)).toBe(8);
  expect(presence.epochOf(one)).toBeUndefined();
  expect(silences).toEqual([[1, 4]]);
  presence.hear(one, 7);
  expect(presence.epochOf(one)).toBe(7);
  expect(silences).toHaveLength(1);
});

test('another epoch of a node is a silence between the two', () => {
  const { presence, silences } = presenceOf();
  presence.hear(one, 7);
  presence.hear(one, 7);
  expect(silences).toEqual([]);
  presence.hear(one, 6);
  expect(silences).toEqual([[1, 0]]);
  expect(presence.epochOf(one)).toBe(6);
});

test('what a node cannot keep any more gives it another epoch, and no two processes share one', () => {
  const { presence } = presenceOf();
  const first = presence.epoch;
  presence.withdraw();
  expect(presence.epoch).not.toBe(first);
  const [next] = [presenceOf(3, 6).presence];
  for (let count = 0; count < 1000; count += 1) presence.withdraw();
  expect(presence.epoch).toBeLessThan(next.epoch);
  expect(presenceOf(3, 2 ** 32 - 1).presence.epoch).toBeLessThan(Number.MAX_SAFE_INTEGER);
});
