import { createHash } from 'node:crypto';
import { assert } from '../base/assert.js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import { asLsn } from '../base/ids.js';
import type { Disk } from '../base/ports/disk.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { IndexEntry, LogicalView, StateScan } from '../base/state-machine.js';
import {
  defaultStateStoreSizes,
  type OrderedStoreProvider,
  type RecordsEntry,
  StateImport,
  StoreFailure,
  type StateStoreSizes,
} from '../state-store/index.js';
import { Bandwidth } from './bandwidth.js';
import { indexEntryBytes, writeIndexEntry } from './chunk.js';
import { hexOf, indexEntriesOf, recordsEntriesOf } from './chunk-check.js';
import { fetchChunk, type ChunkSource } from './chunk-source.js';
import { corrupt } from './failures.js';
import { readAhead } from './in-flight.js';
import { isOfMachine } from './liveness.js';
import { indexChunksOf, manifestChecksum, recordsChunksOf } from './manifest.js';
import { readProgress, removeProgress, type RestoreProgress, writeProgress } from './restore-progress.js';
import { indexPages } from './state-pages.js';
import type { IndexChunk, Manifest, ManifestChunk, RecordsChunk, SnapshotProgress } from './types.js';

export interface RestoreSnapshotParts {
  readonly source: ChunkSource;
  readonly manifest: Manifest;
  /** Where the state store is built, absolute; nothing else is in it. Its parent is there. */
  readonly directory: string;
  readonly disk: Disk;
  readonly storeProvider: OrderedStoreProvider;
  readonly sizes?: StateStoreSizes;
  readonly crc32: Crc32;
  readonly logicalView: (state: StateScan) => Promise<LogicalView>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: SnapshotProgress) => void;
  readonly bytesPerSecondMax?: number;
}

/**
 * Builds a state store from a snapshot, at its LSN and state hash. When it resolves the directory holds a finished store,
 * durable and closed, and nothing else: to be renamed to its place. Until it resolves that is not so, and the caller leaves
 * the directory alone: the same call goes on from the last checkpoint, and one with another manifest starts over.
 *
 * Of records, those are imported whose entry in the index is there, is part of the state and points to them. Everything is
 * verified: each chunk by its SHA-256 and number of entries; the index, as it was stored, by the digest; and that each of its
 * entries which points to records got them, by counting: every value that is imported belongs to an entry of its own,
 * because the entry says the LSN of the value, no LSN comes twice, and no two entries point to the same.
 *
 * Memory: the chunks in flight, whatever the size of the partition.
 *
 * @throws LogboomError SNAPSHOT_CORRUPT when a chunk is damaged or missing, or the snapshot does not fit together: take an
 * older one; DATA_CORRUPT when what was imported was damaged on the disk; after these two the directory is gone. DISK_FULL
 * when there is not enough space, before anything is written; STATE_STORE_FAILED when a database fails;
 * what the source throws when it cannot be reached
 */
