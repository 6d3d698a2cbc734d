/** The probe refuses every store that would let one writer replace another's object, and leaves nothing behind. */
import { expect, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { MemoryObjectStore } from '../../cluster-sim/memory-object-store.js';
import { SimulatedClock, settleLater } from '../../cluster-sim/simulated-clock.js';
import { SimulatedObjectStore, type ObjectOperation } from '../../cluster-sim/simulated-object-store.js';
import {
  isObjectStoreError,
  ObjectStoreError,
  probePutIfAbsent,
  type ObjectStoreErrorCode,
} from '../../src/object-store/index.js';

const random = new RandomStream(1, 'probe');

async function expectCode(work: Promise<unknown>, code: ObjectStoreErrorCode, message: string): Promise<void> {
  const error: unknown = await work.then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(isObjectStoreError(error, code), `expected ${code}, got ${String(error)}`).toBe(true);
  expect((error as Error).message).toContain(message);
}

/** A memory store whose put is something else. */
class BrokenStore extends MemoryObjectStore {
  readonly #put: (
    store: MemoryObjectStore,
    name: string,
    parts: readonly Uint8Array[],
  ) => Promise<'created' | 'exists'>;

  constructor(
    put: (store: MemoryObjectStore, name: string, parts: readonly Uint8Array[]) => Promise<'created' | 'exists'>,
  ) {
    super();
    this.#put = put;
  }

  override putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<'created' | 'exists'> {
    return this.#put(this, name, parts);
  }
}

test('a store with put-if-absent passes', async () => {
  const store = new MemoryObjectStore();
  await store.putIfAbsent('mine', []);
  await probePutIfAbsent(store, random);
  await probePutIfAbsent(store, random);
  expect([...store.objects.keys()]).toEqual(['mine']);
});

test('a store that ignores the condition is refused', async () => {
  const store = new BrokenStore(async (inner, name, parts) => {
    inner.put(name, parts);
    return 'created';
  });
  await expectCode(probePutIfAbsent(store, random), 'INVALID', '4 of 4 puts');
  expect(store.objects.size).toBe(0);
});

test('a store that looks first and writes later is refused', async () => {
  const store = new BrokenStore(async (inner, name, parts) => {
    if (inner.objects.has(name)) return 'exists';
    await new Promise((resolve) => setImmediate(resolve));
    inner.put(name, parts);
    return 'created';
  });
  await expectCode(probePutIfAbsent(store, random), 'INVALID', '4 of 4 puts');
});

test('a store that ignores the condition of a put that comes alone is refused', async () => {
  let puts = 0;
  const store = new BrokenStore(async (inner, name, parts) => {
    if (++puts > 1 && puts < 5) return 'exists';
    inner.put(name, parts);
    return 'created';
  });
  await expectCode(probePutIfAbsent(store, random), 'INVALID', 'ignores the condition');
});

test('a store that replaces and says it did not is refused', async () => {
  let puts = 0;
  const store = new BrokenStore(async (inner, name, parts) => {
    inner.put(name, parts);
    return ++puts === 1 ? 'created' : 'exists';
  });
  await expectCode(probePutIfAbsent(store, random), 'INVALID', 'lacks put-if-absent');
});

test('who may not delete is told so', async () => {
  const store = new MemoryObjectStore();
  store.delete = () => Promise.reject(new ObjectStoreError('DENIED', 'no deletions here'));
  await expectCode(probePutIfAbsent(store, random), 'DENIED', 'no deletions here');
});

test('a simulated store is probed, with and without the condition; lost answers are not taken for the lack of it', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const world = new World();
    const stored = new SimulatedObjectStore(new SimulatedClock(world), new RandomStream(seed, 'objects'));
    await settleLater(world, async () => {
      const store = stored.mount();
      await probePutIfAbsent(store, random);
      stored.conditional = false;
      await expectCode(probePutIfAbsent(store, random), 'INVALID', 'simulated://');
      stored.conditional = true;
      stored.intercept = ({ kind, number }: ObjectOperation) =>
        kind === 'put' && number % 5 === seed % 5 ? { kind: 'lose-answer' } : undefined;
      const code = await probePutIfAbsent(store, random).then(
        () => 'passed',
        (error: unknown) => (isObjectStoreError(error) ? error.code : String(error)),
      );
      expect(['passed', 'UNAVAILABLE']).toContain(code);
    });
    expect([...stored.contents.objects.keys()].length).toBeLessThanOrEqual(1);
  }
});
