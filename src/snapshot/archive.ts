import { LogboomError } from '../base/errors.js';
import type { Lsn, PartitionId } from '../base/ids.js';
import type { LogicalView } from '../base/state-machine.js';
import type { ObjectOptions } from '../object-store/types.js';
import type { StateSnapshot } from '../state-store/index.js';
import { collectGarbage, type CollectionMemory, type CollectionOptions, type CollectionReport } from './collector.js';
import { corrupt, onObject } from './failures.js';
import { FreshChunks } from './fresh-chunks.js';
import { listAll } from './listing.js';
import { manifestBytesMax, parseManifest } from './manifest.js';
import { parseManifestName, partitionPrefixes, type PartitionPrefixes } from './names.js';
import type { SnapshotTools } from './options.js';
import type { Manifest, ManifestEntry, SnapshotFacts, SnapshotProgress, WrittenSnapshot } from './types.js';
import { SnapshotWriter } from './writer.js';

export interface WriteSnapshotParts extends ObjectOptions {
  /** Exactly at `facts.lsn`. It stays open. */
  readonly state: StateSnapshot;
  /** Of `state`. */
  readonly view: LogicalView;
  readonly facts: SnapshotFacts;
  readonly onProgress?: (progress: SnapshotProgress) => void;
  readonly bytesPerSecondMax?: number;
  /**
   * Whether chunks of this manifest may be used again. A replica that has diverged may have written one that nobody
   * confirmed: say no to what is not known to be right. Default: yes.
   */
  readonly mayReuse?: (manifest: Manifest) => boolean;
}

/**
 * The snapshots of one partition. One process does one thing to it at a time; several processes may do anything at the
 * same time. All methods reject with LogboomError REPOSITORY_UNAVAILABLE or REPOSITORY_REFUSED, or with the reason of
 * `signal`.
 */
export class PartitionArchive {
  readonly clusterId: string;
  readonly partitionId: PartitionId;
  /** For the other parts of this package. */
  readonly tools: SnapshotTools;
  readonly prefixes: PartitionPrefixes;
  readonly #fresh: FreshChunks;

  constructor(tools: SnapshotTools, clusterId: string, partitionId: PartitionId) {
    this.tools = tools;
    this.clusterId = clusterId;
    this.partitionId = partitionId;
    this.prefixes = partitionPrefixes(clusterId, partitionId);
    this.#fresh = new FreshChunks(tools);
  }

  /** Newest first. */
  async manifests(options: ObjectOptions = {}): Promise<ManifestEntry[]> {
    const { manifests: prefix } = this.prefixes;
    const entries: ManifestEntry[] = [];
    for await (const { name } of listAll(this.tools.store, prefix, options)) {
      const entry = parseManifestName(name.slice(prefix.length));
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  }

  /** Those that a replica can start from which needs everything above `minLsn` from the log; newest first. */
  async candidates(minLsn: Lsn, options: ObjectOptions = {}): Promise<ManifestEntry[]> {
    const entries = await this.manifests(options);
    return entries.filter(({ lsn }) => lsn >= minLsn);
  }

  /** @throws LogboomError SNAPSHOT_CORRUPT, SNAPSHOT_NOT_FOUND, SNAPSHOT_VERSION_UNSUPPORTED */
  async read(name: string, options: ObjectOptions = {}): Promise<Manifest> {
    const entry = parseManifestName(name);
    const object = `${this.prefixes.manifests}${name}`;
    if (entry === undefined) {
      throw new LogboomError('SNAPSHOT_NOT_FOUND', `'${name}' is no name of a manifest`, { facts: { object } });
    }
    const { store } = this.tools;
    const bytes = await onObject(store, object, () => store.get(object, { ...options, bytesMax: manifestBytesMax }));
    const manifest = parseManifest(object, bytes);
    if (manifest.clusterId !== this.clusterId || manifest.partitionId !== this.partitionId) {
      const owner = `partition ${manifest.partitionId} of cluster ${manifest.clusterId}`;
      throw corrupt(object, `belongs to ${owner}`);
    }
    if (manifest.lsn !== entry.lsn || manifest.term !== entry.term) {
      throw corrupt(object, `has LSN ${manifest.lsn} and term ${manifest.term}, which is not what its name says`);
    }
    return manifest;
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

  /** @throws LogboomError SNAPSHOT_CORRUPT */
  async requireChunks(owner: string, chunks: Manifest['chunks'], options: ObjectOptions): Promise<void> {
    const expected = new Map(chunks.map(({ name, storedBytes }) => [name, storedBytes]));
    const { chunks: prefix } = this.prefixes;
    for await (const { name, bytes } of listAll(this.tools.store, prefix, options)) {
      const chunk = name.slice(prefix.length);
      const storedBytes = expected.get(chunk);
      if (storedBytes === undefined) continue;
      if (storedBytes !== bytes) throw corrupt(name, `has ${bytes} bytes; ${owner} says ${storedBytes}`);
      expected.delete(chunk);
    }
    for (const name of expected.keys()) throw corrupt(`${prefix}${name}`, `is missing; ${owner} names it`);
  }

  /**
   * Deletes old manifests, and chunks that none names any more. Nothing goes that was not seen to be without use for the
   * whole grace period by calls that are at most half a grace period apart: call it that often, with the same memory.
   */
  collect(memory: CollectionMemory, options: CollectionOptions): Promise<CollectionReport> {
    return collectGarbage(this, memory, options);
  }
}
