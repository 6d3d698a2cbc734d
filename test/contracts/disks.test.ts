import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { World } from '../../cluster-sim/engine/world.js';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { SimulatedClock, settleLater } from '../../cluster-sim/simulated-clock.js';
import { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { diskContract } from './disk.js';

diskContract('operating system', {
  async run(work) {
    const directory = await mkdtemp(`${tmpdir()}/logboom-disk-`);
    try {
      await work(nodeDisk, directory);
    } finally {
      await rm(directory, { recursive: true });
    }
  },
});

diskContract('simulated', {
  async run(work) {
    const world = new World();
    const disk = new SimulatedDisk(new SimulatedClock(world), new RandomStream(1, 'disk'));
    await settleLater(world, async () => {
      await disk.mount().makeDirectory('/data');
      await work(disk.mount(), '/data');
    });
  },
});
