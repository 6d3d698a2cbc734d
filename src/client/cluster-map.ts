import { crc32 } from 'node:zlib';
import { slotOf } from '../base/hash-slot.js';
import type { ClusterDescription } from './messages.js';

interface Leader {
  readonly address: string;
  readonly term: number;
}

/**
 * What a client knows of the cluster: which partition a stream belongs to, and at which address the leader of that
 * partition is. It may be out of date at any time, which costs a request one more hop and nothing else: every node takes
 * every request, and passes it on to the leader that it knows.
 *
 * Empty for a node alone: there is nothing to choose, and the address that it advertises may be no better than the one
 * that the client was given.
 */
export class ClusterMap {
  #clusterId = '';
  #addresses = new Map<number, string>();
  #slotPartitions: readonly number[] = [];
  readonly #leaders = new Map<number, Leader>();

  /** One address of each node, by node id. */
  get addresses(): readonly string[] {
    return [...this.#addresses.values()];
  }

  /** Undefined as long as the table of slots is not known. */
  partitionOf(stream: string): number | undefined {
    if (this.#slotPartitions.length === 0) return undefined;
    return this.#slotPartitions[slotOf(stream, this.#slotPartitions.length, crc32)];
  }

  leaderOf(partition: number | undefined): string | undefined {
    return partition === undefined ? undefined : this.#leaders.get(partition)?.address;
  }

  /** Takes over what a node says; of leaders only what is not older than what is known. */
  learn(description: ClusterDescription): void {
    const { clusterId, nodes, slotPartitions, leaders } = description;
    // Another cluster at the same addresses counts its terms anew.
    if (clusterId !== this.#clusterId) this.#leaders.clear();
    this.#clusterId = clusterId;
    const isAlone = nodes.length <= 1;
    this.#addresses = new Map(
      nodes.flatMap(({ id, advertisedAddresses: [address] }) =>
        address === undefined || isAlone ? [] : [[id, address] as const],
      ),
    );
    this.#slotPartitions = isAlone ? [] : slotPartitions;
    for (const { partition, node, term } of leaders) {
      const address = this.#addresses.get(node);
      if (address === undefined || term < (this.#leaders.get(partition)?.term ?? 0)) continue;
      this.#leaders.set(partition, { address, term });
    }
  }

  /** A node has refused and named the one that leads. */
  hint(partition: number, address: string): void {
    this.#leaders.set(partition, { address, term: this.#leaders.get(partition)?.term ?? 0 });
  }

  /** A node that was taken for the leader says that it is not. What another node says with the same term counts again. */
  forget(partition: number, address: string): void {
    if (this.#leaders.get(partition)?.address === address) this.#leaders.delete(partition);
  }
}
