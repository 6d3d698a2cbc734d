import { describe, expect, test } from 'vitest';
import { asPartitionId } from '../../src/base/ids.js';
import { CollectionMemory, removeDamaged, SnapshotRepository, verifyArchive } from '../../src/snapshot/index.js';
import type { PartitionArchive, WrittenSnapshot } from '../../src/snapshot/index.js';
import { crc32, seededRandom } from '../state-store/support.js';
import { testCompressor } from '../streams/support/records.js';
import { append, filled, graceMs, reasonOf, TestRepository } from './support.js';

interface Scenario {
  readonly repository: TestRepository;
  readonly archive: PartitionArchive;
  /** Oldest first. */
  readonly written: readonly WrittenSnapshot[];
}

/** Three confirmed snapshots that share chunks. */
async function scenario(): Promise<Scenario> {
  const { log, stored } = await filled(20);
  const repository = new TestRepository();
  const archive = await repository.archive();
  const written: WrittenSnapshot[] = [];
  for (let round = 0; round < 3; round++) {
    written.push(await stored.write(archive));
    await append(log, stored, 5);
  }
  return { repository, archive, written };
}

describe('the verification of a repository', () => {
  test('reads every chunk, those that several snapshots share once, and finds nothing in a sound one', async () => {
    const { repository, archive, written } = await scenario();
    repository.store.operations.length = 0;
    const seen: { bytesDone: number; bytesTotal: number }[] = [];
    const found = await verifyArchive(archive, { onProgress: (progress) => seen.push(progress) });
    expect(found.damaged).toEqual([]);
    expect(found.snapshots.map(({ name, isConfirmed, problems }) => [name, isConfirmed, problems])).toEqual(
      written.toReversed().map(({ name }) => [name, true, []]),
    );
    const distinct = new Set(written.flatMap(({ manifest }) => manifest.chunks.map(({ name }) => name)));
    expect(found.chunks).toBe(distinct.size);
    expect(found.unreferencedChunks).toBe(repository.store.names('/chunks/').length - distinct.size);
    const records = written.flatMap(({ manifest }) => manifest.chunks.filter(({ kind }) => kind === 'records'));
    const gets = repository.store.operations.filter(({ kind, name }) => kind === 'get' && name?.includes('/chunks/'));
    for (const { name } of records) expect(gets.filter((get) => get.name?.endsWith(name))).toHaveLength(1);
    expect(seen.at(-1)!.bytesDone).toBe(seen.at(-1)!.bytesTotal);
  });

  test('names every object that is damaged in any way, and the snapshots that it belongs to', async () => {
    const { repository, archive, written } = await scenario();
    const { store } = repository;
    const chunks = new Set(written.flatMap(({ manifest }) => manifest.chunks.map(({ name }) => name)));
    const objects = [
      ...[...chunks].map((name) => `c1/3/chunks/${name}`),
      ...written.map(({ name }) => `c1/3/manifests/${name}`),
      ...written.map(({ name }) => `c1/3/confirmations/${name}`),
    ];
    const damages: Record<string, (bytes: Uint8Array) => Uint8Array> = {
      flipped: (bytes) => bytes.with(bytes.length >> 1, bytes[bytes.length >> 1]! ^ 4),
      cut: (bytes) => bytes.slice(0, bytes.length >> 1),
    };
    for (const object of objects) {
      const sound = store.bytesOf(object);
      for (const damage of Object.values(damages)) {
        store.tamper(object, damage);
        const found = await verifyArchive(archive);
        expect(found.damaged.map((one) => one.object)).toEqual([object]);
        const last = object.split('/').at(-1)!;
        const owners = written.filter(
          ({ name, manifest }) => name === last || manifest.chunks.some((c) => c.name === last),
        );
        const blamed = found.snapshots.filter(({ problems }) => problems.length > 0).map(({ name }) => name);
        expect(blamed.sort()).toEqual(owners.map(({ name }) => name).sort());
      }
      store.tamper(object, () => sound);
    }
  });

  test('tells of what is missing, which is no object that could be removed', async () => {
    const { repository, archive, written } = await scenario();
    const [chunk] = written[2]!.manifest.chunks;
    repository.store.objects.delete(`c1/3/chunks/${chunk!.name}`);
    repository.store.objects.delete(`c1/3/confirmations/${written[0]!.name}`);
    const found = await verifyArchive(archive);
    expect(found.damaged).toEqual([]);
    const newest = found.snapshots.find(({ name }) => name === written[2]!.name)!;
    expect(newest.problems.join()).toContain('is missing');
    expect(found.snapshots.map(({ isConfirmed }) => isConfirmed)).toEqual([true, true, false]);
  });

  test('believes what it reads at the second time, and tells nothing of what is collected meanwhile', async () => {
    const { repository, archive, written } = await scenario();
    const { store } = repository;
    const chunk = `c1/3/chunks/${written[2]!.manifest.chunks.at(-1)!.name}`;
    const sound = store.bytesOf(chunk);
    let reads = 0;
    store.tamper(chunk, (bytes) => bytes.slice(1));
    store.intercept = ({ kind, name }) => {
      if (kind === 'get' && name === chunk && ++reads === 2) store.tamper(chunk, () => sound);
      if (kind === 'get' && name === chunk && reads === 2) {
        for (const object of store.names(written[0]!.name)) store.objects.delete(object);
        const others = new Set(written.slice(1).flatMap(({ manifest }) => manifest.chunks.map((one) => one.name)));
        for (const { name: old } of written[0]!.manifest.chunks) {
          if (!others.has(old)) store.objects.delete(`c1/3/chunks/${old}`);
        }
      }
      return undefined;
    };
    const found = await verifyArchive(archive);
    expect(reads).toBe(2);
    expect(found.damaged).toEqual([]);
    for (const { problems } of found.snapshots) expect(problems).toEqual([]);
  });

  test('what it removes is not used again: the next snapshot does without', async () => {
    const { log, stored } = await filled(20);
    const repository = new TestRepository();
    const archive = await repository.archive();
    const first = await stored.write(archive);
    const rotten = `c1/3/chunks/${first.manifest.chunks.find(({ kind }) => kind === 'records')!.name}`;
    repository.store.tamper(rotten, (bytes) => bytes.with(20, bytes[20]! ^ 1));
    await append(log, stored, 1);
    // Its size is that of the chunk, so it is taken for sound.
    const second = await stored.write(archive);
    expect(second.manifest.chunks.some(({ name }) => rotten.endsWith(name))).toBe(true);
    const { damaged } = await verifyArchive(archive);
    await removeDamaged(archive, damaged);
    await append(log, stored, 1);
    const third = await stored.write(archive);
    const found = await verifyArchive(archive);
    expect(found.damaged).toEqual([]);
    expect(found.snapshots[0]).toMatchObject({ name: third.name, problems: [] });
    const collected = await archive.collect(new CollectionMemory(), { keep: 3, graceMs });
    expect(collected.unreadableManifests).toEqual([]);
  });

  test('ends when it is told to, and says when the repository is down', async () => {
    const { repository, archive } = await scenario();
    expect(await reasonOf(verifyArchive(archive, { signal: AbortSignal.abort(new Error('enough')) }))).toBe(
      'Error: enough',
    );
    repository.store.intercept = ({ kind }) => (kind === 'get' ? 'fail' : undefined);
    expect(await reasonOf(verifyArchive(archive))).toBe('REPOSITORY_UNAVAILABLE');
  });
});

