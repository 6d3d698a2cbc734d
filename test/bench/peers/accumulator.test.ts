import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Accumulator } from '../../../bench/peers/systems/accumulator.js';

interface Sent {
  readonly items: readonly string[];
  readonly answer: () => void;
  readonly refuse: (error: Error) => void;
}

function make(limits: { inFlightMax?: number; recordsMax?: number; bytesMax?: number } = {}) {
  const sent: Sent[] = [];
  const accumulator = new Accumulator<string>({
    inFlightMax: 1,
    recordsMax: 100,
    bytesMax: 1000,
    ...limits,
    bytesOf: ({ length }) => length,
    send: (items) => new Promise<void>((answer, refuse) => sent.push({ items, answer, refuse })),
  });
  return { accumulator, sent, items: () => sent.map((each) => each.items) };
}

test('what is added in one turn goes out at once, and what comes while it is in flight goes together afterwards', async () => {
  const { accumulator, sent, items } = make();
  const first = [accumulator.add('a'), accumulator.add('b')];
  await turn();
  expect(items()).toEqual([['a', 'b']]);
  const second = [accumulator.add('c')];
  await turn();
  second.push(accumulator.add('d'));
  await turn();
  expect(items()).toEqual([['a', 'b']]);
  sent[0]!.answer();
  await Promise.all(first);
  await turn();
  expect(items()).toEqual([
    ['a', 'b'],
    ['c', 'd'],
  ]);
  sent[1]!.answer();
  await Promise.all(second);
});

test('batches stay within their limits, and as many as may are in flight', async () => {
  const { accumulator, sent, items } = make({ inFlightMax: 2, recordsMax: 2, bytesMax: 3 });
  const all = ['a', 'b', 'c', 'dd', 'eeeee', 'f'].map((item) => accumulator.add(item));
  await turn();
  expect(items()).toEqual([
    ['a', 'b'],
    ['c', 'dd'],
  ]);
  sent[0]!.answer();
  sent[1]!.answer();
  await turn();
  // One that is larger than a batch may be goes alone.
  expect(items().slice(2)).toEqual([['eeeee'], ['f']]);
  for (const { answer } of sent) answer();
  await Promise.all(all);
});

test('a batch that fails fails its own records, and the next one goes out', async () => {
  const { accumulator, sent } = make();
  const lost = accumulator.add('a');
  await turn();
  const kept = accumulator.add('b');
  sent[0]!.refuse(new Error('no leader'));
  await expect(lost).rejects.toThrow('no leader');
  await turn();
  sent[1]!.answer();
  await kept;
});

test('nothing is lost or doubled in a long queue', async () => {
  const arrived: string[] = [];
  const accumulator = new Accumulator<string>({
    inFlightMax: 1,
    recordsMax: 7,
    bytesMax: 1000,
    bytesOf: () => 1,
    send: async (items) => void arrived.push(...items),
  });
  const wanted = Array.from({ length: 20_000 }, (_, index) => String(index));
  await Promise.all(wanted.map((item) => accumulator.add(item)));
  expect(arrived).toEqual(wanted);
});
