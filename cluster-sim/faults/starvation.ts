/**
 * Takes one node after another away until its groups have trimmed entries that it lacks; and when it is back, and
 * imports a snapshot, now and then kills it in the middle.
 */
import type { RandomStream } from '../engine/random.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';

const pauseMs = 6000;
const awayMsMax = 25_000;
const lookEveryMs = 250;
const importLooksMax = 400;
const importLookEveryMs = 10;
const placeLooksMax = 4000;
const placeLookEveryMs = 0.7;

export async function starveNodes(cluster: Cluster, isOver: () => boolean): Promise<void> {
  const { world } = cluster;
  const random = cluster.random('starvation');
  for (;;) {
    await world.sleep(random.exponential(pauseMs));
    if (isOver()) return;
    const node = random.pick(cluster.nodes);
    if (!node.isUp || node.keptDown !== undefined) continue;
    node.crash(random.chance(0.3) ? 'power' : 'process', undefined);
    cluster.note(node.id, 'away until its log is trimmed elsewhere');
    const isBehind = await fallsBehind(cluster, node, isOver);
    if (isOver()) return;
    if (isBehind) cluster.count('nodes that came back behind their trimmed logs');
    node.startAfter(random.exponential(100));
    for (let times = random.integer(0, 3); times > 0 && isBehind; times -= 1) {
      await interruptImport(cluster, { node, random, isOver });
    }
  }
}

async function fallsBehind(cluster: Cluster, node: SimulatedNode, isOver: () => boolean): Promise<boolean> {
  const { world, checker } = cluster;
  const endMs = world.nowMs + awayMsMax;
  const { replicaId } = node;
  while (world.nowMs < endMs && !isOver() && node.replicaId === replicaId && node.state === 'down') {
    for (const [partitionId, { trimPoint }] of checker.truths) {
      const record = checker.record(partitionId, replicaId);
      if (record !== undefined && record.durableLsn < trimPoint && cluster.isMember(partitionId, replicaId))
        return true;
    }
    await world.sleep(lookEveryMs);
  }
  return false;
}

/** Waits for the moment from which on a crash may leave the replica as it was, or at the snapshot. */
async function isPutInPlace(cluster: Cluster, node: SimulatedNode, isOver: () => boolean): Promise<void> {
  const { world, checker, plan } = cluster;
  const partitions = Array.from({ length: plan.partitions }, (_, index) => index + 1);
  const isSo = (): boolean =>
    partitions.some((partitionId) => checker.record(partitionId, node.replicaId)?.installing !== undefined);
  for (let looks = 0; looks < placeLooksMax && !isSo() && !isOver() && node.isUp; looks += 1) {
    await world.sleep(placeLookEveryMs);
  }
}

async function interruptImport(
  cluster: Cluster,
  {
    node,
    random,
    isOver,
  }: { readonly node: SimulatedNode; readonly random: RandomStream; readonly isOver: () => boolean },
): Promise<void> {
  const { world } = cluster;
  for (let looks = 0; looks < importLooksMax; looks += 1) {
    if (isOver()) return;
    if (node.manager?.replicas.some(({ status }) => status.bootstrap?.snapshotLsn !== undefined) === true) break;
    await world.sleep(importLookEveryMs);
  }
  if (random.chance(0.5)) await world.sleep(random.exponential(60));
  else await isPutInPlace(cluster, node, isOver);
  if (!isOver() && node.isUp) node.crash(random.chance(0.5) ? 'power' : 'process', random.exponential(300));
}
