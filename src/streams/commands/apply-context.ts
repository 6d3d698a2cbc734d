/** What a command is applied to, and the answer that it was refused. */
import type { ErrorFacts, Reason } from '../../base/errors.js';
import type { Lsn } from '../../base/ids.js';
import type { StateTransaction } from '../../base/state-machine.js';
import type { ClearingWork } from '../clearing-work.js';
import type { ProducerTable } from '../producer-table.js';
import { otherEpoch, viewOf } from '../stream-table.js';
import type { StreamState, StreamTable } from '../stream-table.js';
import type { RefusedResult } from '../types.js';

export interface ApplyContext {
  readonly lsn: Lsn;
  /** Entry time: the leader's stamp, but never before that of an entry that changed something. */
  readonly timeMs: number;
  readonly transaction: StateTransaction;
  readonly streams: StreamTable;
  readonly producers: ProducerTable;
  readonly clearing: ClearingWork;
}

export function refused(reason: Reason, message: string, facts: ErrorFacts = {}): RefusedResult {
  return { type: 'refused', reason, message, facts };
}

export function streamGone(streamId: number): RefusedResult {
  return refused('STREAM_NOT_FOUND', 'The stream was deleted.', { stream_id: streamId });
}

export function epochMismatch(stream: StreamState, expectedEpoch: number): RefusedResult {
  const { reason, message, facts } = otherEpoch(viewOf(stream), `expected was ${expectedEpoch}`, expectedEpoch);
  return refused(reason, message, facts);
}

export function fencingMismatch(stream: StreamState): RefusedResult {
  const carried = stream.fencingToken === '' ? 'no fencing token' : 'another fencing token';
  return refused('FENCING_TOKEN_MISMATCH', `Stream ${JSON.stringify(stream.name)} carries ${carried}.`);
}
