import { createHash } from 'node:crypto';
import { assert } from '../base/assert.js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import { asLsn, type Lsn } from '../base/ids.js';
import { Codec } from '../base/ports/compressor.js';
import type { IndexEntry, LogicalView } from '../base/state-machine.js';
import type { ObjectOptions } from '../object-store/types.js';
import { equalStateHashes, type StateSnapshot } from '../state-store/index.js';
import type { ArchivedObjects } from './archived-objects.js';
import { Bandwidth } from './bandwidth.js';
import { ChunkBuilder, chunkHeaderBytes, indexEntryBytes, recordsEntryBytes } from './chunk.js';
import { onObject } from './failures.js';
import type { FreshChunks } from './fresh-chunks.js';
import { TasksInFlight } from './in-flight.js';
import { KeyCuts } from './key-cuts.js';
import { listAll } from './listing.js';
import { isLiveEntry, isLiveRecord, isOfMachine } from './liveness.js';
import { contentHashOf, encodeManifest, recordsChunksOf } from './manifest.js';
import { chunkName, manifestName } from './names.js';
import { RecordsPlan, type RecordsStep } from './records-plan.js';
import { indexPages } from './state-pages.js';
import type {
  IndexChunk,
  Manifest,
  ManifestChunk,
  RecordsChunk,
  SnapshotFacts,
  SnapshotProgress,
  WrittenSnapshot,
} from './types.js';

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
  readonly mayReuse?: (manifestName: string) => boolean;
}

const pageEntries = 1000;
const pageBytes = 1 << 20;
/** Manifests that are looked at for one whose chunks can be used again. */
const previousMax = 8;
/** What a chunk holds, apart from its bytes. */
type Range =
  Pick<RecordsChunk, 'kind' | 'firstLsn' | 'lastLsn'> | Pick<IndexChunk, 'kind' | 'firstKeyHex' | 'lastKeyHex'>;

/**
 * Writes one snapshot. Memory: the chunks in flight, a page of the store, and the lists of chunks of two manifests.
 *
 * The manifest is written last, and only within half the grace period from the moment when the first of its chunks was
 * found or uploaded; src/snapshot/collector.ts argues why none of its chunks can be collected then.
 */
export class SnapshotWriter {
  readonly #archive: ArchivedObjects;
  readonly #parts: WriteSnapshotParts;
  readonly #fresh: FreshChunks;
  readonly #bandwidth: Bandwidth;
  readonly #abort = new AbortController();
  readonly #tasks: TasksInFlight;
  /** Monotonic; moves back when a chunk is used that was uploaded before. */
  #deadlineMs: number;
  /** Chunks of the earlier snapshot that are there, by the hash of their content. */
  readonly #earlier = new Map<string, ManifestChunk>();
  /** In the order of the manifest; filled as uploads end. */
  readonly #chunks: (ManifestChunk | undefined)[] = [];
  #uploadedBytes = 0;
  #reusedBytes = 0;
  #bytesDone = 0;
  #bytesTotal = 0;

  constructor(archive: ArchivedObjects, parts: WriteSnapshotParts, fresh: FreshChunks) {
    const { clock, graceMs, sizes } = archive.tools;
    this.#archive = archive;
    this.#parts = parts;
    this.#fresh = fresh;
    this.#bandwidth = new Bandwidth(clock, parts.bytesPerSecondMax);
    this.#tasks = new TasksInFlight(sizes, (error) => this.#abort.abort(error));
    this.#deadlineMs = clock.monotonicMs() + graceMs / 2;
    const { state, facts } = parts;
    assert(
      state.appliedLsn === facts.lsn && equalStateHashes(state.stateHash, facts.stateHash),
      () => `a snapshot of LSN ${facts.lsn} is written from a state of LSN ${state.appliedLsn}, or another hash`,
    );
  }

