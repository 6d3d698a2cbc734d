/**
 * Asks the metadata to make anew what has diverged here (rule 5): the replica is taken out of its group, its data deleted, and
 * one under another id begins in its place, from a snapshot or the log. The metadata refuses while the group would lose its
 * majority by it; asked again and again, it does so when the others are back.
 */
import { Rounds } from '../../base/rounds.js';
import type { PartitionId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { NodeReplica } from '../replicas.js';
import type { ReplicaReport } from './metadata-proposals.js';

const lookEveryMs = 1000;
/** A machine or a build that makes a replica diverge does it again: each time costs a copy of the partition. */
const rebuildAgainMs = 600_000;

export interface RebuilderParts {
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
  /** Stopped for STATE_DIVERGED. */
  readonly diverged: () => readonly Pick<NodeReplica, 'partitionId' | 'replicaId'>[];
  readonly report: (reports: readonly ReplicaReport[]) => Promise<void>;
}

export class Rebuilder {
  readonly #parts: RebuilderParts;
  readonly #rounds: Rounds;
  /** When the metadata took the last request for a partition. */
  readonly #acceptedMs = new Map<PartitionId, number>();
  readonly #problems = new Map<PartitionId, string>();

  constructor(parts: RebuilderParts) {
    this.#parts = parts;
    this.#rounds = new Rounds(parts.environment.clock, lookEveryMs, () => this.#look());
  }

  run(): void {
    this.#rounds.run();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #look(): Promise<void> {
    for (const { partitionId, replicaId } of this.#parts.diverged()) {
      if (this.#isDue(partitionId)) await this.#ask(partitionId, { type: 'replace-replica', partitionId, replicaId });
    }
  }

  #isDue(partitionId: PartitionId): boolean {
    const { clock } = this.#parts.environment;
    return clock.monotonicMs() - (this.#acceptedMs.get(partitionId) ?? Number.NEGATIVE_INFINITY) >= rebuildAgainMs;
  }

  async #ask(partitionId: PartitionId, report: ReplicaReport): Promise<void> {
    const { environment } = this.#parts;
    const { clock, logger } = environment;
    const facts = { partition: partitionId, replica: report.replicaId };
    try {
      await this.#parts.report([report]);
      this.#acceptedMs.set(partitionId, clock.monotonicMs());
      this.#problems.delete(partitionId);
      logger.warn('a replica that has diverged is made anew under another id', facts);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (this.#problems.get(partitionId) !== problem)
        logger.warn('a replica that has diverged cannot be made anew yet', { ...facts, error: problem });
      this.#problems.set(partitionId, problem);
    }
  }
}
