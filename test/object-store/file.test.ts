/** {@link FileObjectStore} where a disk fails, is full, or stops in the middle; and by several processes at once. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { describe, expect, onTestFinished, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { SimulatedClock, settleLater } from '../../cluster-sim/simulated-clock.js';
import { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import { FileObjectStore } from '../../src/object-store/file.js';
import { isObjectStoreError, type ObjectStoreErrorCode } from '../../src/object-store/types.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';

const directory = '/data/snapshots';
const bytesMax = 1024 * 1024;
const content = (seed: number): Uint8Array => new Uint8Array(5000).fill(seed);

interface Surroundings {
  readonly disk: SimulatedDisk;
  readonly clock: SimulatedClock;
  readonly world: World;
  readonly open: () => Promise<FileObjectStore>;
}

function simulated<Result>(seed: number, work: (surroundings: Surroundings) => Promise<Result>): Promise<Result> {
  const world = new World();
  const clock = new SimulatedClock(world);
  const disk = new SimulatedDisk(clock, new RandomStream(seed, 'disk'));
  let opened = 0;
  const open = (): Promise<FileObjectStore> =>
    FileObjectStore.open({
      directory,
      disk: disk.mount(),
      clock,
      random: new RandomStream(seed, `objects ${opened++}`),
    });
  return settleLater(world, () => work({ disk, clock, world, open }), 10 * 3_600_000);
}

async function expectCode(work: Promise<unknown>, code: ObjectStoreErrorCode, message: string): Promise<void> {
  const error: unknown = await work.then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(isObjectStoreError(error, code), `expected ${code}, got ${String(error)}`).toBe(true);
  expect((error as Error).message).toContain(message);
}

async function temporaryDirectory(): Promise<string> {
  const made = await mkdtemp(`${tmpdir()}/logboom-objects-`);
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

describe('a power loss at every operation of a put', () => {
  test('leaves the whole object or none of it, and all of what had resolved', async () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= 200; seed++) {
      await simulated(seed, async ({ disk, open, world }) => {
        const store = await open();
        await store.putIfAbsent('before/it', [content(1)]);
        const stopAt = disk.operations + 1 + (seed % 12);
        let stopped = false;
        disk.intercept = ({ number }) => {
          if (number === stopAt) {
            stopped = true;
            disk.powerLoss();
          }
          return undefined;
        };
        let resolved = false;
        void store.putIfAbsent('under/way', [content(2)]).then(() => (resolved = true));
        await world.sleep(100);
        disk.intercept = undefined;
        if (!stopped) disk.powerLoss();
        const next = await open();
        expect(await next.get('before/it', { bytesMax })).toEqual(content(1));
        const listed = (await next.list('', { limit: 10 })).map(({ name }) => name);
        const isThere = listed.includes('under/way');
        if (isThere) expect(await next.get('under/way', { bytesMax })).toEqual(content(2));
        if (resolved) expect(isThere).toBe(true);
        expect(await next.putIfAbsent('under/way', [content(3)])).toBe(isThere ? 'exists' : 'created');
        seen.add(`${resolved} ${isThere}`);
      });
    }
    expect([...seen].sort()).toEqual(['false false', 'false true', 'true true']);
  });

  test('exists is as durable as created, also when the one who created it never came that far', async () => {
    for (let seed = 1; seed <= 100; seed++) {
      await simulated(seed, async ({ disk, open, world }) => {
        const [first, second] = [await open(), await open()];
        // The first process stops right after it gave the object its name.
        disk.intercept = ({ kind, path }) =>
          kind === 'syncDirectory' && path !== directory ? { kind: 'hang' } : undefined;
        void first.putIfAbsent('deep/er/object', [content(1)]);
        await world.sleep(50);
        disk.intercept = undefined;
        expect(await second.putIfAbsent('deep/er/object', [content(2)])).toBe('exists');
        disk.powerLoss();
        expect(await (await open()).get('deep/er/object', { bytesMax })).toEqual(content(1));
      });
    }
  });
});

test('of several nodes that race one creates, whatever the disk makes of their timing', async () => {
  for (let seed = 1; seed <= 50; seed++) {
    await simulated(seed, async ({ open }) => {
      const stores = await Promise.all(Array.from({ length: 5 }, open));
      const outcomes = await Promise.all(stores.map((store, index) => store.putIfAbsent('one/name', [content(index)])));
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
      const winner = outcomes.indexOf('created');
      expect(await stores[0]!.get('one/name', { bytesMax })).toEqual(content(winner));
    });
  }
});

describe('staging files', () => {
  const staged = (disk: SimulatedDisk): string[] => disk.paths().filter((path) => path.includes('/.staging/'));

  test('are gone after every put, also after one that failed or was aborted', async () => {
    await simulated(1, async ({ disk, open }) => {
      const store = await open();
      await store.putIfAbsent('name', [content(1)]);
      await store.putIfAbsent('name', [content(1)]);
      for (const failing of ['write', 'datasync', 'link', 'makeDirectory'] as const) {
        disk.intercept = ({ kind }) => (kind === failing ? { kind: 'fail', code: 'EIO' } : undefined);
        await expectCode(store.putIfAbsent(`folder/${failing}`, [content(1)]), 'UNAVAILABLE', 'EIO');
      }
      disk.intercept = undefined;
      const controller = new AbortController();
      const aborted = store.putIfAbsent('aborted', [content(1)], controller);
      controller.abort(new Error('enough'));
      await expect(aborted).rejects.toThrow('enough');
      await store.putIfAbsent('other', [content(1)]);
      expect(staged(disk)).toEqual([]);
    });
  });

  test('of crashes are cleaned up when they are old, by the next start and by a node that runs on', async () => {
    await simulated(1, async ({ disk, open, world }) => {
      const crash = async (): Promise<void> => {
        disk.intercept = ({ kind }) => (kind === 'link' ? { kind: 'hang' } : undefined);
        void (await open()).putIfAbsent('never', [content(1)]);
        await world.sleep(1000);
        disk.intercept = undefined;
      };
      await crash();
      const running = await open();
      expect(staged(disk)).toHaveLength(1);
      await world.sleep(3_600_000);
      await open();
      expect(staged(disk)).toHaveLength(0);
      await crash();
      await running.putIfAbsent('first', [content(1)]);
      expect(staged(disk)).toHaveLength(1);
      await world.sleep(3_600_000);
      await running.putIfAbsent('second', [content(1)]);
      expect(staged(disk)).toHaveLength(0);
    });
  });

  test('one that is taken away under a put fails that put and nothing else', async () => {
    await simulated(1, async ({ disk, open }) => {
      const store = await open();
      disk.intercept = ({ kind }) => {
        if (kind === 'link') for (const path of staged(disk)) disk.removeNow(path);
        return undefined;
      };
      await expectCode(store.putIfAbsent('name', [content(1)]), 'UNAVAILABLE', '.staging');
      disk.intercept = undefined;
      expect(await store.putIfAbsent('name', [content(1)])).toBe('created');
    });
  });
});

describe('what a disk refuses', () => {
  test('a full disk is FULL, and nothing is left of the attempt', async () => {
    await simulated(1, async ({ disk, open }) => {
      const store = await open();
      await store.putIfAbsent('name', [content(1)]);
      disk.capacityBytes = 9000;
      await expectCode(store.putIfAbsent('more', [content(2)]), 'FULL', 'ENOSPC');
      expect((await store.list('', { limit: 10 })).map(({ name }) => name)).toEqual(['name']);
      disk.capacityBytes = 10_000;
      expect(await store.putIfAbsent('more', [content(2)])).toBe('created');
    });
  });

  test('a file system without hard links is INVALID', async () => {
    await simulated(1, async ({ disk, open }) => {
      const store = await open();
      disk.intercept = ({ kind }) => (kind === 'link' ? { kind: 'fail', code: 'ENOTSUP' } : undefined);
      await expectCode(store.putIfAbsent('name', [content(1)]), 'INVALID', 'ENOTSUP');
    });
  });

  test('a name that is a folder of another is INVALID', async () => {
    await simulated(1, async ({ disk, open }) => {
      const store = await open();
      await store.putIfAbsent('a', [content(1)]);
      await store.putIfAbsent('b/c', [content(1)]);
      await expectCode(store.putIfAbsent('a/b', [content(2)]), 'INVALID', 'a/b');
      await expectCode(store.putIfAbsent('b', [content(2)]), 'INVALID', 'b is a folder');
      // Also when the other one comes in between.
      let inserted = false;
      disk.intercept = ({ kind }) => {
        if (kind === 'link' && !inserted) {
          inserted = true;
          disk.putFile(`${directory}/d/e`, content(1));
        }
        return undefined;
      };
      await expectCode(store.putIfAbsent('d', [content(2)]), 'INVALID', 'd is a folder');
    });
  });

  test('a folder that is taken away is made again', async () => {
    await simulated(1, async ({ disk, open }) => {
      const store = await open();
      await store.putIfAbsent('a/b/one', [content(1)]);
      await disk.mount().removeTree(`${directory}/a`);
      expect(await store.putIfAbsent('a/b/two', [content(1)])).toBe('created');
      disk.powerLoss();
      expect(await (await open()).get('a/b/two', { bytesMax })).toEqual(content(1));
    });
  });

  test('a store that was unmounted is UNAVAILABLE, not empty, and is not begun anew', async () => {
    await simulated(1, async ({ disk, open }) => {
      const store = await open();
      await store.putIfAbsent('name', [content(1)]);
      await disk.mount().removeTree(directory);
      await disk.mount().makeDirectory(directory);
      for (const call of [
        () => store.putIfAbsent('name', [content(1)]),
        () => store.get('name', { bytesMax }),
        () => store.list('', { limit: 1 }),
        () => store.delete(['name']),
      ])
        await expectCode(call(), 'UNAVAILABLE', 'mounted');
      expect(await disk.mount().list(directory)).toEqual([]);
    });
  });

  test.skipIf(process.getuid?.() !== 0)('a directory that may not be written is DENIED, with its path', async () => {
    const root = await temporaryDirectory();
    const open = (): Promise<FileObjectStore> =>
      FileObjectStore.open({ ...nodeEnvironmentParts, directory: `${root}/snapshots` });
    const store = await open();
    await store.putIfAbsent('name', [content(1)]);
    await chmod(root, 0o755);
    process.seteuid!(65_534);
    try {
      await expectCode(
        FileObjectStore.open({ ...nodeEnvironmentParts, directory: `${root}/new` }),
        'DENIED',
        `${root}/new`,
      );
      await expectCode(store.putIfAbsent('other', [content(1)]), 'DENIED', `${root}/snapshots/.staging/`);
    } finally {
      process.seteuid!(0);
    }
  });

  test('a path that leads through a file is refused', async () => {
    const root = await temporaryDirectory();
    await writeFile(`${root}/file`, 'x');
    await expectCode(
      FileObjectStore.open({ ...nodeEnvironmentParts, directory: `${root}/file` }),
      'UNAVAILABLE',
      `${root}/file`,
    );
  });
});

test('what others put into the directory is no object', async () => {
  const root = await temporaryDirectory();
  const store = await FileObjectStore.open({ ...nodeEnvironmentParts, directory: root });
  await store.putIfAbsent('folder/name', [content(1)]);
  await writeFile(`${root}/folder/.nfs000001`, 'x');
  await writeFile(`${root}/with space`, 'x');
  expect((await store.list('', { limit: 10 })).map(({ name }) => name)).toEqual(['folder/name']);
});

/** Puts the same hundred names as every other process, and tells which it created. */
const racer = `
  const { FileObjectStore } = await import(process.argv[2]);
  const { nodeEnvironmentParts } = await import(process.argv[3]);
  const store = await FileObjectStore.open({ ...nodeEnvironmentParts, directory: process.argv[4] });
  process.send('ready');
  process.once('message', async () => {
    const created = [];
    for (let index = 0; index < 100; index++) {
      const outcome = await store.putIfAbsent('race/' + index, [Buffer.from(String(process.pid))]);
      if (outcome === 'created') created.push(index);
    }
    process.send(created);
    process.disconnect();
  });
`;

test('of several processes one creates each object', async () => {
  const root = await temporaryDirectory();
  await writeFile(`${root}/racer.mjs`, racer);
  const source = (name: string): string => new URL(`../../src/${name}`, import.meta.url).href;
  const processes = Array.from({ length: 4 }, () =>
    fork(
      `${root}/racer.mjs`,
      [source('object-store/file.ts'), source('server/adapters/node-environment.ts'), `${root}/store`],
      { execArgv: ['--import', import.meta.resolve('tsx')] },
    ),
  );
  const tell = async (child: (typeof processes)[number]): Promise<unknown> =>
    ((await once(child, 'message')) as unknown[])[0];
  await Promise.all(processes.map(tell));
  const created = processes.map(tell);
  for (const child of processes) child.send('go');
  const lists = (await Promise.all(created)) as number[][];
  expect(lists.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, index) => index));
  const store = await FileObjectStore.open({ ...nodeEnvironmentParts, directory: `${root}/store` });
  for (const [index, child] of processes.entries()) {
    for (const name of lists[index]!)
      expect(Buffer.from(await store.get(`race/${name}`, { bytesMax })).toString()).toBe(String(child.pid));
  }
  expect(await readdir(`${root}/store/.staging`)).toEqual([]);
});
