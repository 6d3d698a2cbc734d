/** A snapshot that another replica of the group streams of its own state: the asking side of snapshot-supplier.ts. */
import { isLogboomError, LogboomError, type Reason } from '../base/errors.js';
import type { Lsn, PartitionId, ReplicaId } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import {
  manifestSha256,
  parseManifest,
  type ChunkSource,
  type Manifest,
  type ManifestChunk,
  type SnapshotProgress,
  type SnapshotSizes,
} from '../snapshot/index.js';
import {
  decodeOpenAnswer,
  encodePeerRequest,
  manifestPartBytes,
  type OpenAnswer,
  type PeerRequest,
} from './peer-messages.js';
import type { ReplicaTransport } from './types.js';

export interface PeerSnapshotParts {
  readonly partitionId: PartitionId;
  readonly clusterId: string;
  readonly environment: Pick<Environment, 'clock' | 'compressor'>;
  readonly ask: ReplicaTransport['ask'];
  readonly sizes: SnapshotSizes;
}

/** The other side reads its whole state before it has an offer; it is asked again so often. */
const againMs = 500;
/** Of one answer. A chunk is at most some tens of MiB. */
const answerMs = 60_000;
const openAnswerBytesMax = 1024;
/** A connection that breaks is soon there again; when it is not, the attempt ends, and the next one goes on from there. */
const tries = 4;
const retryMs = 250;
const manifestBytesMax = 256 << 20;

const passing: readonly Reason[] = ['NODE_UNREACHABLE', 'LINK_CORRUPT', 'DEADLINE_EXCEEDED', 'QUEUE_FULL'];

export class PeerSnapshot implements ChunkSource {
  readonly clusterId: string;
  readonly partitionId: PartitionId;
  readonly tools: ChunkSource['tools'];
  readonly manifest: Manifest;
  readonly replica: ReplicaId;
  readonly #parts: PeerSnapshotParts;
  readonly #id: string;

  private constructor(parts: PeerSnapshotParts, replica: ReplicaId, id: string, manifest: Manifest) {
    const { environment, sizes } = parts;
    this.clusterId = parts.clusterId;
    this.partitionId = parts.partitionId;
    this.tools = { clock: environment.clock, compressor: environment.compressor, sizes };
    this.manifest = manifest;
    this.replica = replica;
    this.#parts = parts;
    this.#id = id;
  }

  /**
   * Resolves when the replica has an offer of `minLsn` or above.
   *
   * @throws LogboomError what the replica answers (NOT_LEADER, SNAPSHOT_NOT_CONFIRMED, DATA_CORRUPT, ...); NODE_UNREACHABLE,
   * DEADLINE_EXCEEDED; SNAPSHOT_CORRUPT when what it offers is not what was asked for
   */
  static async open(
    parts: PeerSnapshotParts,
    replica: ReplicaId,
    minLsn: Lsn,
    {
      signal,
      onPreparing,
    }: { readonly signal: AbortSignal; readonly onPreparing: (lsn: Lsn, progress: SnapshotProgress) => void },
  ): Promise<PeerSnapshot> {
    const { partitionId, clusterId, environment } = parts;
    const ask = (request: PeerRequest, bytesMax: number): Promise<Uint8Array> =>
      askAgain(parts, replica, request, { signal, bytesMax });
    for (;;) {
      const answer: OpenAnswer = decodeOpenAnswer(await ask({ type: 'open', minLsn }, openAnswerBytesMax));
      if (answer.type === 'preparing') {
        const { lsn, bytesDone, bytesTotal } = answer;
        onPreparing(lsn, { bytesDone, bytesTotal });
        await sleep(environment.clock, againMs, signal);
        signal.throwIfAborted();
        continue;
      }
      const { id, manifestBytes } = answer;
      const object = `the manifest that replica ${replica} of partition ${partitionId} sends`;
      if (manifestBytes > manifestBytesMax)
        throw notAsked(object, `has ${manifestBytes} bytes, more than ${manifestBytesMax}`);
      const bytes = new Uint8Array(manifestBytes);
      for (let offset = 0; offset < manifestBytes;) {
        const part = await ask({ type: 'manifest', id, offset }, manifestPartBytes);
        if (part.length === 0 || part.length > manifestBytes - offset)
          throw notAsked(object, `is cut short at ${offset}`);
        bytes.set(part, offset);
        offset += part.length;
      }
      const manifest = parseManifest(object, bytes);
      if (manifest.clusterId !== clusterId || manifest.partitionId !== partitionId) {
        throw notAsked(object, `belongs to partition ${manifest.partitionId} of cluster ${manifest.clusterId}`);
      }
      if (manifest.lsn < minLsn) throw notAsked(object, `is of LSN ${manifest.lsn}, below LSN ${minLsn}`);
      if (manifestSha256(manifest) !== id) throw notAsked(object, `is not the one that it offered as ${id}`);
      return new PeerSnapshot(parts, replica, id, manifest);
    }
  }

  objectOf({ name }: ManifestChunk): string {
    return `chunk ${name} that replica ${this.replica} of partition ${this.partitionId} sends`;
  }

  getStored({ name, storedBytes }: ManifestChunk, signal: AbortSignal): Promise<Uint8Array> {
    return askAgain(
      this.#parts,
      this.replica,
      { type: 'chunk', id: this.#id, name },
      { signal, bytesMax: storedBytes },
    );
  }

  /** The other side may let go of it. */
  async close(): Promise<void> {
    const { ask, partitionId } = this.#parts;
    const signal = new AbortController().signal;
    const request = encodePeerRequest({ type: 'close', id: this.#id });
    // One that does not hear of it lets go after a while.
    await ask(partitionId, this.replica, request, { signal, timeoutMs: 1000, answerBytesMax: 0 }).catch(() => {});
  }
}

async function askAgain(
  { ask, partitionId, environment }: PeerSnapshotParts,
  replica: ReplicaId,
  request: PeerRequest,
  { signal, bytesMax }: { readonly signal: AbortSignal; readonly bytesMax: number },
): Promise<Uint8Array> {
  const bytes = encodePeerRequest(request);
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      return await ask(partitionId, replica, bytes, { signal, timeoutMs: answerMs, answerBytesMax: bytesMax });
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === tries || !isLogboomError(error) || !passing.includes(error.reason)) throw error;
      await sleep(environment.clock, retryMs * attempt, signal);
    }
  }
}

function notAsked(object: string, problem: string): LogboomError {
  return new LogboomError('SNAPSHOT_CORRUPT', `${object} ${problem}`, { facts: { object } });
}
