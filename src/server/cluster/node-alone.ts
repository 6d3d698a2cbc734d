/** How the directory of a node that was alone for good, layout 1 of node.json, becomes that of a cluster of one. */
import { writeIdentity } from '../data-directory.js';
import { hasFormationRecord, writeFormationRecord } from './formation-record.js';
import type { Environment } from '../../base/ports/environment.js';
import type { NodeDescription } from '../../metadata/index.js';
import type { DataDirectory } from '../data-directory.js';

/**
 * Under the cluster id it has, and with the replicas it has. The record comes first: killed in between, the next start finds
 * both and goes on; only then do builds that know nothing of clusters refuse the directory.
 */
export async function adoptNodeAlone(
  environment: Pick<Environment, 'disk' | 'random' | 'clock' | 'crc32'>,
  { path, identity }: Pick<DataDirectory, 'path' | 'identity'>,
  self: NodeDescription,
  replicationFactor: number,
): Promise<void> {
  const { clusterId, partitionCount, createdUnixMs } = identity;
  if (clusterId === undefined) return;
  if (!(await hasFormationRecord(environment, path))) {
    await writeFormationRecord(environment, path, {
      clusterId,
      formedUnixMs: createdUnixMs,
      partitionCount,
      replicationFactor,
      members: [self],
    });
  }
  await writeIdentity(environment, path, identity);
}
