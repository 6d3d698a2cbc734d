import { isLogboomError, LogboomError } from '../base/errors.js';
import type { PartitionId } from '../base/ids.js';
import type { ObjectOptions } from '../object-store/types.js';
import type { ChunkSource } from './chunk-source.js';
import { confirmationBytesMax, confirmationOf, requireConfirmation } from './confirmation.js';
import { corrupt, onObject } from './failures.js';
import { listAll } from './listing.js';
import { manifestBytesMax, parseManifest } from './manifest.js';
import { parseManifestName, partitionPrefixes, type PartitionPrefixes } from './names.js';
import type { SnapshotTools } from './options.js';
import type { Manifest, ManifestChunk, ManifestEntry } from './types.js';

/**
 * What the repository holds of one partition, to be read. All methods reject with LogboomError REPOSITORY_UNAVAILABLE or
 * REPOSITORY_REFUSED, or with the reason of `signal`.
 */
export class ArchivedObjects implements ChunkSource {
  readonly clusterId: string;
  readonly partitionId: PartitionId;
  /** For the other parts of this package. */
  readonly tools: SnapshotTools;
  readonly prefixes: PartitionPrefixes;

  constructor(tools: SnapshotTools, clusterId: string, partitionId: PartitionId) {
    this.tools = tools;
    this.clusterId = clusterId;
    this.partitionId = partitionId;
    this.prefixes = partitionPrefixes(clusterId, partitionId);
  }

  objectOf({ name }: ManifestChunk): string {
    return `${this.prefixes.chunks}${name}`;
  }

  async getStored(chunk: ManifestChunk, signal: AbortSignal): Promise<Uint8Array> {
    const { store } = this.tools;
    const object = this.objectOf(chunk);
    try {
      return await onObject(store, object, () => store.get(object, { bytesMax: chunk.storedBytes, signal }));
    } catch (error) {
      if (!isLogboomError(error, 'SNAPSHOT_NOT_FOUND')) throw error;
      throw corrupt(object, `is missing (${store.description})`, error);
    }
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

  /** Names of the manifests that have a confirmation, whatever it says, and whether or not they are still there. */
  async confirmations(options: ObjectOptions = {}): Promise<Set<string>> {
    const { confirmations: prefix } = this.prefixes;
    const names = new Set<string>();
    for await (const { name } of listAll(this.tools.store, prefix, options)) names.add(name.slice(prefix.length));
    return names;
  }

  /**
   * A snapshot that a quorum of its group has confirmed.
   *
   * @throws LogboomError SNAPSHOT_CORRUPT, SNAPSHOT_NOT_FOUND, SNAPSHOT_VERSION_UNSUPPORTED
   */
  async readConfirmed(name: string, options: ObjectOptions = {}): Promise<Manifest> {
    const manifest = await this.read(name, options);
    await this.requireConfirmed(manifest, name, options);
    return manifest;
  }

  /** @throws LogboomError SNAPSHOT_CORRUPT, SNAPSHOT_NOT_FOUND, SNAPSHOT_VERSION_UNSUPPORTED */
  async requireConfirmed(manifest: Manifest, name: string, options: ObjectOptions = {}): Promise<void> {
    const { store } = this.tools;
    const object = `${this.prefixes.confirmations}${name}`;
    const limits = { ...options, bytesMax: confirmationBytesMax };
    const bytes = await onObject(store, object, () => store.get(object, limits));
    requireConfirmation(object, bytes, confirmationOf(manifest, name));
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
   * Compares chunks, by name and size, with what is there.
   *
   * @param owner whose they are, for errors
   * @throws LogboomError SNAPSHOT_CORRUPT
   */
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
}
