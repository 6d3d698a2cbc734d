import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../src/snapshot/manifest.js';
import { CollectionMemory, type PartitionArchive, restoreSnapshot } from '../../src/snapshot/index.js';
import type { MemoryObjectStore, ObjectFault, ObjectOperation } from '../support/memory-object-store.js';
import {
  append,
  filled,
  graceMs,
  reasonOf,
  restored,
  restoreParts,
  type StoredPartition,
  TestHost,
  TestRepository,
} from './support.js';

const faults = ['fail', 'lose', 'abort'] as const;
type Fault = (typeof faults)[number];

/** Strikes the operation of this number, counted from now on. @returns the signal to be given along */
function strike(
  store: MemoryObjectStore,
  number: number,
  fault: Fault,
): { signal: AbortSignal; struck: () => boolean } {
  const abort = new AbortController();
  const target = store.operations.length + number;
  let struck = false;
  store.intercept = (operation: ObjectOperation): ObjectFault | undefined => {
    if (operation.number !== target) return undefined;
    struck = true;
    if (fault !== 'abort') return fault;
    abort.abort(new Error('given up'));
    return undefined;
  };
  return { signal: abort.signal, struck: () => struck };
}

const expectedReason = (fault: Fault): string => (fault === 'abort' ? 'Error: given up' : 'REPOSITORY_UNAVAILABLE');

/** Every manifest that is there names only chunks that are there, whole. */
function expectNoManifestLacksAChunk(store: MemoryObjectStore): void {
  for (const name of store.names('/manifests/')) {
    for (const { name: chunk, storedBytes } of parseManifest(name, store.bytesOf(name)).chunks) {
      expect(store.bytesOf(`c1/3/chunks/${chunk}`)).toHaveLength(storedBytes);
    }
  }
}

/** Two snapshots that are there, and a third that is to be written. */
async function scenario(): Promise<{ repository: TestRepository; archive: PartitionArchive; stored: StoredPartition }> {
  const { log, stored } = await filled(12);
  const repository = new TestRepository();
  const archive = await repository.archive();
  await stored.write(archive);
  await append(log, stored, 4);
  return { repository, archive, stored };
}

describe.each(faults)('when any one operation of the object store meets: %s', (fault) => {
  test('writing and confirming can be repeated, and nothing half-done counts', async () => {
    for (let number = 1; ; number++) {
      const { repository, archive, stored } = await scenario();
      const { store } = repository;
      const { signal, struck } = strike(store, number, fault);
      const attempt = (async () => {
        const { name } = await stored.write(archive, { signal });
        await archive.readBack(name, { signal });
      })();
      const reason = await reasonOf(attempt);
      store.intercept = undefined;
      expectNoManifestLacksAChunk(store);
      if (!struck()) {
        expect(reason).toBeUndefined();
        expect(number).toBeGreaterThan(10);
        return;
      }
      expect(reason).toBe(expectedReason(fault));
      const { name, manifest } = await stored.write(archive);
      expect(await archive.readBack(name)).toEqual(manifest);
      expectNoManifestLacksAChunk(store);
      expect(await (await restored(archive, manifest)).digest()).toBe(await stored.digest());
      await repository.collectAll(archive, 1);
      expect(store.names('/manifests/')).toHaveLength(1);
      expect(store.names('/chunks/')).toHaveLength(manifest.chunks.length);
    }
  }, 60_000);

  test('restoring can be repeated', async () => {
    const { repository, archive, stored } = await scenario();
    const { manifest } = await stored.write(archive);
    for (let number = 1; ; number++) {
      const host = new TestHost(3);
      const { signal, struck } = strike(repository.store, number, fault);
      const reason = await reasonOf(restoreSnapshot({ ...restoreParts(host, archive, manifest), signal }));
      repository.store.intercept = undefined;
      if (!struck()) {
        expect(reason).toBeUndefined();
        expect(number).toBe(manifest.chunks.length + 1);
        return;
      }
      expect(reason).toBe(expectedReason(fault));
      expect(await (await restored(archive, manifest, host)).digest()).toBe(await stored.digest());
    }
  }, 60_000);

  test('collecting can be repeated, and takes nothing that is needed', async () => {
    for (let number = 1; ; number++) {
      const { repository, archive, stored } = await scenario();
      const { store } = repository;
      const { manifest } = await stored.write(archive);
      store.objects.set('c1/3/chunks/foreign', { bytes: new Uint8Array(3), modifiedUnixMs: 0 });
      const { signal, struck } = strike(store, number, fault);
      const memory = new CollectionMemory();
      let reason: unknown;
      for (let run = 0; run < 5 && reason === undefined; run++) {
        reason = await reasonOf(archive.collect(memory, { keep: 1, graceMs, signal }));
        expectNoManifestLacksAChunk(store);
        repository.clock.aheadMs += graceMs / 2;
      }
      store.intercept = undefined;
      if (!struck()) {
        expect(reason).toBeUndefined();
        expect(number).toBeGreaterThan(12);
        return;
      }
      expect(reason).toBe(expectedReason(fault));
      for (let run = 0; run < 6; run++) {
        await archive.collect(memory, { keep: 1, graceMs });
        repository.clock.aheadMs += graceMs / 2;
      }
      expect(store.names('/manifests/')).toHaveLength(1);
      expect(store.names('/chunks/')).toHaveLength(manifest.chunks.length);
      expect(await (await restored(archive, manifest)).digest()).toBe(await stored.digest());
    }
  }, 60_000);
});

