/** Since when the leader of the metadata hears of which node; see `Liveness`. */
import type { NodeId } from '../../base/ids.js';
import type { Liveness } from '../../metadata/index.js';

interface Seen {
  readonly lastSeenMs: number;
  readonly upSinceMs: number;
}

export class NodeLiveness {
  readonly #seen = new Map<NodeId, Seen>();

  /** Nobody was heard of before: a new leader begins with its own start as everybody's last sign of life. */
  reset(): void {
    this.#seen.clear();
  }

  /** @param alive nodes of which there is a sign of life now */
  observe(nodes: Iterable<NodeId>, alive: ReadonlySet<NodeId>, nowMs: number): Liveness {
    const known = new Set(nodes);
    for (const nodeId of this.#seen.keys()) if (!known.has(nodeId)) this.#seen.delete(nodeId);
    for (const nodeId of known) {
      const before = this.#seen.get(nodeId);
      if (before === undefined) this.#seen.set(nodeId, { lastSeenMs: nowMs, upSinceMs: nowMs });
      else if (!alive.has(nodeId)) this.#seen.set(nodeId, { ...before, upSinceMs: nowMs });
      else this.#seen.set(nodeId, { lastSeenMs: nowMs, upSinceMs: before.upSinceMs });
    }
    return { nowMs, nodes: new Map(this.#seen) };
  }
}
