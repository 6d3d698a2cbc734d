/** Which nodes can be counted on, as the leader of partition 0 sees them. */
import type { NodeId } from '../../base/ids.js';
import type { ClusterSettings } from '../settings.js';
import type { NodeView } from '../types.js';

export interface NodeLiveness {
  /** Monotonic time of the last sign of life. */
  readonly lastSeenMs: number;
  /** Since when the node has been heard of without a gap; of one that is silent, when that began the last time. */
  readonly upSinceMs: number;
}

/**
 * Facts with times from the caller's monotonic clock. A leader that has just taken over has heard of nobody: it begins with
 * its own start as the time of everybody's last sign of life, so that a change of leaders delays a verdict and never
 * hastens one. A node that is not listed is not counted on, and not declared dead either.
 */
export interface Liveness {
  readonly nowMs: number;
  readonly nodes: ReadonlyMap<NodeId, NodeLiveness>;
}

export function isAlive(nodeId: NodeId, liveness: Liveness, { nodeSuspectAfterMs }: ClusterSettings): boolean {
  const seen = liveness.nodes.get(nodeId);
  return seen !== undefined && liveness.nowMs - seen.lastSeenMs < nodeSuspectAfterMs;
}

/** Silent for so long that its replicas are to be made elsewhere. */
export function isDead(nodeId: NodeId, liveness: Liveness, settings: ClusterSettings): boolean {
  const seen = liveness.nodes.get(nodeId);
  if (seen === undefined) return false;
  return liveness.nowMs - seen.lastSeenMs >= Math.max(settings.deadNodeDelayMs, settings.nodeSuspectAfterMs);
}

/** Alive for so long that leaderships may come back to it. */
export function isSteady(nodeId: NodeId, liveness: Liveness, settings: ClusterSettings): boolean {
  const seen = liveness.nodes.get(nodeId);
  if (seen === undefined || !isAlive(nodeId, liveness, settings)) return false;
  return liveness.nowMs - seen.upSinceMs >= settings.leaderReturnDelayMs;
}

/** Can be given replicas. */
export function isEligible(node: NodeView, liveness: Liveness, settings: ClusterSettings): boolean {
  return node.state === 'active' && isAlive(node.id, liveness, settings);
}
