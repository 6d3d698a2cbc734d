import { createHash } from 'node:crypto';
import { isLogboomError } from '../base/errors.js';
import { type Clock, sleep } from '../base/ports/clock.js';
import { Codec, CompressionError } from '../base/ports/compressor.js';
import type { ArchivedObjects } from './archived-objects.js';
import type { Bandwidth } from './bandwidth.js';
import { hashStepBytes } from './chunk.js';
import { corrupt, onObject } from './failures.js';
import { contentHashOf } from './manifest.js';
import type { ManifestChunk } from './types.js';

/** After so many bytes the hash lets other work go first. */
const pauseBytes = 4 * hashStepBytes;

/**
 * The content of a chunk, exactly as its name says.
 *
 * @throws LogboomError SNAPSHOT_CORRUPT when it is damaged or missing; REPOSITORY_UNAVAILABLE, REPOSITORY_REFUSED
 */
export async function fetchChunk(
  archive: ArchivedObjects,
  chunk: ManifestChunk,
  bandwidth: Bandwidth,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { clock, store, compressor } = archive.tools;
  const object = `${archive.prefixes.chunks}${chunk.name}`;
  await bandwidth.admit(chunk.storedBytes, signal);
  signal.throwIfAborted();
  const stored = await get(archive, object, chunk.storedBytes, signal);
  if (stored.length !== chunk.storedBytes) {
    throw corrupt(object, `has ${stored.length} bytes, its manifest says ${chunk.storedBytes} (${store.description})`);
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

async function get(
  archive: ArchivedObjects,
  object: string,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { store } = archive.tools;
  try {
    return await onObject(store, object, () => store.get(object, { bytesMax, signal }));
  } catch (error) {
    if (!isLogboomError(error, 'SNAPSHOT_NOT_FOUND')) throw error;
    throw corrupt(object, `is missing (${store.description})`, error);
  }
}

async function hashInSteps(content: Uint8Array, clock: Clock): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < content.length; at += hashStepBytes) {
    if (at > 0 && at % pauseBytes === 0) await sleep(clock, 0);
    hash.update(content.subarray(at, at + hashStepBytes));
  }
  return hash.digest('hex');
}
