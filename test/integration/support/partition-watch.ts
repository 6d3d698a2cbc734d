/** Holds what a node says of its partitions against rule 1, and against what it said before, across its restarts. */
import type { LogboomClient } from '../../../src/client/index.js';
import type { Writer } from './writers.js';

export class PartitionWatch {
  samples = 0;
  readonly #persistedLsn = new Map<number, number>();
  readonly #trimPoint = new Map<number, number>();

  /** @param writers what they got acknowledged before the call must be applied */
  async sample(
    client: LogboomClient,
    writers: readonly Writer[] = [],
    partitionOf: ReadonlyMap<string, number> = new Map(),
  ): Promise<void> {
    const acknowledgedLsn = new Map<number, number>();
    for (const { options, acknowledged, lastAcknowledged } of writers) {
      const partition = partitionOf.get(options.stream) ?? 0;
      const lsn = acknowledged.get(lastAcknowledged)?.lsn ?? 0;
      acknowledgedLsn.set(partition, Math.max(lsn, acknowledgedLsn.get(partition) ?? 0));
    }
    for (const { id, replicas } of await client.cluster.partitions()) {
      const replica = replicas[0];
      if (!replica) throw new Error(`partition ${id} has no replica`);
      const { persistedLsn, appliedLsn, commitLsn, durableLsn, trimPoint, fault } = replica;
      const said = `partition ${id} says persisted ${persistedLsn}, applied ${appliedLsn}, commit ${commitLsn}, durable ${durableLsn}, trim point ${trimPoint}`;
      const ordered =
        persistedLsn <= appliedLsn && appliedLsn <= commitLsn && commitLsn <= durableLsn && trimPoint <= persistedLsn;
      if (!ordered) throw new Error(`rule 1: ${said}`);
      if (fault !== '') throw new Error(`partition ${id} has a fault: ${fault}`);
      const persistedBefore = this.#persistedLsn.get(id) ?? 0;
      if (persistedLsn < persistedBefore)
        throw new Error(`the persisted LSN went back from ${persistedBefore}: ${said}`);
      const trimmedBefore = this.#trimPoint.get(id) ?? 0;
      if (trimPoint < trimmedBefore) throw new Error(`the trim point went back from ${trimmedBefore}: ${said}`);
      const acknowledged = acknowledgedLsn.get(id) ?? 0;
      if (appliedLsn < acknowledged) throw new Error(`LSN ${acknowledged} was acknowledged: ${said}`);
      this.#persistedLsn.set(id, persistedLsn);
      this.#trimPoint.set(id, trimPoint);
      this.samples++;
    }
  }
}
