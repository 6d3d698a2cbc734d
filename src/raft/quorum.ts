import { at } from './at.js';
import type { ReplicaId } from '../base/ids.js';
import type { ConfState } from './types.js';

/** `pending`: the votes that are still out decide. */
export type VoteResult = 'won' | 'lost' | 'pending';

/** Votes that make a majority of `voterCount`. */
export function majorityOf(voterCount: number): number {
  return Math.floor(voterCount / 2) + 1;
}

const scratch: number[] = [];

/**
 * The highest value that a majority of `voters` has reached. Infinity without voters, so that an empty half of a joint
 * configuration never holds the other half back.
 */
export function majorityReached(voters: readonly ReplicaId[], reached: (replica: ReplicaId) => number): number {
  const count = voters.length;
  if (count === 0) return Infinity;
  if (count === 1) return reached(at(voters, 0));
  // Insertion sort, ascending: configurations are small, and this allocates nothing.
  for (let i = 0; i < count; i += 1) {
    const value = reached(at(voters, i));
    let place = i;
    while (place > 0 && at(scratch, place - 1) > value) {
      scratch[place] = at(scratch, place - 1);
      place -= 1;
    }
    scratch[place] = value;
  }
  return at(scratch, count - majorityOf(count));
}

/** The highest value that majorities of both halves of a joint configuration have reached (dissertation 4.3). */
export function jointReached(
  incoming: readonly ReplicaId[],
  outgoing: readonly ReplicaId[],
  reached: (replica: ReplicaId) => number,
): number {
  const first = majorityReached(incoming, reached);
  return outgoing.length === 0 ? first : Math.min(first, majorityReached(outgoing, reached));
}

/** Whether a majority of `voters` said yes; `undefined` is a vote still out. Won without voters. */
export function majorityVote(
  voters: readonly ReplicaId[],
  voteOf: (replica: ReplicaId) => boolean | undefined,
): VoteResult {
  if (voters.length === 0) return 'won';
  let yes = 0;
  let out = 0;
  for (const voter of voters) {
    const vote = voteOf(voter);
    if (vote === undefined) out += 1;
    else if (vote) yes += 1;
  }
  const needed = majorityOf(voters.length);
  if (yes >= needed) return 'won';
  return yes + out >= needed ? 'pending' : 'lost';
}

/** Won when both halves are won, lost when one is lost. */
export function jointVote(
  incoming: readonly ReplicaId[],
  outgoing: readonly ReplicaId[],
  voteOf: (replica: ReplicaId) => boolean | undefined,
): VoteResult {
  const first = majorityVote(incoming, voteOf);
  const second = majorityVote(outgoing, voteOf);
  if (first === second) return first;
  return first === 'lost' || second === 'lost' ? 'lost' : 'pending';
}

/** Whether `isIn` holds for a quorum: a majority of the voters, and of both halves of a joint configuration. */
export function isQuorum(
  { voters, votersOutgoing }: Pick<ConfState, 'voters' | 'votersOutgoing'>,
  isIn: (replica: ReplicaId) => boolean,
): boolean {
  return jointVote(voters, votersOutgoing, isIn) === 'won';
}
