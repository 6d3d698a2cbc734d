import { appendFile, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, onTestFinished, test, vi } from 'vitest';

import { noStoreFaults, SimulatedStoreProvider } from '../../cluster-sim/simulated-ordered-store.js';
import { InvariantViolation } from '../../src/base/assert.js';
import { type LogboomError } from '../../src/base/errors.js';
import { asLsn, type Lsn } from '../../src/base/ids.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import {
  defaultStateStoreSizes,
  LevelDbProvider,
  openStateStore,
  type OrderedStoreProvider,
  StateImport,
  type StateStore,
  type StateStoreOptions,
} from '../../src/state-store/index.js';
import {
  bytes,
  crc32,
  expectExactState,
  groupOf,
  pointedAt,
  pointerKey,
  realClock,
  recordsOf,
  seededRandom,
  temporaryDirectory,
  text,
} from './support.js';

interface Fixture {
  readonly directory: string;
  readonly provider: OrderedStoreProvider;
}
const onLevelDb = async (): Promise<Fixture> => ({
  directory: join(await temporaryDirectory(), 'p1'),
  provider: new LevelDbProvider(nodeDisk),
});
const simulated = (): Promise<Fixture & { provider: SimulatedStoreProvider }> => {
  const faults = { ...noStoreFaults, flushMsMin: 4, flushMsMax: 8 };
  return Promise.resolve({
    directory: '/p1',
    provider: new SimulatedStoreProvider({ clock: realClock, random: seededRandom(7), faults }),
  });
};

const opened = async (fixture: Fixture, options: Partial<StateStoreOptions> = {}): Promise<StateStore> => {
  const store = await openStateStore({ ...fixture, clock: realClock, crc32, ...options });
  onTestFinished(() => store.close({ flush: false }));
  return store;
};

/** Entries up to `lsn`, in groups of seven. */
async function apply(store: StateStore, to: number, valueBytes?: number): Promise<void> {
  while (store.appliedLsn < to) {
    await store.write(groupOf(store.appliedLsn, Math.min(to, store.appliedLsn + 7), valueBytes));
  }
}

/** Waits until none of these records is there any more, not even for a verification. */
async function swept(store: StateStore, lsns: readonly number[]): Promise<void> {
  await vi.waitFor(
    async () => {
      const snapshot = await store.snapshot();
      const [from = 0, to = 0] = [Math.min(...lsns), Math.max(...lsns) + 1];
      const left = await snapshot.scanRecords({ from: asLsn(from), to: asLsn(to), limit: 10_000, maxBytes: 1 << 26 });
      await snapshot.close();
      expect(left.filter(({ lsn }) => lsns.includes(lsn))).toEqual([]);
    },
    { timeout: 5000 },
  );
}

const reasonOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no error',
    (error: unknown) => (error as LogboomError).reason ?? String(error),
  );

