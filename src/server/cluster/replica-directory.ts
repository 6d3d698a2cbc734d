/** Which node has which replica: as the newest table says, those that leave included. */
import { asReplicaId } from '../../base/ids.js';
import { metadataPartition } from '../replicas.js';
import { confStateOf } from './own-replicas.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { ClusterState } from '../../metadata/index.js';
import type { ReplicaPlacement } from '../../partition/index.js';
import type { FormationRecord } from './formation-record.js';

export class ReplicaDirectory {
  readonly #nodes = new Map<PartitionId, Map<ReplicaId, NodeId>>();

  /**
   * Of the metadata group, what the node began with counts as well: before there is a table it is all that is known, and later it
   * does no harm, for an id names the same replica for ever.
   */
  constructor(record: FormationRecord, state: ClusterState | undefined) {
    for (const { id, replicas } of state?.partitions.values() ?? []) {
      this.#nodes.set(id, new Map(replicas.map(({ replicaId, nodeId }) => [replicaId, nodeId])));
    }
    const known = this.#nodes.get(metadataPartition) ?? [];
    this.#nodes.set(metadataPartition, new Map([...metadataReplicas(record), ...known]));
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

function metadataReplicas({ members, seat }: FormationRecord): (readonly [ReplicaId, NodeId])[] {
  if (seat !== undefined) return seat.replicas.map(({ replicaId, nodeId }) => [replicaId, nodeId] as const);
  return members.map(({ id }, index) => [asReplicaId(index + 1), id] as const);
}

/** The replica of the metadata group that a member begins with. */
export function metadataPlacement({ members, seat }: FormationRecord, nodeId: NodeId): ReplicaPlacement {
  if (seat !== undefined) {
    return { partitionId: metadataPartition, replicaId: seat.replicaId, confState: confStateOf(seat.initialVoters) };
  }
  const replicaId = asReplicaId(1 + members.findIndex(({ id }) => id === nodeId));
  const voters = members.map((_, index) => asReplicaId(index + 1));
  return { partitionId: metadataPartition, replicaId, confState: confStateOf(voters) };
}
