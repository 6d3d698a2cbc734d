/** The databases of one node: the simulated provider, and the directories that a real one makes on the node's disk. */
import type { Disk } from '../../src/base/ports/disk.js';
import type { OrderedStore, OrderedStoreOptions, OrderedStoreProvider } from '../../src/state-store/index.js';
import type { SimulationMutant } from '../mutants.js';
import type { SimulatedStoreProvider } from '../simulated-ordered-store.js';
import { mutatedStore } from './mutant-adapters.js';

export class NodeStores implements OrderedStoreProvider {
  readonly #provider: SimulatedStoreProvider;
  readonly #disk: Disk;
  readonly #mutant: SimulationMutant | undefined;

  constructor(parts: { provider: SimulatedStoreProvider; disk: Disk; mutant: SimulationMutant | undefined }) {
    this.#provider = parts.provider;
    this.#disk = parts.disk;
    this.#mutant = parts.mutant;
  }

  async open(directory: string, options: OrderedStoreOptions): Promise<OrderedStore> {
    if (!(await this.#disk.exists(directory))) {
      // Whoever deleted the directory deleted the database.
      this.#provider.remove(directory);
      await this.#disk.makeDirectory(directory);
    }
    // As the real one does, also of a directory that was there: whoever made it may have died before it synced the name.
    let parent = directory;
    do {
      parent = parent.slice(0, parent.lastIndexOf('/')) || '/';
      await this.#disk.syncDirectory(parent);
    } while (parent !== '/');
    return mutatedStore(await this.#provider.open(directory, options), this.#mutant);
  }
}
