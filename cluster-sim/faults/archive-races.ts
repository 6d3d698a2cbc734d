/**
 * Two leaders at one archive: one is deposed while it collects garbage, and its deletions arrive late; the next one uploads
 * the chunks of a snapshot meanwhile, slowly. What the first decided it decided without the second one's manifest.
 */
import { asReplicaId } from '../../src/base/ids.js';
import { isLogboomError } from '../../src/base/errors.js';
import type { RandomStream } from '../engine/random.js';
import { cutsOf } from '../network/topologies.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';

const pauseMs = 6000;
const lookEveryMs = 20;
const betweenListingsMsMax = 500;
/** From an election until a snapshot uploads. */
const beginMs = 300;
const electionMsMax = 5000;

interface Race {
  readonly cluster: Cluster;
  readonly random: RandomStream;
  readonly isOver: () => boolean;
}

export async function raceArchives(cluster: Cluster, isOver: () => boolean): Promise<void> {
  const { world, plan } = cluster;
  const random = cluster.random('archive races');
  while (!isOver()) {
    await world.sleep(random.exponential(pauseMs));
    const partition = random.integer(1, plan.partitions);
    const leader = cluster.leaderOf(partition);
    if (isOver() || leader?.repository === undefined) continue;
    await race({ cluster, random, isOver }, partition, leader);
  }
}

async function race({ cluster, random, isOver }: Race, partition: number, leader: SimulatedNode): Promise<void> {
  const { world, plan } = cluster;
  const { graceMs = 0 } = plan.snapshots ?? {};
  const isCut = random.chance(0.4);
  // A writer has half the grace period: its manifest is to come in time, at the end of it.
  const uploadMs = random.between(0.05, 0.2) * graceMs;
  // Only the listing of chunks: it is to arrive among the uploads, and what is decided by it before the manifest.
  const listMs = (isCut ? plan.electionTicks * plan.tickMs : 0) + beginMs + random.between(0.5, 1.5) * uploadMs;
  if (!(await collects(cluster, partition, leader, listMs)) || isOver()) return;
  leader.repository?.delay('delete', random.between(0.4, 1.5) * graceMs, 3 * graceMs);
  depose({ cluster, random, isOver }, partition, leader, isCut);
  const successor = await nextLeader(cluster, partition, leader, isOver);
  if (successor === undefined) return;
  cluster.count('archives with two leaders');
  cluster.note(successor.id, `p${partition}: uploads slowly, while node ${leader.id} still collects`);
  successor.repository?.delay('put', uploadMs, graceMs);
  const replica = successor.manager?.replicas.find(({ partitionId }) => partitionId === partition);
  // It fails when the repository is away, or leadership is lost again.
  void replica?.snapshot().catch(() => {});
  await world.sleep(graceMs / 2);
}

/**
 * Resolves when a leader has begun to collect, and asked for the chunks that there are: with true, or false when it does not. Of
 * two listings without a snapshot under way the first is that of what is archived, which comes before a trim as well.
 */
function collects(cluster: Cluster, partition: number, leader: SimulatedNode, listMs: number): Promise<boolean> {
  const { world, plan } = cluster;
  const { repository } = leader;
  let lastMs = Number.NEGATIVE_INFINITY;
  return new Promise((resolve) => {
    if (repository === undefined) return resolve(false);
    let hasEnded = false;
    const end = (isSo: boolean): void => {
      if (hasEnded) return;
      hasEnded = true;
      repository.onChunksListed = undefined;
      resolve(isSo);
    };
    repository.onChunksListed = (listed) => {
      const replica = leader.manager?.replicas.find(({ partitionId }) => partitionId === listed);
      if (listed !== partition || replica?.status.snapshot !== undefined) return;
      if (cluster.leaderOf(partition) !== leader || world.nowMs - lastMs < betweenListingsMsMax)
        return end(cluster.leaderOf(partition) === leader);
      lastMs = world.nowMs;
      repository.delay('list', listMs, betweenListingsMsMax);
    };
    world.after(3 * (plan.snapshots?.collectEveryMs ?? 0), () => end(false));
  });
}

/** By a transfer, or by a cut: then it may go on believing that it leads for a while. */
function depose({ cluster, random }: Race, partition: number, leader: SimulatedNode, isCut: boolean): void {
  const { world, network, nodes, plan } = cluster;
  const others = random.shuffled(nodes.filter((node) => node !== leader && node.isUp));
  if (isCut) {
    const mend = network.cut(cutsOf('isolate', [leader.id, ...others.map(({ id }) => id)]));
    cluster.note(leader.id, 'cut off while it may collect');
    world.after(random.between(2, 4) * plan.electionTicks * plan.tickMs, mend);
    return;
  }
  const replica = leader.manager?.replicas.find(({ partitionId }) => partitionId === partition);
  const to = others.find(({ replicaId }) => replica?.confState.voters.includes(asReplicaId(replicaId)));
  if (replica === undefined || to === undefined) return;
  try {
    replica.transferLeader(asReplicaId(to.replicaId));
  } catch (error) {
    if (!isLogboomError(error)) throw error;
  }
}

async function nextLeader(
  cluster: Cluster,
  partition: number,
  before: SimulatedNode,
  isOver: () => boolean,
): Promise<SimulatedNode | undefined> {
  const { world } = cluster;
  for (const endMs = world.nowMs + electionMsMax; world.nowMs < endMs && !isOver();) {
    const leader = cluster.leaderOf(partition);
    if (leader !== undefined && leader !== before) return leader;
    await world.sleep(lookEveryMs);
  }
  return undefined;
}
