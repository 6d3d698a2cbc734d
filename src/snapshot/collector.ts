/**
 * Deletes what no snapshot needs. Any number of processes may collect and write at the same time, and none knows of the
 * others: a leader that was deposed may still write slowly, or collect.
 *
 * With a grace period of G, on clocks that run about equally fast and need not agree:
 *
 *  1. Every upload has a name that was never used before, and will not be again.
 *  2. A collector deletes a chunk only when it has seen it unnamed for at least G, in every run, by runs that are at most G/2
 *     apart (else it begins anew); likewise a manifest only when it has seen it superseded for G.
 *  3. A writer takes note of the time before it looks for an earlier manifest, and its manifest is in place at most G/2
 *     later; chunks that it uploaded in an attempt before count as of then.
 *
 * Claim: when a manifest is in place, none of its chunks is deleted by a decision that a collector made without seeing it.
 * Let a writer begin at t, its manifest M be in place at p <= t + G/2, and let a collector list manifests at r < p, before
 * M. A chunk of M was
 *
 *  - uploaded after t. The collector cannot have seen it before t (1), so for less than G/2 at r: it does not delete it (2).
 *  - named by an earlier manifest E that was there at some moment u >= t, having come at e. E was superseded for G before
 *    anybody deleted it (2), so it was there from e to at least e + G. Look at the collector's last run before u. If it came
 *    after e, it saw the chunk named, so at r it has seen it unnamed only since a run after u >= t: for less than G/2. If it
 *    came before e, or there was none, consider its next one. Either E is still there, and it sees the chunk named; or E is
 *    gone, then more than G has passed since the run before, and it begins anew. In both cases, less than G/2 at r.
 *
 * A collector that lists manifests after p sees M. What it deletes it decides from a listing made right before, and the
 * names that it deletes can never be those of later uploads (1), however late a deletion arrives.
 *
 * What is beyond that argument is caught, not excluded: a manifest that arrives after its writer gave up (the answer was
 * lost, and the object store carried the request out hours later), a chunk that somebody deleted by hand. So the writer
 * lists its chunks before the manifest is written, `confirm` lists them again afterwards, and a snapshot whose chunk is gone
 * never counts as archived; a restore that misses a chunk says so, and its caller takes an older snapshot.
 *
 * A manifest that is damaged, or of a newer format, hides what it names: no chunk is deleted while there is one.
 */
import { isLogboomError } from '../base/errors.js';
import type { ObjectOptions } from '../object-store/types.js';
import type { ArchivedObjects } from './archived-objects.js';
import { onObject } from './failures.js';
import { listAll } from './listing.js';
import { type FoundManifest, superseded, unreferenced, UselessSince } from './retention.js';
import type { Manifest, ManifestEntry } from './types.js';

/** What one process has seen of one partition's snapshots; empty at first, and kept between the calls. */
export class CollectionMemory {
  readonly manifests = new UselessSince();
  readonly chunks = new UselessSince();
}

export interface CollectionOptions extends ObjectOptions {
  /** Whole snapshots that are kept, the newest; at least 1. */
  readonly keep: number;
  /** At least that of the repository, which counts when it is longer. */
  readonly graceMs: number;
  /** Kept whatever their age: the one that is archived, and those that a replica is starting from. */
  readonly isPinned?: (manifest: ManifestEntry) => boolean;
}

export interface CollectionReport {
  /** Names of manifests that were deleted. */
  readonly deletedManifests: readonly string[];
  readonly deletedChunks: number;
  readonly deletedBytes: number;
  /** Chunks that no manifest names, with those that were deleted. */
  readonly unreferencedChunks: number;
  /** Manifests that cannot be read; while there are any, chunks stay. */
  readonly unreadableManifests: readonly string[];
}

const deletionObjects = 1000;

