import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { quorumsIntersect } from '../../cluster-sim/checkers/quorums.js';
import { RealityError, withoutReality } from '../../cluster-sim/engine/guards.js';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { Network, fairWeather } from '../../cluster-sim/network/network.js';
import { cutsOf } from '../../cluster-sim/network/topologies.js';

const inMacrotask = (work: () => void): Promise<void> =>
  new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        work();
        resolve();
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });

test('all promise reactions of an event run before the next event', () =>
  inMacrotask(() => {
    const world = new World();
    const seen: string[] = [];
    const chain = async (name: string): Promise<void> => {
      for (let step = 0; step < 50; step += 1) await Promise.resolve();
      seen.push(name);
    };
    world.at(1, () => void chain('first'));
    world.at(1, () => seen.push('second'));
    world.at(2, () => seen.push('third'));
    world.run(10);
    expect(seen).toEqual(['first', 'second', 'third']);
    expect(world.nowMs).toBe(10);
  }));

test('events run by time, then in the order in which they were scheduled; cancelled ones do not', () =>
  inMacrotask(() => {
    const world = new World();
    const random = new RandomStream(1, 'test');
    const seen: number[] = [];
    const expected: { readonly atMs: number; readonly number: number }[] = [];
    for (let number = 0; number < 500; number += 1) {
      const atMs = random.integer(0, 20);
      const timer = world.at(atMs, () => seen.push(number));
      if (number % 7 === 0) timer.cancel();
      else expected.push({ atMs, number });
    }
    world.run(100);
    expect(seen).toEqual(expected.sort((a, b) => a.atMs - b.atMs || a.number - b.number).map(({ number }) => number));
  }));

test.each<[string, () => unknown]>([
  ['setTimeout', () => setTimeout(() => {}, 0)],
  ['setImmediate', () => setImmediate(() => {})],
  ['Date.now', () => Date.now()],
  ['new Date()', () => new Date()],
  ['Date()', () => Date()],
  ['performance.now', () => performance.now()],
  ['process.hrtime', () => process.hrtime()],
  ['Math.random', () => Math.random()],
  ['crypto.randomUUID', () => crypto.randomUUID()],
  ['a file', () => readFileSync('package.json')],
  ['a socket', () => connect(1)],
  ['AbortSignal.timeout', () => AbortSignal.timeout(1)],
])('inside a simulation %s throws, and afterwards it works again', (_, useReality) => {
  expect(() => withoutReality(useReality)).toThrow(RealityError);
  expect(() => withoutReality(() => new Date(0).toISOString())).not.toThrow();
  expect(Date.now()).toBeGreaterThan(0);
  expect(readFileSync('package.json').length).toBeGreaterThan(0);
});

test('random streams of one seed differ by name, and are the same each time', () => {
  const draw = (name: string): number[] =>
    Array.from({ length: 5 }, RandomStream.prototype.nextUint32.bind(new RandomStream(7, name)));
  expect(draw('network')).toEqual(draw('network'));
  expect(draw('network')).not.toEqual(draw('disk'));
});

test('links keep their order in fair weather, and carry nothing while they are cut', () =>
  inMacrotask(() => {
    const world = new World();
    const network = new Network(world, new RandomStream(3, 'network'), fairWeather);
    const seen: number[] = [];
    for (let number = 0; number < 100; number += 1)
      world.at(number / 10, () => network.send(1, 2, 10, () => seen.push(number)));
    world.at(20, () => network.cut([{ from: 1, to: 2 }]));
    world.at(21, () => network.send(1, 2, 10, () => seen.push(-1)));
    world.run(100);
    expect(seen).toEqual(Array.from({ length: 100 }, (_, number) => number));
  }));

test('a cut that was healed takes back no later one when its time is over', () =>
  inMacrotask(() => {
    const world = new World();
    const network = new Network(world, new RandomStream(3, 'network'), fairWeather);
    const link = { from: 1, to: 2 };
    const mendFirst = network.cut([link]);
    network.heal();
    expect(network.isCut(1, 2)).toBe(false);
    const mendSecond = network.cut([link]);
    mendFirst();
    expect(network.isCut(1, 2)).toBe(true);
    mendSecond();
    expect(network.isCut(1, 2)).toBe(false);
  }));

test('topologies cut what their names say', () => {
  const isOpen = (topology: Parameters<typeof cutsOf>[0], from: number, to: number): boolean =>
    !cutsOf(topology, [1, 2, 3, 4, 5]).some((cut) => cut.from === from && cut.to === to);
  expect([isOpen('isolate', 1, 2), isOpen('isolate', 2, 1), isOpen('isolate', 2, 3)]).toEqual([false, false, true]);
  expect([isOpen('one-way', 1, 2), isOpen('one-way', 2, 1)]).toEqual([false, true]);
  expect([isOpen('deaf', 2, 1), isOpen('deaf', 1, 2)]).toEqual([false, true]);
  expect([isOpen('mute', 2, 1), isOpen('mute', 1, 2)]).toEqual([true, false]);
  expect([isOpen('bridge', 1, 2), isOpen('bridge', 1, 5), isOpen('bridge', 2, 5)]).toEqual([true, true, false]);
  expect([isOpen('chain', 1, 2), isOpen('chain', 1, 5)]).toEqual([true, false]);
  expect([isOpen('ring', 1, 5), isOpen('ring', 1, 3)]).toEqual([true, false]);
});

test('quorums of unrelated configurations do not intersect, joint ones do', () => {
  const conf = (voters: number[], votersOutgoing: number[] = []): Parameters<typeof quorumsIntersect>[0] =>
    ({ voters, votersOutgoing, learners: [], learnersNext: [], autoLeave: false }) as never;
  expect(quorumsIntersect(conf([1, 2, 3]), conf([1, 2, 3, 4]))).toBe(true);
  expect(quorumsIntersect(conf([1, 2, 3]), conf([3, 4, 5]))).toBe(false);
  expect(quorumsIntersect(conf([1, 2, 3]), conf([3, 4, 5], [1, 2, 3]))).toBe(true);
  expect(quorumsIntersect(conf([3, 4, 5], [1, 2, 3]), conf([3, 4, 5]))).toBe(true);
});
