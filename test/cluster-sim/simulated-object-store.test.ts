/** The simulated object store's faults: each does what it says, and one seed has one outcome. */
import { expect, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { SimulatedClock, settleLater } from '../../cluster-sim/simulated-clock.js';
import { SimulatedObjectStore, type ObjectFault } from '../../cluster-sim/simulated-object-store.js';
import { isObjectStoreError, type ObjectStore, type ObjectStoreErrorCode } from '../../src/object-store/types.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const text = (content: Uint8Array): string => Buffer.from(content).toString();
const bytesMax = 1000;

interface Surroundings {
  readonly stored: SimulatedObjectStore;
  readonly world: World;
}

function simulated<Result>(work: (surroundings: Surroundings) => Promise<Result>, seed = 1): Promise<Result> {
  const world = new World();
  const stored = new SimulatedObjectStore(new SimulatedClock(world), new RandomStream(seed, 'objects'));
  return settleLater(world, () => work({ stored, world }));
}

async function expectCode(work: Promise<unknown>, code: ObjectStoreErrorCode): Promise<void> {
  const error: unknown = await work.then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(isObjectStoreError(error, code), `expected ${code}, got ${String(error)}`).toBe(true);
}

/** The next operation meets it, later ones do not. */
function once(stored: SimulatedObjectStore, fault: ObjectFault): void {
  stored.intercept = () => {
    stored.intercept = undefined;
    return fault;
  };
}

const namesIn = (stored: SimulatedObjectStore): string[] => [...stored.contents.objects.keys()];

test('a failed operation did nothing; one that lost its answer was done', async () => {
  await simulated(async ({ stored }) => {
    const store = stored.mount();
    once(stored, { kind: 'fail', code: 'DENIED' });
    await expectCode(store.putIfAbsent('name', [bytes('one')]), 'DENIED');
    expect(namesIn(stored)).toEqual([]);
    once(stored, { kind: 'lose-answer' });
    await expectCode(store.putIfAbsent('name', [bytes('two')]), 'UNAVAILABLE');
    expect(await store.putIfAbsent('name', [bytes('three')])).toBe('exists');
    expect(text(await store.get('name', { bytesMax }))).toBe('two');
    once(stored, { kind: 'lose-answer' });
    await expectCode(store.delete(['name']), 'UNAVAILABLE');
    await expectCode(store.get('name', { bytesMax }), 'NOT_FOUND');
  });
});

test('a put that failed may happen later, if nobody else has been quicker', async () => {
  for (const quicker of [false, true]) {
    await simulated(async ({ stored, world }) => {
      const store = stored.mount();
      once(stored, { kind: 'happen-later', delayMs: 60_000 });
      await expectCode(store.putIfAbsent('name', [bytes('late')]), 'UNAVAILABLE');
      await expectCode(store.get('name', { bytesMax }), 'NOT_FOUND');
      if (quicker) await store.putIfAbsent('name', [bytes('quick')]);
      await world.sleep(60_000);
      expect(text(await store.get('name', { bytesMax }))).toBe(quicker ? 'quick' : 'late');
    });
  }
});

test('a delay takes its time, and what hangs ends with the signal only', async () => {
  await simulated(async ({ stored, world }) => {
    const store = stored.mount();
    const startMs = world.nowMs;
    once(stored, { kind: 'delay', delayMs: 5000 });
    await store.list('', { limit: 1 });
    expect(world.nowMs - startMs).toBeGreaterThanOrEqual(5000);
    once(stored, { kind: 'hang' });
    const controller = new AbortController();
    let ended: unknown;
    void store.get('name', { bytesMax, signal: controller.signal }).catch((error: unknown) => (ended = error));
    await world.sleep(1_000_000);
    expect(ended).toBeUndefined();
    controller.abort(new Error('enough'));
    await world.sleep(0);
    expect(String(ended)).toContain('enough');
  });
});

test('a lost race: another has stored something else under the name', async () => {
  await simulated(async ({ stored }) => {
    const store = stored.mount();
    once(stored, { kind: 'lose-race', content: bytes('theirs') });
    expect(await store.putIfAbsent('name', [bytes('ours')])).toBe('exists');
    expect(text(await store.get('name', { bytesMax }))).toBe('theirs');
  });
});

test('answers that are not true, once and for all', async () => {
  await simulated(async ({ stored }) => {
    const store = stored.mount();
    await store.putIfAbsent('name', [bytes('content')]);
    await store.putIfAbsent('other', [bytes('content')]);
    once(stored, { kind: 'corrupt' });
    const corrupt = await store.get('name', { bytesMax });
    expect(corrupt).toHaveLength(7);
    expect(text(corrupt)).not.toBe('content');
    once(stored, { kind: 'truncate' });
    expect((await store.get('name', { bytesMax })).length).toBeLessThan(7);
    once(stored, { kind: 'overlook' });
    await expectCode(store.get('name', { bytesMax }), 'NOT_FOUND');
    once(stored, { kind: 'overlook' });
    expect(await store.list('', { limit: 10 })).toHaveLength(1);
    expect(text(await store.get('name', { bytesMax }))).toBe('content');
    expect(await store.list('', { limit: 10 })).toHaveLength(2);
    stored.flipBit('name', 0, 0);
    expect(text(await store.get('name', { bytesMax }))).toBe('bontent');
    stored.removeNow('name');
    await expectCode(store.get('name', { bytesMax }), 'NOT_FOUND');
  });
});

test('a store that is not available does nothing and says so after a while', async () => {
  await simulated(async ({ stored, world }) => {
    const store = stored.mount();
    stored.available = false;
    const startMs = world.nowMs;
    for (let round = 0; round < 20; round++) await expectCode(store.putIfAbsent('name', []), 'UNAVAILABLE');
    expect(world.nowMs - startMs).toBeGreaterThan(2000);
    expect(namesIn(stored)).toEqual([]);
    stored.available = true;
    expect(await store.putIfAbsent('name', [])).toBe('created');
  });
});

test('a full store is FULL', async () => {
  await simulated(async ({ stored }) => {
    const store = stored.mount();
    stored.contents.capacityBytes = 10;
    await store.putIfAbsent('a', [new Uint8Array(8)]);
    await expectCode(store.putIfAbsent('b', [new Uint8Array(3)]), 'FULL');
    await store.delete(['a']);
    expect(await store.putIfAbsent('b', [new Uint8Array(3)])).toBe('created');
  });
});

test('what a process had asked for when it died happens or not, and is answered never', async () => {
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 50; seed++) {
    await simulated(async ({ stored, world }) => {
      const store = stored.mount();
      let answers = 0;
      const count = (): number => answers++;
      store.putIfAbsent('name', [bytes('x')]).then(count, count);
      store.crash();
      store.list('', { limit: 1 }).then(count, count);
      await world.sleep(1000);
      expect(answers).toBe(0);
      const next: ObjectStore = stored.mount();
      outcomes.add(await next.putIfAbsent('name', [bytes('y')]));
    }, seed);
  }
  expect([...outcomes].sort()).toEqual(['created', 'exists']);
});

test('one seed, one outcome', async () => {
  const runs = [1, 2].map(() =>
    simulated(async ({ stored, world }) => {
      const stores = [stored.mount(), stored.mount(), stored.mount()];
      const outcomes = await Promise.all(
        stores.flatMap((store, at) => [1, 2, 3, 4].map((name) => store.putIfAbsent(`${name}`, [Uint8Array.of(at)]))),
      );
      return [outcomes, [...stored.contents.objects].map(([name, { bytes }]) => [name, bytes[0]]), world.trace.digest];
    }, 7),
  );
  const [first, second] = await Promise.all(runs);
  expect(first).toEqual(second);
});
