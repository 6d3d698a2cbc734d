import { createHash } from 'node:crypto';
import type { PartitionId } from '../base/ids.js';
import { type Clock, sleep } from '../base/ports/clock.js';
import { Codec, CompressionError } from '../base/ports/compressor.js';
import type { Bandwidth } from './bandwidth.js';
import { hashStepBytes } from './chunk.js';
import { corrupt } from './failures.js';
import { contentHashOf } from './manifest.js';
import type { SnapshotTools } from './options.js';
import type { ManifestChunk } from './types.js';

/** Where the chunks of a partition's snapshots come from: a repository, or another replica. */
export interface ChunkSource {
  readonly clusterId: string;
  readonly partitionId: PartitionId;
  readonly tools: Pick<SnapshotTools, 'clock' | 'compressor' | 'sizes'>;
  /** What a chunk is called in errors. */
  objectOf(chunk: ManifestChunk): string;
  /**
   * A chunk as it is stored, at most as large as its manifest says; whoever calls verifies it.
   *
   * @throws LogboomError SNAPSHOT_CORRUPT when it is missing, and what the source throws when it cannot be reached
   */
  getStored(chunk: ManifestChunk, signal: AbortSignal): Promise<Uint8Array>;
}

/** After so many bytes the hash lets other work go first. */
const pauseBytes = 4 * hashStepBytes;

/**
 * The content of a chunk, exactly as its name says.
 *
 * @throws LogboomError SNAPSHOT_CORRUPT when it is damaged or missing; what the source throws when it cannot be reached
 */
export async function fetchChunk(
  source: ChunkSource,
  chunk: ManifestChunk,
  bandwidth: Bandwidth,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { clock, compressor } = source.tools;
  const object = source.objectOf(chunk);
  await bandwidth.admit(chunk.storedBytes, signal);
  signal.throwIfAborted();
  const stored = await source.getStored(chunk, signal);
  if (stored.length !== chunk.storedBytes) {
    throw corrupt(object, `has ${stored.length} bytes, its manifest says ${chunk.storedBytes}`);
  }
  let content: Uint8Array;
  try {
    content = await compressor.decompress(Codec.zstd, stored, chunk.bytes);
  } catch (error) {
    if (!(error instanceof CompressionError)) throw error;
    throw corrupt(object, `is damaged: ${error.message}`, error);
  }
  signal.throwIfAborted();
  const sha256 = await hashInSteps(content, clock);
  if (content.length !== chunk.bytes || sha256 !== contentHashOf(chunk)) {
    throw corrupt(object, `is damaged: it has ${content.length} bytes of content with SHA-256 ${sha256}`);
  }
  return content;
}

async function hashInSteps(content: Uint8Array, clock: Clock): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < content.length; at += hashStepBytes) {
    if (at > 0 && at % pauseBytes === 0) await sleep(clock, 0);
    hash.update(content.subarray(at, at + hashStepBytes));
  }
  return hash.digest('hex');
}
