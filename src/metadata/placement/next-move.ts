/** What to change next in the placement of replicas. Pure; the leader of partition 0 asks, and proposes what it is told. */
import type { NodeId } from '../../base/ids.js';
import { clusterSettings } from '../settings.js';
import type { ClusterSettings } from '../settings.js';
import type { ClusterState, NodeView, PartitionView, ReplicaView } from '../types.js';
import { nextLeaderSwap, preferring } from './leader-balance.js';
import { metadataPartitionId } from '../limits.js';
import { isAlive, isDead, isEligible } from './liveness.js';
import type { Liveness } from './liveness.js';
import { nextMetadataMove } from './metadata-group.js';
import type { Move, MoveReason } from './move.js';
import { zonePenalty } from './zones.js';

/**
 * The most urgent move; undefined when there is none, or when as many partitions as `moves-max` are moving. Ask again with
 * the state after it was applied.
 *
 * It ends, as long as the nodes stay as they are. Each move lowers the first of these that it changes: voters too many;
 * replicas on dead or draining nodes; voters missing; the sum of zone penalties; the sum of the squares of replicas a node;
 * the unevenness of preferred leaders.
 *
 * It is safe: a group is left alone while it has no majority of voters on nodes that are alive, and no move leaves it
 * without one. Moves that only make things even are for groups that are whole.
 */
export function nextMove(state: ClusterState, liveness: Liveness): Move | undefined {
  const metadata = nextMetadataMove(state, liveness);
  if (metadata !== undefined) return metadata;
  const planner = new Planner(state, liveness);
  const moving = planner.partitions.filter((partition) => !isAtRest(partition)).length;
  const redirect = planner.firstMove((partition) => planner.redirect(partition));
  if (redirect !== undefined) return redirect;
  if (moving < planner.settings.movesMax) {
    const needed =
      planner.firstMove((partition) => planner.shrink(partition)) ??
      planner.firstMove((partition) => planner.leaveDeadNode(partition)) ??
      planner.firstMove((partition) => planner.grow(partition)) ??
      planner.firstMove((partition) => planner.leaveDrainingNode(partition)) ??
      planner.firstMove((partition) => planner.spreadZones(partition)) ??
      planner.balance();
    if (needed !== undefined) return needed;
  }
  return planner.balanceLeaders();
}

/** No replica of it comes or goes. */
const isAtRest = (partition: PartitionView): boolean => partition.replicas.every(({ state }) => state === 'settled');
const isDesired = ({ state }: ReplicaView): boolean => state === 'joining' || state === 'settled';
const majorityOf = (count: number): number => Math.floor(count / 2) + 1;

class Planner {
  /** Those of streams: metadata itself is on every node. */
  readonly partitions: readonly PartitionView[];
  readonly settings: ClusterSettings;
  readonly #nodes: ReadonlyMap<NodeId, NodeView>;
  readonly #liveness: Liveness;
  /** Nodes that can get replicas, ascending. */
  readonly #eligible: readonly NodeView[];
  /** Desired replicas of each node. */
  readonly #loads = new Map<NodeId, number>();

  constructor(state: ClusterState, liveness: Liveness) {
    this.partitions = [...state.partitions.values()].filter(({ id }) => id !== metadataPartitionId);
    this.settings = clusterSettings(state.settings);
    this.#nodes = state.nodes;
    this.#liveness = liveness;
    this.#eligible = [...state.nodes.values()].filter((node) => isEligible(node, liveness, this.settings));
    for (const node of state.nodes.keys()) this.#loads.set(node, 0);
    for (const { nodeId } of this.partitions.flatMap(({ replicas }) => replicas.filter(isDesired))) {
      this.#loads.set(nodeId, this.#load(nodeId) + 1);
    }
  }

  /** In the order of partition ids. */
  firstMove(find: (partition: PartitionView) => Move | undefined): Move | undefined {
    for (const partition of this.partitions) {
      const move = find(partition);
      if (move !== undefined) return move;
    }
    return undefined;
  }

