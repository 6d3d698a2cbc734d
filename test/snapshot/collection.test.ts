import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asLsn, asTerm } from '../../src/base/ids.js';
import { CollectionMemory, type Manifest } from '../../src/snapshot/index.js';
import { parseManifest } from '../../src/snapshot/manifest.js';
import { type FoundManifest, superseded, unreferenced, UselessSince } from '../../src/snapshot/retention.js';
import { append, filled, graceMs, reasonOf, restored, TestRepository } from './support.js';

const found = (...states: readonly FoundManifest['state'][]): FoundManifest[] =>
  states.map((state, at) => ({ name: `m${at}`, lsn: asLsn(100 - at), term: asTerm(1), state }));
const namesOf = (manifests: readonly { name: string }[]): string[] => manifests.map(({ name }) => name);

describe('retention', () => {
  test('keeps the newest whole ones, and lets go of the rest oldest first', () => {
    const manifests = found('whole', 'damaged', 'whole', 'damaged', 'whole');
    expect(namesOf(superseded(manifests, { keep: 1 }))).toEqual(['m4', 'm3', 'm2', 'm1']);
    expect(namesOf(superseded(manifests, { keep: 2 }))).toEqual(['m4', 'm3']);
    expect(namesOf(superseded(manifests, { keep: 3 }))).toEqual([]);
    expect(namesOf(superseded(manifests, { keep: 0 }))).toEqual(['m4', 'm3', 'm2', 'm1']);
    const isPinned = ({ name }: { name: string }): boolean => name === 'm2';
    expect(namesOf(superseded(manifests, { keep: 1, isPinned }))).toEqual(['m4', 'm3', 'm1']);
    expect(superseded(found('damaged', 'damaged'), { keep: 1 })).toEqual([]);
    const unconfirmed = found('unconfirmed', 'whole', 'unconfirmed', 'whole');
    expect(namesOf(superseded(unconfirmed, { keep: 2 }))).toEqual(['m2', 'm0']);
  });

  test('the newest whole one is never let go', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('whole' as const, 'damaged' as const, 'unconfirmed' as const)),
        fc.integer({ min: -1, max: 5 }),
        (states, keep) => {
          const manifests = found(...states);
          const old = new Set(namesOf(superseded(manifests, { keep })));
          const whole = manifests.filter(({ state }) => state === 'whole');
          for (const { name } of whole.slice(0, Math.max(1, keep))) expect(old.has(name)).toBe(false);
          if (whole.length === 0)
            expect(manifests.some(({ name, state }) => state === 'damaged' && old.has(name))).toBe(false);
        },
      ),
    );
  });

  test('what no manifest names is unreferenced', () => {
    expect([...unreferenced(['a', 'b', 'c'], [['a'], ['c', 'd']])]).toEqual(['b']);
  });
});

describe('since when something is of no use', () => {
  const at = (beganMs: number, endedMs = beganMs): { beganMs: number; endedMs: number; gapMsMax: number } => ({
    beganMs,
    endedMs,
    gapMsMax: 50,
  });

  test('counts from the end of the first observation to the beginning of the last', () => {
    const since = new UselessSince();
    since.observe(new Set(['a']), at(0, 10));
    since.observe(new Set(['a', 'b']), at(45, 48));
    expect(since.forAtLeast(35)).toEqual(['a']);
    expect(since.forAtLeast(36)).toEqual([]);
  });

  test('begins anew when it was of use in between, or when nobody looked for long', () => {
    const since = new UselessSince();
    since.observe(new Set(['a', 'b']), at(0));
    since.observe(new Set(['b']), at(40));
    since.observe(new Set(['a', 'b']), at(80));
    expect(since.forAtLeast(1)).toEqual(['b']);
    since.observe(new Set(['a', 'b']), at(131));
    expect(since.forAtLeast(1)).toEqual([]);
    // A slow observation: it ended too long after the one before began.
    since.observe(new Set(['a', 'b']), at(140, 182));
    since.observe(new Set(['a', 'b']), at(183));
    expect(since.forAtLeast(2)).toEqual([]);
  });
});