describe.each([
  ['LevelDB', onLevelDb],
  ['simulated', simulated],
])('state store on %s', (_name, makeFixture: () => Promise<Fixture>) => {
  test('a new store is empty, at LSN 0', async () => {
    const store = await opened(await makeFixture());
    expect([store.appliedLsn, store.persistedLsn]).toEqual([0, 0]);
    expect(store.stats).toEqual({ dirtyBytes: 0, flushingBytes: 0, dirtySinceMs: undefined, heldBytes: 0 });
    await expectExactState(store);
    expect(await store.flush()).toBe(0);
  });

  test('a clean stop loses nothing; a stop without flush loses what was not flushed', async () => {
    const fixture = await makeFixture();
    const first = await opened(fixture);
    await apply(first, 100);
    await first.close();
    const second = await opened(fixture);
    expect([second.appliedLsn, second.persistedLsn]).toEqual([100, 100]);
    await expectExactState(second);
    await apply(second, 150);
    await second.close({ flush: false });
    const third = await opened(fixture);
    expect(third.appliedLsn).toBe(100);
    await apply(third, 150);
    await expectExactState(third);
  });

  test('calls of flush made while one runs share the next, which covers them', async () => {
    const reported: Lsn[] = [];
    const store = await opened(await makeFixture(), { onPersisted: (lsn) => reported.push(lsn) });
    await apply(store, 50);
    const first = store.flush();
    await apply(store, 60);
    const others = [store.flush(), store.flush(), store.flush()];
    expect(await first).toBeGreaterThanOrEqual(50);
    for (const other of others) expect(await other).toBeGreaterThanOrEqual(60);
    expect(reported).toHaveLength(2);
    expect(store.persistedLsn).toBe(60);
  });

  test('a clean store does not flush again', async () => {
    const reported: Lsn[] = [];
    const store = await opened(await makeFixture(), { onPersisted: (lsn) => reported.push(lsn) });
    await apply(store, 10);
    await store.flush();
    while (store.stats.dirtyBytes > 0) await store.flush();
    const flushes = reported.length;
    expect(await store.flush()).toBe(10);
    expect(reported).toHaveLength(flushes);
  });

  test('applies go on during a flush, and all reads see them', async () => {
    const store = await opened(await makeFixture());
    await apply(store, 700, 2000);
    const flush = store.flush();
    let held = 0;
    for (let lsn = 700; lsn < 900; lsn += 10) {
      await store.write(groupOf(lsn, lsn + 10, 2000));
      held = Math.max(held, store.stats.heldBytes);
      await expectExactState(store, 2000);
    }
    expect(held).toBeGreaterThan(0);
    expect(await flush).toBeGreaterThanOrEqual(700);
    await store.flush();
    await expectExactState(store, 2000);
  });

  test('more index writes than a memtable takes flush by themselves, and those that may not wait in memory wait', async () => {
    const reported: Lsn[] = [];
    const unit = { writeBufferBytes: 1 << 17, tableBytes: 1 << 20, blockCacheBytes: 1 << 16 };
    const sizes = {
      records: unit,
      index: unit,
      indexMemtableBytesMax: 100_000,
      heldBytesMax: 20_000,
      sweepDeletionsMin: 100,
    };
    const fixture = await makeFixture();
    const store = await opened(fixture, { sizes, onPersisted: (lsn) => reported.push(lsn) });
    await apply(store, 6000);
    expect(reported.length).toBeGreaterThan(3);
    await expectExactState(store);
    await store.close({ flush: false });
    const reopened = await opened(fixture, { sizes });
    // A flush that was under way at the close may have come to its end.
    expect(reopened.appliedLsn).toBeGreaterThanOrEqual(reported.at(-1) ?? 0);
    await expectExactState(reopened);
  });

  test('stats tell what is dirty, since when, and what a flush is writing', async () => {
    const store = await opened(await makeFixture());
    const beforeMs = realClock.monotonicMs();
    await apply(store, 20);
    const dirty = store.stats;
    expect(dirty.dirtyBytes).toBeGreaterThan(20 * 40 * 0.6);
    expect(dirty.dirtySinceMs).toBeGreaterThanOrEqual(beforeMs);
    const flush = store.flush();
    expect(store.stats.flushingBytes).toBe(dirty.dirtyBytes);
    await flush;
    expect(store.stats).toMatchObject({ dirtyBytes: 0, flushingBytes: 0, dirtySinceMs: undefined });
  });

  test('scans go both ways, by their limit, and end at their bounds', async () => {
    const store = await opened(await makeFixture());
    await apply(store, 100);
    await store.flush();
    await apply(store, 110);
    const pointed = pointedAt(110);
    const scan = async (range: Parameters<StateStore['scanIndex']>[0]): Promise<number[]> =>
      (await store.scanIndex(range)).map(({ value }) => Number(text(value)));
    const all = { from: bytes('pointer/'), to: bytes('pointer0') };
    expect(await scan({ ...all, limit: 3 })).toEqual(pointed.slice(0, 3));
    expect(await scan({ ...all, limit: 3, reverse: true })).toEqual(pointed.toReversed().slice(0, 3));
    expect(await scan({ from: pointerKey(100), to: pointerKey(104), limit: 9 })).toEqual([100, 101, 103]);
    const [entry] = await store.scanIndex({ ...all, limit: 1 });
    expect(text(entry?.key)).toBe(text(pointerKey(pointed[0] ?? 0)));
  });

  test('a snapshot is one LSN, whatever is written and deleted after it', async () => {
    const store = await opened(await makeFixture());
    await apply(store, 100);
    const flush = store.flush();
    await apply(store, 120);
    const snapshot = await store.snapshot();
    await flush;
    await apply(store, 200);
    await store.flush();
    expect(snapshot.appliedLsn).toBe(120);
    const entries = await snapshot.scanIndex({ from: bytes('pointer/'), to: bytes('pointer0'), limit: 1000 });
    expect(entries.map(({ value }) => Number(text(value)))).toEqual(pointedAt(120));
    const records = await snapshot.scanRecords({ from: asLsn(110), to: asLsn(1000), limit: 1000, maxBytes: 1 << 20 });
    expect(records.map(({ lsn }) => lsn)).toEqual([110, 112, 113, 115, 116, 118, 119]);
    expect(Buffer.from(records[0]?.value ?? [])).toEqual(recordsOf(110));
    expect(await snapshot.scanRecords({ from: asLsn(1), to: asLsn(99), limit: 1000, maxBytes: 1 })).toHaveLength(1);
    await snapshot.close();
  });

  test('physically deleted records are gone for readers at once, and the state and its hash are not touched', async () => {
    const fixture = await makeFixture();
    const store = await opened(fixture);
    await apply(store, 100);
    const hash = store.stateHash;
    const index = [{ key: bytes('leftover'), value: undefined }];
    await store.deletePhysically({ recordLsns: [asLsn(1), asLsn(2)], index });
    expect(await store.getRecords([asLsn(1), asLsn(2)])).toEqual([undefined, undefined]);
    expect(store.stateHash).toEqual(hash);
    await expectExactState(store);
    await store.flush();
    await swept(store, [1, 2]);
    await store.close();
    const reopened = await opened(fixture);
    expect(reopened.stateHash).toEqual(hash);
    expect(await reopened.getRecords([asLsn(1), asLsn(2)])).toEqual([undefined, undefined]);
    await expectExactState(reopened);
  });

  test('a request of a deletion survives a stop before it was carried out', async () => {
    const fixture = await makeFixture();
    const store = await opened(fixture);
    await apply(store, 100);
    await store.deletePhysically({ recordLsns: [asLsn(1), asLsn(2)], index: [] });
    const flush = store.flush();
    await apply(store, 110);
    await flush;
    await store.close({ flush: false });
    const reopened = await opened(fixture);
    expect(await reopened.getRecords([asLsn(1), asLsn(2)])).toEqual([undefined, undefined]);
    await apply(reopened, 120);
    await reopened.flush();
    await swept(reopened, [1, 2]);
    await expectExactState(reopened);
  });

  test('many deletions do not wait for an idle moment, and their space is given back', async () => {
    const records = { ...defaultStateStoreSizes.records, tableBytes: 1 << 18 };
    const store = await opened(await makeFixture(), { sizes: { ...defaultStateStoreSizes, records } });
    await apply(store, 3000, 500);
    await store.flush();
    const before = await store.sizeBytes();
    const lsns = Array.from({ length: 2500 }, (_, at) => asLsn(at + 1)).filter((lsn) => lsn % 3 !== 0);
    await store.deletePhysically({ recordLsns: lsns, index: [] });
    const flush = store.flush();
    await apply(store, 3010, 500);
    await flush;
    await swept(store, lsns);
    await vi.waitFor(async () => expect(await store.sizeBytes()).toBeLessThan(before / 2), { timeout: 5000 });
    await expectExactState(store, 500);
  });

  test('the newest records may be deleted as well', async () => {
    const fixture = await makeFixture();
    const store = await opened(fixture);
    await apply(store, 100);
    await store.deletePhysically({ recordLsns: [asLsn(98), asLsn(100)], index: [] });
    await store.flush();
    await swept(store, [98, 100]);
    await store.close({ flush: false });
    const reopened = await opened(fixture);
    expect(reopened.appliedLsn).toBe(100);
    expect(await reopened.getRecords([asLsn(100)])).toEqual([undefined]);
  });

  test('verify reads everything of one moment; equal stores have equal digests', async () => {
    const digests = [];
    for (const grouping of [1, 9]) {
      const store = await opened(await makeFixture());
      while (store.appliedLsn < 300)
        await store.write(groupOf(store.appliedLsn, Math.min(300, store.appliedLsn + grouping)));
      const progress: number[] = [];
      const result = await store.verify(({ values }) => progress.push(values));
      expect(result).toMatchObject({
        appliedLsn: 300,
        stateHash: store.stateHash,
        values: 201 + pointedAt(300).length,
        damaged: [],
      });
      expect(progress.at(-1)).toBe(result.values);
      digests.push(result.digest);
      const abort = new AbortController();
      abort.abort();
      await expect(store.verify(undefined, abort.signal)).rejects.toThrow();
    }
    expect(digests[0]).toMatch(/^[0-9a-f]{16}$/);
    expect(digests[1]).toBe(digests[0]);
  });

  test('with a view, the digest does not depend on what has been deleted physically, and misses nothing that is pointed to', async () => {
    const store = await opened(await makeFixture());
    await apply(store, 100);
    const view = {
      isLive: () => true,
      recordsLsn: (key: Uint8Array, value: Uint8Array) =>
        text(key)?.startsWith('pointer/') === true ? asLsn(Number(text(value))) : undefined,
      recordsBytes: () => 40,
      ownerOf: (lsn: number) => new TextEncoder().encode(`pointer/${lsn}`),
    };
    const before = await store.verify(undefined, undefined, view);
    await store.deletePhysically({ recordLsns: [asLsn(1), asLsn(2), asLsn(4)], index: [] });
    await store.flush();
    await swept(store, [1, 2, 4]);
    const after = await store.verify(undefined, undefined, view);
    expect(after.digest).toBe(before.digest);
    expect(after.damaged).toEqual([]);
    await store.deletePhysically({ recordLsns: [asLsn(98)], index: [] });
    await store.flush();
    await swept(store, [98]);
    const { damaged } = await store.verify(undefined, undefined, view);
    expect(damaged).toEqual([
      { database: 'records', keyHex: '010000000000000062', problem: expect.stringContaining('not there') as string },
    ]);
  });

  test('an import of a snapshot is the store it was taken from; unfinished, it is refused', async () => {
    const source = await opened(await makeFixture());
    await apply(source, 200);
    const snapshot = await source.snapshot();
    const records = await snapshot.scanRecords({ from: asLsn(0), to: asLsn(999), limit: 999, maxBytes: 1 << 20 });
    const entries = await snapshot.scanIndex({ from: new Uint8Array(0), to: Uint8Array.of(0xff), limit: 999 });
    const fixture = await makeFixture();
    const half = await makeFixture();
    const abandoned = await fixture.provider.open(`${half.directory}/index`, defaultStateStoreSizes.index);
    await abandoned.write([{ type: 'put', key: bytes('x'), value: bytes('y') }]);
    await abandoned.flush();
    await abandoned.close();
    expect(await reasonOf(opened({ ...half, provider: fixture.provider }))).toBe('STATE_STORE_CORRUPT');

    const whole = await makeFixture();
    const imported = await StateImport.begin({ ...whole, crc32 });
    await imported.putRecords(records.slice(0, 50));
    await imported.putIndex(entries);
    await imported.putRecords(records.slice(50));
    await imported.finish(snapshot);
    const store = await opened(whole);
    expect([store.appliedLsn, store.persistedLsn]).toEqual([200, 200]);
    await expectExactState(store);
    expect((await store.verify()).digest).toBe((await source.verify()).digest);
    await snapshot.close();
    await apply(store, 220);
    await expectExactState(store);
  });

  test('a snapshot answers single keys as of its moment, also those that wait for a flush', async () => {
    const store = await opened(await makeFixture());
    await apply(store, 700, 2000);
    const flush = store.flush();
    await store.write(groupOf(700, 720, 2000));
    const snapshot = await store.snapshot();
    const counter = bytes('counter');
    expect(text(snapshot.getIndex(counter))).toBe('720');
    expect(snapshot.getIndex(bytes('nothing'))).toBeUndefined();
    await store.write(groupOf(720, 730, 2000));
    await flush;
    await store.flush();
    expect(text(snapshot.getIndex(counter))).toBe('720');
    for (const { key, value } of await snapshot.scanIndex({ from: counter, to: Uint8Array.of(0xff), limit: 9999 })) {
      expect(text(snapshot.getIndex(key))).toBe(text(value));
    }
    // Taken away by the retention of entry 714, of which the flush under way knows nothing.
    expect(snapshot.getIndex(pointerKey(680))).toBeUndefined();
    expect(text(store.getIndex(counter))).toBe('730');
    await snapshot.close();
  });

  test('an import that was flushed goes on where it was left off', async () => {
    const source = await opened(await makeFixture());
    await apply(source, 200);
    const snapshot = await source.snapshot();
    const records = await snapshot.scanRecords({ from: asLsn(0), to: asLsn(999), limit: 999, maxBytes: 1 << 20 });
    const entries = await snapshot.scanIndex({ from: new Uint8Array(0), to: Uint8Array.of(0xff), limit: 999 });
    await snapshot.close();
    const fixture = await makeFixture();
    const first = await StateImport.begin({ ...fixture, crc32 });
    await first.putIndex(entries);
    await first.putRecords(records.slice(0, 50));
    const { lastRecordsLsn } = first;
    await first.flush();
    await first.putRecords(records.slice(50, 60));
    await first.close();
    const second = await StateImport.begin({ ...fixture, crc32, lastRecordsLsn });
    await expect(second.putRecords(records.slice(0, 1))).rejects.toThrow(InvariantViolation);
    expect(text(second.getIndex(bytes('counter')))).toBe('200');
    expect(second.getIndex(bytes('nothing'))).toBeUndefined();
    expect(await second.scanIndex({ from: new Uint8Array(0), to: Uint8Array.of(0xff), limit: 999 })).toHaveLength(
      entries.length,
    );
    await second.putRecords(records.slice(50));
    await second.finish(source);
    const store = await opened(fixture);
    await expectExactState(store);
    expect((await store.verify()).digest).toBe((await source.verify()).digest);
  });

  test('a batch that goes back, or records out of order, is a bug of the caller', async () => {
    const store = await opened(await makeFixture());
    await apply(store, 10);
    await expect(store.write(groupOf(5, 8))).rejects.toThrow(InvariantViolation);
    const batch = groupOf(10, 12);
    await expect(store.write({ ...batch, records: [{ lsn: asLsn(13), pieces: [bytes('x')] }] })).rejects.toThrow(
      InvariantViolation,
    );
    await apply(store, 20);
    await expectExactState(store);
  });

  test('a closed store refuses everything', async () => {
    const store = await opened(await makeFixture());
    await apply(store, 10);
    await store.close();
    await store.close();
    expect(await reasonOf(store.write(groupOf(10, 11)))).toBe('STATE_STORE_FAILED');
    expect(await reasonOf(store.flush())).toBe('STATE_STORE_FAILED');
    expect(await reasonOf(store.getRecords([asLsn(1)]))).toBe('STATE_STORE_FAILED');
    expect(() => store.getIndex(bytes('counter'))).toThrow(/STATE_STORE|state store/);
  });
});

