/**
 * Reads what a repository holds of a partition, all of it, and says what is damaged: manifests, confirmations, and the content
 * of every chunk that a manifest names, once, however many name it. What is not found this way, because it takes the
 * state machine, is whether the entries fit together as a state; a restore verifies that.
 *
 * A cluster may write and collect meanwhile: what is gone by the time it is read is nobody's any more.
 */
import { createHash } from 'node:crypto';
import { isLogboomError, type LogboomError } from '../base/errors.js';
import type { ObjectOptions } from '../object-store/types.js';
import type { ArchivedObjects } from './archived-objects.js';
import { Bandwidth } from './bandwidth.js';
import { chunkHeaderBytes } from './chunk.js';
import { indexEntriesOf, recordsEntriesOf } from './chunk-check.js';
import { fetchChunk } from './chunk-source.js';
import { onObject } from './failures.js';
import { readAhead } from './in-flight.js';
import { listAll } from './listing.js';
import { indexChunksOf } from './manifest.js';
import type { Manifest, ManifestChunk, ManifestEntry, SnapshotProgress } from './types.js';

export interface VerifiedSnapshot extends ManifestEntry {
  /** False: no quorum has said that it is right, and nobody uses it. */
  readonly isConfirmed: boolean;
  /** Undefined when the manifest cannot be read. */
  readonly createdUnixMs: number | undefined;
  /** Of its chunks, uncompressed. */
  readonly bytes: number;
  /** Empty: it is whole. */
  readonly problems: readonly string[];
}

export interface DamagedObject {
  readonly object: string;
  readonly problem: string;
}

export interface ArchiveVerification {
  /** Newest first. */
  readonly snapshots: readonly VerifiedSnapshot[];
  /** Chunks whose content was read. */
  readonly chunks: number;
  /** Of those, as stored. */
  readonly storedBytes: number;
  /** Chunks that no manifest names: of snapshots that were not finished, or old. */
  readonly unreferencedChunks: number;
  /** Objects that are there and hold something else than they should. */
  readonly damaged: readonly DamagedObject[];
}

export interface VerificationOptions extends ObjectOptions {
  readonly onProgress?: (progress: SnapshotProgress) => void;
  readonly bytesPerSecondMax?: number;
}

interface FoundManifest extends ManifestEntry {
  readonly manifest: Manifest | undefined;
  readonly isConfirmed: boolean;
  readonly problems: string[];
}

/** @throws LogboomError REPOSITORY_UNAVAILABLE, REPOSITORY_REFUSED; the reason of the signal */
export async function verifyArchive(
  archive: ArchivedObjects,
  options: VerificationOptions = {},
): Promise<ArchiveVerification> {
  return new Verification(archive, options).run();
}

class Verification {
  readonly #archive: ArchivedObjects;
  readonly #options: VerificationOptions;
  readonly #abort = new AbortController();
  readonly #bandwidth: Bandwidth;
  readonly #damaged = new Map<string, string>();
  /** Chunks that were read, with what is wrong with them; empty: nothing. */
  readonly #read = new Map<string, string>();
  #storedBytes = 0;
  #bytesDone = 0;
  #bytesTotal = 0;

  constructor(archive: ArchivedObjects, options: VerificationOptions) {
    this.#archive = archive;
    this.#options = options;
    this.#bandwidth = new Bandwidth(archive.tools.clock, options.bytesPerSecondMax);
  }

