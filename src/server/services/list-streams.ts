/** ListStreams over all partitions of the node: the pages of each, merged by name. */
import { LogboomError } from '../../base/errors.js';
import { listStreams, readLimits } from '../../streams/index.js';
import type { Crc32 } from '../../base/ports/environment.js';
import type { StreamView } from '../../streams/index.js';
import type { StreamsReplica } from './routing.js';

export interface ListStreamsRequest {
  readonly prefix: string;
  readonly limit?: number | undefined;
  readonly pageToken: string;
}

export interface ListedStreams {
  readonly streams: readonly { readonly replica: StreamsReplica; readonly stream: StreamView }[];
  /** Empty after the last page. */
  readonly nextPageToken: string;
}

/** @throws LogboomError INVALID_ARGUMENT, PAGE_TOKEN_INVALID */
export function listAllStreams(
  replicas: readonly StreamsReplica[],
  { prefix, limit = readLimits.listDefault, pageToken }: ListStreamsRequest,
  crc32: Crc32,
  isVisible: ((stream: string) => boolean) | undefined,
): ListedStreams {
  if (limit < 1 || limit > readLimits.listMax) {
    throw new LogboomError('INVALID_ARGUMENT', `limit is ${limit}; it must be 1 to ${readLimits.listMax}.`, {
      facts: { field: 'limit', value: limit, min: 1, max: readLimits.listMax },
    });
  }
  const after = pageToken === '' ? '' : nameOfToken(pageToken, crc32);
  const pages = replicas.map((replica) => ({
    replica,
    ...listVisible(replica.machine, { prefix, after, limit }, isVisible),
  }));
  const merged = pages
    .flatMap(({ replica, streams }) => streams.map((stream) => ({ replica, stream })))
    .toSorted((left, right) => (left.stream.name < right.stream.name ? -1 : 1));
  const streams = merged.slice(0, limit);
  const last = streams.at(-1);
  const more = merged.length > limit || pages.some((page) => page.more);
  return { streams, nextPageToken: more && last ? streamsPageToken(last.stream.name, crc32) : '' };
}

/**
 * Those of one partition that may be seen. On and on until the page is full: a token of a page names its last stream, which
 * must not be one that may not be seen.
 */
function listVisible(
  machine: StreamsReplica['machine'],
  request: { readonly prefix: string; readonly after: string; readonly limit: number },
  isVisible: ((stream: string) => boolean) | undefined,
): { readonly streams: readonly StreamView[]; readonly more: boolean } {
  if (isVisible === undefined) return listStreams(machine, request);
  const streams: StreamView[] = [];
  let { after } = request;
  for (;;) {
    const page = listStreams(machine, { ...request, after });
    const visible = page.streams.filter(({ name }) => isVisible(name));
    const room = request.limit - streams.length;
    streams.push(...visible.slice(0, room));
    if (visible.length > room) return { streams, more: true };
    const last = page.streams.at(-1);
    if (!page.more || last === undefined) return { streams, more: false };
    after = last.name;
  }
}

/** Base64url of version (1), CRC-32 of the name (4, big-endian), the name. */
const version = 1;

export function streamsPageToken(name: string, crc32: Crc32): string {
  const bytes = Buffer.from(name);
  const header = Buffer.alloc(5);
  header[0] = version;
  header.writeUInt32BE(crc32(bytes), 1);
  return Buffer.concat([header, bytes]).toString('base64url');
}

function nameOfToken(token: string, crc32: Crc32): string {
  const bytes = Buffer.from(token, 'base64url');
  const name = bytes.subarray(5);
  if (bytes.length < 6 || bytes[0] !== version || bytes.readUInt32BE(1) !== crc32(name)) {
    throw new LogboomError('PAGE_TOKEN_INVALID', 'The page token is no token of ListStreams, or it was altered.');
  }
  return name.toString();
}
