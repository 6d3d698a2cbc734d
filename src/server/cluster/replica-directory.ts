/** Which node has which replica: of the metadata group as the cluster was formed, of all others as the metadata says. */
import { asReplicaId } from '../../base/ids.js';
import { metadataPartition } from '../replicas.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { ClusterState } from '../../metadata/index.js';
import type { ReplicaPlacement } from '../../partition/index.js';
import type { ConfState } from '../../raft/types.js';
import type { FormationRecord } from './formation-record.js';

export class ReplicaDirectory {
  readonly #nodes = new Map<PartitionId, Map<ReplicaId, NodeId>>();

  constructor(record: FormationRecord, state: ClusterState | undefined) {
    for (const { id, replicas } of state?.partitions.values() ?? []) {
      this.#nodes.set(id, new Map(replicas.map(({ replicaId, nodeId }) => [replicaId, nodeId])));
    }
    this.#nodes.set(metadataPartition, new Map(record.members.map(({ id }, index) => [asReplicaId(index + 1), id])));
  }

  nodeOf(partitionId: PartitionId, replicaId: ReplicaId): NodeId | undefined {
    return this.#nodes.get(partitionId)?.get(replicaId);
  }

  /** Every replica of a node, by partition. */
  *replicasOn(nodeId: NodeId): Iterable<readonly [PartitionId, ReplicaId]> {
    for (const [partitionId, replicas] of this.#nodes) {
      for (const [replicaId, holder] of replicas) if (holder === nodeId) yield [partitionId, replicaId];
    }
  }
}

/** The replica of the metadata group that a member begins with. */
export function metadataPlacement(record: FormationRecord, nodeId: NodeId): ReplicaPlacement {
  const replicaId = asReplicaId(1 + record.members.findIndex(({ id }) => id === nodeId));
  const voters = record.members.map((_, index) => asReplicaId(index + 1));
  return { partitionId: metadataPartition, replicaId, confState: confStateOf(voters) };
}

/**
 * The replicas of streams that a node begins with the first entry of their logs: voters of the first configuration.
 * Replicas that were added to a group later need its state first, and are left out.
 */
export function initialPlacements(state: ClusterState, nodeId: NodeId): ReplicaPlacement[] {
  return [...state.partitions.values()].flatMap(({ id, replicas, initialVoters }) => {
    const own = replicas.find((replica) => replica.nodeId === nodeId && initialVoters.includes(replica.replicaId));
    if (id === metadataPartition || own === undefined || own.state === 'lost') return [];
    return [{ partitionId: id, replicaId: own.replicaId, confState: confStateOf(initialVoters) }];
  });
}

function confStateOf(voters: readonly ReplicaId[]): ConfState {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
}
