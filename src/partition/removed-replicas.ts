/**
 * Which replicas a node has given up: `partitions/removed.json`.
 *
 * A replica id stands for a log and votes; once its data is deleted it must never be started again, or it would answer for
 * what it has forgotten. So the id is written here, durably, before anything of it is deleted: that is the point of no
 * return. Whatever the deletion leaves behind when the process ends is deleted by the next start, and no list of placements,
 * however old, brings the id back. Ids of a partition only grow, so the highest one says it of all before it.
 */
import { LogboomError } from '../base/errors.js';
import type { PartitionId, ReplicaId } from '../base/ids.js';
import { replaceFile, type Disk } from '../base/ports/disk.js';

interface Removal {
  /** The highest that was removed. */
  readonly replicaId: ReplicaId;
  /** Whether nothing is left of it. A log that is missing later is damage, and not the rest of a removal. */
  readonly isDone: boolean;
}

export class RemovedReplicas {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #removals: Map<PartitionId, Removal>;

  private constructor(disk: Disk, path: string, removals: Map<PartitionId, Removal>) {
    this.#disk = disk;
    this.#path = path;
    this.#removals = removals;
  }

  /** @param directory absolute; of all replicas. @throws LogboomError DATA_CORRUPT */
  static async load(disk: Disk, directory: string): Promise<RemovedReplicas> {
    const path = `${directory}/removed.json`;
    const removals = (await disk.exists(path)) ? decode(path, await disk.readFile(path)) : new Map<never, never>();
    return new RemovedReplicas(disk, path, removals);
  }

  /** Partitions of which something may be left of a removed replica. */
  get unfinished(): readonly PartitionId[] {
    return [...this.#removals].filter(([, { isDone }]) => !isDone).map(([partitionId]) => partitionId);
  }

  has(partitionId: PartitionId, replicaId: ReplicaId): boolean {
    return replicaId <= (this.#removals.get(partitionId)?.replicaId ?? 0);
  }

  /** The point of no return. Durable when it resolves. */
  async begin(partitionId: PartitionId, replicaId: ReplicaId): Promise<void> {
    if (!this.has(partitionId, replicaId)) await this.#put(partitionId, { replicaId, isDone: false });
  }

  /** Nothing is left. */
  async finish(partitionId: PartitionId): Promise<void> {
    const removal = this.#removals.get(partitionId);
    if (removal !== undefined) await this.#put(partitionId, { ...removal, isDone: true });
  }

  async #put(partitionId: PartitionId, removal: Removal): Promise<void> {
    await replaceFile(this.#disk, this.#path, encode(new Map(this.#removals).set(partitionId, removal)));
    this.#removals.set(partitionId, removal);
  }
}

function encode(removals: ReadonlyMap<PartitionId, Removal>): Uint8Array {
  const removed = [...removals].map(([partition, { replicaId: replica, isDone: done }]) => ({
    partition,
    replica,
    done,
  }));
  return new TextEncoder().encode(`${JSON.stringify({ format: 1, removed }, undefined, 2)}\n`);
}

function decode(path: string, bytes: Uint8Array): Map<PartitionId, Removal> {
  const corrupt = (problem: string): LogboomError =>
    new LogboomError('DATA_CORRUPT', `${path} ${problem}: replace this node by one with an empty data directory`);
  let value: { readonly format?: unknown; readonly removed?: unknown };
  try {
    value = JSON.parse(new TextDecoder().decode(bytes)) as typeof value;
  } catch {
    throw corrupt('is not JSON');
  }
  if (value.format !== 1 || !Array.isArray(value.removed)) throw corrupt('has a format that this build does not know');
  const removals = new Map<PartitionId, Removal>();
  for (const { partition, replica, done } of value.removed as Record<string, unknown>[]) {
    if (!Number.isSafeInteger(partition) || !Number.isSafeInteger(replica)) throw corrupt('names no replica');
    removals.set(partition as PartitionId, { replicaId: replica as ReplicaId, isDone: done === true });
  }
  return removals;
}