export async function restoreSnapshot(parts: RestoreSnapshotParts): Promise<void> {
  const { signal } = parts;
  signal?.throwIfAborted();
  const abort = new AbortController();
  const onAbort = (): void => abort.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await new Restore(parts, abort).run();
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

const putEntries = 2000;
const putBytes = 4 << 20;

class Restore {
  readonly #parts: RestoreSnapshotParts;
  readonly #abort: AbortController;
  readonly #sizes: StateStoreSizes;
  readonly #indexChunks: readonly IndexChunk[];
  readonly #recordsChunks: readonly RecordsChunk[];
  readonly #bandwidth: Bandwidth;
  readonly #object: string;
  readonly #bytesTotal: number;
  #bytesDone = 0;
  #bytesSinceCheckpoint = 0;
  #progress: RestoreProgress;

  constructor(parts: RestoreSnapshotParts, abort: AbortController) {
    const { source, manifest } = parts;
    assert(
      manifest.clusterId === source.clusterId && manifest.partitionId === source.partitionId,
      () => `a snapshot of partition ${manifest.partitionId} is restored from chunks of ${source.partitionId}`,
    );
    this.#parts = parts;
    this.#abort = abort;
    this.#sizes = parts.sizes ?? defaultStateStoreSizes;
    this.#indexChunks = indexChunksOf(manifest.chunks);
    this.#recordsChunks = recordsChunksOf(manifest.chunks);
    this.#bandwidth = new Bandwidth(source.tools.clock, parts.bytesPerSecondMax);
    this.#object = `the manifest of LSN ${manifest.lsn} and term ${manifest.term}`;
    this.#bytesTotal = manifest.chunks.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#progress = {
      manifestSha256: manifestChecksum(manifest),
      indexChunksDone: 0,
      recordsChunksDone: 0,
      records: 0,
      lastRecordsLsn: asLsn(0),
    };
  }

  async run(): Promise<void> {
    const { manifest, directory, disk } = this.#parts;
    await this.#prepareDirectory();
    await this.#requireSpace();
    try {
      const { lastRecordsLsn } = this.#progress;
      const { storeProvider: provider, crc32 } = this.#parts;
      const target = await StateImport.begin({ directory, provider, crc32, sizes: this.#sizes, lastRecordsLsn });
      try {
        await this.#importIndex(target);
        const { view, pointers } = await this.#verifyIndex(target);
        await this.#importRecords(target, view);
        const { records } = this.#progress;
        if (records !== pointers) {
          throw corrupt(
            this.#object,
            `does not fit together: its index points to ${pointers} records values, ${records} are there`,
          );
        }
        await target.finish({ appliedLsn: manifest.lsn, stateHash: manifest.stateHash });
      } finally {
        await target.close();
      }
    } catch (error) {
      // What was imported may be what is wrong: nothing goes on from it.
      if (isLogboomError(error, 'SNAPSHOT_CORRUPT') || isLogboomError(error, 'DATA_CORRUPT')) {
        await disk.removeTree(directory);
      }
      throw this.#storeError(error);
    }
    await removeProgress(disk, directory);
  }

  /** With what an earlier call for the same manifest has left, or empty. */
  async #prepareDirectory(): Promise<void> {
    const { directory, disk, crc32 } = this.#parts;
    const found = (await disk.exists(directory)) ? await readProgress(disk, directory, crc32) : undefined;
    if (found !== undefined && this.#fits(found)) {
      this.#progress = found;
      this.#bytesDone = this.#doneChunks().reduce((sum, { bytes }) => sum + bytes, 0);
      return;
    }
    await disk.removeTree(directory);
    await disk.makeDirectory(directory);
  }

  #fits({ manifestSha256, indexChunksDone, recordsChunksDone }: RestoreProgress): boolean {
    return (
      manifestSha256 === this.#progress.manifestSha256 &&
      indexChunksDone <= this.#indexChunks.length &&
      recordsChunksDone <= this.#recordsChunks.length
    );
  }

  #doneChunks(): ManifestChunk[] {
    const { indexChunksDone, recordsChunksDone } = this.#progress;
    return [...this.#indexChunks.slice(0, indexChunksDone), ...this.#recordsChunks.slice(0, recordsChunksDone)];
  }

  /** All of the content, its index twice, for it is compacted; and what the databases write before it becomes a table. */
  async #requireSpace(): Promise<void> {
    const { directory, disk } = this.#parts;
    const indexBytes = this.#indexChunks.reduce((sum, { bytes }) => sum + bytes, 0);
    const buffers = this.#sizes.records.writeBufferBytes + this.#sizes.index.writeBufferBytes;
    const neededBytes = this.#bytesTotal - this.#bytesDone + indexBytes + Math.min(2 * buffers, 2 * this.#bytesTotal);
    const freeBytes = await disk.freeBytes(directory);
    if (freeBytes >= neededBytes) return;
    throw new LogboomError(
      'DISK_FULL',
      `restoring the snapshot of LSN ${this.#parts.manifest.lsn} into ${directory} takes ${neededBytes} bytes, ${freeBytes} are free`,
      { facts: { directory, needed_bytes: neededBytes, free_bytes: freeBytes } },
    );
  }

  async #importIndex(target: StateImport): Promise<void> {
    const chunks = this.#indexChunks.slice(this.#progress.indexChunksDone);
    for await (const { item: chunk, result: content } of this.#fetch(chunks)) {
      const object = this.#objectOf(chunk);
      const entries = indexEntriesOf(object, chunk, content);
      for (const group of groups(entries, ({ key, value }) => indexEntryBytes(key, value)))
        await target.putIndex(group);
      this.#progress = { ...this.#progress, indexChunksDone: this.#progress.indexChunksDone + 1 };
      await this.#imported(target, chunk);
    }
  }

  /** Reads the index as it was stored. */
  async #verifyIndex(target: StateImport): Promise<{ view: LogicalView; pointers: number }> {
    const view = await this.#parts.logicalView(target);
    const digest = createHash('sha256');
    let pointers = 0;
    for await (const page of indexPages(target)) {
      this.#abort.signal.throwIfAborted();
      digest.update(encodePage(page));
      for (const { key, value } of page) {
        if (!isOfMachine(key)) continue;
        if (!view.isLive(key, value))
          throw corrupt(this.#object, `has an entry that is not part of the state, of key ${hexOf(key)}`);
        const lsn = view.recordsLsn(key, value);
        if (lsn === undefined) continue;
        pointers += 1;
        if (lsn > this.#parts.manifest.lsn) throw corrupt(this.#object, `has an entry that points to LSN ${lsn}`);
      }
    }
    const found = digest.digest('hex');
    const { manifest } = this.#parts;
    if (found === manifest.digest) return { view, pointers };
    throw corrupt(this.#object, `does not fit together: its digest is ${manifest.digest}, its entries give ${found}`);
  }

  async #importRecords(target: StateImport, view: LogicalView): Promise<void> {
    const chunks = this.#recordsChunks.slice(this.#progress.recordsChunksDone);
    for await (const { item: chunk, result: content } of this.#fetch(chunks)) {
      const object = this.#objectOf(chunk);
      const entries = recordsEntriesOf(object, chunk, content);
      let records = 0;
      for (const group of groups(entries, ({ value }) => value.length)) {
        const alive = group.filter((entry) => isAlive(object, target, view, entry));
        records += alive.length;
        if (alive.length > 0) await target.putRecords(alive);
      }
      this.#progress = {
        ...this.#progress,
        recordsChunksDone: this.#progress.recordsChunksDone + 1,
        records: this.#progress.records + records,
        lastRecordsLsn: target.lastRecordsLsn,
      };
      await this.#imported(target, chunk);
    }
  }

  #fetch<Chunk extends ManifestChunk>(chunks: readonly Chunk[]): AsyncGenerator<{ item: Chunk; result: Uint8Array }> {
    const { source } = this.#parts;
    return readAhead(
      chunks,
      ({ bytes }) => bytes,
      source.tools.sizes,
      (chunk) => fetchChunk(source, chunk, this.#bandwidth, this.#abort.signal),
      () => this.#abort.abort(),
    );
  }

  async #imported(target: StateImport, { bytes }: ManifestChunk): Promise<void> {
    this.#abort.signal.throwIfAborted();
    this.#bytesDone += bytes;
    this.#parts.onProgress?.({ bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal });
    this.#bytesSinceCheckpoint += bytes;
    const { source, disk, directory, crc32 } = this.#parts;
    if (this.#bytesSinceCheckpoint < source.tools.sizes.checkpointBytes) return;
    this.#bytesSinceCheckpoint = 0;
    await target.flush();
    await writeProgress(disk, directory, this.#progress, crc32);
  }

  #objectOf(chunk: ManifestChunk): string {
    return this.#parts.source.objectOf(chunk);
  }

  #storeError(error: unknown): unknown {
    if (!(error instanceof StoreFailure)) return error;
    const { directory } = this.#parts;
    return new LogboomError('STATE_STORE_FAILED', `restoring into ${directory} failed: ${error.message}`, {
      facts: { directory },
      cause: error,
    });
  }
}

