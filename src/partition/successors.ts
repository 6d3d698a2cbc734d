/** Which replicas of a group may lead it next, as its leader sees them. */
import type { PartitionId, ReplicaId } from '../base/ids.js';
import type { ProgressStatus, RaftStatus } from '../raft/types.js';

/**
 * Why a replica is not to lead next.
 *
 * - `no-member` the group has no such replica
 * - `learner` it does not vote, and cannot be elected
 * - `silent` it has not answered for an election timeout or so
 * - `behind` it lacks many entries, or what it has is not known
 */
export type Unfitness = 'no-member' | 'learner' | 'silent' | 'behind';

/** Entries that a successor may lack when a transfer begins: what is under way at full load, and little more. */
export const behindEntriesMax = 4096;

type GroupView = Pick<RaftStatus, 'id' | 'lastLsn' | 'progress'>;

/** Undefined when it is fit. A `silent` or `behind` replica may be fit a moment later. */
export function unfitnessOf({ progress, lastLsn }: Omit<GroupView, 'id'>, replica: ReplicaId): Unfitness | undefined {
  const known = progress.find((of) => of.replica === replica);
  if (known === undefined) return 'no-member';
  if (known.learner) return 'learner';
  if (!known.recentActive) return 'silent';
  return isBehind(known, lastLsn) ? 'behind' : undefined;
}

function isBehind({ state, match }: ProgressStatus, lastLsn: number): boolean {
  return state !== 'replicate' || lastLsn - match > behindEntriesMax;
}

/** Those that are fit, the one that lacks least first. */
function successors(group: GroupView): ReplicaId[] {
  return group.progress
    .filter(({ replica }) => replica !== group.id && unfitnessOf(group, replica) === undefined)
    .toSorted((left, right) => right.match - left.match)
    .map(({ replica }) => replica);
}

/**
 * The one that lacks least. Of several that lack equally little one by the number of the partition, so that the leaderships of a
 * node do not all go to the same one.
 */
export function chooseSuccessor(
  group: GroupView,
  partitionId: PartitionId,
  tried: ReadonlySet<ReplicaId> = new Set(),
): ReplicaId | undefined {
  const fit = successors(group).filter((replica) => !tried.has(replica));
  const matchOf = (replica: ReplicaId | undefined): number | undefined =>
    group.progress.find((progress) => progress.replica === replica)?.match;
  const best = fit.filter((replica) => matchOf(replica) === matchOf(fit[0]));
  return best[partitionId % best.length];
}

/** The voters besides the leader, fit or not. */
export function otherVoters({ id, progress }: Pick<RaftStatus, 'id' | 'progress'>): ReplicaId[] {
  return progress.filter(({ replica, learner }) => replica !== id && !learner).map(({ replica }) => replica);
}
