import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asLsn, asReplicaId, asTerm } from '../../src/base/ids.js';
import { decodeMessage, encodeMessage, RaftDecodeError, type Message } from '../../src/raft/index.js';

const number = fc.oneof(fc.nat(300), fc.maxSafeNat());
const lsn = fc.oneof(fc.nat(300), fc.nat({ max: 2 ** 31 - 1 })).map(asLsn);
const term = number.map(asTerm);
const replica = fc.integer({ min: 1, max: 2 ** 31 - 1 }).map(asReplicaId);
const kind = fc.constantFrom<0 | 1 | 2>(0, 1, 2);
const data = fc.uint8Array({ maxLength: 40 });
const base = { from: replica, to: replica, term };
const replicas = fc
  .uniqueArray(fc.integer({ min: 1, max: 500 }), { maxLength: 5 })
  .map((ids) => ids.sort((a, b) => a - b).map(asReplicaId));
const confState = fc.record({
  voters: replicas,
  votersOutgoing: replicas,
  learners: replicas,
  learnersNext: replicas,
  autoLeave: fc.boolean(),
});

const append = fc
  .record({
    ...base,
    previousLsn: lsn,
    previousTerm: term,
    commit: lsn,
    content: fc.array(fc.record({ kind, term, data })),
  })
  .map(({ content, ...rest }): Message => {
    const entries = content.map((entry, i) => ({ ...entry, lsn: asLsn(rest.previousLsn + i + 1) }));
    return { type: 'append', ...rest, entries };
  });

const message: fc.Arbitrary<Message> = fc.oneof(
  append,
  fc.record({
    type: fc.constant('append-response' as const),
    ...base,
    lsn,
    rejected: fc.boolean(),
    hintLsn: lsn,
    hintTerm: term,
  }),
  fc.record({ type: fc.constant('heartbeat' as const), ...base, commit: lsn, round: number }),
  fc.record({ type: fc.constant('heartbeat-response' as const), ...base, round: number }),
  fc.record({ type: fc.constant('quiet' as const), ...base, commit: lsn, round: number, epoch: number }),
  fc.record({ type: fc.constant('quiet-response' as const), ...base, round: number }),
  fc.record({
    type: fc.constantFrom('vote' as const, 'pre-vote' as const),
    ...base,
    lastLsn: lsn,
    lastTerm: term,
    leadershipTransfer: fc.boolean(),
  }),
  fc.record({
    type: fc.constantFrom('vote-response' as const, 'pre-vote-response' as const),
    ...base,
    rejected: fc.boolean(),
  }),
  fc.record({ type: fc.constant('snapshot' as const), ...base, start: fc.record({ lsn, term, confState }) }),
  fc.record({
    type: fc.constantFrom('snapshot-failed' as const, 'timeout-now' as const, 'transfer-leader' as const),
    ...base,
  }),
  fc.record({ type: fc.constant('propose' as const), ...base, proposals: fc.array(fc.record({ kind, data })) }),
  fc.record({ type: fc.constant('read-index' as const), ...base, context: number }),
  fc.record({ type: fc.constant('read-index-response' as const), ...base, lsn, context: number }),
);

/** Decodes, or proves that the only error is the declared one; a message that decodes has exactly these bytes. */
function decodesStrictly(bytes: Uint8Array): boolean {
  try {
    expect(encodeMessage(decodeMessage(bytes))).toEqual(bytes);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(RaftDecodeError);
    return false;
  }
}

describe('message codec', () => {
  it('gives back every message', () => {
    fc.assert(
      fc.property(message, (each) => {
        expect(decodeMessage(encodeMessage(each))).toEqual(each);
      }),
      { numRuns: 3000 },
    );
  });

  it('refuses every proper prefix and every extension', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 3 }), (each, at, more) => {
        const bytes = encodeMessage(each);
        expect(() => decodeMessage(bytes.subarray(0, at % bytes.length))).toThrow(RaftDecodeError);
        expect(() => decodeMessage(new Uint8Array([...bytes, ...more]))).toThrow(RaftDecodeError);
      }),
      { numRuns: 1500 },
    );
  });

  it('answers garbage with its own error only', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void decodesStrictly(new Uint8Array([1, ...bytes]))),
      { numRuns: 4000 },
    );
  });

  it('answers damaged messages with its own error only', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (each, at, flip) => {
        const bytes = encodeMessage(each);
        bytes[at % bytes.length]! ^= flip;
        decodesStrictly(bytes);
      }),
      { numRuns: 4000 },
    );
  });

  it('keeps its layout', () => {
    const golden: Message = {
      type: 'append',
      from: asReplicaId(1),
      to: asReplicaId(2),
      term: asTerm(300),
      previousLsn: asLsn(128),
      previousTerm: asTerm(7),
      commit: asLsn(100),
      entries: [{ term: asTerm(300), lsn: asLsn(129), kind: 0, data: new Uint8Array([9, 8]) }],
    };
    const bytes = [1, 0, 1, 2, 0xac, 2, 0x80, 1, 7, 100, 1, 0, 0xac, 2, 2, 9, 8];
    expect([...encodeMessage(golden)]).toEqual(bytes);
    expect(decodeMessage(new Uint8Array(bytes))).toEqual(golden);
  });
});
