/** A deliberate bug of the bootstrap: what an interrupted import has left behind is taken for the whole state. */
import type { Crc32 } from '../../src/base/ports/environment.js';
import type { Disk } from '../../src/base/ports/disk.js';
import { markReady, prepareInstallation, stagingDirectory } from '../../src/partition/installation.js';
import { parseManifest } from '../../src/snapshot/manifest.js';
import { readProgress, removeProgress } from '../../src/snapshot/restore-progress.js';
import type { OrderedStoreProvider, StateStoreSizes } from '../../src/state-store/index.js';
import { StateImport } from '../../src/state-store/index.js';
import type { SharedObjects } from './shared-objects.js';

export async function acceptHalfImports(parts: {
  readonly disk: Disk;
  readonly provider: OrderedStoreProvider;
  readonly crc32: Crc32;
  readonly sizes: StateStoreSizes;
  readonly objects: SharedObjects;
  /** Of the state stores. */
  readonly directories: readonly string[];
}): Promise<void> {
  const { disk, crc32, provider, sizes, objects } = parts;
  for (const directory of parts.directories) {
    const staging = stagingDirectory(directory);
    if (!(await disk.exists(staging))) continue;
    const progress = await readProgress(disk, staging, crc32);
    const manifest = progress && manifestOf(objects, progress.manifestSha256);
    if (progress === undefined || manifest === undefined) continue;
    const { lastRecordsLsn } = progress;
    const half = await StateImport.begin({ directory: staging, provider, crc32, sizes, lastRecordsLsn });
    await half.finish({ appliedLsn: manifest.lsn, stateHash: manifest.stateHash });
    await removeProgress(disk, staging);
    await prepareInstallation(disk, directory, manifest);
    await markReady(disk, directory);
  }
}

function manifestOf(objects: SharedObjects, sha256: string): ReturnType<typeof parseManifest> | undefined {
  for (const [name, { bytes }] of objects.objects) {
    if (!name.includes('/manifests/')) continue;
    if (!Buffer.from(bytes).includes(sha256)) continue;
    try {
      return parseManifest(name, bytes);
    } catch {
      // Damaged on purpose.
    }
  }
  return undefined;
}