export async function collectGarbage(
  archive: ArchivedObjects,
  memory: CollectionMemory,
  options: CollectionOptions,
): Promise<CollectionReport> {
  const graceMs = Math.max(options.graceMs, archive.tools.graceMs);
  const { clock } = archive.tools;
  const run = new CollectionRun(archive, options.signal);
  const observe = (since: UselessSince, useless: ReadonlySet<string>, beganMs: number): string[] => {
    since.observe(useless, { beganMs, endedMs: clock.monotonicMs(), gapMsMax: graceMs / 2 });
    return since.forAtLeast(graceMs);
  };

  // Chunks first: one that comes later is not seen, and one whose manifest comes in between is seen named.
  const chunks = await run.listChunks();
  await run.listConfirmations();
  let beganMs = clock.monotonicMs();
  const old = superseded(await run.findManifests(chunks), options).map(({ name }) => name);
  const expired = new Set(observe(memory.manifests, new Set(old), beganMs));
  const deletedManifests = old.filter((name) => expired.has(name));
  // One at a time, so that whatever happens in between the older ones go first.
  for (const name of deletedManifests) await run.delete([`${archive.prefixes.manifests}${name}`]);
  await run.deleteOrphans();

  // Again, after a time in which others may have written or deleted some.
  beganMs = clock.monotonicMs();
  const left = (await run.findManifests(chunks)).map(({ name }) => name);
  const unreadableManifests = left.filter((name) => run.named(name) === undefined);
  const useless =
    unreadableManifests.length === 0
      ? unreferenced(
          chunks.keys(),
          left.map((name) => run.named(name) ?? []),
        )
      : new Set<string>();
  const deleted = observe(memory.chunks, useless, beganMs);
  const objects = deleted.map((name) => `${archive.prefixes.chunks}${name}`);
  for (let at = 0; at < objects.length; at += deletionObjects) {
    await run.delete(objects.slice(at, at + deletionObjects));
  }
  return {
    deletedManifests,
    deletedChunks: deleted.length,
    deletedBytes: deleted.reduce((sum, name) => sum + (chunks.get(name) ?? 0), 0),
    unreferencedChunks: useless.size,
    unreadableManifests,
  };
}

/** Reads each manifest once: they do not change. */
class CollectionRun {
  readonly #archive: ArchivedObjects;
  readonly #options: ObjectOptions;
  /** By name; undefined when it cannot be read. */
  readonly #read = new Map<string, Manifest | undefined>();
  /** Names of manifests. */
  #confirmed: ReadonlySet<string> = new Set();

  constructor(archive: ArchivedObjects, signal: AbortSignal | undefined) {
    this.#archive = archive;
    this.#options = signal === undefined ? {} : { signal };
  }

  /** Name to bytes. */
  async listChunks(): Promise<Map<string, number>> {
    const { prefixes, tools } = this.#archive;
    const chunks = new Map<string, number>();
    for await (const { name, bytes } of listAll(tools.store, prefixes.chunks, this.#options)) {
      chunks.set(name.slice(prefixes.chunks.length), bytes);
    }
    return chunks;
  }

  /** Newest first. */
  async findManifests(chunks: ReadonlyMap<string, number>): Promise<FoundManifest[]> {
    const found: FoundManifest[] = [];
    for (const entry of await this.#archive.manifests(this.#options)) {
      if (!this.#read.has(entry.name) && !(await this.#readOne(entry.name))) continue;
      const manifest = this.#read.get(entry.name);
      const isWhole = manifest?.chunks.every(({ name, storedBytes }) => chunks.get(name) === storedBytes) === true;
      const state = isWhole ? 'whole' : 'damaged';
      found.push({ ...entry, state: this.#confirmed.has(entry.name) ? state : 'unconfirmed' });
    }
    return found;
  }

  async listConfirmations(): Promise<void> {
    this.#confirmed = await this.#archive.confirmations(this.#options);
  }

  /**
   * Confirmations of manifests that are gone. A manifest is there before its confirmation, and its name does not come back:
   * whose confirmation was listed, and who is not listed after it, was deleted.
   */
  async deleteOrphans(): Promise<void> {
    const there = new Set((await this.#archive.manifests(this.#options)).map(({ name }) => name));
    const orphans = [...this.#confirmed].filter((name) => !there.has(name));
    for (let at = 0; at < orphans.length; at += deletionObjects) {
      const names = orphans.slice(at, at + deletionObjects);
      await this.delete(names.map((name) => `${this.#archive.prefixes.confirmations}${name}`));
    }
  }

  /** The chunks that a manifest names; undefined when it cannot be read. */
  named(name: string): readonly string[] | undefined {
    return this.#read.get(name)?.chunks.map((chunk) => chunk.name);
  }

  /** False when it was deleted meanwhile. */
  async #readOne(name: string): Promise<boolean> {
    try {
      this.#read.set(name, await this.#archive.read(name, this.#options));
      return true;
    } catch (error) {
      if (isLogboomError(error, 'SNAPSHOT_NOT_FOUND')) return false;
      const isUnreadable =
        isLogboomError(error, 'SNAPSHOT_CORRUPT') || isLogboomError(error, 'SNAPSHOT_VERSION_UNSUPPORTED');
      if (!isUnreadable) throw error;
      this.#read.set(name, undefined);
      return true;
    }
  }

  async delete(objects: readonly string[]): Promise<void> {
    const { store } = this.#archive.tools;
    await onObject(store, objects[0] ?? '', () => store.delete(objects, this.#options));
  }
}
