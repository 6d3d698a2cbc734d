/**
 * Where the replicas of metadata itself go. Pure.
 *
 * Every node has one, for every node needs the table. Few of them vote: five survive the loss of two, and more would only
 * make each change slower. The others are learners, and one of them takes over when a voter dies or its node is to be left.
 */
import type { NodeId } from '../../base/ids.js';
import { metadataLimits, metadataPartitionId } from '../limits.js';
import { clusterSettings } from '../settings.js';
import type { ClusterSettings } from '../settings.js';
import type { ClusterState, NodeView, PartitionView, ReplicaView } from '../types.js';
import { isAlive, isDead, isEligible } from './liveness.js';
import type { Liveness } from './liveness.js';
import type { Move, MoveReason } from './move.js';
import { zonePenalty } from './zones.js';

/**
 * Voters that metadata is to have: an even number survives no more losses than the odd one below it, and of two each would stop
 * the other.
 */
export function metadataVoters(nodes: number): number {
  if (nodes >= 5) return 5;
  return nodes >= 3 ? 3 : 1;
}

const isDesired = ({ state }: ReplicaView): boolean => state === 'joining' || state === 'settled';
const isVoter = ({ role }: ReplicaView): boolean => role === 'voter';

/** What to change next in the placement of metadata; undefined when nothing, or nothing now. */
export function nextMetadataMove(state: ClusterState, liveness: Liveness): Move | undefined {
  const partition = state.partitions.get(metadataPartitionId as PartitionView['id']);
  return partition && new MetadataPlanner(state, partition, liveness).next();
}

class MetadataPlanner {
  readonly #state: ClusterState;
  readonly #partition: PartitionView;
  readonly #liveness: Liveness;
  readonly #settings: ClusterSettings;

  constructor(state: ClusterState, partition: PartitionView, liveness: Liveness) {
    this.#state = state;
    this.#partition = partition;
    this.#liveness = liveness;
    this.#settings = clusterSettings(state.settings);
  }

  next(): Move | undefined {
    return this.#newNode() ?? this.#moreVoters();
  }

  /** A node without a replica gets one that learns. */
  #newNode(): Move | undefined {
    const { replicas } = this.#partition;
    if (replicas.length >= metadataLimits.replicasPerPartitionMax) return undefined;
    const held = new Set(replicas.map(({ nodeId }) => nodeId));
    const newcomer = [...this.#state.nodes.values()].find(
      (node) => node.state === 'active' && !held.has(node.id) && isAlive(node.id, this.#liveness, this.#settings),
    );
    return newcomer && this.#move('metadata-replica', { added: newcomer });
  }

  #moreVoters(): Move | undefined {
    const { replicas } = this.#partition;
    const voters = replicas.filter(isVoter);
    const moving = voters.filter(({ state }) => state !== 'settled');
    const [onItsWay] = moving;
    const promoted = this.#bestLearner();
    if (promoted === undefined || !this.#hasMajority(voters)) return undefined;
    if (onItsWay !== undefined) {
      const isStuck = moving.length === 1 && onItsWay.state === 'joining' && this.#isDead(onItsWay);
      return isStuck ? this.#move('redirect', { removed: onItsWay, promoted }) : undefined;
    }
    const dead = voters.find((replica) => this.#isDead(replica));
    if (dead !== undefined) return this.#move('dead-node', { removed: dead, promoted });
    const active = [...this.#state.nodes.values()].filter((node) => node.state === 'active').length;
    const staying = voters.filter(({ nodeId }) => this.#state.nodes.get(nodeId)?.state === 'active').length;
    return staying < metadataVoters(active) ? this.#move('metadata-voter', { promoted }) : undefined;
  }

  /** Of those that have settled on nodes that stay: the one that spreads zones best. */
  #bestLearner(): ReplicaView | undefined {
    const { replicas } = this.#partition;
    const votersOn = replicas
      .filter((replica) => isVoter(replica) && isDesired(replica))
      .flatMap((one) => this.#nodeOf(one));
    const cost = (replica: ReplicaView): number => zonePenalty([...votersOn, ...this.#nodeOf(replica)]);
    const [best] = replicas
      .filter((replica) => {
        const node = this.#state.nodes.get(replica.nodeId);
        const isReady = !isVoter(replica) && replica.state === 'settled' && node !== undefined;
        return isReady && isEligible(node, this.#liveness, this.#settings);
      })
      .toSorted((one, other) => cost(one) - cost(other) || one.nodeId - other.nodeId);
    return best;
  }

  #nodeOf({ nodeId }: ReplicaView): NodeView[] {
    const node = this.#state.nodes.get(nodeId);
    return node === undefined ? [] : [node];
  }

  #isDead({ nodeId }: ReplicaView): boolean {
    return isDead(nodeId, this.#liveness, this.#settings);
  }

  #hasMajority(voters: readonly ReplicaView[]): boolean {
    const counted = voters.filter(({ state }) => state !== 'joining');
    const alive = counted.filter(
      ({ nodeId, state }) => state !== 'lost' && isAlive(nodeId, this.#liveness, this.#settings),
    );
    return alive.length >= Math.floor(counted.length / 2) + 1;
  }

  #move(
    reason: MoveReason,
    change: { readonly added?: NodeView; readonly removed?: ReplicaView; readonly promoted?: ReplicaView },
  ): Move {
    const { id: partitionId, version: expectedVersion, replicas } = this.#partition;
    const desired = replicas
      .filter((replica) => isDesired(replica) && replica !== change.removed)
      .map((replica) => ({
        nodeId: replica.nodeId,
        role: replica === change.promoted ? ('voter' as const) : replica.role,
      }));
    const to: NodeId | undefined = change.added?.id ?? change.promoted?.nodeId;
    if (change.added !== undefined) desired.push({ nodeId: change.added.id, role: 'learner' });
    return { reason, partitionId, expectedVersion, desired, from: change.removed?.replicaId, to };
  }
}
