/** The contract of {@link OrderedStore}: every implementation passes it. */
import { describe, expect, onTestFinished, test } from 'vitest';

import {
  memtableCharge,
  type OrderedStore,
  type OrderedStoreOptions,
  type OrderedStoreProvider,
  StoreFailure,
  type StoreOperation,
} from '../../src/state-store/index.js';

export interface OrderedStoreHarness {
  readonly provider: OrderedStoreProvider;
  /** A path where nothing is yet; its parent may be missing too. */
  readonly directory: string;
  /** Ends a store as power loss does, in the middle of what it does, and answers where its remains are to be opened. */
  readonly powerLoss: (store: OrderedStore) => Promise<string>;
}

const options: OrderedStoreOptions = { writeBufferBytes: 1 << 20, tableBytes: 1 << 20, blockCacheBytes: 1 << 16 };

const put = (key: string, value = key): StoreOperation => ({
  type: 'put',
  key: Buffer.from(key),
  value: Buffer.from(value),
});
const del = (key: string): StoreOperation => ({ type: 'del', key: Buffer.from(key) });
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString();
const all = { from: Uint8Array.of(1), to: Uint8Array.of(255), limit: 100_000 };
const keysOf = async (store: Pick<OrderedStore, 'scan'>, range = all): Promise<string[]> =>
  (await store.scan(range)).map(({ key }) => Buffer.from(key).toString());
const range = (from: string, to: string, limit = 1000): typeof all => ({
  from: Buffer.from(from),
  to: Buffer.from(to),
  limit,
});

