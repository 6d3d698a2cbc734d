/** The end of a run of the server's cluster code: placement must come to rest, where the table wants it to. */
import type { PartitionView } from '../../src/metadata/index.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';

/** So long nothing may change once placement is where it is to be: a cluster that goes on moving is not at rest. */
export const restMs = 15_000;

/** What is missing until every node has what the newest table gives to it, and all know that table; undefined: nothing. */
export function misplaced(cluster: Cluster): string | undefined {
  const table = cluster.tables.newest;
  if (table === undefined) return 'a table';
  for (const partition of table.partitions.values()) {
    const found = misplacedReplica(cluster, partition);
    if (found !== undefined) return found;
  }
  for (const node of cluster.nodes) {
    const state = cluster.tables.node(node.id)?.state;
    if (state !== 'active' && state !== 'draining') continue;
    const found = misled(node, table.tableVersion) ?? surplus(cluster, node);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The group's own configuration is what the table says, and each of its members is on the node that the table says. */
function misplacedReplica(cluster: Cluster, { id, replicas }: PartitionView): string | undefined {
  const moving = replicas.find(({ state }) => state !== 'settled');
  if (moving !== undefined) {
    return `partition ${id}: replica ${moving.replicaId} on node ${moving.nodeId} is ${moving.state}`;
  }
  const configuration = cluster.checker.truth(id)?.newestConfiguration;
  for (const role of ['voter', 'learner'] as const) {
    const wanted = idsOf(replicas.filter((replica) => replica.role === role).map(({ replicaId }) => replicaId));
    const actual = idsOf(configuration?.[`${role}s`] ?? []);
    if (wanted !== actual) return `partition ${id}: the table wants ${role}s {${wanted}}, the group has {${actual}}`;
  }
  if ((configuration?.votersOutgoing.length ?? 0) > 0) return `partition ${id}: its configuration is still joint`;
  const absent = replicas.find(({ nodeId, replicaId }) => cluster.node(nodeId)?.replicaIdIn(id) !== replicaId);
  return absent && `partition ${id}: replica ${absent.replicaId} is not on node ${absent.nodeId}`;
}

function misled(node: SimulatedNode, version: number): string | undefined {
  const known = node.memberProgram?.member?.state?.tableVersion ?? 0;
  if (!node.isUp) return `node ${node.id} is ${node.keptDown ?? node.state}`;
  return known === version ? undefined : `node ${node.id} knows table ${known}, the newest is ${version}`;
}

/** A node keeps nothing that the table does not give to it. */
function surplus({ tables }: Cluster, node: SimulatedNode): string | undefined {
  for (const { partitionId, replicaId } of node.manager?.replicas ?? []) {
    const wanted = tables.newest?.partitions.get(partitionId)?.replicas.some((replica) => {
      return replica.nodeId === node.id && replica.replicaId === replicaId;
    });
    if (wanted !== true) return `node ${node.id} still has replica ${replicaId} of partition ${partitionId}`;
  }
  return undefined;
}

const idsOf = (ids: readonly number[]): string => ids.toSorted((one, other) => one - other).join(' ');
