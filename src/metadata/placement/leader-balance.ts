/** Which replica of each partition is to lead it, so that every node leads about as many as the others. */
import type { NodeId, PartitionId } from '../../base/ids.js';

/** The first node of each is the preferred leader. */
type Preferences = ReadonlyMap<PartitionId, readonly NodeId[]>;

export interface LeaderSwap {
  readonly partitionId: PartitionId;
  readonly from: NodeId;
  readonly to: NodeId;
}

/**
 * One change of a preferred leader that brings the numbers closer, or a step of a chain of changes that does; undefined when
 * no chain helps, that is, when they are as even as the placement of replicas allows.
 *
 * Nodes are a graph: from the preferred leader of each partition to the nodes of its other replicas. A path from a node with
 * n preferred leaders to one with n - 2 or fewer, every partition on it handed on by one, takes one from the first and gives
 * one to the last. The last step of a shortest path is taken: the sum of squares does not grow, and either shrinks or the
 * path becomes shorter, so repeating it ends.
 */
export function nextLeaderSwap(preferences: Preferences, candidates: ReadonlySet<NodeId>): LeaderSwap | undefined {
  const counts = new Map<NodeId, number>();
  for (const nodeId of [...candidates].toSorted((one, other) => one - other)) counts.set(nodeId, 0);
  const edges = new Map<NodeId, LeaderSwap[]>();
  for (const [partitionId, [from, ...others]] of preferences) {
    if (from === undefined || !candidates.has(from)) continue;
    counts.set(from, (counts.get(from) ?? 0) + 1);
    const swaps = others.filter((to) => candidates.has(to)).map((to) => ({ partitionId, from, to }));
    edges.set(from, [...(edges.get(from) ?? []), ...swaps]);
  }
  const byCount = [...counts].toSorted(([, one], [, other]) => other - one);
  let best: { readonly swap: LeaderSwap; readonly length: number } | undefined;
  for (const [from, count] of byCount) {
    const path = shortestPath(from, (nodeId) => (counts.get(nodeId) ?? 0) <= count - 2, edges);
    if (path !== undefined && (best === undefined || path.length < best.length)) best = path;
  }
  return best?.swap;
}

/** Last swap and length of the shortest path from a node to one that is a goal. */
function shortestPath(
  from: NodeId,
  isGoal: (nodeId: NodeId) => boolean,
  edges: ReadonlyMap<NodeId, readonly LeaderSwap[]>,
): { readonly swap: LeaderSwap; readonly length: number } | undefined {
  const seen = new Set([from]);
  let reached: readonly NodeId[] = [from];
  for (let length = 1; reached.length > 0; length++) {
    const next: NodeId[] = [];
    for (const nodeId of reached) {
      for (const swap of edges.get(nodeId) ?? []) {
        if (seen.has(swap.to)) continue;
        if (isGoal(swap.to)) return { swap, length };
        seen.add(swap.to);
        next.push(swap.to);
      }
    }
    reached = next;
  }
  return undefined;
}

/** Orders the nodes of each partition so that preferred leaders are even. */
export function leaderFirst(placement: Preferences): Map<PartitionId, readonly NodeId[]> {
  const ordered = new Map(placement);
  const candidates = new Set([...placement.values()].flat());
  for (;;) {
    const swap = nextLeaderSwap(ordered, candidates);
    if (swap === undefined) return ordered;
    ordered.set(swap.partitionId, preferring(ordered.get(swap.partitionId) ?? [], swap.to));
  }
}

/** The same nodes, this one first. */
export function preferring(nodes: readonly NodeId[], first: NodeId): readonly NodeId[] {
  return [first, ...nodes.filter((nodeId) => nodeId !== first)];
}
