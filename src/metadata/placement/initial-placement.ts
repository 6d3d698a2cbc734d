/** Where the replicas of new partitions go. Pure and deterministic: equal nodes in any order give the same answer. */
import { assert } from '../../base/assert.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import { leaderFirst } from './leader-balance.js';
import { zoneCounts } from './zones.js';

export interface PlacementNode {
  readonly id: NodeId;
  readonly zone: string;
}

/** Nodes of each partition's replicas, the preferred leader first. */
export type NodePlacement = ReadonlyMap<PartitionId, readonly NodeId[]>;

/**
 * Takes for each replica a zone that the partition uses least, of those the one with the fewest replicas a node, and in it
 * the node with the fewest. So partitions use as many zones as there are, evenly; the nodes of a zone differ by at most one
 * replica, and those of all zones do where zones have equally many nodes. Preferred leaders are then as even as the
 * replicas allow.
 *
 * @param replicationFactor at most the number of nodes
 */
export function initialPlacement(
  nodes: readonly PlacementNode[],
  partitionIds: readonly PartitionId[],
  replicationFactor: number,
): NodePlacement {
  const loads = new Loads(nodes);
  const placement = new Map<PartitionId, readonly NodeId[]>();
  for (const partitionId of partitionIds) {
    const chosen: PlacementNode[] = [];
    while (chosen.length < Math.min(replicationFactor, nodes.length)) chosen.push(loads.take(chosen));
    placement.set(
      partitionId,
      chosen.map((node) => node.id),
    );
  }
  return leaderFirst(placement);
}

/** Replicas that nodes and zones have got so far. */
class Loads {
  /** Ascending by id. */
  readonly #nodes: readonly PlacementNode[];
  readonly #zoneSizes: ReadonlyMap<string, number>;
  readonly #ofZone = new Map<string, number>();
  readonly #ofNode = new Map<PlacementNode, number>();

  constructor(nodes: readonly PlacementNode[]) {
    this.#nodes = nodes.toSorted((one, other) => one.id - other.id);
    this.#zoneSizes = zoneCounts(nodes);
  }

  /** One more replica of the partition that has those on `chosen`. */
  take(chosen: readonly PlacementNode[]): PlacementNode {
    const used = zoneCounts(chosen);
    const rank = (node: PlacementNode): readonly number[] => [
      used.get(node.zone) ?? 0,
      (this.#ofZone.get(node.zone) ?? 0) / (this.#zoneSizes.get(node.zone) ?? 1),
      this.#ofNode.get(node) ?? 0,
    ];
    const [best] = this.#nodes
      .filter((node) => !chosen.includes(node))
      .map((node) => ({ node, rank: rank(node) }))
      .toSorted((one, other) => compare(one.rank, other.rank));
    assert(best !== undefined, () => `${chosen.length} replicas on ${this.#nodes.length} nodes leave no node`);
    this.#ofNode.set(best.node, (this.#ofNode.get(best.node) ?? 0) + 1);
    this.#ofZone.set(best.node.zone, (this.#ofZone.get(best.node.zone) ?? 0) + 1);
    return best.node;
  }
}

/** The first numbers that differ decide. */
function compare(one: readonly number[], other: readonly number[]): number {
  const at = one.findIndex((value, index) => value !== other[index]);
  return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0);
}
