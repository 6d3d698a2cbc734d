/**
 * Page tokens: where a read stands, in a form that clients keep and send back, for as long as they like. Base64url of
 *
 *      0         1           2                      6               8
 *      | version | direction | CRC-32 of name, u32  | name bytes u16|
 *      8  | stream epoch u64
 *     16  | position u64
 *     24  | bound u64
 *     32  | CRC-32 of bytes 0 to 31, u32            | 36
 *
 * The stream is told by its name and epoch, which survive a move to another partition. A token of an epoch before a restore is
 * good up to the fork, and not beyond it: what comes next there are other records than those that it stood before. The checksum guards against
 * truncation and accident, not against forgery: a forged token only reads what its maker may read anyway.
 */
import { LogboomError } from '../base/errors.js';
import { asSeq } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import { decodeBase64url, encodeBase64url } from './base64url.js';
import { encodeUtf8, readUint32, readUint64, writeUint32, writeUint64 } from '../base/bytes.js';
import { forkSeqOf } from './fork.js';
import { otherEpoch } from './stream-table.js';
import type { Direction, ReadPosition, StreamView } from './types.js';

const version = 1;
const tokenBytes = 36;
const checkedBytes = 32;

type TokenStream = Pick<StreamView, 'name' | 'epoch'>;

export function encodePageToken(stream: TokenStream, position: ReadPosition, crc32: Crc32): string {
  const bytes = new Uint8Array(tokenBytes);
  const name = encodeUtf8(stream.name);
  bytes[0] = version;
  bytes[1] = position.direction === 'backward' ? 1 : 0;
  writeUint32(bytes, 2, crc32(name));
  bytes[6] = name.length >>> 8;
  bytes[7] = name.length;
  writeUint64(bytes, 8, stream.epoch);
  writeUint64(bytes, 16, position.seq);
  writeUint64(bytes, 24, position.boundSeq);
  writeUint32(bytes, checkedBytes, crc32(bytes.subarray(0, checkedBytes)));
  return encodeBase64url(bytes);
}

/**
 * The position that a token stands for. That it lies within the stream is checked by `requireReadable`.
 *
 * @throws LogboomError PAGE_TOKEN_INVALID, PAGE_TOKEN_WRONG_STREAM, STREAM_EPOCH_MISMATCH, PAGE_TOKEN_WRONG_DIRECTION;
 * checked in this order
 */
export function decodePageToken(
  token: string,
  stream: Pick<StreamView, 'name' | 'epoch' | 'firstSeq' | 'nextSeq' | 'forks'>,
  direction: Direction,
  crc32: Crc32,
): ReadPosition {
  const bytes = decodeBase64url(token, tokenBytes);
  if (bytes === undefined) throw invalid('it is not the text of a token; it may have been cut');
  if (crc32(bytes.subarray(0, checkedBytes)) !== readUint32(bytes, checkedBytes)) throw invalid('it was altered');
  if (bytes[0] !== version) throw invalid(`it has version ${bytes[0]}, this node knows ${version}`);
  const name = encodeUtf8(stream.name);
  if (readUint32(bytes, 2) !== crc32(name) || (bytes[6] ?? 0) * 256 + (bytes[7] ?? 0) !== name.length) {
    throw new LogboomError(
      'PAGE_TOKEN_WRONG_STREAM',
      `The page token belongs to another stream than ${JSON.stringify(stream.name)}.`,
    );
  }
  const seq = readUint64(bytes, 16);
  const boundSeq = readUint64(bytes, 24);
  const epoch = readUint64(bytes, 8);
  const seqMax = epoch === stream.epoch ? Number.MAX_SAFE_INTEGER : forkSeqOf(stream, epoch);
  if (seqMax === undefined || seq > seqMax) {
    throw otherEpoch(stream, `and the page token is of epoch ${epoch} and stands at seq ${seq}`, epoch);
  }
  const made = directionOf(bytes[1]);
  if (made === undefined || !Number.isSafeInteger(seq) || !Number.isSafeInteger(boundSeq))
    throw invalid('its content is impossible');
  if (made !== direction) {
    throw new LogboomError(
      'PAGE_TOKEN_WRONG_DIRECTION',
      `The page token was made for reading ${made}, not ${direction}.`,
      {
        facts: { token_direction: made },
      },
    );
  }
  return { direction, seq: asSeq(seq), boundSeq: asSeq(boundSeq) };
}

/**
 * @throws LogboomError RECORD_TRIMMED when the records that would come next are not retained, SEQ_BEYOND_END when the
 * stream does not reach so far
 */
export function requireReadable(position: ReadPosition, stream: StreamView): void {
  if (position.seq > stream.nextSeq) throw beyondEnd(position.seq, stream);
  // A backward read that has reached its bound wants nothing that could be missing.
  if (position.direction === 'backward' && position.seq <= position.boundSeq) return;
  if (position.seq < stream.firstSeq) throw trimmed(position.seq, stream);
}

export function trimmed(seq: number, stream: StreamView): LogboomError {
  return new LogboomError(
    'RECORD_TRIMMED',
    `Retention has deleted stream ${JSON.stringify(stream.name)} up to seq ${stream.firstSeq}; seq ${seq} is gone.`,
    { facts: { seq, first_seq: stream.firstSeq, next_seq: stream.nextSeq, stream_epoch: stream.epoch } },
  );
}

export function beyondEnd(seq: number, stream: StreamView): LogboomError {
  return new LogboomError(
    'SEQ_BEYOND_END',
    `Stream ${JSON.stringify(stream.name)} ends before seq ${stream.nextSeq}; seq ${seq} is beyond it.`,
    { facts: { seq, first_seq: stream.firstSeq, next_seq: stream.nextSeq, stream_epoch: stream.epoch } },
  );
}

function invalid(why: string): LogboomError {
  return new LogboomError('PAGE_TOKEN_INVALID', `The page token is not valid: ${why}. Begin anew from a seq.`);
}

function directionOf(byte: number | undefined): Direction | undefined {
  return byte === 0 ? 'forward' : byte === 1 ? 'backward' : undefined;
}
