/**
 * What a node that was alone has to do before it takes a second one: a log that was trimmed to what the node itself had
 * persisted tells a new replica nothing of what is gone. So trimming to the persisted LSN is off from the moment a node asks to
 * join, and until each partition has an archived snapshot from which its log goes on, that node waits.
 */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import type { PartitionId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { Logger } from '../../base/ports/logger.js';

/** After that long without a node that asks, the node is alone as before. A node that waits asks every second. */
const askedMs = 60_000;

export interface GrowingReplica {
  readonly partitionId: PartitionId;
  readonly status: { readonly trimPoint: number; readonly archivedLsn?: number | undefined };
  snapshot(): Promise<unknown>;
}

export interface GrowthParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly replicas: () => readonly GrowingReplica[];
  readonly hasRepository: boolean;
  /** Whether this node is the only one of its cluster. */
  readonly isAlone: () => boolean;
}

export class Growth {
  readonly #parts: GrowthParts;
  readonly #underWay = new Set<PartitionId>();
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(parts: GrowthParts) {
    this.#parts = parts;
  }

  /** Whether a second node is to be counted on already. */
  get hasBegun(): boolean {
    return this.#parts.clock.monotonicMs() - this.#askedAtMs < askedMs;
  }

  /**
   * What a second node has to wait for; undefined: nothing. Begins what has to be done.
   *
   * @throws LogboomError REPOSITORY_NOT_CONFIGURED
   */
  prepare(): string | undefined {
    const { replicas, isAlone, hasRepository, clock } = this.#parts;
    if (!isAlone()) return undefined;
    this.#askedAtMs = clock.monotonicMs();
    const all = replicas();
    const missing = all.filter(lacksSnapshot);
    if (missing.length === 0) return undefined;
    if (!hasRepository) {
      throw new LogboomError(
        'REPOSITORY_NOT_CONFIGURED',
        'the node that is to be joined was alone and has trimmed its log: what is gone of it can come to another node only as ' +
          'a snapshot. Set snapshots.repository, on both nodes, to a place that both see, and restart the first one',
        { facts: { partitions: missing.map(({ partitionId }) => partitionId).join(', ') } },
      );
    }
    for (const replica of missing) this.#archive(replica);
    return `the node was alone and has trimmed its log: it takes snapshots first, of ${missing.length} of ${all.length} partitions still`;
  }

  #archive(replica: GrowingReplica): void {
    const { partitionId } = replica;
    if (this.#underWay.has(partitionId)) return;
    this.#underWay.add(partitionId);
    void replica
      .snapshot()
      .catch((error: unknown) => {
        if (!isLogboomError(error)) throw error;
        this.#parts.logger.warn('the snapshot that a second node waits for has failed; it is tried again', {
          partition: partitionId,
          error,
        });
      })
      .finally(() => this.#underWay.delete(partitionId));
  }
}

function lacksSnapshot({ status }: GrowingReplica): boolean {
  return status.trimPoint > 0 && (status.archivedLsn ?? 0) < status.trimPoint;
}
