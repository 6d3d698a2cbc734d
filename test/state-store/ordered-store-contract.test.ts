import { join } from 'node:path';

import { SimulatedStoreProvider, noStoreFaults } from '../../cluster-sim/simulated-ordered-store.js';
import { LevelDbProvider } from '../../src/state-store/index.js';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { orderedStoreContract } from '../contracts/ordered-store.js';
import { realClock, seededRandom, temporaryDirectory } from './support.js';

orderedStoreContract('LevelDB', async () => {
  const root = await temporaryDirectory();
  const directory = join(root, 'missing', 'store');
  return {
    provider: new LevelDbProvider(nodeDisk),
    directory,
    // Its log is left behind whole, and must not count. Losses in the middle of things: leveldb-power-loss.test.ts.
    powerLoss: async (store) => {
      await store.close();
      return directory;
    },
  };
});

orderedStoreContract('simulated', () => {
  const faults = { ...noStoreFaults, flushMsMin: 1, flushMsMax: 3 };
  const provider = new SimulatedStoreProvider({ clock: realClock, random: seededRandom(1), faults });
  const directory = '/node/store';
  return Promise.resolve({
    provider,
    directory,
    powerLoss: () => {
      provider.crash();
      return Promise.resolve(directory);
    },
  });
});
