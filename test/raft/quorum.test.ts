import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asReplicaId, type ReplicaId } from '../../src/base/ids.js';
import { jointReached, jointVote, majorityReached, majorityVote } from '../../src/raft/quorum.js';

const replicas = fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 7 }).map((ids) => ids.map(asReplicaId));
const values = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 10, maxLength: 10 });
const ballots = fc.array(fc.constantFrom(true, false, undefined), { minLength: 10, maxLength: 10 });

/** Straight from the definition: the highest value that more than half have reached. */
function naiveReached(voters: readonly ReplicaId[], reached: (id: ReplicaId) => number): number {
  if (voters.length === 0) return Infinity;
  for (let value = 20; ; value -= 1) {
    if (voters.filter((id) => reached(id) >= value).length * 2 > voters.length) return value;
  }
}

/** Straight from the definition: what do all, and what do no ways to fill in the missing votes decide? */
function naiveVote(voters: readonly ReplicaId[], voteOf: (id: ReplicaId) => boolean | undefined): string {
  const wins = (missing: boolean): boolean =>
    voters.length === 0 || voters.filter((id) => voteOf(id) ?? missing).length * 2 > voters.length;
  return wins(false) ? 'won' : wins(true) ? 'pending' : 'lost';
}

describe('quorum', () => {
  it('finds what a majority has reached', () => {
    fc.assert(
      fc.property(replicas, values, (voters, of) => {
        const reached = (id: ReplicaId): number => of[id]!;
        expect(majorityReached(voters, reached)).toBe(naiveReached(voters, reached));
      }),
      { numRuns: 2000 },
    );
  });

  it('finds what both halves of a joint configuration have reached', () => {
    fc.assert(
      fc.property(replicas, replicas, values, (incoming, outgoing, of) => {
        const reached = (id: ReplicaId): number => of[id]!;
        const naive = Math.min(naiveReached(incoming, reached), naiveReached(outgoing, reached));
        expect(jointReached(incoming, outgoing, reached)).toBe(naive);
        expect(jointReached(outgoing, incoming, reached)).toBe(naive);
      }),
      { numRuns: 2000 },
    );
  });

  it('decides votes as all completions of them would', () => {
    fc.assert(
      fc.property(replicas, replicas, ballots, (incoming, outgoing, of) => {
        const voteOf = (id: ReplicaId): boolean | undefined => of[id];
        expect(majorityVote(incoming, voteOf)).toBe(naiveVote(incoming, voteOf));
        const halves = [naiveVote(incoming, voteOf), naiveVote(outgoing, voteOf)];
        const naive = halves.includes('lost') ? 'lost' : halves.includes('pending') ? 'pending' : 'won';
        expect(jointVote(incoming, outgoing, voteOf)).toBe(naive);
      }),
      { numRuns: 2000 },
    );
  });
});