export function orderedStoreContract(name: string, makeHarness: () => Promise<OrderedStoreHarness>): void {
  const opened = async (): Promise<
    OrderedStoreHarness & { store: OrderedStore; reopen: () => Promise<OrderedStore> }
  > => {
    const harness = await makeHarness();
    let current = await harness.provider.open(harness.directory, options);
    onTestFinished(() => current.close());
    return {
      ...harness,
      store: current,
      reopen: async () => {
        await current.close();
        current = await harness.provider.open(harness.directory, options);
        return current;
      },
    };
  };
  const afterPowerLoss = async (harness: OrderedStoreHarness, store: OrderedStore): Promise<OrderedStore> => {
    const reopened = await harness.provider.open(await harness.powerLoss(store), options);
    onTestFinished(() => reopened.close());
    return reopened;
  };

  describe(`ordered store: ${name}`, () => {
    test('a value is read as it was written, by all ways of reading', async () => {
      const { store } = await opened();
      await store.write([put('a', '1'), put('b', ''), put('c', '3')]);
      expect(text(store.get(Buffer.from('a')))).toBe('1');
      expect(store.get(Buffer.from('b'))).toHaveLength(0);
      expect(store.get(Buffer.from('absent'))).toBeUndefined();
      expect((await store.getMany(['c', 'absent', 'a'].map((key) => Buffer.from(key)))).map(text)).toEqual([
        '3',
        undefined,
        '1',
      ]);
      expect(await keysOf(store)).toEqual(['a', 'b', 'c']);
    });

    test('within a batch, and between batches that do not wait for each other, the last write counts', async () => {
      const { store } = await opened();
      await store.write([put('a', '1'), put('a', '2'), put('b', '1'), del('b')]);
      expect(text(store.get(Buffer.from('a')))).toBe('2');
      expect(store.get(Buffer.from('b'))).toBeUndefined();
      await Promise.all(Array.from({ length: 200 }, (_, at) => store.write([put('a', String(at))])));
      expect(text(store.get(Buffer.from('a')))).toBe('199');
    });

    test('the caller may change its bytes after the call', async () => {
      const { store } = await opened();
      const value = Buffer.from('before');
      const write = store.write([{ type: 'put', key: Buffer.from('a'), value }]);
      value.fill(0);
      await write;
      expect(text(store.get(Buffer.from('a')))).toBe('before');
    });

    test('a scan keeps to its bounds, direction, limit and bytes', async () => {
      const { store } = await opened();
      await store.write(['a', 'b', 'c', 'd', 'e'].map((key) => put(key, key.repeat(99))));
      expect(await keysOf(store, range('b', 'd'))).toEqual(['b', 'c']);
      expect(await keysOf(store, range('b', 'e', 2))).toEqual(['b', 'c']);
      expect(await keysOf(store, range('d', 'b'))).toEqual([]);
      expect(await keysOf(store, { ...range('b', 'e', 2), reverse: true } as typeof all)).toEqual(['d', 'c']);
      expect(await keysOf(store, { ...range('a', 'e'), maxBytes: 101 } as typeof all)).toEqual(['a', 'b']);
      expect(await keysOf(store, { ...range('a', 'e'), maxBytes: 1 } as typeof all)).toEqual(['a']);
    });

    test('a scan of many entries is complete and in order, across memory and tables', async () => {
      const { store } = await opened();
      const keys = Array.from({ length: 5000 }, (_, at) => `k${String((at * 7919) % 5000).padStart(5, '0')}`);
      for (let at = 0; at < keys.length; at += 500) {
        await store.write(keys.slice(at, at + 500).map((key) => put(key, key.repeat(20))));
        if (at === 2000) await store.flush();
      }
      expect(await keysOf(store)).toEqual(keys.toSorted());
      expect(await keysOf(store, { ...all, reverse: true } as typeof all)).toEqual(keys.toSorted().reverse());
    });

    test('a scan sees the moment of its call, also when writes overtake it', async () => {
      const { store } = await opened();
      await store.write([put('a'), put('b')]);
      const scan = keysOf(store);
      await store.write([del('a'), put('c')]);
      expect(await scan).toEqual(['a', 'b']);
    });

    test('a snapshot does not change', async () => {
      const { store } = await opened();
      await store.write([put('a', '1'), put('b', '1')]);
      const snapshot = store.snapshot();
      await store.write([put('a', '2'), del('b'), put('c')]);
      await store.flush();
      expect(text(snapshot.get(Buffer.from('a')))).toBe('1');
      expect(await keysOf(snapshot)).toEqual(['a', 'b']);
      await snapshot.close();
      expect(await keysOf(store)).toEqual(['a', 'c']);
    });

    test('what was flushed survives power loss; what was not is gone', async () => {
      const { store, ...harness } = await opened();
      await store.write([put('a', '1')]);
      await store.flush();
      await store.write([put('a', '2'), put('b')]);
      const after = await afterPowerLoss(harness, store);
      expect(text(after.get(Buffer.from('a')))).toBe('1');
      expect(after.get(Buffer.from('b'))).toBeUndefined();
    });

    test('a deletion is as durable as a write', async () => {
      const { store, ...harness } = await opened();
      await store.write([put('a'), put('b')]);
      await store.flush();
      await store.write([del('a')]);
      await store.flush();
      expect(await keysOf(await afterPowerLoss(harness, store))).toEqual(['b']);
    });

    test('power loss right after the creation leaves an empty store', async () => {
      const { store, ...harness } = await opened();
      expect(await keysOf(await afterPowerLoss(harness, store))).toEqual([]);
    });

    test('the first flush after an open is as good as any', async () => {
      const { store, reopen, ...harness } = await opened();
      await store.write([put('a')]);
      await store.flush();
      const again = await reopen();
      await again.write([put('b')]);
      await again.flush();
      expect(await keysOf(await afterPowerLoss(harness, again))).toEqual(['a', 'b']);
    });

    test('writes during a flush are kept, and may or may not be durable, as a prefix', async () => {
      const { store, ...harness } = await opened();
      await store.write([put('n', '0')]);
      const flush = store.flush();
      for (let at = 1; at <= 50; at++) await store.write([put('n', String(at)), put(`k${at}`)]);
      await flush;
      const after = await afterPowerLoss(harness, store);
      const survivors = Number(text(after.get(Buffer.from('n'))));
      const expected = Array.from({ length: survivors }, (_, at) => `k${at + 1}`).sort();
      expect((await keysOf(after)).filter((key) => key !== 'n')).toEqual(expected);
    });

    test.each([1, 40, 700, 1030, 3000, 100_000])(
      'below the write buffer nothing becomes durable by itself (values of %i bytes)',
      async (size) => {
        const { store, ...harness } = await opened();
        await store.write([put('flushed')]);
        await store.flush();
        let charge = 0;
        for (let at = 0; ; at++) {
          const batch = Array.from({ length: size < 1000 ? 50 : 1 }, (_, item) =>
            put(`k${at}/${item}`, 'v'.repeat(size)),
          );
          charge += memtableCharge(batch);
          if (charge > options.writeBufferBytes) break;
          await store.write(batch);
        }
        // Time for a background thread that should have nothing to do.
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect(await keysOf(await afterPowerLoss(harness, store))).toEqual(['flushed']);
      },
    );

    test('far beyond the write buffer all is readable, and power loss leaves a prefix', async () => {
      const { store, ...harness } = await opened();
      for (let at = 1; at <= 60; at++)
        await store.write([put('n', String(at)), put(`k${String(at).padStart(3, '0')}`, 'v'.repeat(100_000))]);
      expect(await keysOf(store)).toHaveLength(61);
      const after = await afterPowerLoss(harness, store);
      const survivors = Number(text(after.get(Buffer.from('n'))) ?? 0);
      expect((await keysOf(after)).filter((key) => key !== 'n')).toHaveLength(survivors);
    });

    test('compacting a range keeps what is there, and what was deleted stays deleted', async () => {
      const { store, reopen } = await opened();
      const keys = Array.from({ length: 100 }, (_, at) => `k${String(at).padStart(3, '0')}`);
      await store.write(keys.map((key) => put(key, key.repeat(1000))));
      await store.flush();
      const before = await store.approximateBytes(all.from, all.to);
      await store.write(keys.slice(0, 90).map(del));
      await store.compactRange(Buffer.from('k000'), Buffer.from('k090'));
      expect(await keysOf(store)).toEqual(keys.slice(90));
      expect(before).toBeGreaterThan(100_000);
      const again = await reopen();
      expect(await keysOf(again)).toEqual(keys.slice(90));
    });

    test('flushes may overlap, and an empty one is fine', async () => {
      const { store } = await opened();
      await Promise.all([store.flush(), store.flush(), store.write([put('a')]), store.flush()]);
      await store.flush();
      expect(await keysOf(store)).toEqual(['a']);
    });

    test('a second open of the same directory is refused', async () => {
      const { provider, directory, reopen } = await opened();
      await expect(provider.open(directory, options)).rejects.toThrow(StoreFailure);
      await reopen();
    });

    test('after close, everything is refused with StoreFailure, and closing again is fine', async () => {
      const { store } = await opened();
      await store.close();
      await store.close();
      await expect(store.write([put('a')])).rejects.toThrow(StoreFailure);
      await expect(store.flush()).rejects.toThrow(StoreFailure);
      await expect(store.scan(all)).rejects.toThrow(StoreFailure);
      expect(() => store.get(Buffer.from('a'))).toThrow(StoreFailure);
    });

    test('a key that begins with 0x00, or is empty, is a bug of the caller', async () => {
      const { store } = await opened();
      const value = Buffer.from('v');
      await expect((async () => store.write([{ type: 'put', key: Uint8Array.of(0, 1), value }]))()).rejects.toThrow(
        /0x00/,
      );
      await expect((async () => store.write([{ type: 'put', key: new Uint8Array(0), value }]))()).rejects.toThrow(
        /0x00/,
      );
    });
  });
}