function isAlive(object: string, target: StateImport, view: LogicalView, { lsn, value }: RecordsEntry): boolean {
  let owner: Uint8Array;
  try {
    owner = view.ownerOf(lsn, value);
  } catch (error) {
    if (!isLogboomError(error, 'DATA_CORRUPT')) throw error;
    throw corrupt(object, `has a records value at LSN ${lsn} that is none: ${error.message}`, error);
  }
  const entry = target.getIndex(owner);
  return entry !== undefined && view.isLive(owner, entry) && view.recordsLsn(owner, entry) === lsn;
}

/** Cut so that one write of a database is neither long nor large. */
function* groups<Entry>(entries: readonly Entry[], bytesOf: (entry: Entry) => number): Generator<Entry[]> {
  let group: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    group.push(entry);
    bytes += bytesOf(entry);
    if (group.length < putEntries && bytes < putBytes) continue;
    yield group;
    group = [];
    bytes = 0;
  }
  if (group.length > 0) yield group;
}

/** As an index chunk holds them. */
function encodePage(page: readonly IndexEntry[]): Uint8Array {
  const bytes = Buffer.allocUnsafe(page.reduce((sum, { key, value }) => sum + indexEntryBytes(key, value), 0));
  let at = 0;
  for (const { key, value } of page) {
    writeIndexEntry(bytes, at, key, value);
    at += indexEntryBytes(key, value);
  }
  return bytes;
}
