/** Work on a snapshot repository without a node. */
import { noLogger } from '../../base/ports/logger.js';
import { noMetrics } from '../../base/ports/metrics.js';
import type { Environment } from '../../base/ports/environment.js';
import { openObjectStore, parseObjectStoreLocation } from '../../object-store/index.js';
import { onObjectStore, SnapshotRepository } from '../../snapshot/index.js';
import { nodeEnvironmentParts } from '../adapters/node-environment.js';
import { ZstdCompressor } from '../adapters/zstd-compressor.js';

/**
 * Opens a repository that is there, and closes it afterwards.
 *
 * @param url as the setting snapshots.repository
 * @throws LogboomError CONFIGURATION_INVALID, SNAPSHOT_NOT_FOUND when there is none, REPOSITORY_UNAVAILABLE, REPOSITORY_REFUSED
 */
export async function withRepository<Result>(
  url: string,
  signal: AbortSignal,
  use: (repository: SnapshotRepository, environment: Environment) => Promise<Result>,
): Promise<Result> {
  const location = parseObjectStoreLocation('snapshots.repository', url, process.cwd());
  const compressor = new ZstdCompressor();
  const environment: Environment = { ...nodeEnvironmentParts, compressor, logger: noLogger, metrics: noMetrics };
  try {
    const store = await onObjectStore(url, () => openObjectStore(location, environment, { signal }));
    try {
      const repository = await SnapshotRepository.find({ ...environment, store }, { signal });
      return await use(repository, environment);
    } finally {
      await store.close();
    }
  } finally {
    await compressor.stop();
  }
}
