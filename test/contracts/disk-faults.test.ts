/** The simulated disk's faults: what may be lost is lost sometimes, and what was synced never is. */
import { describe, expect, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { SimulatedClock, settleLater } from '../../cluster-sim/simulated-clock.js';
import { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import { isDiskError } from '../../src/base/ports/disk.js';

const path = '/data/file';

/** Runs `work` on disks of 100 seeds; answers what each made of it. */
async function outcomes<Outcome>(work: (disk: SimulatedDisk, world: World) => Promise<Outcome>): Promise<Outcome[]> {
  const list: Outcome[] = [];
  for (let seed = 1; seed <= 100; seed++) {
    const world = new World();
    const disk = new SimulatedDisk(new SimulatedClock(world), new RandomStream(seed, 'disk'));
    list.push(
      await settleLater(world, async () => {
        await disk.mount().makeDirectory('/data');
        await disk.mount().syncDirectory('/');
        return work(disk, world);
      }),
    );
  }
  return list;
}

const kinds = (list: readonly unknown[]): number => new Set(list.map((one) => JSON.stringify(one))).size;

describe('power loss', () => {
  test('keeps what was synced, loses any sectors of what was not, and no others', async () => {
    const list = await outcomes(async (disk) => {
      const file = await disk.mount().open(path, 'create');
      await file.write([new Uint8Array(8 * 512).fill(1)], 0);
      await file.datasync();
      await disk.mount().syncDirectory('/data');
      await file.write([new Uint8Array(4 * 512).fill(2)], 512);
      disk.powerLoss();
      return Array.from(await disk.mount().readFile(path));
    });
    expect(kinds(list)).toBeGreaterThan(20);
    for (const bytes of list) {
      expect(bytes).toHaveLength(8 * 512);
      expect(bytes.every((byte, at) => byte === 1 || (byte === 2 && at >= 512 && at < 5 * 512))).toBe(true);
    }
    expect(list.some((bytes) => bytes.every((byte) => byte === 1))).toBe(true);
    expect(list.some((bytes) => bytes.filter((byte) => byte === 2).length === 4 * 512)).toBe(true);
    // A sector that is half new.
    expect(list.some((bytes) => bytes.filter((byte) => byte === 2).length % 512 !== 0)).toBe(true);
  });

  test('loses names that were not synced, and renames', async () => {
    const list = await outcomes(async (disk) => {
      const mount = disk.mount();
      for (const name of ['a', 'b']) {
        const file = await mount.open(`/data/${name}`, 'create');
        await file.datasync();
      }
      await mount.syncDirectory('/data');
      await mount.rename('/data/a', '/data/c');
      await mount.removeFile('/data/b');
      await mount.open('/data/d', 'create');
      disk.powerLoss();
      return disk.mount().list('/data');
    });
    expect(kinds(list)).toBeGreaterThan(5);
    for (const names of list) expect(names.includes('a')).not.toBe(names.includes('c'));
  });

  test('leaves nothing to the processes of before', async () => {
    await outcomes(async (disk, world) => {
      const mount = disk.mount();
      const file = await mount.open(path, 'create');
      let late = 0;
      void file.write([new Uint8Array(10)], 0).then(() => late++);
      disk.powerLoss();
      void file.datasync().then(() => late++);
      void mount.list('/data').then(() => late++);
      await world.sleep(1000);
      expect(late).toBe(0);
    });
  });
});

test('a killed process leaves what it wrote, and parts of what it was writing', async () => {
  const list = await outcomes(async (disk) => {
    const file = await disk.mount().open(path, 'create');
    await file.write([new Uint8Array(100).fill(1)], 0);
    void file.write([new Uint8Array(1000).fill(2)], 100);
    disk.processCrash();
    return (await disk.mount().readFile(path)).length;
  });
  expect(kinds(list)).toBeGreaterThan(20);
  expect(Math.min(...list)).toBeGreaterThanOrEqual(100);
});

test('after a failed sync the data is read back, and gone after a power loss, whatever is synced meanwhile', async () => {
  const list = await outcomes(async (disk) => {
    const file = await disk.mount().open(path, 'create');
    await disk.mount().syncDirectory('/data');
    await file.write([new Uint8Array(512).fill(1)], 0);
    disk.intercept = ({ kind }) => (kind === 'datasync' ? { kind: 'fail', code: 'EIO' } : undefined);
    await expect(file.datasync()).rejects.toSatisfy((error) => isDiskError(error, 'EIO'));
    disk.intercept = undefined;
    expect((await disk.mount().readFile(path))[0]).toBe(1);
    await file.datasync();
    disk.powerLoss();
    return (await disk.mount().readFile(path)).length;
  });
  expect(list).toContain(0);
});

test('lost, misdirected, failed and delayed operations, and flipped bits', async () => {
  await outcomes(async (disk, world) => {
    const mount = disk.mount();
    const file = await mount.open(path, 'create');
    await file.write([new Uint8Array(100)], 0);
    disk.intercept = ({ kind }) => (kind === 'write' ? { kind: 'lose' } : undefined);
    await file.write([Uint8Array.of(7)], 0);
    disk.intercept = ({ kind }) => (kind === 'write' ? { kind: 'misdirect', position: 50 } : undefined);
    await file.write([Uint8Array.of(8)], 10);
    disk.intercept = ({ kind }) => (kind === 'read' ? { kind: 'fail', code: 'EIO' } : undefined);
    await expect(file.read(new Uint8Array(1), 0)).rejects.toSatisfy((error) => isDiskError(error, 'EIO'));
    disk.intercept = () => ({ kind: 'delay', delayMs: 5000 });
    const startMs = world.nowMs;
    await file.datasync();
    expect(world.nowMs - startMs).toBeGreaterThanOrEqual(5000);
    disk.intercept = undefined;
    disk.flipBit(path, 99, 3);
    const bytes = await mount.readFile(path);
    expect([bytes[0], bytes[10], bytes[50], bytes[99]]).toEqual([0, 0, 8, 8]);
  });
});

test('a full disk refuses to grow, and takes writes within files', async () => {
  await outcomes(async (disk) => {
    disk.capacityBytes = 1000;
    const mount = disk.mount();
    const file = await mount.open(path, 'create');
    await file.write([new Uint8Array(900)], 0);
    expect(await mount.freeBytes('/data')).toBe(100);
    await expect(file.write([new Uint8Array(101)], 900)).rejects.toSatisfy((error) => isDiskError(error, 'ENOSPC'));
    await file.write([new Uint8Array(900)], 0);
    disk.capacityBytes = 2000;
    await file.write([new Uint8Array(101)], 900);
  });
});

test('one seed, one outcome', async () => {
  const runs = [1, 2].map(() =>
    outcomes(async (disk, world) => {
      const file = await disk.mount().open(path, 'create');
      for (let at = 0; at < 10; at++) void file.write([new Uint8Array(700).fill(at)], 300 * at);
      await world.sleep(0.1);
      disk.powerLoss();
      const there = await disk.mount().exists(path);
      return [there ? Array.from(await disk.mount().readFile(path)) : 'lost', world.trace.digest];
    }),
  );
  const [first, second] = await Promise.all(runs);
  expect(first).toEqual(second);
});
