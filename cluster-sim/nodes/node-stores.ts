/**
 * The databases of one node: the simulated provider, and the directories that a real one makes on the node's disk. A
 * directory says which database is in it, so that a database goes with its directory wherever that is renamed to, and is
 * gone with it, also when a crash takes the renaming back.
 */
import { replaceFile, type Disk } from '../../src/base/ports/disk.js';
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
    const disk = this.#disk;
    if (!(await disk.exists(directory))) await disk.makeDirectory(directory);
    // As the real one does, also of a directory that was there: whoever made it may have died before it synced the name.
    let parent = directory;
    do {
      parent = parent.slice(0, parent.lastIndexOf('/')) || '/';
      await disk.syncDirectory(parent);
    } while (parent !== '/');
    let name = await databaseIn(disk, directory);
    if (name === undefined) {
      name = this.#provider.unusedName(directory);
      await replaceFile(disk, `${directory}/${databaseNameFile}`, new TextEncoder().encode(name));
    }
    return mutatedStore(await this.#provider.open(name, options), this.#mutant);
  }
}

export const databaseNameFile = 'DATABASE';

/** Name of the database in a directory, for the provider; undefined when none was made. */
export async function databaseIn(disk: Disk, directory: string): Promise<string | undefined> {
  const path = `${directory}/${databaseNameFile}`;
  return (await disk.exists(path)) ? new TextDecoder().decode(await disk.readFile(path)) : undefined;
}
