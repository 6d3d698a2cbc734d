/** Lists streams of one partition by name. */
import type { StreamView } from './types.js';

/** What `listStreams` reads; the state machine is one. */
export interface StreamCatalog {
  streamByName(name: string): StreamView | undefined;
  /** Ascending by UTF-16 code units. */
  sortedStreamNames(): readonly string[];
}

export interface ListStreamsRequest {
  /** Only names that begin with this; all when empty. */
  readonly prefix: string;
  /** Only names above this; from the first when empty. */
  readonly after: string;
  readonly limit: number;
}

/**
 * Streams ascending by name (UTF-16 code units, the order of `<`); `more` when there are others above the last. Merge the
 * answers of several partitions, cut at the limit, and go on after the last name.
 */
export function listStreams(
  catalog: StreamCatalog,
  request: ListStreamsRequest,
): { streams: StreamView[]; more: boolean } {
  const { prefix, after, limit } = request;
  const names = catalog.sortedStreamNames();
  const streams: StreamView[] = [];
  let index = after >= prefix && after !== '' ? firstAbove(names, after) : firstNotBelow(names, prefix);
  for (; index < names.length; index++) {
    const name = names[index] ?? '';
    if (!name.startsWith(prefix)) break;
    if (streams.length === limit) return { streams, more: true };
    const stream = catalog.streamByName(name);
    if (stream !== undefined) streams.push(stream);
  }
  return { streams, more: false };
}

const firstNotBelow = (names: readonly string[], name: string): number =>
  search(names, (candidate) => candidate >= name);
const firstAbove = (names: readonly string[], name: string): number => search(names, (candidate) => candidate > name);

/** Index of the first name for which `holds`, which stays true from there on. */
function search(names: readonly string[], holds: (name: string) => boolean): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(names[middle] ?? '')) high = middle;
    else low = middle + 1;
  }
  return low;
}