describe('a write that is repeated', () => {
  test('does not upload again what it has uploaded', async () => {
    const { stored } = await filled(60);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { store } = repository;
    store.intercept = ({ kind, name }) => (kind === 'put' && name.includes('manifests') ? 'fail' : undefined);
    expect(await reasonOf(stored.write(archive))).toBe('REPOSITORY_UNAVAILABLE');
    store.intercept = undefined;
    const uploaded = store.names('/chunks/');
    const again = await stored.write(archive);
    expect(store.names('/chunks/')).toEqual(uploaded);
    expect(again.manifest.chunks).toHaveLength(uploaded.length);
    expect(await archive.readBack(again.name)).toEqual(again.manifest);
    // Another process knows nothing of them, and takes only what the manifest names.
    expect((await stored.write(await repository.archive(7))).manifest.chunks).toEqual(again.manifest.chunks);
  });

  test('uploads it again when it is gone', async () => {
    const { stored } = await filled(20);
    const repository = new TestRepository();
    const { store } = repository;
    const archive = await repository.archive();
    store.intercept = ({ kind, name }) => (kind === 'put' && name.includes('manifests') ? 'fail' : undefined);
    expect(await reasonOf(stored.write(archive))).toBe('REPOSITORY_UNAVAILABLE');
    store.intercept = undefined;
    store.objects.delete(store.names('/chunks/')[0]!);
    expect(await reasonOf(stored.write(archive))).toBe('SNAPSHOT_CORRUPT');
    expect(store.names('/manifests/')).toEqual([]);
    const { name } = await stored.write(archive);
    await archive.readBack(name);
  });

  test('writes anew what an earlier snapshot has in another size', async () => {
    const { stored } = await filled(20);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const first = await stored.write(archive);
    for (const { name } of [first.manifest.chunks[0]!, first.manifest.chunks.at(-1)!]) {
      repository.store.tamper(`c1/3/chunks/${name}`, (bytes) => bytes.subarray(1));
    }
    expect(await reasonOf(archive.readBack(first.name))).toBe('SNAPSHOT_CORRUPT');
    const second = await stored.write(archive);
    await archive.readBack(second.name);
    expect(await (await restored(archive, second.manifest)).digest()).toBe(await stored.digest());
  });

  test('writes anew what an earlier snapshot has lost', async () => {
    const { stored } = await filled(20);
    const repository = new TestRepository();
    const { store } = repository;
    const archive = await repository.archive();
    const first = await stored.write(archive);
    for (const kind of ['records', 'index'] as const) {
      const [lost] = first.manifest.chunks.filter((chunk) => chunk.kind === kind);
      store.objects.delete(`c1/3/chunks/${lost!.name}`);
    }
    expect(await reasonOf(archive.readBack(first.name))).toBe('SNAPSHOT_CORRUPT');
    const second = await stored.write(archive);
    await archive.readBack(second.name);
    expect(await (await restored(archive, second.manifest)).digest()).toBe(await stored.digest());
  });

  test('gives up after half the grace period, before and after the manifest', async () => {
    const { stored } = await filled(20);
    for (const slow of ['/chunks/', '/manifests/']) {
      const repository = new TestRepository();
      const archive = await repository.archive();
      repository.store.intercept = ({ kind, name }) => {
        if (kind === 'put' && name.includes(slow)) repository.clock.aheadMs += graceMs / 2 + 1;
        return undefined;
      };
      expect(await reasonOf(stored.write(archive))).toBe('SNAPSHOT_EXPIRED');
    }
  });

  test('counts chunks of an attempt before from the moment of their upload', async () => {
    const { stored } = await filled(20);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { store, clock } = repository;
    store.intercept = ({ kind, name }) => (kind === 'put' && name.includes('manifests') ? 'fail' : undefined);
    expect(await reasonOf(stored.write(archive))).toBe('REPOSITORY_UNAVAILABLE');
    clock.aheadMs += graceMs / 4 - 1;
    store.intercept = ({ kind, name }) => {
      if (kind === 'put' && name.includes('manifests')) clock.aheadMs += graceMs / 4 + 2;
      return undefined;
    };
    expect(await reasonOf(stored.write(archive))).toBe('SNAPSHOT_EXPIRED');
  });
});

