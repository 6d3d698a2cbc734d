/** From what a client asked for to a position. */
import { asSeq } from '../base/ids.js';
import type { Crc32 } from '../base/ports/environment.js';
import type { StateReader } from '../base/state-machine.js';
import { seqAtTime } from './batch-index.js';
import { beyondEnd, decodePageToken, requireReadable, trimmed } from './page-token.js';
import { inRange } from './read-options.js';
import type { Direction, ReadPosition, ReadStart, StreamView } from './types.js';

export async function resolveReadStart(
  reader: StateReader,
  stream: StreamView,
  start: ReadStart,
  direction: Direction,
  crc32: Crc32,
): Promise<ReadPosition> {
  switch (start.type) {
    case 'edge':
      return newestOr(stream, direction, stream.firstSeq);
    case 'end':
      return { direction, seq: stream.nextSeq, boundSeq: asSeq(direction === 'forward' ? 0 : stream.nextSeq) };
    case 'seq':
      return atSeq(stream, direction, start.seq);
    case 'since':
      return newestOr(stream, direction, await seqAtTime(reader, stream, start.timeMs), true);
    case 'last':
      inRange('last', start.count, 0, Number.MAX_SAFE_INTEGER);
      return newestOr(stream, direction, Math.max(stream.firstSeq, stream.nextSeq - start.count), true);
    case 'token': {
      const position = decodePageToken(start.token, stream, direction, crc32);
      requireReadable(position, stream);
      return position;
    }
  }
}

/** Forward from `oldest`; backward from the newest record, down to `oldest` when the read is bound to it. */
function newestOr(stream: StreamView, direction: Direction, oldest: number, isBound = false): ReadPosition {
  if (direction === 'forward') return { direction, seq: asSeq(oldest), boundSeq: asSeq(0) };
  return { direction, seq: stream.nextSeq, boundSeq: asSeq(isBound ? oldest : 0) };
}

function atSeq(stream: StreamView, direction: Direction, seq: number): ReadPosition {
  inRange('from_seq', seq, 0, Number.MAX_SAFE_INTEGER);
  if (seq > stream.nextSeq) throw beyondEnd(seq, stream);
  if (seq < stream.firstSeq) throw trimmed(seq, stream);
  if (direction === 'forward') return { direction, seq: asSeq(seq), boundSeq: asSeq(0) };
  // Backward a position is one above the record that comes next; the end of the stream is such a position already.
  return { direction, seq: asSeq(Math.min(seq + 1, stream.nextSeq)), boundSeq: asSeq(0) };
}
