/** Whether the replicas of a node have once shown, since its start, everything that was acknowledged before it. */
import { isLogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import type { PartitionId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { NodeReplica } from '../replicas.js';

const tryAgainMs = 200;

export class CatchUp {
  readonly #clock: Clock;
  readonly #behind = new Set<PartitionId>();
  readonly #stopping = new AbortController();
  readonly #loops: Promise<void>[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  watch(replica: NodeReplica): void {
    this.#behind.add(replica.partitionId);
    this.#loops.push(this.#untilCaughtUp(replica));
  }

  /** The replica is removed. */
  forget(partitionId: PartitionId): void {
    this.#behind.delete(partitionId);
  }

  isBehind(partitionId: PartitionId): boolean {
    return this.#behind.has(partitionId);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
  }

  /** A linearizable read says it: it waits until the leader's commit LSN of now is applied here. */
  async #untilCaughtUp(replica: NodeReplica): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && replica.stopped === undefined) {
      try {
        await replica.awaitLinearizable(signal);
        this.#behind.delete(replica.partitionId);
        return;
      } catch (error) {
        if (!isLogboomError(error)) throw error;
        await sleep(this.#clock, tryAgainMs, signal);
      }
    }
  }
}