  async write(): Promise<WrittenSnapshot> {
    const { signal } = this.#parts;
    const onAbort = (): void => this.#abort.abort(signal?.reason);
    signal?.throwIfAborted();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await this.#write();
    } catch (error) {
      this.#abort.abort(error);
      await this.#tasks.settled();
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async #write(): Promise<WrittenSnapshot> {
    const { facts } = this.#parts;
    const { sizes } = this.#archive.tools;
    const usable = await this.#findEarlier();
    const plan = new RecordsPlan(recordsChunksOf(usable), facts.lsn, sizes.recordsChunkBytes);
    const digest = await this.#writeIndex(plan);
    const steps = plan.steps();
    this.#bytesTotal = this.#bytesDone + steps.reduce((sum, step) => sum + bytesOf(step), 0);
    for (const step of steps) {
      if ('reuse' in step) this.#reuse(this.#chunks.push(undefined) - 1, step.reuse);
      else await this.#writeRecords(step);
    }
    await this.#tasks.finish();
    return this.#writeManifest(digest);
  }

  /**
   * The chunks that are there of the newest manifest that can be used, at or below this LSN: of a newer one, records may be
   * missing that this snapshot has.
   */
  async #findEarlier(): Promise<readonly ManifestChunk[]> {
    const { facts, mayReuse } = this.#parts;
    const options = { signal: this.#abort.signal };
    // Before the count: many that may not be used must not hide the one that may.
    const entries = (await this.#archive.manifests(options)).filter(
      ({ lsn, name }) => lsn <= facts.lsn && mayReuse?.(name) !== false,
    );
    for (const { name } of entries.slice(0, previousMax)) {
      const manifest = await this.#readEarlier(name);
      if (manifest === undefined) continue;
      this.#bytesTotal = manifest.chunks.reduce((sum, { bytes }) => sum + bytes, 0);
      return this.#present(manifest);
    }
    return [];
  }

