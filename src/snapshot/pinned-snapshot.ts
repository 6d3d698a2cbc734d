import { LogboomError } from '../base/errors.js';
import { asLsn, type PartitionId } from '../base/ids.js';
import { Codec } from '../base/ports/compressor.js';
import type { Environment } from '../base/ports/environment.js';
import type { IndexEntry, LogicalView } from '../base/state-machine.js';
import type { StateSnapshot } from '../state-store/index.js';
import { ArchivedObjects } from './archived-objects.js';
import { ChunkBuilder } from './chunk.js';
import { FreshChunks } from './fresh-chunks.js';
import { isLiveEntry, isLiveRecord } from './liveness.js';
import { contentHashOf, encodeManifest, manifestChecksum } from './manifest.js';
import { MeasuringStore } from './measuring-store.js';
import { defaultSnapshotSizes } from './options.js';
import type {
  IndexChunk,
  Manifest,
  ManifestChunk,
  RecordsChunk,
  SnapshotFacts,
  SnapshotProgress,
  SnapshotSizes,
} from './types.js';
import { SnapshotWriter } from './writer.js';

const pageEntries = 1000;
const pageBytes = 1 << 20;

export interface PinSnapshotParts {
  readonly environment: Pick<Environment, 'clock' | 'crc32' | 'compressor' | 'random' | 'logger'>;
  readonly clusterId: string;
  readonly partitionId: PartitionId;
  /** Exactly at `facts.lsn`. It belongs to the snapshot from here on, also when this fails. */
  readonly state: StateSnapshot;
  readonly logicalView: (state: StateSnapshot) => Promise<LogicalView>;
  readonly facts: SnapshotFacts;
  readonly sizes?: Partial<SnapshotSizes>;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: SnapshotProgress) => void;
  readonly bytesPerSecondMax?: number;
}

/**
 * A snapshot that is stored nowhere: a pinned state, whose manifest is made by reading it once, and each of whose chunks is
 * made again when it is asked for. It takes no disk, and of memory the manifest and the chunks that are being made; what it
 * costs is that the state is read twice.
 */
export class PinnedSnapshot {
  readonly manifest: Manifest;
  /** Identifies it: of two that were made, also of one state, it differs. */
  readonly id: string;
  readonly encodedManifest: Uint8Array;
  readonly #parts: PinSnapshotParts;
  readonly #view: LogicalView;
  readonly #chunks: ReadonlyMap<string, ManifestChunk>;

  private constructor(parts: PinSnapshotParts, view: LogicalView, manifest: Manifest) {
    this.#parts = parts;
    this.#view = view;
    this.manifest = manifest;
    this.id = manifestChecksum(manifest);
    this.encodedManifest = encodeManifest(manifest);
    this.#chunks = new Map(manifest.chunks.map((chunk) => [chunk.name, chunk]));
  }

  /** @throws LogboomError DATA_CORRUPT when the stored state is damaged; the reason of `signal` */
  static async of(parts: PinSnapshotParts): Promise<PinnedSnapshot> {
    const { environment, state, facts, signal, onProgress, bytesPerSecondMax } = parts;
    // Nothing is stored that a collector could take.
    const tools = { ...environment, store: new MeasuringStore(), graceMs: Infinity };
    const sizes = { ...defaultSnapshotSizes, ...parts.sizes };
    try {
      const view = await parts.logicalView(state);
      const written = await new SnapshotWriter(
        new ArchivedObjects({ ...tools, sizes }, parts.clusterId, parts.partitionId),
        {
          state,
          view,
          facts,
          signal,
          ...(onProgress === undefined ? {} : { onProgress }),
          ...(bytesPerSecondMax === undefined ? {} : { bytesPerSecondMax }),
        },
        new FreshChunks(tools),
      ).write();
      return new PinnedSnapshot(parts, view, written.manifest);
    } catch (error) {
      await state.close();
      throw error;
    }
  }

  /**
   * A chunk as it would be stored.
   *
   * @throws LogboomError SNAPSHOT_NOT_FOUND when it has no such chunk; DATA_CORRUPT when the state does not give it any more
   */
  async chunk(name: string): Promise<Uint8Array> {
    const chunk = this.#chunks.get(name);
    if (chunk === undefined) {
      throw new LogboomError('SNAPSHOT_NOT_FOUND', `the snapshot of LSN ${this.manifest.lsn} has no chunk '${name}'`, {
        facts: { lsn: this.manifest.lsn, chunk: name },
      });
    }
    const { content, sha256 } = await (chunk.kind === 'index' ? this.#indexChunk(chunk) : this.#recordsChunk(chunk));
    if (sha256 !== contentHashOf(chunk)) {
      throw new LogboomError(
        'DATA_CORRUPT',
        `the pinned state of LSN ${this.manifest.lsn} does not give chunk ${name} any more: its content has SHA-256 ${sha256}`,
        { facts: { lsn: this.manifest.lsn, chunk: name } },
      );
    }
    return this.#parts.environment.compressor.compress(Codec.zstd, content);
  }

  close(): Promise<void> {
    return this.#parts.state.close();
  }

  async #indexChunk({ firstKeyHex, lastKeyHex }: IndexChunk): Promise<ReturnType<ChunkBuilder['seal']>> {
    const { state } = this.#parts;
    const builder = new ChunkBuilder('index');
    const to = behind(Buffer.from(lastKeyHex, 'hex'));
    for (let from: Uint8Array = Buffer.from(firstKeyHex, 'hex'); ;) {
      const page: readonly IndexEntry[] = await state.scanIndex({ from, to, limit: pageEntries });
      for (const entry of page) if (isLiveEntry(this.#view, entry)) builder.addIndex(entry);
      const last = page.at(-1);
      if (last === undefined) return builder.seal();
      from = behind(last.key);
    }
  }

  async #recordsChunk({ firstLsn, lastLsn }: RecordsChunk): Promise<ReturnType<ChunkBuilder['seal']>> {
    const { state } = this.#parts;
    const builder = new ChunkBuilder('records');
    const to = asLsn(lastLsn + 1);
    for (let from = firstLsn; ;) {
      const page = await state.scanRecords({ from, to, limit: pageEntries, maxBytes: pageBytes });
      for (const entry of page) if (isLiveRecord(state, this.#view, entry)) builder.addRecords(entry);
      const last = page.at(-1);
      if (last === undefined) return builder.seal();
      from = asLsn(last.lsn + 1);
    }
  }
}

/** The first key above. */
function behind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
