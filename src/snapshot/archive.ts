import type { Lsn, PartitionId } from '../base/ids.js';
import type { ObjectOptions } from '../object-store/types.js';
import { ArchivedObjects } from './archived-objects.js';
import { collectGarbage, type CollectionMemory, type CollectionOptions, type CollectionReport } from './collector.js';
import { confirmationOf, encodeConfirmation } from './confirmation.js';
import { onObject } from './failures.js';
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

  /**
   * Those that a replica can start from which needs everything above `minLsn` from the log: confirmed ones; newest first. To
   * be read with {@link readConfirmed}.
   */
  async candidates(minLsn: Lsn, options: ObjectOptions = {}): Promise<ManifestEntry[]> {
    const confirmed = await this.confirmations(options);
    const entries = await this.manifests(options);
    return entries.filter(({ lsn, name }) => lsn >= minLsn && confirmed.has(name));
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
  async readBack(name: string, options: ObjectOptions = {}): Promise<Manifest> {
    const manifest = await this.read(name, options);
    await this.requireChunks(`${this.prefixes.manifests}${name}`, manifest.chunks, options);
    return manifest;
  }

  /**
   * Tells everybody that a quorum has the state of this snapshot. To be called when that is known, and before anything
   * relies on the snapshot; again at any time, for a repository may have lost it.
   *
   * @throws LogboomError SNAPSHOT_CORRUPT when there is one that says something else
   */
  async confirm(manifest: Manifest, name: string, options: ObjectOptions = {}): Promise<void> {
    const { store } = this.tools;
    const object = `${this.prefixes.confirmations}${name}`;
    const bytes = encodeConfirmation(confirmationOf(manifest, name));
    await onObject(store, object, () => store.putIfAbsent(object, [bytes], options));
    await this.requireConfirmed(manifest, name, options);
  }

  /**
   * Deletes old manifests, and chunks that none names any more. Nothing goes that was not seen to be without use for the
   * whole grace period by calls that are at most half a grace period apart: call it that often, with the same memory.
   */
  collect(memory: CollectionMemory, options: CollectionOptions): Promise<CollectionReport> {
    return collectGarbage(this, memory, options);
  }
}
