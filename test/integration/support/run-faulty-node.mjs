// A node whose log cannot be synced any more from the moment it gets SIGUSR2: a disk cannot be broken from outside.
import { readFileSync } from 'node:fs';
import { clearInterval, setInterval } from 'node:timers';
import { DiskError } from '../../../dist/base/ports/disk.js';
import { nodeDisk } from '../../../dist/server/adapters/node-disk.js';
import { loadConfiguration, startNode } from '../../../dist/server/index.js';

let broken = false;
process.on('SIGUSR2', () => {
  broken = true;
});
const disk = {
  ...nodeDisk,
  open: async (path, mode) => {
    const file = await nodeDisk.open(path, mode);
    if (!path.includes('/wal/')) return file;
    const datasync = file.datasync.bind(file);
    file.datasync = async () => {
      if (broken) throw new DiskError('EIO', path, 'fdatasync: a fault of the test');
      await datasync();
    };
    return file;
  },
};
const path = process.argv[process.argv.indexOf('--config') + 1];
const { configuration } = loadConfiguration({ file: { path, text: readFileSync(path, 'utf8') } });
// Listeners keep the process alive once it serves; until then this does.
const alive = setInterval(() => {}, 1000);
await startNode(configuration, { environment: { disk } });
clearInterval(alive);
