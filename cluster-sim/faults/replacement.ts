/** An operator: takes a node with damaged data out of its groups, and brings it back, empty, as another replica. */
import { asReplicaId } from '../../src/base/ids.js';
import type { ConfChangeStep } from '../../src/raft/types.js';
import { isLogboomError } from '../../src/base/errors.js';
import { membersOf, votersOf } from '../checkers/quorums.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';
import type { FaultBudget } from './fault-budget.js';

const roundMs = 1000;
/** A learner this close to the leader's log is made a voter. */
const lagMax = 50;

/** Wipes the node and replaces its replicas, in rounds, until all of them are; the budget has it as damaged until then. */
export function replaceNode(
  cluster: Cluster,
  { budget, isOver }: { readonly budget: FaultBudget; readonly isOver: () => boolean },
  node: SimulatedNode,
  downMs: number,
): void {
  const oldReplica = node.replicaId;
  // A second one would look for the place of the first one's replica, which has none yet, and forget whose place it was to take.
  if (budget.beingReplaced.has(node.id)) throw new Error(`node ${node.id} is being replaced already`);
  budget.damaged.add(node.id);
  budget.beingReplaced.add(node.id);
  node.keptDown = undefined;
  node.wipe(downMs, false);
  const newReplica = node.replicaId;
  const partitions = [...cluster.checker.truths.keys()];
  /** Partitions that the old replica was a member of, and where the new one therefore belongs. */
  const affected = partitions.filter((partitionId) => cluster.isMember(partitionId, oldReplica));
  const wasVoter = new Set(
    affected.filter((partitionId) =>
      cluster.configurations(partitionId).some((confState) => votersOf(confState).includes(oldReplica)),
    ),
  );
  const round = (): void => {
    if (isOver()) return;
    const left = affected.filter(
      (partitionId) => !advance(cluster, partitionId, { oldReplica, newReplica, asVoter: wasVoter.has(partitionId) }),
    );
    if (left.length > 0) {
      cluster.world.after(roundMs, round);
      return;
    }
    budget.damaged.delete(node.id);
    budget.beingReplaced.delete(node.id);
    cluster.count('nodes replaced');
    cluster.note(node.id, `replica ${newReplica} has taken the place of ${oldReplica}`);
  };
  cluster.world.after(downMs + roundMs, round);
}

/** Proposes the next change towards the replacement; true when there is nothing left to do. */
function advance(
  cluster: Cluster,
  partitionId: number,
  { oldReplica, newReplica, asVoter }: { oldReplica: number; newReplica: number; asVoter: boolean },
): boolean {
  const leader = cluster.leaderOf(partitionId);
  const replica = leader?.manager?.replicas.find((candidate) => candidate.partitionId === partitionId);
  if (replica === undefined) return false;
  const { confState, raftStatus } = replica;
  if (confState.votersOutgoing.length > 0) return false;
  const members = membersOf(confState);
  const isDone = votersOf(confState).includes(newReplica) || (!asVoter && members.includes(newReplica));
  const steps: ConfChangeStep[] = [];
  if (members.includes(oldReplica)) steps.push({ type: 'remove', replica: asReplicaId(oldReplica) });
  if (!members.includes(newReplica)) steps.push({ type: 'add-learner', replica: asReplicaId(newReplica) });
  else if (!isDone && steps.length === 0) {
    const progress = raftStatus.progress.find((follower) => follower.replica === newReplica);
    if (progress === undefined || progress.match + lagMax < raftStatus.commit) return false;
    steps.push({ type: 'add-voter', replica: asReplicaId(newReplica) });
  }
  if (steps.length === 0) return isDone;
  try {
    replica.proposeConfChange({ transition: 'auto', steps, context: new Uint8Array(0) });
    cluster.note(
      leader?.id ?? 0,
      `p${partitionId}: proposes ${steps.map((step) => `${step.type} ${step.replica}`).join(', ')}`,
    );
  } catch (error) {
    if (!isLogboomError(error)) throw error;
  }
  return false;
}
