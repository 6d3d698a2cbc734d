/** A node that stops hands its leaderships to others first: a transfer takes a few round trips, an election many. */
import { isLogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import { chooseSuccessor, otherVoters } from '../../partition/index.js';
import type { ReplicaId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { NodeReplica } from '../replicas.js';

const attemptsMax = 2;
/** Voters that are well answer a heartbeat: who has not answered for this long is not waited for. */
const unknownMsMax = 1000;
const lookAgainMs = 10;

/** Resolves when this node leads nothing that others could, or the time is over. */
export async function handOverLeaderships(
  replicas: readonly NodeReplica[],
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<void> {
  const untilMs = clock.monotonicMs() + timeoutMs;
  await Promise.all(replicas.map((replica) => handOver(replica, clock, untilMs)));
}

async function handOver(replica: NodeReplica, clock: Clock, untilMs: number): Promise<void> {
  const tried = new Set<ReplicaId>();
  while (tried.size < attemptsMax && replica.isLeader) {
    const successor = await nextSuccessor(replica, tried, clock, untilMs);
    if (successor === undefined) return;
    tried.add(successor);
    const timeoutMs = (untilMs - clock.monotonicMs()) / (1 + attemptsMax - tried.size);
    try {
      await replica.handOver(successor, { timeoutMs });
    } catch (error) {
      if (!isLogboomError(error)) throw error;
    }
  }
}

/**
 * A leader asks every election timeout who has answered since the last time, and for a moment after that it has heard of
 * nobody: looked at once only, one leadership in ten would not be handed over.
 */
async function nextSuccessor(
  replica: NodeReplica,
  tried: ReadonlySet<ReplicaId>,
  clock: Clock,
  untilMs: number,
): Promise<ReplicaId | undefined> {
  const lookUntilMs = Math.min(untilMs, clock.monotonicMs() + unknownMsMax);
  while (replica.isLeader) {
    const status = replica.raftStatus;
    const successor = chooseSuccessor(status, replica.partitionId, tried);
    if (successor !== undefined) return successor;
    const mayBecomeFit = otherVoters(status).some((voter) => !tried.has(voter));
    if (!mayBecomeFit || clock.monotonicMs() >= lookUntilMs) return undefined;
    await sleep(clock, lookAgainMs);
  }
  return undefined;
}