describe('a restore', () => {
  test('after a crash at any operation of the disk goes on, and ends with the same', async () => {
    const { stored } = await filled(30);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { manifest } = await stored.write(archive);
    let resumed = 0;
    for (let number = 1; ; number++) {
      const host = new TestHost(number);
      let crash: () => void = () => {};
      const crashed = new Promise<'crashed'>((resolve) => (crash = () => resolve('crashed')));
      const target = host.simulatedDisk.operations + number;
      host.simulatedDisk.intercept = (operation) => {
        if (operation.number !== target) return undefined;
        host.restart();
        crash();
        return undefined;
      };
      const attempt = restoreSnapshot(restoreParts(host, archive, manifest));
      const outcome = await Promise.race([attempt.then(() => 'done' as const), crashed]);
      host.simulatedDisk.intercept = undefined;
      if (outcome === 'done') {
        expect(number).toBeGreaterThan(20);
        break;
      }
      const fetchedBefore = repository.store.operations.length;
      const copy = await restored(archive, manifest, host);
      if (repository.store.operations.length - fetchedBefore < manifest.chunks.length) resumed += 1;
      expect(await copy.digest()).toBe(await stored.digest());
    }
    expect(resumed).toBeGreaterThan(3);
  }, 60_000);

  test('after a failure of a database goes on', async () => {
    const { stored } = await filled(30);
    const archive = await new TestRepository().archive();
    const { manifest } = await stored.write(archive);
    for (const fault of ['writeFailuresPerMille', 'flushFailuresPerMille'] as const) {
      const host = new TestHost(4);
      host.databases.faults[fault] = 100;
      const reasons = new Set<unknown>();
      for (let attempt = 0; attempt < 200 && !reasons.has(undefined); attempt++) {
        reasons.add(await reasonOf(restoreSnapshot(restoreParts(host, archive, manifest))));
      }
      expect([...reasons].toSorted()).toEqual(['STATE_STORE_FAILED', undefined]);
      host.databases.faults[fault] = 0;
      expect(await (await restored(archive, manifest, host)).digest()).toBe(await stored.digest());
    }
  });

  test('of which the disk has damaged a part starts over, and leaves nothing of it', async () => {
    const { stored } = await filled(30);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { manifest } = await stored.write(archive);
    const last = `c1/3/chunks/${manifest.chunks.at(-1)!.name}`;
    const reasons = new Set<unknown>();
    for (let seed = 1; seed <= 20; seed++) {
      const host = new TestHost(seed);
      repository.store.intercept = ({ name }) => (name === last ? 'fail' : undefined);
      expect(await reasonOf(restoreSnapshot(restoreParts(host, archive, manifest)))).toBe('REPOSITORY_UNAVAILABLE');
      repository.store.intercept = undefined;
      host.databases.rot('/target/index');
      reasons.add(await reasonOf(restoreSnapshot(restoreParts(host, archive, manifest))));
      expect(await host.disk.exists('/target')).toBe(false);
      await restored(archive, manifest, host);
    }
    expect([...reasons]).toEqual(['DATA_CORRUPT']);
  });

  test('of another manifest in the same directory starts over', async () => {
    const { repository, archive, stored } = await scenario();
    const [older] = await archive.manifests();
    const { manifest } = await stored.write(archive);
    const host = new TestHost(5);
    const { store } = repository;
    const last = `c1/3/chunks/${manifest.chunks.at(-1)!.name}`;
    store.intercept = ({ name }) => (name === last ? 'fail' : undefined);
    expect(await reasonOf(restoreSnapshot(restoreParts(host, archive, manifest)))).toBe('REPOSITORY_UNAVAILABLE');
    expect(await host.disk.list('/target')).toContain('restore.json');
    store.intercept = undefined;
    const copy = await restored(archive, await archive.read(older!.name), host);
    expect(copy.store.appliedLsn).toBe(older!.lsn);
  });

  test('looks for space before it writes anything', async () => {
    const { stored } = await filled(30);
    const archive = await new TestRepository().archive();
    const { manifest } = await stored.write(archive);
    const host = new TestHost(6);
    host.simulatedDisk.capacityBytes = 3000;
    expect(await reasonOf(restoreSnapshot(restoreParts(host, archive, manifest)))).toBe('DISK_FULL');
    expect(await host.disk.list('/target')).toEqual([]);
  });

  test.each(['flipped', 'cut', 'missing', 'other', 'longer'])('names a chunk that is %s', async (damage) => {
    const { stored } = await filled(20);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { manifest } = await stored.write(archive);
    const { store } = repository;
    for (const chunk of manifest.chunks) {
      const name = `c1/3/chunks/${chunk.name}`;
      const kept = store.objects.get(name)!;
      const other = store.names('/chunks/').find((one) => one !== name)!;
      if (damage === 'missing') store.objects.delete(name);
      else if (damage === 'other') store.tamper(name, () => store.bytesOf(other));
      else if (damage === 'cut') store.tamper(name, (bytes) => bytes.subarray(0, bytes.length - 1));
      else if (damage === 'longer') store.tamper(name, (bytes) => new Uint8Array([...bytes, 0]));
      else {
        store.tamper(name, (bytes) => {
          bytes[bytes.length >> 1]! ^= 0x10;
          return bytes;
        });
      }
      await expect(restoreSnapshot(restoreParts(new TestHost(7), archive, manifest))).rejects.toMatchObject({
        reason: 'SNAPSHOT_CORRUPT',
        message: expect.stringContaining(chunk.name) as string,
      });
      store.objects.set(name, kept);
    }
    await restored(archive, manifest);
  });

  test('refuses a snapshot whose parts do not fit together', async () => {
    const { stored } = await filled(20);
    const archive = await new TestRepository().archive();
    const { manifest } = await stored.write(archive);
    const without = (kind: 'records' | 'index'): typeof manifest => {
      const at = manifest.chunks.findIndex((chunk) => chunk.kind === kind);
      return { ...manifest, chunks: manifest.chunks.toSpliced(at, 1) };
    };
    const wrong = [without('records'), without('index'), { ...manifest, digest: '0'.repeat(64) }];
    for (const one of wrong) {
      expect(await reasonOf(restoreSnapshot(restoreParts(new TestHost(8), archive, one)))).toBe('SNAPSHOT_CORRUPT');
    }
  });
});

