/**
 * Messages that a network keeps for long and delivers when they are of no use any more: to a replica that has meanwhile put
 * a snapshot in place, say. Raft must bear that of any message, however old (dissertation 3.3).
 */
import type { RandomStream } from '../engine/random.js';
import type { World } from '../engine/world.js';

/** Kept of each sender, receiver and partition, the newest. */
const kept = 8;
const spreadMsMax = 40;

interface Kept {
  readonly toNode: number;
  readonly partitionId: number;
  readonly deliveries: (() => void)[];
}

export class StaleMessages {
  readonly #world: World;
  readonly #random: RandomStream;
  readonly #kept = new Map<string, Kept>();

  constructor(world: World, random: RandomStream) {
    this.#world = world;
    this.#random = random;
  }

  keep(fromNode: number, toNode: number, partitionId: number, deliver: () => void): void {
    const key = `${fromNode} ${toNode} ${partitionId}`;
    let found = this.#kept.get(key);
    if (found === undefined) {
      found = { toNode, partitionId, deliveries: [] };
      this.#kept.set(key, found);
    }
    found.deliveries.push(deliver);
    if (found.deliveries.length > kept) found.deliveries.shift();
  }

  /** Delivers what was kept for a replica, some of it, in any order, within moments. Answers how many messages. */
  deliver(toNode: number, partitionId: number): number {
    let count = 0;
    for (const { deliveries } of [...this.#kept.values()].filter(
      (found) => found.toNode === toNode && found.partitionId === partitionId,
    )) {
      for (const delivery of deliveries) {
        if (this.#random.chance(0.5)) continue;
        this.#world.after(this.#random.between(0, spreadMsMax), delivery);
        count += 1;
      }
    }
    return count;
  }
}
