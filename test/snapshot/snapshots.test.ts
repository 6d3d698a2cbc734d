import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { restoreSnapshot, type SnapshotProgress } from '../../src/snapshot/index.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { ZstdCompressor } from '../../src/server/adapters/zstd-compressor.js';
import { LevelDbProvider, openStateStore, type StateSnapshot } from '../../src/state-store/index.js';
import { retentionCommand } from '../../src/streams/index.js';
import { crc32, realClock, temporaryDirectory } from '../state-store/support.js';
import { TestPartition } from '../streams/support/partition.js';
import { RandomRun, randomSteps } from '../streams/support/random-run.js';
import {
  append,
  filled,
  reasonOf,
  restored,
  restoreParts,
  smallSnapshots,
  StoredPartition,
  TestHost,
  TestRepository,
  withSnapshot,
} from './support.js';

describe('a snapshot', () => {
  test('restores to the state it was taken of, which goes on as the original does', async () => {
    await fc.assert(
      fc.asyncProperty(
        randomSteps({ minLength: 5, maxLength: 40 }),
        randomSteps({ maxLength: 15 }),
        fc.boolean(),
        async (before, after, clears) => {
          const run = new RandomRun();
          const stored = await StoredPartition.create();
          const archive = await new TestRepository().archive();
          for (const [at, action] of before.entries()) {
            await run.step(action);
            if (at % 8 !== 7) continue;
            await stored.apply(run.partition.log);
            if (clears) await stored.clear();
            if (stored.store.appliedLsn > 0) await stored.write(archive);
          }
          await run.step({ do: 'append', name: 'a', records: 2, producer: true });
          await stored.apply(run.partition.log);
          const { name, manifest } = await stored.write(archive);
          expect(await archive.readBack(name)).toEqual(manifest);
          expect((await archive.manifests())[0]?.name).toBe(name);

          const copy = await restored(archive, manifest);
          expect(await copy.digest()).toBe(await stored.digest());
          for (const action of after) await run.step(action);
          await stored.apply(run.partition.log);
          await copy.apply(run.partition.log);
          expect(copy.store.stateHash).toEqual(stored.store.stateHash);
          await copy.clear();
          expect(await copy.digest()).toBe(await stored.digest());
        },
      ),
      { numRuns: 60 },
    );
  }, 120_000);

  test('has the facts, and equal content gives an equal digest, whatever was deleted physically', async () => {
    const { log, stored } = await filled(20);
    log.timeMs += 1000;
    const archive = await new TestRepository().archive();
    const one = await stored.write(archive);
    await stored.clear();
    const other = await stored.write(archive);
    expect(one.manifest).toMatchObject({ ...stored.facts(), clusterId: 'c1', partitionId: 3 });
    expect(other.manifest.digest).toBe(one.manifest.digest);
    expect(other.name).not.toBe(one.name);
  });

  test('uploads only what is new', async () => {
    const { log, stored } = await filled(60);
    const archive = await new TestRepository().archive();
    const first = await stored.write(archive);
    expect(first.reusedBytes).toBe(0);
    expect(first.manifest.chunks.length).toBeGreaterThan(10);
    const unchanged = await stored.write(archive);
    expect(unchanged.manifest.chunks).toEqual(first.manifest.chunks);
    await append(log, stored, 3);
    const second = await stored.write(archive);
    const names = new Set(first.manifest.chunks.map(({ name }) => name));
    const added = second.manifest.chunks.filter(({ name }) => !names.has(name));
    expect(added.map(({ kind }) => kind)).toContain('records');
    expect(added.length).toBeLessThanOrEqual(5);
    expect(await (await restored(archive, second.manifest)).digest()).toBe(await stored.digest());
  });

  test('does not let its tail fall to pieces, however small the steps are', async () => {
    const { log, stored } = await filled(1);
    const archive = await new TestRepository().archive();
    let last = await stored.write(archive);
    for (let step = 0; step < 60; step++) {
      await append(log, stored, 1);
      last = await stored.write(archive);
    }
    const records = last.manifest.chunks.filter(({ kind }) => kind === 'records');
    const bytes = records.reduce((sum, chunk) => sum + chunk.bytes, 0);
    expect(records.length).toBeLessThan((2 * bytes) / smallSnapshots.recordsChunkBytes + 2);
    await stored.write(archive);
    expect((await restored(archive, last.manifest)).store.stateHash).toEqual(stored.store.stateHash);
  });

  test('writes anew what retention has mostly taken, and without what is dead', async () => {
    const log = new TestPartition();
    log.create('short', { retentionBytes: 200 });
    log.create('long');
    const stored = await StoredPartition.create();
    for (let at = 0; at < 40; at++) await log.append(at % 4 === 0 ? 'long' : 'short', ['y'.repeat(90)]);
    await stored.apply(log.log);
    const archive = await new TestRepository().archive();
    const full = await stored.write(archive);
    log.run((await retentionCommand(log.store, log.view('short'), log.timeMs))!);
    await stored.apply(log.log);
    const less = await stored.write(archive);
    const recordsBytes = ({ manifest }: typeof full): number =>
      manifest.chunks.filter(({ kind }) => kind === 'records').reduce((sum, { bytes }) => sum + bytes, 0);
    expect(recordsBytes(less)).toBeLessThan(recordsBytes(full) / 2);
    expect(await (await restored(archive, less.manifest)).digest()).toBe(await stored.digest());
    expect((await restored(archive, full.manifest)).store.appliedLsn).toBe(full.manifest.lsn);
  });

  test('does not build on what the caller does not trust, nor on what is newer', async () => {
    const { log, stored } = await filled(20);
    const archive = await new TestRepository().archive();
    await stored.write(archive);
    const distrusted = await stored.write(archive, { mayReuse: () => false });
    expect(distrusted.reusedBytes).toBe(0);
    const older = await stored.store.snapshot();
    const facts = stored.facts();
    await append(log, stored, 10);
    const other = await new TestRepository().archive();
    await stored.write(other);
    const view = await stored.machine.logicalView(older);
    expect((await other.write({ state: older, view, facts })).reusedBytes).toBe(0);
    await older.close();
  });

  test('reports its progress, up to all of it', async () => {
    const { stored } = await filled(30);
    const archive = await new TestRepository().archive();
    const written: SnapshotProgress[] = [];
    const { manifest } = await stored.write(archive, { onProgress: (progress) => written.push(progress) });
    const bytes = manifest.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
    expect(written.at(-1)).toEqual({ bytesDone: bytes, bytesTotal: bytes });
    const imported: SnapshotProgress[] = [];
    const onProgress = (progress: SnapshotProgress): void => void imported.push(progress);
    await restoreSnapshot({ ...restoreParts(new TestHost(2), archive, manifest), onProgress });
    expect(imported).toHaveLength(manifest.chunks.length);
    expect(imported.at(-1)).toEqual({ bytesDone: bytes, bytesTotal: bytes });
  });

  test('takes as long as its bandwidth wants, in both directions', async () => {
    const { stored } = await filled(20);
    const repository = new TestRepository();
    const archive = await repository.archive(1, { graceMs: 1e9 });
    // Timers fire at once, and take the clock along.
    repository.clock.setTimer = (delayMs, callback) => {
      repository.clock.aheadMs += delayMs;
      queueMicrotask(callback);
      return { cancel: () => {} };
    };
    const { manifest } = await stored.write(archive, { bytesPerSecondMax: 100 });
    const storedBytes = manifest.chunks.reduce((sum, chunk) => sum + chunk.storedBytes, 0);
    const last = Math.max(...manifest.chunks.map((chunk) => chunk.storedBytes));
    const wroteMs = repository.clock.aheadMs;
    expect(wroteMs).toBeGreaterThanOrEqual((storedBytes - last) * 10);
    await restoreSnapshot({ ...restoreParts(new TestHost(2), archive, manifest), bytesPerSecondMax: 100 });
    expect(repository.clock.aheadMs - wroteMs).toBeGreaterThanOrEqual((storedBytes - last) * 10);
  });

  test('restores on LevelDB and a real disk, with zstd', async () => {
    const { stored } = await filled(200);
    const compressor = new ZstdCompressor();
    const archive = await new TestRepository().archive(1, { compressor });
    const { manifest } = await stored.write(archive);
    const directory = `${await temporaryDirectory()}/p`;
    const storeProvider = new LevelDbProvider(nodeDisk);
    const parts = { ...restoreParts(new TestHost(2), archive, manifest, directory), disk: nodeDisk, storeProvider };
    const abort = new AbortController();
    const onProgress = ({ bytesDone, bytesTotal }: SnapshotProgress): void => {
      if (bytesDone > bytesTotal / 2) abort.abort(new Error('enough'));
    };
    await expect(restoreSnapshot({ ...parts, onProgress, signal: abort.signal })).rejects.toThrow('enough');
    await restoreSnapshot(parts);
    await compressor.stop();
    expect(await nodeDisk.list(directory)).toEqual(['index', 'records']);
    const store = await openStateStore({ directory, provider: storeProvider, clock: realClock, crc32 });
    const copy = await StoredPartition.on(store);
    expect(store.stateHash).toEqual(stored.store.stateHash);
    expect(await copy.digest()).toBe(await stored.digest());
    await store.close();
  });

  test('is not made of a damaged state', async () => {
    const host = new TestHost();
    const log = new TestPartition();
    log.create('a');
    const stored = await StoredPartition.create(host);
    await append(log, stored, 20);
    const repository = new TestRepository();
    const archive = await repository.archive();
    for (const database of ['records', 'index']) {
      await stored.store.flush();
      const state = await stored.store.snapshot();
      const view = await stored.machine.logicalView(state);
      await state.close();
      host.databases.rot(`/source/${database}`);
      const damaged = await stored.store.snapshot();
      expect(await reasonOf(archive.write({ state: damaged, view, facts: stored.facts() }))).toBe('DATA_CORRUPT');
      await damaged.close();
      expect(repository.store.names('/manifests/')).toEqual([]);
    }
  });

  test('is not made of a state that has lost a records value', async () => {
    const { stored } = await filled(20);
    const archive = await new TestRepository().archive();
    const write = withSnapshot(stored, async (state, view) => {
      const holed: StateSnapshot = {
        appliedLsn: state.appliedLsn,
        stateHash: state.stateHash,
        scanRecords: async (range) => (await state.scanRecords(range)).filter(({ lsn }) => lsn !== 7),
        scanIndex: (range) => state.scanIndex(range),
        getIndex: (key) => state.getIndex(key),
        close: () => state.close(),
      };
      await archive.write({ state: holed, view, facts: stored.facts() });
    });
    await expect(write).rejects.toMatchObject({ reason: 'DATA_CORRUPT', facts: { expected: 20, found: 19 } });
  });
});

