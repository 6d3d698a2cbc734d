/** Signs of life of nodes: what makes heartbeats of quiet groups unnecessary; src/raft/quiet.ts has why. */
import type { NodeId } from '../base/ids.js';
import type { Random } from '../base/ports/random.js';

export interface NodePresenceParts {
  readonly random: Random;
  /** A node of which nothing is heard for more ticks than these is silent. */
  readonly silentAfterTicks: number;
  /** Nothing was heard of a node for so many ticks, or what is heard now has another epoch. */
  readonly onSilence: (nodeId: NodeId, ticks: number) => void;
}

interface Heard {
  readonly epoch: number;
  readonly atTick: number;
}

/** How often a process may change its epoch without meeting one that another process of the node may have had. */
const epochsOfOneProcess = 2 ** 20;

export class NodePresence {
  readonly #parts: NodePresenceParts;
  readonly #heard = new Map<NodeId, Heard>();
  #ticks = 0;
  #epoch: number;

  constructor(parts: NodePresenceParts) {
    this.#parts = parts;
    this.#epoch = 1 + parts.random.nextUint32() * epochsOfOneProcess;
  }

  /** That of this node. */
  get epoch(): number {
    return this.#epoch;
  }

  /** What this node promises with its epoch cannot be kept: it takes another. */
  withdraw(): void {
    this.#epoch += 1;
  }

  /** As of the last sign of life; undefined when that is too long ago, or there was none. */
  epochOf(nodeId: NodeId): number | undefined {
    return this.#heard.get(nodeId)?.epoch;
  }

  /** A sign of life. */
  hear(nodeId: NodeId, epoch: number): void {
    const before = this.#heard.get(nodeId);
    this.#heard.set(nodeId, { epoch, atTick: this.#ticks });
    if (before !== undefined && before.epoch !== epoch) this.#parts.onSilence(nodeId, 0);
  }

  tick(): void {
    this.#ticks += 1;
    for (const [nodeId, { atTick }] of this.#heard) {
      const ticks = this.#ticks - atTick;
      if (ticks <= this.#parts.silentAfterTicks) continue;
      this.#heard.delete(nodeId);
      this.#parts.onSilence(nodeId, ticks);
    }
  }
}
