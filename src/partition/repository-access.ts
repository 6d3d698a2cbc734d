/** The snapshot repository of a node, as its replicas use it: reached when it can be, and asked again whether it is still the same. */
import { LogboomError } from '../base/errors.js';
import type { PartitionId } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import type { PartitionArchive, SnapshotRepository } from '../snapshot/index.js';
import { Slots } from './slots.js';

export interface RepositoryAccess {
  /** Identity of the repository that the node has lately proved to see; empty: none. */
  readonly provenId: string;
  /** Why it cannot be used now; empty when it can. */
  readonly problem: string;
  /** @throws LogboomError REPOSITORY_UNAVAILABLE */
  archive(partitionId: PartitionId): PartitionArchive;
  /** Waits for one of the node's places for snapshots; answers what gives it back. Rejects when `signal` aborts. */
  takeSlot(signal: AbortSignal): Promise<() => void>;
}

export interface RepositoryConnectionOptions {
  readonly clusterId: string;
  /** Opens it anew; reads its identity. */
  readonly open: (signal: AbortSignal) => Promise<SnapshotRepository>;
  /** The identity is read this often. */
  readonly checkEveryMs: number;
  readonly retryMsMin: number;
  readonly retryMsMax: number;
  readonly snapshotsMax: number;
}

const checksMissedMax = 3;

/** A repository that cannot be reached keeps no node from starting or serving: only snapshots and trimming wait for it. */
export class RepositoryConnection implements RepositoryAccess {
  readonly #environment: Environment;
  readonly #options: RepositoryConnectionOptions;
  readonly #stopping = new AbortController();
  readonly #slots: Slots;
  #repository: SnapshotRepository | undefined;
  /** One a partition: it remembers what this process has uploaded. */
  readonly #archives = new Map<PartitionId, PartitionArchive>();
  #problem = 'the snapshot repository was not reached yet';
  #reachedMs = 0;
  #loop: Promise<void> | undefined;

  constructor(environment: Environment, options: RepositoryConnectionOptions) {
    this.#environment = environment;
    this.#options = options;
    this.#slots = new Slots(options.snapshotsMax);
  }

  run(): void {
    this.#loop = this.#keepChecking();
  }

  get provenId(): string {
    return this.problem === '' ? (this.#repository?.id ?? '') : '';
  }

  get problem(): string {
    if (this.#problem !== '') return this.#problem;
    // A check that never returns says nothing: what was proved long ago does not count.
    const sinceMs = this.#environment.clock.monotonicMs() - this.#reachedMs;
    if (sinceMs <= checksMissedMax * this.#options.checkEveryMs) return '';
    return `the snapshot repository has not answered for ${Math.floor(sinceMs)} ms`;
  }

  archive(partitionId: PartitionId): PartitionArchive {
    const { problem } = this;
    if (this.#repository === undefined || problem !== '') {
      throw new LogboomError('REPOSITORY_UNAVAILABLE', problem, { retryAfterMs: this.#options.retryMsMin });
    }
    let archive = this.#archives.get(partitionId);
    if (archive === undefined) {
      archive = this.#repository.partition(this.#options.clusterId, partitionId);
      this.#archives.set(partitionId, archive);
    }
    return archive;
  }

  takeSlot(signal: AbortSignal): Promise<() => void> {
    return this.#slots.take(signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new LogboomError('SHUTTING_DOWN', 'the node is stopping'));
    await this.#loop;
  }

  async #keepChecking(): Promise<void> {
    const { clock } = this.#environment;
    const { checkEveryMs, retryMsMin, retryMsMax } = this.#options;
    const { signal } = this.#stopping;
    let retryMs = retryMsMin;
    while (!signal.aborted) {
      const isWell = await this.#check();
      await sleep(clock, isWell ? checkEveryMs : retryMs, signal);
      retryMs = isWell ? retryMsMin : Math.min(retryMs * 2, retryMsMax);
    }
  }

  async #check(): Promise<boolean> {
    const { logger } = this.#environment;
    const { signal } = this.#stopping;
    try {
      const repository = await this.#options.open(signal);
      const before = this.#repository;
      if (before !== undefined && before.id !== repository.id) {
        // What was archived is not here: somebody put another repository in its place.
        this.#complain(
          `the snapshot repository is another one: it had the id ${before.id}, and now has ${repository.id}`,
        );
        return false;
      }
      this.#repository ??= repository;
      if (this.#problem !== '') logger.info('snapshot repository reached', { repository: repository.id });
      this.#problem = '';
      this.#reachedMs = this.#environment.clock.monotonicMs();
      return true;
    } catch (error) {
      if (!signal.aborted) this.#complain(error instanceof Error ? error.message : String(error));
      return false;
    }
  }

  #complain(problem: string): void {
    // Once for each problem: this is tried again and again.
    if (problem !== this.#problem) this.#environment.logger.warn('the snapshot repository cannot be used', { problem });
    this.#problem = problem;
  }
}