describe('the repository', () => {
  test('has one id, whoever opens it first', async () => {
    const repository = new TestRepository();
    const [one, other] = await Promise.all([repository.open(1), repository.open(2)]);
    expect(one.id).toMatch(/^[0-9a-f]{32}$/);
    expect(other.id).toBe(one.id);
    expect((await repository.open(3)).id).toBe(one.id);
    expect((await new TestRepository().open(4)).id).not.toBe(one.id);
  });

  test('is refused by name when its identity is damaged or newer', async () => {
    const repository = new TestRepository();
    await repository.open(1);
    const text = Buffer.from(repository.store.bytesOf('repository.json')).toString();
    const tamper = (changed: string): void => repository.store.tamper('repository.json', () => Buffer.from(changed));
    tamper(text.replace('"formatVersion": 1', '"formatVersion": 2'));
    await expect(repository.open(1)).rejects.toMatchObject({
      reason: 'SNAPSHOT_VERSION_UNSUPPORTED',
      message: expect.stringContaining('repository.json') as string,
    });
    for (const damaged of [
      text.slice(0, 50),
      text.replace(/"id": "(.)/, '"id": "g'),
      text.replace(/[0-9a-f]",/, '",'),
    ]) {
      tamper(damaged);
      await expect(repository.open(1)).rejects.toMatchObject({
        reason: 'SNAPSHOT_CORRUPT',
        message: expect.stringContaining('repository.json') as string,
      });
    }
    const [, digit = ''] = /"id": "([0-9a-f])/.exec(text) ?? [];
    tamper(text.replace(/"id": "./, `"id": "${digit === '0' ? '1' : '0'}`));
    expect(await reasonOf(repository.open(1))).toBe('SNAPSHOT_CORRUPT');
  });

  test('is opened again when an answer was lost', async () => {
    for (const kind of ['get', 'put'] as const) {
      for (const fault of ['fail', 'lose'] as const) {
        const repository = new TestRepository();
        repository.store.intercept = (operation) => (operation.kind === kind ? fault : undefined);
        expect(await reasonOf(repository.open(1))).toBe('REPOSITORY_UNAVAILABLE');
        repository.store.intercept = undefined;
        const { id } = await repository.open(2);
        expect((await repository.open(3)).id).toBe(id);
      }
    }
  });
});
