import { describe, expect, it } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { asLsn, asReplicaId } from '../../src/base/ids.js';
import { ConfHistory } from '../../src/partition/conf-history.js';
import { decodeConfState, encodeConfState } from '../../src/partition/conf-state.js';
import type { ConfState } from '../../src/raft/types.js';

const of = (...voters: number[]): ConfState => ({
  voters: voters.map(asReplicaId),
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
});

describe('ConfHistory', () => {
  it('answers the configuration in force at an LSN', () => {
    const history = new ConfHistory(asLsn(10), of(1));
    history.changed(asLsn(20), of(1, 2));
    history.changed(asLsn(30), of(1, 2, 3));
    expect(history.at(asLsn(10))).toEqual(of(1));
    expect(history.at(asLsn(19))).toEqual(of(1));
    expect(history.at(asLsn(20))).toEqual(of(1, 2));
    expect(history.latest).toEqual(of(1, 2, 3));
    history.forgetBelow(asLsn(25));
    expect(history.at(asLsn(25))).toEqual(of(1, 2));
    expect(() => history.at(asLsn(19))).toThrow(InvariantViolation);
  });

  it('knows what is applied once more after a store was reopened', () => {
    const history = new ConfHistory(asLsn(10), of(1));
    history.changed(asLsn(20), of(1, 2));
    expect(history.covers(asLsn(20))).toBe(true);
    expect(history.covers(asLsn(21))).toBe(false);
    expect(() => history.changed(asLsn(20), of(1))).toThrow(InvariantViolation);
  });
});

describe('stored configuration', () => {
  it('comes back as it was', () => {
    const joint: ConfState = {
      ...of(1, 2, 3),
      votersOutgoing: [asReplicaId(1)],
      learnersNext: [asReplicaId(4)],
      autoLeave: true,
    };
    expect(decodeConfState(encodeConfState(joint))).toEqual(joint);
  });

  it.each(['', '{', '[]', '{"voters":[0]}', '{"voters":"1"}', '{"voters":[1],"votersOutgoing":[],"learners":[1.5]}'])(
    'refuses %j',
    (text) => {
      expect(() => decodeConfState(new TextEncoder().encode(text))).toThrow(
        expect.objectContaining({ reason: 'STATE_STORE_CORRUPT' }),
      );
    },
  );
});
