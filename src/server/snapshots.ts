/** The snapshot repository of a node, as its settings say it. */
import { openObjectStore, parseObjectStoreLocation, type ObjectStore } from '../object-store/index.js';
import { RepositoryConnection, type RepositoryAccess } from '../partition/index.js';
import { onObjectStore, SnapshotRepository } from '../snapshot/index.js';
import type { Environment } from '../base/ports/environment.js';
import type { Configuration } from './config/index.js';

const secondMs = 1000;
const checkEveryMs = 60 * secondMs;
const retryMs = { min: secondMs, max: 60 * secondMs };

export interface NodeRepository {
  readonly connection: RepositoryAccess;
  stop(): Promise<void>;
}

/** Undefined when none is configured. One that cannot be reached is tried again and again; the node starts without it. */
export function connectRepository(
  environment: Environment,
  { snapshots }: Configuration,
  clusterId: string,
): NodeRepository | undefined {
  if (snapshots.repository === '') return undefined;
  const location = parseObjectStoreLocation('snapshots.repository', snapshots.repository, process.cwd());
  const { clock, random, crc32, compressor, logger } = environment;
  let store: ObjectStore | undefined;
  const connection = new RepositoryConnection(environment, {
    clusterId,
    open: async (signal) => {
      store ??= await onObjectStore(snapshots.repository, () => openObjectStore(location, environment, { signal }));
      const graceMs = snapshots.collectGraceMs;
      return SnapshotRepository.open({ store, clock, random, crc32, compressor, logger, graceMs }, { signal });
    },
    checkEveryMs,
    retryMsMin: retryMs.min,
    retryMsMax: retryMs.max,
    snapshotsMax: snapshots.concurrent,
  });
  connection.run();
  return {
    connection,
    stop: async () => {
      await connection.stop();
      await store?.close();
    },
  };
}
