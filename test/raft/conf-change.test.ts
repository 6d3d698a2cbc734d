import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asReplicaId, type ReplicaId } from '../../src/base/ids.js';
import {
  changeConf,
  ConfChangeError,
  decodeConfChange,
  emptyConfState,
  encodeConfChange,
  isJoint,
  leaveJoint,
  membersOf,
} from '../../src/raft/conf-change.js';
import { RaftDecodeError, type ConfChange, type ConfState } from '../../src/raft/index.js';
import { jointVote } from '../../src/raft/quorum.js';

const step = fc.record({
  type: fc.constantFrom('add-voter', 'add-learner', 'remove', 'update'),
  replica: fc.integer({ min: 0, max: 6 }).map(asReplicaId),
});
const change: fc.Arbitrary<ConfChange> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(leaveJoint) },
  {
    weight: 3,
    arbitrary: fc.record({
      transition: fc.constantFrom('auto', 'implicit', 'explicit'),
      steps: fc.array(step, { maxLength: 4 }),
      context: fc.uint8Array({ maxLength: 4 }),
    }),
  },
);
const start: ConfState = { ...emptyConfState, voters: [1, 2, 3].map(asReplicaId) };

/** Whether every set of replicas that decides in one configuration meets every set that decides in the other. */
function quorumsIntersect(a: ConfState, b: ConfState): boolean {
  const all = [...new Set([...membersOf(a), ...membersOf(b)])];
  const decides = (conf: ConfState, set: ReadonlySet<ReplicaId>): boolean =>
    jointVote(conf.voters, conf.votersOutgoing, (id) => set.has(id)) === 'won';
  // A set and what it leaves out are disjoint; larger disjoint pairs do not exist.
  for (let bits = 0; bits < 1 << all.length; bits += 1) {
    const set = new Set(all.filter((_, i) => (bits & (1 << i)) !== 0));
    const rest = new Set(all.filter((id) => !set.has(id)));
    if (decides(a, set) && decides(b, rest)) return false;
  }
  return true;
}

describe('configuration changes', () => {
  it('lead only to configurations whose quorums meet those of the one before', () => {
    let accepted = 0;
    let joint = 0;
    fc.assert(
      fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
        let conf = start;
        for (const each of changes) {
          let next: ConfState;
          try {
            next = changeConf(conf, each);
          } catch (error) {
            expect(error).toBeInstanceOf(ConfChangeError);
            continue;
          }
          accepted += 1;
          if (isJoint(next)) joint += 1;
          expect(next.voters.length).toBeGreaterThan(0);
          expect(quorumsIntersect(conf, next)).toBe(true);
          expect(quorumsIntersect(next, next)).toBe(true);
          conf = next;
        }
      }),
      { numRuns: 1500 },
    );
    expect(accepted).toBeGreaterThan(1000);
    expect(joint).toBeGreaterThan(200);
  });

  it('end in the same configuration through a joint one as step by step', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), (steps) => {
        const context = new Uint8Array(0);
        let stepped = start;
        let through: ConfState;
        try {
          for (const each of steps) stepped = changeConf(stepped, { transition: 'auto', steps: [each], context });
          through = changeConf(changeConf(start, { transition: 'explicit', steps, context }), leaveJoint);
        } catch (error) {
          expect(error).toBeInstanceOf(ConfChangeError);
          return;
        }
        expect(through).toEqual(stepped);
      }),
      { numRuns: 1500 },
    );
  });

  it('survive encoding', () => {
    fc.assert(
      fc.property(change, (each) => {
        expect(decodeConfChange(encodeConfChange(each))).toEqual(each);
      }),
    );
  });

  it('are refused when the bytes are anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 30 }), (bytes) => {
        try {
          expect(encodeConfChange(decodeConfChange(bytes))).toEqual(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RaftDecodeError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
