/** How evenly replicas are spread over failure domains. */

/** Replicas by zone. */
export function zoneCounts(nodes: Iterable<{ readonly zone: string }>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { zone } of nodes) counts.set(zone, (counts.get(zone) ?? 0) + 1);
  return counts;
}

/**
 * Sum of the squares of the replicas in each zone: the lower, the more even. A replica that moves from one zone to another
 * lowers it exactly when the first has at least two more.
 */
export function zonePenalty(nodes: Iterable<{ readonly zone: string }>): number {
  let sum = 0;
  for (const count of zoneCounts(nodes).values()) sum += count * count;
  return sum;
}