describe('a repository', () => {
  test('knows which clusters and partitions it has, however many objects they have', async () => {
    const { repository } = await scenario();
    const { store } = repository;
    for (const name of ['a-b/12/chunks/x', 'a/0/manifests/y', 'a/10/chunks/x', 'a/2/chunks/x', 'a.b/7/chunks/x']) {
      store.objects.set(name, { bytes: new Uint8Array(1), modifiedUnixMs: 0 });
    }
    for (const name of ['a/restore.json', 'a/notes/x', 'b/readme', 'a0/1/chunks/x']) {
      store.objects.set(name, { bytes: new Uint8Array(1), modifiedUnixMs: 0 });
    }
    const open = await repository.open(1);
    expect(await open.clusters()).toEqual(['a-b', 'a.b', 'a', 'a0', 'b', 'c1']);
    expect(await open.partitions('a')).toEqual([0, 2, 10].map(asPartitionId));
    expect(await open.partitions('b')).toEqual([]);
    expect(await open.partitions('nobody')).toEqual([]);
  });

  test('is not made where only one that is there is asked for', async () => {
    const { store, clock } = new TestRepository();
    const options = { store, clock, crc32, compressor: testCompressor, random: seededRandom(1) };
    expect(await reasonOf(SnapshotRepository.find(options))).toBe('SNAPSHOT_NOT_FOUND');
    expect(store.objects.size).toBe(0);
    const { id } = await SnapshotRepository.open(options);
    expect((await SnapshotRepository.find(options)).id).toBe(id);
  });
});
