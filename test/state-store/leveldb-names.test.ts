/** What a power loss may take of a database is its name, too. */
import { expect, test } from 'vitest';
import { DiskError, type Disk } from '../../src/base/ports/disk.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { LevelDbProvider } from '../../src/state-store/index.js';
import { smallSizes } from './small-sizes.js';
import { temporaryDirectory } from './support.js';

test('a process died before it synced the name of a new database; the next one used it without syncing the name', async () => {
  const root = await temporaryDirectory();
  const directory = `${root}/partitions/1/records`;
  const synced: string[] = [];
  let dies = true;
  const disk: Disk = {
    ...nodeDisk,
    syncDirectory: async (path) => {
      if (dies && (await nodeDisk.exists(directory))) throw new DiskError('EIO', path, 'the process ends here');
      synced.push(path);
      await nodeDisk.syncDirectory(path);
    },
  };
  await expect(new LevelDbProvider(disk).open(directory, smallSizes.records)).rejects.toThrow('the process ends here');
  expect(await nodeDisk.exists(directory)).toBe(true);
  dies = false;
  synced.length = 0;
  const store = await new LevelDbProvider(disk).open(directory, smallSizes.records);
  expect(synced).toEqual([`${root}/partitions/1`, `${root}/partitions`]);
  await store.close();
});