  async run(): Promise<ArchiveVerification> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#abort.abort(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await this.#run();
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #run(): Promise<ArchiveVerification> {
    // Before the manifests: what is listed here and named there was there.
    const chunks = await this.#listChunks();
    const found = await this.#findManifests();
    this.#estimate(found.flatMap(({ manifest }) => (manifest === undefined ? [] : [manifest])));
    const snapshots: VerifiedSnapshot[] = [];
    for (const one of found) {
      if (one.manifest !== undefined) await this.#verify(one.manifest, one.problems);
      if (one.problems.length > 0 && (await this.#isGone(one.name))) continue;
      const { name, lsn, term, isConfirmed, problems, manifest } = one;
      const bytes = manifest?.chunks.reduce((sum, chunk) => sum + chunk.bytes, 0) ?? 0;
      snapshots.push({ name, lsn, term, isConfirmed, createdUnixMs: manifest?.createdUnixMs, bytes, problems });
    }
    const named = new Set(found.flatMap(({ manifest }) => manifest?.chunks.map(({ name }) => name) ?? []));
    return {
      snapshots,
      chunks: this.#read.size,
      storedBytes: this.#storedBytes,
      unreferencedChunks: [...chunks].filter((name) => !named.has(name)).length,
      damaged: [...this.#damaged].map(([object, problem]) => ({ object, problem })),
    };
  }

  get #reading(): ObjectOptions {
    return { signal: this.#abort.signal };
  }

  async #listChunks(): Promise<Set<string>> {
    const { prefixes, tools } = this.#archive;
    const names = new Set<string>();
    for await (const { name } of listAll(tools.store, prefixes.chunks, this.#reading)) {
      names.add(name.slice(prefixes.chunks.length));
    }
    return names;
  }

  async #findManifests(): Promise<FoundManifest[]> {
    const archive = this.#archive;
    const confirmed = await archive.confirmations(this.#reading);
    const found: FoundManifest[] = [];
    for (const entry of await archive.manifests(this.#reading)) {
      const problems: string[] = [];
      const isConfirmed = confirmed.has(entry.name);
      const read = await this.#attempt(problems, `${archive.prefixes.manifests}${entry.name}`, () =>
        archive.read(entry.name, this.#reading),
      );
      if (read !== undefined && isConfirmed) {
        await this.#attempt(problems, `${archive.prefixes.confirmations}${entry.name}`, () =>
          archive.requireConfirmed(read, entry.name, this.#reading),
        );
      }
      found.push({ ...entry, manifest: read, isConfirmed, problems });
    }
    return found;
  }

  /** What is damaged twice is damaged, and not the way here. Undefined then. */
  async #attempt<Value>(problems: string[], object: string, read: () => Promise<Value>): Promise<Value | undefined> {
    try {
      return await read().catch((error: unknown) => (isDamage(error) ? read() : Promise.reject(error as Error)));
    } catch (error) {
      if (!isDamage(error) && !isLogboomError(error, 'SNAPSHOT_VERSION_UNSUPPORTED')) throw error;
      problems.push(error.message);
      if (isLogboomError(error, 'SNAPSHOT_CORRUPT') && !isMissing(error)) this.#damaged.set(object, error.message);
      return undefined;
    }
  }

  #estimate(manifests: readonly Manifest[]): void {
    const records = new Map<string, number>();
    for (const { chunks } of manifests) {
      for (const { kind, name, bytes } of chunks) {
        if (kind === 'index') this.#bytesTotal += bytes;
        else records.set(name, bytes);
      }
    }
    for (const bytes of records.values()) this.#bytesTotal += bytes;
    this.#progress(0);
  }

  async #verify(manifest: Manifest, problems: string[]): Promise<void> {
    const digest = createHash('sha256');
    const toRead = manifest.chunks.filter(({ kind, name }) => kind === 'index' || !this.#read.has(name));
    const pieces = readAhead(
      toRead,
      ({ bytes }) => bytes,
      this.#archive.tools.sizes,
      (chunk) => this.#contentOf(chunk),
      () => this.#abort.abort(),
    );
    for await (const { item, result } of pieces) {
      this.#abort.signal.throwIfAborted();
      if (item.kind === 'index' && result !== undefined) digest.update(result.subarray(chunkHeaderBytes));
      this.#progress(item.bytes);
    }
    const own = manifest.chunks.flatMap(({ name }) => this.#read.get(name) || []);
    problems.push(...own);
    const isIndexWhole = indexChunksOf(manifest.chunks).every(({ name }) => this.#read.get(name) === '');
    if (!isIndexWhole || digest.digest('hex') === manifest.digest) return;
    problems.push(`the digest of its index is not ${manifest.digest}, as its manifest says`);
  }

  /** Undefined when it is damaged or missing, which is noted. */
  async #contentOf(chunk: ManifestChunk): Promise<Uint8Array | undefined> {
    const object = `${this.#archive.prefixes.chunks}${chunk.name}`;
    const problems: string[] = [];
    const content = await this.#attempt(problems, object, async () => {
      const bytes = await fetchChunk(this.#archive, chunk, this.#bandwidth, this.#abort.signal);
      if (chunk.kind === 'index') indexEntriesOf(object, chunk, bytes);
      else recordsEntriesOf(object, chunk, bytes);
      return bytes;
    });
    if (!this.#read.has(chunk.name)) this.#storedBytes += chunk.storedBytes;
    this.#read.set(chunk.name, problems.join('; '));
    return content;
  }

  /** A cluster that runs collects what is old. */
  async #isGone(name: string): Promise<boolean> {
    const prefix = `${this.#archive.prefixes.manifests}${name}`;
    const { store } = this.#archive.tools;
    const there = await onObject(store, prefix, () => store.list(prefix, { ...this.#reading, limit: 1 }));
    return there.length === 0;
  }

  #progress(bytes: number): void {
    this.#bytesDone += bytes;
    this.#options.onProgress?.({ bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal });
  }
}

const isDamage = (error: unknown): error is LogboomError =>
  isLogboomError(error, 'SNAPSHOT_CORRUPT') || isLogboomError(error, 'SNAPSHOT_NOT_FOUND');

/** A chunk that is not there is an error of its own making, with the store's as its cause. */
const isMissing = ({ cause }: LogboomError): boolean => isLogboomError(cause, 'SNAPSHOT_NOT_FOUND');

/**
 * Deletes objects that were found to be damaged. The next look of the cluster at its snapshots finds them missing, and takes
 * one that does without them.
 */
export async function removeDamaged(
  { tools }: ArchivedObjects,
  damaged: readonly DamagedObject[],
  options: ObjectOptions = {},
): Promise<void> {
  for (const { object } of damaged) await onObject(tools.store, object, () => tools.store.delete([object], options));
}