describe('faults', () => {
  test.each(['records', 'index'])(
    'a failed write of the %s ends the instance; reopened, it is at its persisted LSN',
    async (database) => {
      const fixture = await simulated();
      const store = await opened(fixture);
      await apply(store, 50);
      await store.flush();
      await apply(store, 60);
      // Entries 64 to 66 have records at 64 and 65; entry 63 has none, so its write goes to the index alone.
      await apply(store, 62);
      fixture.provider.faults.writeFailuresPerMille = 1000;
      expect(await reasonOf(store.write(groupOf(62, database === 'index' ? 63 : 65)))).toBe('STATE_STORE_FAILED');
      fixture.provider.faults.writeFailuresPerMille = 0;
      expect(await reasonOf(store.write(groupOf(62, 63)))).toBe('STATE_STORE_FAILED');
      expect(await reasonOf(store.flush())).toBe('STATE_STORE_FAILED');
      expect([store.appliedLsn, store.persistedLsn]).toEqual([62, 50]);
      await store.close();
      const reopened = await opened(fixture);
      expect(reopened.appliedLsn).toBe(50);
      await apply(reopened, 70);
      await expectExactState(reopened);
    },
  );

  test('a failed flush ends the instance, and wakes writes that wait for it', async () => {
    const fixture = await simulated();
    const unit = { writeBufferBytes: 1 << 17, tableBytes: 1 << 20, blockCacheBytes: 1 << 16 };
    const store = await opened(fixture, {
      sizes: { records: unit, index: unit, indexMemtableBytesMax: 100_000, heldBytesMax: 500, sweepDeletionsMin: 100 },
    });
    await apply(store, 50);
    fixture.provider.faults.flushFailuresPerMille = 1000;
    const flush = reasonOf(store.flush());
    const writes = reasonOf(apply(store, 1000));
    expect(await flush).toBe('STATE_STORE_FAILED');
    expect(await writes).toBe('STATE_STORE_FAILED');
    expect(store.persistedLsn).toBe(0);
  });

  test('a flush that failed did not count as under way for ever, so that nobody found out', async () => {
    const fixture = await simulated();
    const store = await opened(fixture);
    await apply(store, 50);
    fixture.provider.faults.flushFailuresPerMille = 1000;
    expect(await reasonOf(store.flush())).toBe('STATE_STORE_FAILED');
    expect(store.stats.flushingBytes).toBe(0);
    expect(store.stats.dirtyBytes).toBeGreaterThan(0);
  });

  test('a broken invariant was hidden by a failure before it, and by the opening', async () => {
    const fixture = await simulated();
    const broken = new InvariantViolation('out of order');
    const opening = { provider: { open: () => Promise.reject(broken) } };
    await expect(opened(fixture, opening)).rejects.toBe(broken);
    const store = await opened(fixture, {
      onPersisted: () => {
        throw broken;
      },
    });
    await apply(store, 50);
    await expect(store.flush()).rejects.toBe(broken);
    await expect(store.write(groupOf(50, 51))).rejects.toBe(broken);
  });

  test.each(['records', 'index'] as const)(
    'rot in the %s is found by point reads, scans and verify, and never served',
    async (database) => {
      const fixture = await simulated();
      const store = await opened(fixture);
      await apply(store, 60);
      const whole = await store.verify();
      const key = fixture.provider.rot(`/p1/${database}`);
      const keyHex = Buffer.from(key ?? []).toString('hex');
      const { damaged, digest } = await store.verify();
      expect(digest === whole.digest && damaged.length === 0).toBe(
        keyHex === Buffer.from('\x01applied').toString('hex'),
      );
      if (damaged.length > 0) expect(damaged).toEqual([{ database, keyHex, problem: 'the value fails its checksum' }]);
      if (database === 'records') {
        const lsn = asLsn(Number(`0x${keyHex.slice(2)}`));
        await expect(store.getRecords([lsn])).rejects.toMatchObject({
          reason: 'DATA_CORRUPT',
          facts: { database, key: keyHex },
        });
        const snapshot = await store.snapshot();
        const scan = snapshot.scanRecords({ from: asLsn(0), to: asLsn(99), limit: 99, maxBytes: 1 << 20 });
        expect(await reasonOf(scan)).toBe('DATA_CORRUPT');
      } else {
        const logical = Buffer.from(keyHex.slice(2), 'hex');
        expect(() => store.getIndex(logical)).toThrow(expect.objectContaining({ reason: 'DATA_CORRUPT' }) as Error);
        expect(await reasonOf(store.scanIndex({ from: bytes('a'), to: bytes('z'), limit: 999 }))).toBe('DATA_CORRUPT');
      }
    },
  );

  test('rot in a table file of LevelDB is found', async () => {
    const fixture = await onLevelDb();
    const store = await opened(fixture);
    await apply(store, 200, 500);
    await store.close();
    const directory = join(fixture.directory, 'records');
    const table = (await readdir(directory)).find((name) => name.endsWith('.ldb')) ?? '';
    const content = await readFile(join(directory, table));
    const at = content.indexOf(recordsOf(100, 500));
    const file = await open(join(directory, table), 'r+');
    await file.write(Uint8Array.of((content[at + 250] ?? 0) ^ 4), 0, 1, at + 250);
    await file.close();
    const reopened = await opened(fixture);
    expect(await reasonOf(reopened.getRecords([asLsn(100)]))).toBe('DATA_CORRUPT');
    expect((await reopened.getRecords([asLsn(101)]))[0]).toEqual(recordsOf(101, 500));
    expect((await reopened.verify()).damaged).toMatchObject([{ database: 'records', keyHex: '010000000000000064' }]);
  });

  test('an index without its records is refused with advice, not opened', async () => {
    const fixture = await onLevelDb();
    const store = await opened(fixture);
    await apply(store, 100);
    await store.close();
    await rm(join(fixture.directory, 'records'), { recursive: true });
    await expect(opened(fixture)).rejects.toMatchObject({
      reason: 'STATE_STORE_CORRUPT',
      message: expect.stringContaining('Replace this replica') as string,
      facts: { appliedLsn: 100, missingRecordsLsn: 100 },
    });
  });

  test('a damaged manifest is reported as such, not as a passing failure', async () => {
    const fixture = await onLevelDb();
    const store = await opened(fixture);
    await apply(store, 100);
    await store.close();
    const directory = join(fixture.directory, 'index');
    const table = (await readdir(directory)).find((name) => name.endsWith('.ldb')) ?? '';
    await rm(join(directory, table));
    await expect(opened(fixture)).rejects.toMatchObject({ reason: 'STATE_STORE_CORRUPT' });
  });

  test('what a crash left of making a database is cleared away', async () => {
    const fixture = await onLevelDb();
    const directory = join(fixture.directory, 'records.creating');
    await nodeDisk.makeDirectory(directory);
    await appendFile(join(directory, 'CURRENT'), 'half');
    const store = await opened(fixture);
    expect(await readdir(fixture.directory)).toEqual(['index', 'records']);
    await apply(store, 10);
    await expectExactState(store);
  });
});

test('the index is flushed before LevelDB would do it by itself', () => {
  const { index, indexMemtableBytesMax } = defaultStateStoreSizes;
  expect(indexMemtableBytesMax).toBeLessThan(index.writeBufferBytes);
});
