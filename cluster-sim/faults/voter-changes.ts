/** Changes of a group's configuration under load: one drawn among those that leave it able to go on. */
import { asReplicaId } from '../../src/base/ids.js';
import type { ConfChange, ConfChangeStep, ConfState } from '../../src/raft/types.js';
import { membersOf } from '../checkers/quorums.js';

/**
 * @param replicas of all nodes, members or not
 * @param pick random; equal picks in equal circumstances give equal changes
 */
export function drawVoterChange(
  confState: ConfState,
  replicas: readonly number[],
  pick: number,
): ConfChange | undefined {
  const context = new Uint8Array(0);
  if (confState.votersOutgoing.length > 0) {
    // Only an explicit one waits to be left; leaving an automatic one early does no harm.
    return { transition: 'auto', steps: [], context };
  }
  const { voters, learners } = confState;
  const votersMin = Math.min(2, replicas.length);
  const strangers = replicas.filter((replica) => !membersOf(confState).includes(replica));
  const one = <Item>(items: readonly Item[]): Item | undefined =>
    items[Math.floor(pick / 16) % Math.max(1, items.length)];
  const step = (type: ConfChangeStep['type'], replica: number | undefined): ConfChangeStep[] =>
    replica === undefined ? [] : [{ type, replica: asReplicaId(replica) }];
  const stranger = one(strangers);
  const learner = one(learners);
  const voter = voters.length > votersMin ? one(voters) : undefined;
  const choices: ConfChangeStep[][] = [
    step('add-learner', stranger),
    step('add-voter', stranger),
    step('add-voter', learner),
    step('remove', learner),
    step('remove', voter),
    step('add-learner', voter),
    learner === undefined ? [] : [...step('add-voter', learner), ...step('add-learner', one(voters))],
    stranger === undefined ? [] : [...step('add-voter', stranger), ...step('remove', one(voters))],
  ].filter((steps) => steps.length > 0);
  const steps = choices[pick % Math.max(1, choices.length)];
  const transition = (['auto', 'implicit', 'explicit'] as const)[Math.floor(pick / 4096) % 3] ?? 'auto';
  return steps && { transition, steps, context };
}
