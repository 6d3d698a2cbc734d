/** A stream as a sequential object: what each call must answer when one comes after another. */
import type { StreamCall, StreamOperation, StreamOutcome } from '../clients/history.js';
import { checkLinearizable, type LinearizabilityAnswer, type SequentialModel } from './linearizability.js';

/** `epoch` 0: there is no such stream. An epoch below 0 is one that nobody was told of. */
export interface StreamState {
  readonly epoch: number;
  readonly nextSeq: number;
}

export const streamModel: SequentialModel<StreamCall, StreamOutcome, StreamState> = {
  initial: { epoch: 0, nextSeq: 0 },
  key: ({ epoch, nextSeq }) => `${epoch}/${nextSeq}`,
  step: (state, call, outcome) => {
    switch (call.type) {
      case 'create':
        return create(state, outcome);
      case 'delete':
        return outcome === undefined || state.epoch !== 0 ? { epoch: 0, nextSeq: 0 } : undefined;
      case 'get':
        return get(state, outcome);
      case 'append':
        return append(state, call, outcome);
    }
  },
};

function create(state: StreamState, outcome: StreamOutcome | undefined): StreamState | undefined {
  // If it exists, it stays, and the answer names it.
  if (outcome?.type !== 'created') return state.epoch === 0 ? { epoch: -1, nextSeq: 0 } : state;
  if (state.epoch === 0) return { epoch: outcome.epoch, nextSeq: 0 };
  return knownAs(state, outcome.epoch);
}

function get(state: StreamState, outcome: StreamOutcome | undefined): StreamState | undefined {
  if (outcome?.type === 'absent') return state.epoch === 0 ? state : undefined;
  if (outcome?.type !== 'found') return state;
  return state.nextSeq === outcome.nextSeq ? knownAs(state, outcome.epoch) : undefined;
}

function append(
  state: StreamState,
  call: StreamCall & { type: 'append' },
  outcome: StreamOutcome | undefined,
): StreamState | undefined {
  const { count, expectedNextSeq, expectedEpoch } = call;
  if (outcome?.type === 'seq-mismatch') {
    return state.epoch !== 0 && state.nextSeq === outcome.nextSeq && state.nextSeq !== expectedNextSeq
      ? state
      : undefined;
  }
  const isWanted =
    state.epoch !== 0 &&
    (expectedNextSeq === undefined || expectedNextSeq === state.nextSeq) &&
    (expectedEpoch === undefined || state.epoch < 0 || expectedEpoch === state.epoch);
  if (outcome === undefined) return isWanted ? { epoch: state.epoch, nextSeq: state.nextSeq + count } : state;
  if (outcome.type !== 'appended' || !isWanted || outcome.firstSeq !== state.nextSeq) return undefined;
  const known = knownAs(state, outcome.epoch);
  return known && { epoch: known.epoch, nextSeq: state.nextSeq + count };
}

/** An epoch that nobody was told of becomes known by the first answer that names it. */
function knownAs(state: StreamState, epoch: number): StreamState | undefined {
  if (state.epoch === epoch) return state;
  return state.epoch < 0 ? { epoch, nextSeq: state.nextSeq } : undefined;
}

/** @param operations of one stream, those without effect left out */
export function checkStream(
  operations: readonly StreamOperation[],
  stepsMax?: number,
): LinearizabilityAnswer<StreamCall, StreamOutcome> {
  return checkLinearizable(streamModel, operations, stepsMax);
}
