import type { IndexEntry } from '../base/state-machine.js';
import type { ObjectOptions } from '../object-store/types.js';
import type { ArchivedObjects } from './archived-objects.js';
import { Bandwidth } from './bandwidth.js';
import { indexEntriesOf } from './chunk-check.js';
import { fetchChunk } from './chunk-source.js';
import { indexChunksOf } from './manifest.js';
import type { Manifest } from './types.js';

/**
 * The live index entries of a snapshot, by key, without restoring it. For small states.
 *
 * @throws LogboomError SNAPSHOT_CORRUPT, REPOSITORY_UNAVAILABLE, REPOSITORY_REFUSED
 */
export async function readIndexEntries(
  archive: ArchivedObjects,
  manifest: Manifest,
  { signal = new AbortController().signal }: ObjectOptions = {},
): Promise<IndexEntry[]> {
  const bandwidth = new Bandwidth(archive.tools.clock, undefined);
  const entries: IndexEntry[] = [];
  for (const chunk of indexChunksOf(manifest.chunks)) {
    const object = `${archive.prefixes.chunks}${chunk.name}`;
    entries.push(...indexEntriesOf(object, chunk, await fetchChunk(archive, chunk, bandwidth, signal)));
  }
  return entries;
}
