/**
 * Groups that have nothing to do fall quiet: no heartbeats, and no ticks. A leader at rest sends `quiet` in the place of heartbeats;
 * a follower that finds itself at rest, too, answers that it is quiet; when all have, so is the leader. Whatever happens to a group
 * wakes it: a message, a request, a word of the host.
 *
 * Why followers of a quiet leader need no heartbeat of it: its node sends one sign of life for all of its groups, with an epoch that no
 * two of its processes share. A follower falls quiet under the epoch that its leader named, if that is what it hears of the node at
 * that time, and wakes when it hears nothing of the node of any member, or another epoch. By that the node promises of every replica that has led under it: it
 * leads still; or it hears another leader, which has every member wake before all are quiet again; or its election timer runs, and
 * when that runs out, it asks every voter for its vote, which wakes them. Where it cannot, because its disk hangs or it is no voter
 * any more, or because it has stopped, the node changes the epoch. So no follower sleeps on under a leader that is gone, and its
 * election timer goes on from the last sign of life as it would from the last heartbeat.
 *
 * A quiet leader has no quorum that answers, so it may not be leading any more without knowing it, as any leader may for as long as an
 * election timeout. Nothing rests on it: what it is asked for, it does awake, and commits and confirms reads only by what others
 * answer from then on. With leases a quiet leader would have to know how much time has passed, so those groups never fall quiet.
 *
 * A quiet replica votes as one that has just heard its leader: waking does not make it free to vote.
 */
import type { Progress } from './progress.js';
import type { ReplicaState } from './replica-state.js';
import type { QuietRequest } from './types.js';

/** Whether a leader has nothing to do for anyone: everything is on every member's disk, and committed and applied here. */
export function leaderRests(state: ReplicaState): boolean {
  const { log, tracker, reads, storageFault, leases, id } = state;
  const { quiet } = state.options;
  if (quiet === undefined || leases || storageFault !== undefined) return false;
  if (log.commit !== log.lastLsn || reads.waiting > 0 || !isSettled(state)) return false;
  for (const [replica, progress] of tracker.progress) {
    if (replica === id || !mustRest(state, progress)) continue;
    if (lags(state, progress) || quiet.epochOf(replica) === undefined) return false;
  }
  return quiet.isIdle();
}

/** Whether a follower may stop to watch its leader, which has just said that the group is at rest. */
export function followerRests(state: ReplicaState, { from, commit, epoch }: QuietRequest): boolean {
  const { log, storageFault, leases, installing, installBegun, forwardedReads, tracker, id } = state;
  const { quiet } = state.options;
  if (quiet === undefined || leases || storageFault !== undefined) return false;
  if (installing !== undefined || installBegun !== undefined || forwardedReads.size > 0) return false;
  if (log.lastLsn !== commit || log.commit !== commit) return false;
  if (!isSettled(state) || quiet.epochOf(from) !== epoch) return false;
  // Leadership may go to any of them, and the one that it left is not silent for that.
  for (const replica of tracker.progress.keys()) {
    if (replica !== id && quiet.epochOf(replica) === undefined) return false;
  }
  return quiet.isIdle();
}

/** What this replica knows to be committed is on its disk and applied. */
function isSettled({ log }: ReplicaState): boolean {
  return !log.hasUnstable && log.durable === log.lastLsn && log.applied === log.commit;
}

function lags({ log }: ReplicaState, progress: Progress): boolean {
  return progress.state !== 'replicate' || progress.match !== log.lastLsn;
}

/** Whether a group is awake for as long as a member is: always, but for a deliberate bug. */
export function mustRest(state: ReplicaState, progress: Progress): boolean {
  return state.mutant !== 'quiet-although-a-follower-lags' || !lags(state, progress);
}