describe('collection', () => {
  test('takes old manifests and what only they name, after the grace period', async () => {
    const { log, stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { store, clock } = repository;
    const written = [await stored.write(archive)];
    for (let more = 0; more < 3; more++) {
      await append(log, stored, 1);
      written.push(await stored.write(archive));
    }
    store.objects.set(`c1/3/chunks/${'0'.repeat(64)}-${'1'.repeat(16)}`, {
      bytes: new Uint8Array(5),
      modifiedUnixMs: 0,
    });
    const memory = new CollectionMemory();
    const reports = [];
    for (let run = 0; run < 6; run++) {
      reports.push(await archive.collect(memory, { keep: 2, graceMs }));
      clock.aheadMs += graceMs / 2;
    }
    expect(reports.map(({ deletedManifests }) => deletedManifests.length)).toEqual([0, 0, 2, 0, 0, 0]);
    expect(reports[2]!.deletedManifests).toEqual([written[0]!.name, written[1]!.name]);
    expect(reports[0]!.unreferencedChunks).toBe(1);
    expect(reports[2]!.deletedChunks).toBe(1);
    expect(reports[4]!.deletedChunks).toBeGreaterThan(1);
    expect(reports[4]!.deletedBytes).toBeGreaterThan(50);
    expect(namesOf(await archive.manifests())).toEqual([written[3]!.name, written[2]!.name]);
    const needed = new Set(written.slice(2).flatMap(({ manifest }) => manifest.chunks.map(({ name }) => name)));
    expect(new Set(store.names('/chunks/').map((name) => name.split('/').at(-1)))).toEqual(needed);
    for (const { name } of written.slice(2)) {
      const manifest = await archive.readBack(name);
      expect((await restored(archive, manifest)).store.appliedLsn).toBe(manifest.lsn);
    }
  });

  test('takes nothing when it looks too seldom', async () => {
    const { log, stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    await stored.write(archive);
    await append(log, stored, 3);
    await stored.write(archive);
    const memory = new CollectionMemory();
    for (let run = 0; run < 6; run++) {
      const report = await archive.collect(memory, { keep: 1, graceMs });
      expect(report.deletedManifests).toEqual([]);
      repository.clock.aheadMs += graceMs / 2 + 1;
    }
  });

  test('keeps what is pinned, and the grace period of the repository when it is longer than asked', async () => {
    const { log, stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const old = await stored.write(archive);
    await append(log, stored, 3);
    await stored.write(archive);
    const memory = new CollectionMemory();
    const isPinned = ({ lsn }: { lsn: number }): boolean => lsn === old.manifest.lsn;
    for (let run = 0; run < 6; run++) {
      expect((await archive.collect(memory, { keep: 1, graceMs: 1, isPinned })).deletedManifests).toEqual([]);
      repository.clock.aheadMs += graceMs / 2;
    }
    const asked = [];
    for (let run = 0; run < 3; run++) {
      asked.push((await archive.collect(memory, { keep: 1, graceMs: 1 })).deletedManifests.length);
      repository.clock.aheadMs += graceMs / 2;
    }
    expect(asked).toEqual([0, 0, 1]);
  });

  test('keeps every chunk while there is a manifest that it cannot read', async () => {
    const { log, stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { store } = repository;
    const first = await stored.write(archive);
    await append(log, stored, 3);
    await stored.write(archive);
    const object = `c1/3/manifests/${first.name}`;
    const sound = store.bytesOf(object);
    store.tamper(object, (bytes) =>
      Buffer.from(Buffer.from(bytes).toString().replace('"formatVersion": 1', '"formatVersion": 9')),
    );
    const before = store.names('/chunks/');
    const memory = new CollectionMemory();
    for (let run = 0; run < 6; run++) {
      const report = await archive.collect(memory, { keep: 5, graceMs });
      expect(report.unreadableManifests).toEqual([first.name]);
      repository.clock.aheadMs += graceMs / 2;
    }
    expect(store.names('/chunks/')).toEqual(before);
    store.tamper(object, () => sound);
    await archive.readBack(first.name);
  });

  test('of a snapshot whose chunk is gone keeps an older, whole one', async () => {
    const { log, stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const first = await stored.write(archive);
    await append(log, stored, 10);
    const second = await stored.write(archive);
    const own = second.manifest.chunks.find((chunk) => !first.manifest.chunks.some(({ name }) => name === chunk.name))!;
    repository.store.objects.delete(`c1/3/chunks/${own.name}`);
    await repository.collectAll(archive, 1);
    expect(namesOf(await archive.manifests())).toEqual([second.name, first.name]);
    await archive.readBack(first.name);
  });
});

describe('collection of what no quorum has confirmed', () => {
  test('takes it after the grace period, however new, and it keeps no confirmed one from being kept', async () => {
    const { log, stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const first = await stored.write(archive);
    await append(log, stored, 3);
    const second = await stored.write(archive);
    for (let more = 0; more < 3; more++) {
      await append(log, stored, 1);
      await stored.writeUnconfirmed(archive);
    }
    expect(namesOf(await archive.candidates(asLsn(0)))).toEqual([second.name, first.name]);
    await repository.collectAll(archive, 2);
    expect(namesOf(await archive.manifests())).toEqual([second.name, first.name]);
    expect((await restored(archive, await archive.readConfirmed(first.name))).store.appliedLsn).toBe(
      first.manifest.lsn,
    );
  });

  test('leaves one alone that is confirmed before the grace period ends', async () => {
    const { stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { name, manifest } = await stored.writeUnconfirmed(archive);
    const memory = new CollectionMemory();
    for (let run = 0; run < 8; run++) {
      if (run === 2) await archive.confirm(manifest, name);
      expect((await archive.collect(memory, { keep: 1, graceMs })).deletedManifests).toEqual([]);
      repository.clock.aheadMs += graceMs / 2;
    }
  });

  test('takes confirmations with their manifests, and those that were left behind', async () => {
    const { log, stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { store } = repository;
    await stored.write(archive);
    const lost = await stored.write(archive);
    store.objects.delete(`c1/3/manifests/${lost.name}`);
    await append(log, stored, 3);
    const last = await stored.write(archive);
    expect(store.names('/confirmations/')).toHaveLength(3);
    await repository.collectAll(archive, 1);
    expect(store.names('/confirmations/')).toEqual([`c1/3/confirmations/${last.name}`]);
    expect(store.names('/manifests/')).toEqual([`c1/3/manifests/${last.name}`]);
  });
});

describe('two that write at the same time', () => {
  test('both succeed, and neither lacks anything', async () => {
    const { log, stored } = await filled(20);
    const repository = new TestRepository();
    const archives = [await repository.archive(1), await repository.archive(2)];
    await stored.write(archives[0]!);
    await append(log, stored, 10);
    const written = await Promise.all(archives.map((archive) => stored.write(archive)));
    expect(written[0]!.name).not.toBe(written[1]!.name);
    for (const { name } of written) {
      const copy = await restored(archives[0]!, await archives[1]!.readBack(name));
      expect(await copy.digest()).toBe(await stored.digest());
    }
  });

  /**
   * Writers and collectors of several processes, each operation of the object store at a random moment of the others', with
   * clocks that move on meanwhile. What a writer was told is there stays there, as long as retention keeps its manifest.
   */
  test('while others collect: no snapshot that was confirmed lacks a chunk', async () => {
    let confirmed = 0;
    let deleted = 0;
    const scenario = fc.record({
      seed: fc.integer({ min: 1, max: 1 << 30 }),
      keep: fc.integer({ min: 1, max: 2 }),
      paceMs: fc.constantFrom(3, 4, 8),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ seed, keep, paceMs }) => {
        const repository = new TestRepository();
        const { store, clock } = repository;
        let state = seed;
        const draw = (bound: number): number => {
          state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
          return (state >>> 8) % bound;
        };
        const waiting: (() => void)[] = [];
        store.intercept = () =>
          new Promise((resolve) => {
            waiting.push(() => resolve(draw(40) === 0 ? (draw(2) === 0 ? 'fail' : 'lose') : undefined));
          });
        const sleepers: { atMs: number; wake: () => void }[] = [];
        const sleep = (delayMs: number): Promise<void> =>
          new Promise((wake) => sleepers.push({ atMs: clock.aheadMs + delayMs, wake }));
        const { log, stored } = await filled(6);
        const known = new Map<string, Manifest>();
        let running = 5;
        const process = async (work: () => Promise<void>): Promise<void> => {
          await work();
          running -= 1;
        };
        const untilItWorks = async <Value>(work: () => Promise<Value>): Promise<Value> => {
          for (;;) {
            try {
              return await work();
            } catch (error) {
              if ((error as { reason?: string }).reason !== 'REPOSITORY_UNAVAILABLE') throw error;
            }
          }
        };
        const writer = (number: number) => async (): Promise<void> => {
          const archive = await untilItWorks(() => repository.archive(seed + number));
          for (let round = 0; round < 10; round++) {
            await sleep(draw(600));
            log.create(`writer-${number}/${round}`);
            await append(log, stored, 1);
            const reason = await reasonOf(
              (async () => {
                const { name } = await stored.write(archive);
                known.set(name, await archive.readBack(name));
                confirmed += 1;
              })(),
            );
            expect([undefined, 'REPOSITORY_UNAVAILABLE', 'SNAPSHOT_EXPIRED']).toContain(reason);
          }
        };
        const collector = (number: number) => async (): Promise<void> => {
          const archive = await untilItWorks(() => repository.archive(seed + 10 + number));
          const memory = new CollectionMemory();
          while (running > 2) {
            await sleep(draw(200));
            const report = await archive.collect(memory, { keep, graceMs }).catch(() => undefined);
            deleted += report?.deletedChunks ?? 0;
          }
        };
        const all = Promise.all([...[1, 2, 3].map(writer), ...[1, 2].map(collector)].map(process));
        let done = false;
        const end = (): void => void (done = true);
        all.then(end, end);
        while (!done) {
          const objects = store.objects.size;
          for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
          clock.aheadMs += draw(paceMs);
          const asleep = sleepers.splice(0);
          for (const sleeper of asleep) {
            if (sleeper.atMs <= clock.aheadMs) sleeper.wake();
            else sleepers.push(sleeper);
          }
          waiting.splice(draw(waiting.length || 1), 1)[0]?.();
          await new Promise((resolve) => setImmediate(resolve));
          if (store.objects.size >= objects) continue;
          for (const name of store.names('/manifests/')) {
            const manifest = known.get(name.split('/').at(-1)!);
            if (manifest === undefined) continue;
            for (const chunk of manifest.chunks) expect(store.objects.has(`c1/3/chunks/${chunk.name}`)).toBe(true);
          }
        }
        await all;
        for (const name of store.names('/manifests/')) parseManifest(name, store.bytesOf(name));
      }),
      { numRuns: 8 },
    );
    expect(confirmed).toBeGreaterThan(80);
    expect(deleted).toBeGreaterThan(20);
  }, 120_000);
});