describe('a manifest', () => {
  test('that is damaged, missing or belongs elsewhere is refused by name', async () => {
    const { stored } = await filled(10);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const { name } = await stored.write(archive);
    const object = `c1/3/manifests/${name}`;
    const sound = repository.store.bytesOf(object);
    expect(await reasonOf(archive.read(name.replace('-2-', '-3-')))).toBe('SNAPSHOT_NOT_FOUND');
    expect(await reasonOf(archive.read('../../../repository.json'))).toBe('SNAPSHOT_NOT_FOUND');
    for (let at = 0; at < sound.length; at += 7) {
      repository.store.tamper(object, () => Uint8Array.from(sound, (byte, here) => (here === at ? byte ^ 1 : byte)));
      await expect(archive.read(name)).rejects.toMatchObject({
        message: expect.stringContaining(name) as string,
        reason: expect.stringMatching(/^SNAPSHOT_(CORRUPT|VERSION_UNSUPPORTED)$/) as string,
      });
    }
    repository.store.tamper(object, () => sound);
    const later = name.replace(/^[0-9a-f]{14}/, (hex) => (Number.parseInt(hex, 16) - 1).toString(16));
    const elsewhere = (await repository.open(1)).partition('c1', stored.facts().replicaId as never);
    repository.store.objects.set(`c1/3/manifests/${later}`, { bytes: sound, modifiedUnixMs: 0 });
    repository.store.objects.set(`c1/2/manifests/${name}`, { bytes: sound, modifiedUnixMs: 0 });
    expect(await reasonOf(archive.read(later))).toBe('SNAPSHOT_CORRUPT');
    expect(await reasonOf(elsewhere.read(name))).toBe('SNAPSHOT_CORRUPT');
    expect(await archive.manifests()).toHaveLength(2);
    expect(await archive.candidates(stored.store.appliedLsn)).toHaveLength(1);
  });
});
