/** Deliberate bugs of snapshots, as wrappers of the object store and the repository: the server's own code stays as it is. */
import type { Clock } from '../../src/base/ports/clock.js';
import type { PartitionId } from '../../src/base/ids.js';
import type { ObjectStore } from '../../src/object-store/index.js';
import type { RepositoryAccess } from '../../src/partition/index.js';
import { CollectionMemory, type PartitionArchive } from '../../src/snapshot/index.js';
import type { SimulationMutant } from '../mutants.js';

export function mutatedObjects(store: ObjectStore, mutant: SimulationMutant | undefined, clock: Clock): ObjectStore {
  return mutant === 'manifest-before-chunks' ? withChunksLater(store, clock) : store;
}

const chunkPauseMs = 50;

/** Chunks are said to be stored, and listed, when they are not: they are stored one after another behind the manifest. */
function withChunksLater(store: ObjectStore, clock: Clock): ObjectStore {
  const keptBack = new Map<string, readonly Uint8Array[]>();
  const storeAll = async (): Promise<void> => {
    for (const [name, parts] of [...keptBack]) {
      await new Promise<void>((resolve) => clock.setTimer(chunkPauseMs, resolve));
      await store.putIfAbsent(name, parts).catch(() => {});
      keptBack.delete(name);
    }
  };
  return {
    ...store,
    putIfAbsent: async (name, parts, options) => {
      if (!name.includes('/chunks/')) {
        const outcome = await store.putIfAbsent(name, parts, options);
        if (name.includes('/manifests/')) void storeAll();
        return outcome;
      }
      keptBack.set(name, parts);
      return 'created';
    },
    list: async (prefix, options) => {
      const listed = await store.list(prefix, options);
      const there = new Set(listed.map(({ name }) => name));
      const more = [...keptBack].filter(
        ([name]) => name.startsWith(prefix) && name > (options.after ?? '') && !there.has(name),
      );
      const entries = more.map(([name, parts]) => ({
        name,
        bytes: parts.reduce((sum, { length }) => sum + length, 0),
        modifiedUnixMs: 0,
      }));
      return [...listed, ...entries].sort((a, b) => (a.name < b.name ? -1 : 1)).slice(0, options.limit);
    },
  };
}

export function mutatedRepository(
  repository: RepositoryAccess,
  mutant: SimulationMutant | undefined,
): RepositoryAccess {
  if (mutant === 'trim-without-proof') {
    return withOverrides(repository, { provenId: 'said by everybody' });
  }
  if (mutant === 'collect-without-grace') {
    return withOverrides(repository, { archive: (partitionId) => withoutGrace(repository.archive(partitionId)) });
  }
  return repository;
}

function withOverrides(
  repository: RepositoryAccess,
  overrides: { readonly provenId?: string; readonly archive?: (partitionId: PartitionId) => PartitionArchive },
): RepositoryAccess {
  return {
    get provenId() {
      return overrides.provenId ?? repository.provenId;
    },
    get problem() {
      return repository.problem;
    },
    archive: overrides.archive ?? ((partitionId) => repository.archive(partitionId)),
    takeSlot: (signal) => repository.takeSlot(signal),
  };
}

/** What no manifest names now goes now. */
function withoutGrace(archive: PartitionArchive): PartitionArchive {
  const collect: PartitionArchive['collect'] = (memory, options) => {
    const eager = new CollectionMemory();
    let useless: ReadonlySet<string> = new Set();
    eager.chunks.observe = (names) => (useless = names);
    eager.chunks.forAtLeast = () => [...useless];
    return archive.collect({ manifests: memory.manifests, chunks: eager.chunks }, options);
  };
  return new Proxy(archive, {
    get: (target, name) => {
      if (name === 'collect') return collect;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}
