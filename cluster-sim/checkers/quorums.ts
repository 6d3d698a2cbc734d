/** Quorums of configurations, computed the naive way: the checkers must not share code with what they check. */
import type { ConfState } from '../../src/raft/types.js';

/** Whether a set of replicas is a quorum: a majority of the voters, in a joint configuration of both sets. */
export function isQuorum(confState: ConfState, has: (replica: number) => boolean): boolean {
  return isMajority(confState.voters, has) && isMajority(confState.votersOutgoing, has);
}

function isMajority(voters: readonly number[], has: (replica: number) => boolean): boolean {
  if (voters.length === 0) return true;
  let found = 0;
  for (const voter of voters) if (has(voter)) found += 1;
  return 2 * found > voters.length;
}

/** Whether every quorum of one configuration has a replica in common with every quorum of the other. */
export function quorumsIntersect(one: ConfState, other: ConfState): boolean {
  const replicas = [...new Set([...votersOf(one), ...votersOf(other)])];
  const sets = 2 ** replicas.length;
  for (let bits = 0; bits < sets; bits += 1) {
    const has = (replica: number): boolean => (bits & (1 << replicas.indexOf(replica))) !== 0;
    // Two disjoint quorums exist exactly when a quorum's complement holds one, for quorums only grow with their sets.
    if (isQuorum(one, has) && isQuorum(other, (replica) => replicas.includes(replica) && !has(replica))) return false;
  }
  return true;
}

export function votersOf(confState: ConfState): readonly number[] {
  return [...new Set([...confState.voters, ...confState.votersOutgoing])];
}

export function membersOf(confState: ConfState): readonly number[] {
  return [...new Set([...votersOf(confState), ...confState.learners, ...confState.learnersNext])];
}

export function sameConfiguration(one: ConfState, other: ConfState): boolean {
  const text = ({ voters, votersOutgoing, learners, learnersNext, autoLeave }: ConfState): string =>
    [voters, votersOutgoing, learners, learnersNext].map((list) => [...list].sort((a, b) => a - b).join()).join(';') +
    String(autoLeave);
  return text(one) === text(other);
}

export function describeConfiguration({ voters, votersOutgoing, learners }: ConfState): string {
  const outgoing = votersOutgoing.length > 0 ? ` leaving {${votersOutgoing.join(' ')}}` : '';
  return `{${voters.join(' ')}}${outgoing}${learners.length > 0 ? ` learners {${learners.join(' ')}}` : ''}`;
}