  async #readEarlier(name: string): Promise<Manifest | undefined> {
    try {
      return await this.#archive.read(name, { signal: this.#abort.signal });
    } catch (error) {
      const isUseless =
        isLogboomError(error, 'SNAPSHOT_CORRUPT') ||
        isLogboomError(error, 'SNAPSHOT_NOT_FOUND') ||
        isLogboomError(error, 'SNAPSHOT_VERSION_UNSUPPORTED');
      if (!isUseless) throw error;
      this.#archive.tools.logger.warn('an earlier snapshot cannot be built upon', { name, error: error.message });
      return undefined;
    }
  }

  async #present(manifest: Manifest): Promise<readonly ManifestChunk[]> {
    const { prefixes, tools } = this.#archive;
    const expected = new Map(manifest.chunks.map((chunk) => [chunk.name, chunk]));
    const present = new Set<ManifestChunk>();
    for await (const { name, bytes } of listAll(tools.store, prefixes.chunks, { signal: this.#abort.signal })) {
      const chunk = expected.get(name.slice(prefixes.chunks.length));
      if (chunk?.storedBytes === bytes) present.add(chunk);
    }
    for (const chunk of present) this.#earlier.set(contentHashOf(chunk), chunk);
    return manifest.chunks.filter((chunk) => present.has(chunk));
  }

  /** Answers the digest; counts for the plan what is alive. */
  async #writeIndex(plan: RecordsPlan): Promise<string> {
    const { state, view, facts } = this.#parts;
    const { crc32, sizes } = this.#archive.tools;
    const cuts = new KeyCuts(crc32, sizes.indexChunkBytes);
    const digest = createHash('sha256');
    let builder = new ChunkBuilder('index');
    let firstKeyHex = '';
    let lastKeyHex = '';
    const end = async (): Promise<void> => {
      if (builder.entries > 0) await this.#finishChunk(builder, { kind: 'index', firstKeyHex, lastKeyHex }, digest);
      builder = new ChunkBuilder('index');
    };
    const isLive = (entry: IndexEntry): boolean => isLiveEntry(view, entry);
    for await (const page of indexPages(state)) {
      this.#abort.signal.throwIfAborted();
      for (const entry of page) {
        if (!isLive(entry)) continue;
        const { key, value } = entry;
        if (isOfMachine(key)) {
          const lsn = view.recordsLsn(key, value);
          if (lsn !== undefined) plan.countLive(requireLsn(lsn, facts.lsn), view.recordsBytes(key, value));
        }
        if (builder.entries === 0) firstKeyHex = hexOf(key);
        builder.addIndex(entry);
        if (!cuts.endsBehind(key, indexEntryBytes(key, value), builder.bytes)) continue;
        lastKeyHex = hexOf(key);
        await end();
      }
      const last = page.findLast(isLive);
      if (last !== undefined) lastKeyHex = hexOf(last.key);
    }
    await end();
    return digest.digest('hex');
  }

  async #writeRecords({ from, to, live }: Extract<RecordsStep, { from: Lsn }>): Promise<void> {
    const { state, view } = this.#parts;
    const { recordsChunkBytes } = this.#archive.tools.sizes;
    let builder = new ChunkBuilder('records');
    let firstLsn = from;
    let lastLsn = from;
    let written = 0;
    const end = async (): Promise<void> => {
      if (builder.entries > 0) await this.#finishChunk(builder, { kind: 'records', firstLsn, lastLsn });
      builder = new ChunkBuilder('records');
    };
    for (let start = from; ;) {
      this.#abort.signal.throwIfAborted();
      const page = await state.scanRecords({ from: start, to, limit: pageEntries, maxBytes: pageBytes });
      for (const entry of page) {
        if (!isLiveRecord(state, view, entry)) continue;
        if (builder.bytes + recordsEntryBytes(entry.value.length) > recordsChunkBytes) await end();
        if (builder.entries === 0) firstLsn = entry.lsn;
        lastLsn = entry.lsn;
        builder.addRecords(entry);
        written += 1;
      }
      const last = page.at(-1);
      if (last === undefined) break;
      start = asLsn(last.lsn + 1);
    }
    await end();
    if (written === live.entries) return;
    throw new LogboomError(
      'DATA_CORRUPT',
      `the state store has ${written} of the ${live.entries} records values from LSN ${from} to ${to - 1} that its index points to; ` +
        'no snapshot is made of it',
      { facts: { from_lsn: from, to_lsn: to - 1, expected: live.entries, found: written } },
    );
  }

  async #finishChunk(builder: ChunkBuilder, range: Range, digest?: ReturnType<typeof createHash>): Promise<void> {
    const { entries } = builder;
    const { content, sha256 } = builder.seal();
    digest?.update(content.subarray(chunkHeaderBytes));
    const at = this.#chunks.push(undefined) - 1;
    const known = this.#known(sha256, range);
    if (known !== undefined) return this.#reuse(at, known);
    await this.#tasks.start(content.length, () => this.#upload(at, content, sha256, entries, range));
  }

  /** A chunk of the same content that is there already. */
  #known(sha256: string, range: Range): ManifestChunk | undefined {
    const earlier = this.#earlier.get(sha256);
    if (earlier?.kind === range.kind) return earlier;
    const fresh = this.#fresh.get(sha256);
    if (fresh?.chunk.kind !== range.kind) return undefined;
    this.#deadlineMs = Math.min(this.#deadlineMs, fresh.uploadedMs + this.#archive.tools.graceMs / 2);
    return fresh.chunk;
  }

  #reuse(at: number, chunk: ManifestChunk): void {
    this.#chunks[at] = chunk;
    this.#reusedBytes += chunk.storedBytes;
    this.#progress(chunk.bytes);
  }

  async #upload(at: number, content: Uint8Array, sha256: string, entries: number, range: Range): Promise<void> {
    const { tools, prefixes } = this.#archive;
    const { signal } = this.#abort;
    const object = await tools.compressor.compress(Codec.zstd, content);
    await this.#bandwidth.admit(object.length, signal);
    signal.throwIfAborted();
    this.#requireTime();
    const chunk = {
      ...range,
      name: chunkName(sha256, tools.random),
      bytes: content.length,
      storedBytes: object.length,
      entries,
    };
    const uploadedMs = tools.clock.monotonicMs();
    await this.#put(`${prefixes.chunks}${chunk.name}`, object);
    this.#fresh.add(sha256, chunk, uploadedMs);
    this.#chunks[at] = chunk;
    this.#progress(content.length);
  }

  async #writeManifest(digest: string): Promise<WrittenSnapshot> {
    const { clusterId, partitionId, prefixes, tools } = this.#archive;
    const { facts } = this.#parts;
    const chunks = this.#chunks.filter((chunk) => chunk !== undefined);
    assert(chunks.length === this.#chunks.length, () => 'a chunk of a snapshot was not written');
    const createdUnixMs = Math.max(0, Math.floor(tools.clock.wallMs()));
    const manifest: Manifest = { ...pick(facts), clusterId, partitionId, createdUnixMs, digest, chunks };
    const name = manifestName(facts, tools.random);
    const object = `${prefixes.manifests}${name}`;
    try {
      await this.#archive.requireChunks(object, chunks, { signal: this.#abort.signal });
    } catch (error) {
      if (isLogboomError(error, 'SNAPSHOT_CORRUPT')) this.#fresh.forget();
      throw error;
    }
    this.#abort.signal.throwIfAborted();
    this.#requireTime();
    await this.#put(object, encodeManifest(manifest));
    // It may have arrived too late; then nobody confirms it.
    this.#requireTime();
    this.#fresh.forget();
    this.#bytesTotal = this.#bytesDone;
    this.#progress(0);
    return { name, manifest, uploadedBytes: this.#uploadedBytes, reusedBytes: this.#reusedBytes };
  }

  /** `exists`: an earlier try of the object store had arrived, for nobody else uses the name. The listing compares the size. */
  async #put(object: string, bytes: Uint8Array): Promise<void> {
    const { store } = this.#archive.tools;
    await onObject(store, object, () => store.putIfAbsent(object, [bytes], { signal: this.#abort.signal }));
    this.#uploadedBytes += bytes.length;
  }

  #requireTime(): void {
    const { clock, graceMs } = this.#archive.tools;
    const lateMs = clock.monotonicMs() - this.#deadlineMs;
    if (lateMs <= 0) return;
    throw new LogboomError(
      'SNAPSHOT_EXPIRED',
      `the snapshot of LSN ${this.#parts.facts.lsn} took longer than half the grace period of ${graceMs} ms; ` +
        'its chunks may be collected. Allow more bytes a second, or a longer grace period',
      { facts: { lsn: this.#parts.facts.lsn, grace_ms: graceMs } },
    );
  }

  #progress(bytes: number): void {
    this.#bytesDone += bytes;
    this.#bytesTotal = Math.max(this.#bytesTotal, this.#bytesDone);
    this.#parts.onProgress?.({ bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal });
  }
}

const bytesOf = (step: RecordsStep): number => ('reuse' in step ? step.reuse.bytes : step.live.bytes);

const hexOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.length).toString('hex');

function requireLsn(lsn: Lsn, appliedLsn: Lsn): Lsn {
  if (lsn > 0 && lsn <= appliedLsn) return lsn;
  throw new LogboomError(
    'DATA_CORRUPT',
    `an index entry points to the records of LSN ${lsn} in a state of LSN ${appliedLsn}`,
  );
}

/** Of what the caller gave, that which a manifest has. */
function pick({ lsn, term, confState, stateHash, replicaId, nodeId, softwareVersion }: WriteSnapshotParts['facts']) {
  return { lsn, term, confState, stateHash, replicaId, nodeId, softwareVersion };
}
