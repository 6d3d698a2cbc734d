import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { MemoryObjectStore } from '../../cluster-sim/memory-object-store.js';
import { SimulatedClock, settleLater } from '../../cluster-sim/simulated-clock.js';
import { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import { SimulatedObjectStore } from '../../cluster-sim/simulated-object-store.js';
import { FileObjectStore } from '../../src/object-store/file.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { objectStoreContract } from './object-store.js';

objectStoreContract('memory', {
  async run(work) {
    const store = new MemoryObjectStore();
    await work(store, () => Promise.resolve(store));
  },
});

objectStoreContract('simulated', {
  async run(work) {
    const world = new World();
    const stored = new SimulatedObjectStore(new SimulatedClock(world), new RandomStream(1, 'objects'));
    await settleLater(world, () => {
      const mounted = stored.mount();
      return work(mounted, async () => {
        mounted.crash();
        return stored.mount();
      });
    });
  },
});

objectStoreContract('files on the disk', {
  async run(work) {
    const directory = await mkdtemp(`${tmpdir()}/logboom-objects-`);
    const open = (): Promise<FileObjectStore> =>
      FileObjectStore.open({ ...nodeEnvironmentParts, directory: `${directory}/snapshots` });
    try {
      await work(await open(), open);
    } finally {
      await rm(directory, { recursive: true });
    }
  },
});

objectStoreContract('files on a simulated disk, which loses what is not synced', {
  async run(work) {
    const world = new World();
    const clock = new SimulatedClock(world);
    const random = new RandomStream(1, 'objects');
    const disk = new SimulatedDisk(clock, new RandomStream(1, 'disk'));
    const open = (): Promise<FileObjectStore> =>
      FileObjectStore.open({ directory: '/data/snapshots', disk: disk.mount(), clock, random });
    await settleLater(world, async () => {
      await work(await open(), () => {
        disk.powerLoss();
        return open();
      });
    });
  },
});