  redirect(partition: PartitionView): Move | undefined {
    const joining = partition.replicas.filter(({ state }) => state === 'joining');
    const [replica] = joining;
    // With several on their way, after a replacement of nodes, none is taken off its course.
    if (replica === undefined || joining.length > 1 || !this.#mustLeave(replica)) return undefined;
    return this.#relocate('redirect', partition, replica);
  }

  leaveDeadNode(partition: PartitionView): Move | undefined {
    const replica = partition.replicas.find(({ nodeId }) => isDead(nodeId, this.#liveness, this.settings));
    return replica && isAtRest(partition) ? this.#relocate('dead-node', partition, replica) : undefined;
  }

  leaveDrainingNode(partition: PartitionView): Move | undefined {
    const replica = partition.replicas.find(({ nodeId }) => this.#nodes.get(nodeId)?.state !== 'active');
    return replica && isAtRest(partition) ? this.#relocate('draining-node', partition, replica) : undefined;
  }

  /** To the replication factor, where there were not enough nodes, or where it was raised. */
  grow(partition: PartitionView): Move | undefined {
    const voters = partition.replicas.filter(isVoter).length;
    if (!isAtRest(partition) || voters >= this.settings.replicationFactor) return undefined;
    // A second voter would add nothing but another way to stop: it comes when a third can come too.
    if (voters === 1 && this.settings.replicationFactor > 2 && this.#eligible.length < 3) return undefined;
    const to = this.#bestTarget(partition, undefined);
    return to && this.#moveIfSafe('under-replicated', partition, undefined, to);
  }

  /** To the replication factor, after it was lowered. */
  shrink(partition: PartitionView): Move | undefined {
    const voters = partition.replicas.filter(isVoter);
    if (!isAtRest(partition) || voters.length <= this.settings.replicationFactor) return undefined;
    // The one whose node is to be left, else the one that zones and balance miss least; the preferred leader stays.
    const cost = (replica: ReplicaView): number =>
      (this.#mustLeave(replica) ? -1e12 : 0) +
      zonePenalty(this.#nodesOf(partition, replica)) * 1e6 -
      this.#load(replica.nodeId) * 10 +
      (replica === partition.replicas[0] ? 1 : 0);
    const byCost = voters.toSorted((one, other) => cost(one) - cost(other));
    return firstDefined(byCost, (replica) => this.#moveIfSafe('over-replicated', partition, replica, undefined));
  }

  spreadZones(partition: PartitionView): Move | undefined {
    if (!this.#isWhole(partition)) return undefined;
    const before = zonePenalty(this.#nodesOf(partition));
    let best: { readonly replica: ReplicaView; readonly to: NodeView; readonly penalty: number } | undefined;
    for (const replica of partition.replicas) {
      const to = this.#bestTarget(partition, replica);
      if (to === undefined) continue;
      const penalty = zonePenalty([...this.#nodesOf(partition, replica), to]);
      if (penalty < (best?.penalty ?? before)) best = { replica, to, penalty };
    }
    return best && this.#moveIfSafe('zone-spread', partition, best.replica, best.to);
  }

  /** From a node with many to one with few, as long as they differ by more than the tolerance, and zones stay as they are. */
  balance(): Move | undefined {
    const byLoad = this.#eligible.toSorted((one, other) => this.#load(one.id) - this.#load(other.id));
    const whole = this.partitions.filter((partition) => this.#isWhole(partition));
    for (const from of byLoad.toReversed()) {
      for (const to of byLoad) {
        if (this.#load(from.id) - this.#load(to.id) <= this.settings.balanceTolerance) break;
        const move = firstDefined(whole, (partition) => this.#shift(partition, from, to));
        if (move !== undefined) return move;
      }
    }
    return undefined;
  }

  balanceLeaders(): Move | undefined {
    const whole = this.partitions.filter((partition) => this.#isWhole(partition));
    const preferences = new Map(
      whole.map(({ id, replicas }) => [id, replicas.filter(isVoter).map(({ nodeId }) => nodeId)]),
    );
    const swap = nextLeaderSwap(preferences, new Set(this.#eligible.map((node) => node.id)));
    const partition = whole.find(({ id }) => id === swap?.partitionId);
    if (swap === undefined || partition === undefined) return undefined;
    const order = preferring(
      partition.replicas.map(({ nodeId }) => nodeId),
      swap.to,
    );
    const desired = partition.replicas.toSorted(
      (one, other) => order.indexOf(one.nodeId) - order.indexOf(other.nodeId),
    );
    return {
      reason: 'preferred-leader',
      partitionId: partition.id,
      expectedVersion: partition.version,
      desired: desired.map(({ nodeId, role }) => ({ nodeId, role })),
      from: undefined,
      to: swap.to,
    };
  }

  #shift(partition: PartitionView, from: NodeView, to: NodeView): Move | undefined {
    const replica = partition.replicas.find(({ nodeId }) => nodeId === from.id);
    if (replica === undefined || partition.replicas.some(({ nodeId }) => nodeId === to.id)) return undefined;
    const penalty = zonePenalty([...this.#nodesOf(partition, replica), to]);
    if (penalty > zonePenalty(this.#nodesOf(partition))) return undefined;
    return this.#moveIfSafe('balance', partition, replica, to);
  }

  #relocate(reason: MoveReason, partition: PartitionView, replica: ReplicaView): Move | undefined {
    const to = this.#bestTarget(partition, replica);
    return to && this.#moveIfSafe(reason, partition, replica, to);
  }

  /** Of the nodes without a replica of the partition: the one that spreads zones best, and then the emptiest. */
  #bestTarget(partition: PartitionView, replaced: ReplicaView | undefined): NodeView | undefined {
    const held = new Set(partition.replicas.map(({ nodeId }) => nodeId));
    const staying = this.#nodesOf(partition, replaced);
    const cost = (node: NodeView): number => zonePenalty([...staying, node]) * 1e6 + this.#load(node.id);
    let best: NodeView | undefined;
    for (const node of this.#eligible) {
      if (!held.has(node.id) && (best === undefined || cost(node) < cost(best))) best = node;
    }
    return best;
  }

  #moveIfSafe(
    reason: MoveReason,
    partition: PartitionView,
    from: ReplicaView | undefined,
    to: NodeView | undefined,
  ): Move | undefined {
    const after = partition.replicas.filter((replica) => isDesired(replica) && replica !== from);
    const aliveAfter = after.filter((replica) => isVoter(replica) && this.#isServing(replica)).length;
    const isNewVoter = to !== undefined && (from?.role ?? 'voter') === 'voter';
    const votersAfter = after.filter(isVoter).length + (isNewVoter ? 1 : 0);
    if (!this.#hasMajority(partition)) return undefined;
    if (aliveAfter + (isNewVoter ? 1 : 0) < majorityOf(votersAfter)) return undefined;
    const added = to && { nodeId: to.id, role: from?.role ?? ('voter' as const) };
    // In the place of the one that goes, so that the order of preference stays.
    const desired = partition.replicas.filter(isDesired).flatMap((replica) => {
      if (replica !== from) return [{ nodeId: replica.nodeId, role: replica.role }];
      return added === undefined ? [] : [added];
    });
    return {
      reason,
      partitionId: partition.id,
      expectedVersion: partition.version,
      desired: from === undefined && added !== undefined ? [...desired, added] : desired,
      from: from?.replicaId,
      to: to?.id,
    };
  }

  /** Enough voters are alive for the group to agree on a change of itself. */
  #hasMajority(partition: PartitionView): boolean {
    const voters = partition.replicas.filter((replica) => isVoter(replica) && replica.state !== 'joining');
    return voters.filter((replica) => this.#isServing(replica)).length >= majorityOf(voters.length);
  }

  #isServing({ nodeId, state }: ReplicaView): boolean {
    return (state === 'settled' || state === 'leaving') && isAlive(nodeId, this.#liveness, this.settings);
  }

  /** At rest, complete, and all on nodes that are to be there. */
  #isWhole(partition: PartitionView): boolean {
    const eligible = new Set(this.#eligible.map((node) => node.id));
    const voters = partition.replicas.filter(isVoter).length;
    if (!isAtRest(partition) || voters < Math.min(this.settings.replicationFactor, eligible.size)) return false;
    return partition.replicas.every(({ nodeId }) => eligible.has(nodeId));
  }

  #mustLeave({ nodeId }: ReplicaView): boolean {
    return this.#nodes.get(nodeId)?.state !== 'active' || isDead(nodeId, this.#liveness, this.settings);
  }

  /** Nodes of the desired replicas, without one of them. */
  #nodesOf(partition: PartitionView, without?: ReplicaView): NodeView[] {
    return partition.replicas
      .filter((replica) => isDesired(replica) && replica !== without)
      .flatMap(({ nodeId }) => this.#nodes.get(nodeId) ?? []);
  }

  #load(nodeId: NodeId): number {
    return this.#loads.get(nodeId) ?? 0;
  }
}

const isVoter = ({ role }: ReplicaView): boolean => role === 'voter';

function firstDefined<Item, Value>(items: readonly Item[], find: (item: Item) => Value | undefined): Value | undefined {
  for (const item of items) {
    const value = find(item);
    if (value !== undefined) return value;
  }
  return undefined;
}
