/** A node that stops hands its leaderships to others first: a transfer takes one round trip, an election many. */
import { isLogboomError } from '../../base/errors.js';
import type { ReplicaId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { RaftStatus } from '../../raft/types.js';
import type { NodeReplica } from '../replicas.js';

/** The core gives a transfer up after an election timeout; then another replica is asked. */
const attemptsMax = 2;

/** Resolves when this node leads nothing that others could, or the time is over. */
export async function handOverLeaderships(
  replicas: readonly NodeReplica[],
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<void> {
  const untilMs = clock.monotonicMs() + timeoutMs;
  await Promise.all(replicas.map((replica) => handOver(replica, clock, untilMs)));
}

async function handOver(replica: NodeReplica, clock: Clock, untilMs: number): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax && replica.isLeader; attempt += 1) {
    const [successor] = successors(replica.raftStatus).slice(attempt);
    if (successor === undefined) return;
    try {
      replica.transferLeader(successor);
    } catch (error) {
      if (!isLogboomError(error)) throw error;
      return;
    }
    await leadershipEnds(
      replica,
      clock,
      clock.monotonicMs() + (untilMs - clock.monotonicMs()) / (attemptsMax - attempt),
    );
  }
}

/** Voters that answer, the one that lacks least first. */
export function successors({ id, progress }: Pick<RaftStatus, 'id' | 'progress'>): ReplicaId[] {
  return progress
    .filter(
      ({ replica, learner, recentActive, state }) =>
        replica !== id && !learner && recentActive && state === 'replicate',
    )
    .toSorted((left, right) => right.match - left.match)
    .map(({ replica }) => replica);
}

function leadershipEnds(replica: NodeReplica, clock: Clock, untilMs: number): Promise<void> {
  if (!replica.isLeader) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      timer.cancel();
      unwatch();
      resolve();
    };
    const timer = clock.setTimer(Math.max(0, untilMs - clock.monotonicMs()), finish);
    const unwatch = replica.watchLeadership(() => {
      if (!replica.isLeader) finish();
    });
  });
}
