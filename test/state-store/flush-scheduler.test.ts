import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { asPartitionId } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { noMetrics } from '../../src/base/ports/metrics.js';
import { chooseFlushes, type FlushCandidate } from '../../src/state-store/flush-decision.js';
import { FlushScheduler, type FlushSchedulerOptions } from '../../src/state-store/index.js';
import { VirtualClock } from './support.js';

const options: FlushSchedulerOptions = {
  budgetBytes: 100,
  storeBytes: 50,
  ageMs: 1000,
  concurrentMax: 2,
  hardLimitBytes: 200,
};

const store = (id: number, dirtyBytes: number, rest: Partial<FlushCandidate> = {}): FlushCandidate => ({
  id: asPartitionId(id),
  dirtyBytes,
  dirtySinceMs: dirtyBytes > 0 ? 9500 : undefined,
  flushingBytes: undefined,
  demand: undefined,
  resting: false,
  ...rest,
});
const nowMs = 10_000;

describe('which store flushes next', () => {
  test.each<[string, FlushCandidate[], [number, string][]]>([
    ['nothing is due', [store(1, 49), store(2, 0)], []],
    ['a store at its own limit', [store(1, 49), store(2, 50)], [[2, 'bytes']]],
    [
      'the fullest first, two at most',
      [store(1, 60), store(2, 90), store(3, 70)],
      [
        [2, 'bytes'],
        [3, 'bytes'],
      ],
    ],
    [
      'above the budget, the fullest until the rest keeps to it',
      [store(1, 30), store(2, 35), store(3, 40)],
      [[3, 'budget']],
    ],
    [
      'as many as it takes',
      [store(1, 45), store(2, 46), store(3, 47), store(4, 48)],
      [
        [4, 'budget'],
        [3, 'budget'],
      ],
    ],
    [
      'what a flush under way is writing does not count',
      [store(1, 60, { flushingBytes: 60 }), store(2, 45), store(3, 45)],
      [],
    ],
    ['what came since does', [store(1, 60, { flushingBytes: 40 }), store(2, 45), store(3, 45)], [[2, 'budget']]],
    ['an old one', [store(1, 1, { dirtySinceMs: 9000 }), store(2, 49)], [[1, 'age']]],
    [
      'the oldest first',
      [store(1, 1, { dirtySinceMs: 9 }), store(2, 1, { dirtySinceMs: 8 }), store(3, 1, { dirtySinceMs: 7 })],
      [
        [3, 'age'],
        [2, 'age'],
      ],
    ],
    [
      'bytes before age',
      [store(1, 1, { dirtySinceMs: 0 }), store(2, 50), store(3, 51)],
      [
        [3, 'bytes'],
        [2, 'bytes'],
      ],
    ],
    [
      'who was asked for goes first',
      [store(1, 99), store(2, 1, { demand: 1 })],
      [
        [2, 'demand'],
        [1, 'bytes'],
      ],
    ],
    [
      'demands in their order',
      [store(1, 9, { demand: 3 }), store(2, 1, { demand: 2 })],
      [
        [2, 'demand'],
        [1, 'demand'],
      ],
    ],
    ['a demand for a clean store is none', [store(1, 0, { demand: 1 })], []],
    ['one flush a store', [store(1, 99, { flushingBytes: 1, demand: 1 })], []],
    ['two flushes a node', [store(1, 1, { flushingBytes: 1 }), store(2, 0, { flushingBytes: 0 }), store(3, 99)], []],
    ['a store that is being reopened is left alone', [store(1, 99, { resting: true })], []],
  ])('%s', (_name, candidates, expected) => {
    expect(chooseFlushes(candidates, options, nowMs).map(({ id, reason }) => [id, reason])).toEqual(expected);
  });

  test('whatever the stores, the choice keeps to the limits and leaves nothing urgent behind', () => {
    const candidate = fc.record({
      dirtyBytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 90 })),
      dirtySinceMs: fc.integer({ min: 8000, max: nowMs }),
      flushing: fc.integer({ min: 0, max: 6 }).map((number) => number === 0),
      demand: fc.option(fc.nat(20), { nil: undefined, freq: 3 }),
      resting: fc.integer({ min: 0, max: 9 }).map((number) => number === 0),
    });
    fc.assert(
      fc.property(fc.array(candidate, { maxLength: 8 }), (drawn) => {
        const candidates = drawn.map(({ flushing, ...rest }, at) =>
          store(at + 1, rest.dirtyBytes, {
            ...rest,
            dirtySinceMs: rest.dirtyBytes > 0 ? rest.dirtySinceMs : undefined,
            flushingBytes: flushing ? rest.dirtyBytes : undefined,
          }),
        );
        const chosen = chooseFlushes(candidates, options, nowMs);
        const ids = new Set<number>(chosen.map(({ id }) => id));
        const underWay = candidates.filter(({ flushingBytes }) => flushingBytes !== undefined).length;
        expect(ids.size).toBe(chosen.length);
        expect(chosen.length).toBeLessThanOrEqual(Math.max(0, options.concurrentMax - underWay));
        const eligible = candidates.filter(
          (each) => each.dirtyBytes > 0 && each.flushingBytes === undefined && !each.resting,
        );
        for (const { id } of chosen) expect(eligible.some((each) => each.id === id)).toBe(true);
        if (chosen.length + underWay >= options.concurrentMax) return;
        // There was room for more, so what was left out is not due.
        const left = eligible.filter(({ id }) => !ids.has(id));
        const rest = candidates.reduce((sum, each) => sum + each.dirtyBytes - (each.flushingBytes ?? 0), 0);
        const kept =
          rest - eligible.filter(({ id }) => ids.has(id)).reduce((sum, { dirtyBytes }) => sum + dirtyBytes, 0);
        expect(left.length === 0 || kept <= options.budgetBytes).toBe(true);
        for (const each of left) {
          expect(each.demand).toBeUndefined();
          expect(each.dirtyBytes).toBeLessThan(options.storeBytes);
          expect(nowMs - (each.dirtySinceMs ?? nowMs)).toBeLessThan(options.ageMs);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

/** A store whose flush takes as long as the test says. */
class FakeStore {
  dirtyBytes = 0;
  dirtySinceMs: number | undefined;
  flushingBytes = 0;
  flushes = 0;
  fails = false;
  readonly #clock: VirtualClock;
  readonly #flushMs: number;

  constructor(clock: VirtualClock, flushMs = 100) {
    this.#clock = clock;
    this.#flushMs = flushMs;
  }
  dirty(byteCount: number): void {
    this.dirtyBytes += byteCount;
    this.dirtySinceMs ??= this.#clock.monotonicMs();
  }
  stats() {
    return {
      dirtyBytes: this.dirtyBytes,
      flushingBytes: this.flushingBytes,
      dirtySinceMs: this.dirtySinceMs,
      heldBytes: 0,
    };
  }
  flush(): Promise<void> {
    this.flushes++;
    this.flushingBytes = this.dirtyBytes;
    return new Promise((resolve, reject) => {
      this.#clock.setTimer(this.#flushMs, () => {
        if (this.fails) return reject(new Error('the disk is full'));
        this.dirtyBytes -= this.flushingBytes;
        this.flushingBytes = 0;
        this.dirtySinceMs = undefined;
        resolve();
      });
    });
  }
}

const scheduled = (count: number): { clock: VirtualClock; scheduler: FlushScheduler; stores: FakeStore[] } => {
  const clock = new VirtualClock();
  const scheduler = new FlushScheduler({ clock, logger: noLogger, metrics: noMetrics }, options);
  const stores = Array.from({ length: count }, () => new FakeStore(clock));
  for (const [at, each] of stores.entries()) scheduler.add(asPartitionId(at + 1), each);
  return { clock, scheduler, stores };
};
const pass = (clock: VirtualClock, ms: number): Promise<void> =>
  clock.run(new Promise(() => {}), clock.monotonicMs() + ms);

describe('the scheduler', () => {
  test('an idle dirty store flushes when it is old enough, and not again', async () => {
    const { clock, scheduler, stores } = scheduled(1);
    scheduler.run();
    stores[0]?.dirty(1);
    await pass(clock, 900);
    expect(stores[0]?.flushes).toBe(0);
    await pass(clock, 500);
    expect(stores[0]).toMatchObject({ flushes: 1, dirtyBytes: 0 });
    await pass(clock, 5000);
    expect(stores[0]?.flushes).toBe(1);
    await clock.run(scheduler.stop());
  });

  test('never more than two flushes at once, however many stores are due', async () => {
    const { clock, scheduler, stores } = scheduled(6);
    for (const each of stores) each.dirty(60);
    scheduler.run();
    let most = 0;
    for (let step = 0; step < 40; step++) {
      most = Math.max(most, stores.filter(({ flushingBytes }) => flushingBytes > 0).length);
      await pass(clock, 10);
    }
    expect(most).toBe(2);
    expect(stores.map(({ flushes }) => flushes)).toEqual([1, 1, 1, 1, 1, 1]);
    await clock.run(scheduler.stop());
  });

  test('applies wait above the hard limit, and go on when a flush made room', async () => {
    const { clock, scheduler, stores } = scheduled(3);
    scheduler.run();
    stores[0]?.dirty(90);
    expect(scheduler.awaitRoom()).toBeUndefined();
    stores[1]?.dirty(90);
    stores[2]?.dirty(90);
    await pass(clock, 20);
    let room = false;
    const waiting = scheduler.awaitRoom()?.then(() => (room = true));
    await pass(clock, 20);
    expect(room).toBe(false);
    await clock.run(waiting ?? Promise.resolve());
    expect(room).toBe(true);
    expect(stores.reduce((sum, { dirtyBytes }) => sum + dirtyBytes, 0)).toBeLessThanOrEqual(200);
    await clock.run(scheduler.stop());
  });

  test('who asks is flushed soon, once', async () => {
    const { clock, scheduler, stores } = scheduled(2);
    stores[1]?.dirty(1);
    scheduler.flushSoon(asPartitionId(2));
    scheduler.flushSoon(asPartitionId(2));
    scheduler.flushSoon(asPartitionId(1));
    scheduler.flushSoon(asPartitionId(99));
    await pass(clock, 300);
    expect(stores.map(({ flushes }) => flushes)).toEqual([0, 1]);
  });

  test('a store whose flush fails is left alone for a while, and tried again', async () => {
    const { clock, scheduler, stores } = scheduled(1);
    const [failing] = stores;
    if (failing !== undefined) failing.fails = true;
    failing?.dirty(60);
    scheduler.run();
    await pass(clock, 500);
    expect(failing?.flushes).toBe(1);
    if (failing !== undefined) {
      failing.fails = false;
      failing.flushingBytes = 0;
    }
    await pass(clock, 1500);
    expect(failing).toMatchObject({ flushes: 2, dirtyBytes: 0 });
    await clock.run(scheduler.stop());
  });

  test('a stop waits for the flush under way, starts no other, and lets waiting applies go', async () => {
    const { clock, scheduler, stores } = scheduled(4);
    for (const each of stores) each.dirty(60);
    scheduler.run();
    const waiting = scheduler.awaitRoom();
    const stopped = scheduler.stop();
    await waiting;
    await clock.run(stopped);
    expect(stores.map(({ flushes }) => flushes)).toEqual([1, 1, 0, 0]);
    expect(stores.map(({ flushingBytes }) => flushingBytes)).toEqual([0, 0, 0, 0]);
  });
});
