/**
 * What a replica that needs a snapshot asks another one of its group, and is answered. docs/formats/links.md has the drawing.
 *
 * ```
 * open      u8 version = 1 | u8 1 | u64 lowest LSN
 * manifest  u8 version = 1 | u8 2 | text id | u64 offset
 * chunk     u8 version = 1 | u8 3 | text id | text name
 * close     u8 version = 1 | u8 4 | text id
 *
 * open is answered   u8 version = 1 | u8 1 (being prepared) | u64 LSN, 0: unknown | u64 bytes done | u64 bytes in all
 *                 or u8 version = 1 | u8 2 (there) | u64 LSN | text id | u64 bytes of the manifest
 * ```
 *
 * The others are answered with bytes: of the manifest from the offset on, up to {@link manifestPartBytes}; of the chunk as it is stored; none.
 */
import { encodeUtf8 } from '../base/bytes.js';
import { LayoutReader, LayoutWriter, textBytes } from '../base/fixed-layout.js';
import { asLsn, type Lsn } from '../base/ids.js';

const version = 1;
const kinds = { open: 1, manifest: 2, chunk: 3, close: 4 } as const;
const states = { preparing: 1, ready: 2 } as const;

export const manifestPartBytes = 1 << 20;

export type PeerRequest =
  | { readonly type: 'open'; readonly minLsn: Lsn }
  | { readonly type: 'manifest'; readonly id: string; readonly offset: number }
  | { readonly type: 'chunk'; readonly id: string; readonly name: string }
  | { readonly type: 'close'; readonly id: string };

export type OpenAnswer =
  | { readonly type: 'preparing'; readonly lsn: Lsn; readonly bytesDone: number; readonly bytesTotal: number }
  | { readonly type: 'ready'; readonly lsn: Lsn; readonly id: string; readonly manifestBytes: number };

export function encodePeerRequest(request: PeerRequest): Uint8Array {
  if (request.type === 'open') {
    return new LayoutWriter(version, 10).uint8(kinds.open).uint64(request.minLsn).finish();
  }
  const id = encodeUtf8(request.id);
  const name = encodeUtf8(request.type === 'chunk' ? request.name : '');
  const tail = request.type === 'manifest' ? 8 : request.type === 'chunk' ? textBytes(name) : 0;
  const writer = new LayoutWriter(version, 2 + textBytes(id) + tail).uint8(kinds[request.type]).text(id);
  if (request.type === 'manifest') writer.uint64(request.offset);
  if (request.type === 'chunk') writer.text(name);
  return writer.finish();
}

/** @throws LogboomError DATA_CORRUPT */
export function decodePeerRequest(bytes: Uint8Array): PeerRequest {
  const reader = new LayoutReader('request for a snapshot', bytes, version);
  const request = decodeKind(reader);
  reader.end();
  return request;
}

function decodeKind(reader: LayoutReader): PeerRequest {
  const kind = reader.uint8();
  switch (kind) {
    case kinds.open:
      return { type: 'open', minLsn: asLsn(reader.uint64()) };
    case kinds.manifest:
      return { type: 'manifest', id: reader.text(), offset: reader.uint64() };
    case kinds.chunk:
      return { type: 'chunk', id: reader.text(), name: reader.text() };
    case kinds.close:
      return { type: 'close', id: reader.text() };
    default:
      throw reader.corrupt(`kind ${kind}`);
  }
}

export function encodeOpenAnswer(answer: OpenAnswer): Uint8Array {
  if (answer.type === 'preparing') {
    const { lsn, bytesDone, bytesTotal } = answer;
    return new LayoutWriter(version, 26)
      .uint8(states.preparing)
      .uint64(lsn)
      .uint64(bytesDone)
      .uint64(bytesTotal)
      .finish();
  }
  const id = encodeUtf8(answer.id);
  return new LayoutWriter(version, 18 + textBytes(id))
    .uint8(states.ready)
    .uint64(answer.lsn)
    .text(id)
    .uint64(answer.manifestBytes)
    .finish();
}

/** @throws LogboomError DATA_CORRUPT */
export function decodeOpenAnswer(bytes: Uint8Array): OpenAnswer {
  const reader = new LayoutReader('offer of a snapshot', bytes, version);
  const state = reader.uint8();
  const lsn = asLsn(reader.uint64());
  let answer: OpenAnswer;
  if (state === states.preparing) {
    answer = { type: 'preparing', lsn, bytesDone: reader.uint64(), bytesTotal: reader.uint64() };
  } else if (state === states.ready) {
    answer = { type: 'ready', lsn, id: reader.text(), manifestBytes: reader.uint64() };
  } else {
    throw reader.corrupt(`state ${state}`);
  }
  reader.end();
  return answer;
}
