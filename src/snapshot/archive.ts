import type { Lsn, PartitionId } from '../base/ids.js';
import type { ObjectOptions } from '../object-store/types.js';
import { ArchivedObjects } from './archived-objects.js';
import { collectGarbage, type CollectionMemory, type CollectionOptions, type CollectionReport } from './collector.js';
import { FreshChunks } from './fresh-chunks.js';
import type { SnapshotTools } from './options.js';
import type { Manifest, ManifestEntry, WrittenSnapshot } from './types.js';
import { SnapshotWriter, type WriteSnapshotParts } from './writer.js';

/**
 * The snapshots of one partition. One process does one thing to it at a time; several processes may do anything at the
 * same time.
 */
export class PartitionArchive extends ArchivedObjects {
  readonly #fresh: FreshChunks;

  constructor(tools: SnapshotTools, clusterId: string, partitionId: PartitionId) {
    super(tools, clusterId, partitionId);
    this.#fresh = new FreshChunks(tools);
  }

  /** Those that a replica can start from which needs everything above `minLsn` from the log; newest first. */
  async candidates(minLsn: Lsn, options: ObjectOptions = {}): Promise<ManifestEntry[]> {
    const entries = await this.manifests(options);
    return entries.filter(({ lsn }) => lsn >= minLsn);
  }

  /**
   * Writes chunks, then the manifest. A repetition after a failure uses what this process has uploaded already.
   *
   * @throws LogboomError DATA_CORRUPT when the stored state is damaged (nothing of it is archived then); SNAPSHOT_EXPIRED when
   * it took too long; SNAPSHOT_CORRUPT when a chunk is gone or has another size before the manifest was written
   */
  write(parts: WriteSnapshotParts): Promise<WrittenSnapshot> {
    return new SnapshotWriter(this, parts, this.#fresh).write();
  }

  /**
   * Reads a manifest back and compares its chunks, by name and size, with what is there.
   *
   * @throws LogboomError as {@link read} does, and SNAPSHOT_CORRUPT when a chunk is missing
   */
  async confirm(name: string, options: ObjectOptions = {}): Promise<Manifest> {
    const manifest = await this.read(name, options);
    await this.requireChunks(`${this.prefixes.manifests}${name}`, manifest.chunks, options);
    return manifest;
  }

  /**
   * Deletes old manifests, and chunks that none names any more. Nothing goes that was not seen to be without use for the
   * whole grace period by calls that are at most half a grace period apart: call it that often, with the same memory.
   */
  collect(memory: CollectionMemory, options: CollectionOptions): Promise<CollectionReport> {
    return collectGarbage(this, memory, options);
  }
}
