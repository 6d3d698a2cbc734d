/**
 * Brings a replica that needs trimmed entries back to its group: fetches the newest confirmed snapshot that is far enough,
 * older ones when that cannot be used, builds a store beside its own, and hands it to the replica to be put in place. Goes on trying for as
 * long as the leader has nothing else for it; never starts empty.
 */
import { isLogboomError, LogboomError } from '../base/errors.js';
import type { Lsn, PartitionId } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import type { LogStart } from '../raft/types.js';
import type { Manifest, PartitionArchive, SnapshotProgress } from '../snapshot/index.js';
import { noRepository } from './archiver.js';
import type { ArchivingMetrics } from './archiving-metrics.js';
import type { ImportedStart } from './installation.js';
import type { RepositoryAccess } from './repository-access.js';
import type { BootstrapStatus } from './types.js';

export interface BootstrapParts {
  readonly partitionId: PartitionId;
  readonly environment: Environment;
  readonly repository: RepositoryAccess | undefined;
  readonly metrics: ArchivingMetrics;
  readonly retryMsMin: number;
  readonly retryMsMax: number;
  /** Builds a complete, closed, durable store of the snapshot in the staging directory, going on where it was interrupted. */
  readonly restore: (
    archive: PartitionArchive,
    manifest: Manifest,
    options: { readonly signal: AbortSignal; readonly onProgress: (progress: SnapshotProgress) => void },
  ) => Promise<void>;
  readonly removeStaging: () => Promise<void>;
  /** Whether the log still lacks what the leader has trimmed. When it does not, the core is told. */
  readonly isNeeded: (start: LogStart) => boolean;
  /** Puts the staged store in place. False: the log has it all by now. */
  readonly install: (start: ImportedStart) => Promise<boolean>;
}

export class Bootstrap {
  readonly #parts: BootstrapParts;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** The attempt under way, and what for. */
  #attempting: { readonly start: LogStart; readonly abort: AbortController } | undefined;
  /** Asked for while the one before was ending. */
  #next: LogStart | undefined;
  #status: BootstrapStatus | undefined;
  /** An earlier process may have left a staging directory, from which a bootstrap of this one goes on. */
  #mayHaveLeftovers = true;

  constructor(parts: BootstrapParts) {
    this.#parts = parts;
  }

  /** Undefined when none is under way. */
  get status(): BootstrapStatus | undefined {
    return this.#status;
  }

  /** The leader no longer has what this replica needs. */
  begin(start: LogStart): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#running !== undefined) {
      this.#next = start;
      return;
    }
    this.#track(this.#run(start));
  }

  /** Removes what an earlier process has left, once, unless a bootstrap takes it up. */
  discardLeftovers(): void {
    if (!this.#mayHaveLeftovers || this.#running !== undefined || this.#stopping.signal.aborted) return;
    this.#track(this.#cleanUp());
  }

  /**
   * Ends an attempt that is not needed any more, because the log has brought the replica up to date meanwhile: as long as
   * one is under way the replica does not campaign. Not to be called while a store is put in place.
   */
  tick(): void {
    if (this.#attempting === undefined || this.#attempting.abort.signal.aborted) return;
    if (!this.#parts.isNeeded(this.#attempting.start))
      this.#attempting.abort.abort(new Error('it is not needed any more'));
  }

  halt(reason: LogboomError): void {
    this.#stopping.abort(reason);
  }

  /** Resolves when nothing is under way any more, after `halt`. */
  async ended(): Promise<void> {
    await this.#running;
  }

  /** One work at a time. What fails outside of the attempts is told, and leaves it to the leader to ask again. */
  #track(work: Promise<void>): void {
    this.#running = work
      .catch((error: unknown) => {
        this.#parts.environment.logger.warn('a bootstrap did not end cleanly', { error: String(error) });
      })
      .finally(() => {
        this.#running = undefined;
        this.#status = undefined;
        const next = this.#next;
        this.#next = undefined;
        if (next !== undefined) this.begin(next);
      });
  }

  async #cleanUp(): Promise<void> {
    await this.#parts.removeStaging();
    this.#mayHaveLeftovers = false;
  }

  async #run(start: LogStart): Promise<void> {
    const { environment, retryMsMin, retryMsMax, isNeeded, metrics } = this.#parts;
    const { signal } = this.#stopping;
    const { logger, clock } = environment;
    let delayMs = retryMsMin;
    let problem = '';
    logger.info('the log of the group begins behind what this replica has: it needs a snapshot', {
      neededLsn: start.lsn,
    });
    while (!signal.aborted && isNeeded(start)) {
      const startedMs = clock.monotonicMs();
      this.#status = { neededLsn: start.lsn, snapshotLsn: undefined, progress: undefined, problem };
      const abort = new AbortController();
      this.#attempting = { start, abort };
      try {
        const installed = await this.#attempt(start, problem, AbortSignal.any([signal, abort.signal]));
        if (installed) metrics.bootstrapDone((clock.monotonicMs() - startedMs) / 1000);
        break;
      } catch (error) {
        if (signal.aborted) return;
        if (abort.signal.aborted) continue;
        const message = error instanceof Error ? error.message : String(error);
        metrics.bootstrapFailed();
        logger.warn('the replica cannot be brought up to date yet', { error: message, retryInMs: delayMs });
        problem = message;
      } finally {
        this.#attempting = undefined;
      }
      this.#status = { neededLsn: start.lsn, snapshotLsn: undefined, progress: undefined, problem };
      await sleep(clock, delayMs, signal);
      delayMs = Math.min(delayMs * 2, retryMsMax);
    }
    if (!signal.aborted) await this.#cleanUp();
  }

  async #attempt(start: LogStart, problem: string, signal: AbortSignal): Promise<boolean> {
    const { repository, partitionId, environment, restore, install } = this.#parts;
    if (repository === undefined) throw noRepository(partitionId);
    const archive = repository.archive(partitionId);
    const candidates = await archive.candidates(start.lsn, { signal });
    let failure: unknown = noSnapshot(partitionId, start.lsn);
    for (const { name, lsn } of candidates) {
      const status = { neededLsn: start.lsn, snapshotLsn: lsn, problem };
      this.#status = { ...status, progress: undefined };
      try {
        const manifest = await archive.readConfirmed(name, { signal });
        await restore(archive, manifest, {
          signal,
          onProgress: (progress) => (this.#status = { ...status, progress }),
        });
        environment.logger.info('snapshot imported', { lsn, manifest: name });
        const { term, confState } = manifest;
        return await install({ lsn, term, confState });
      } catch (error) {
        if (signal.aborted || !isUnusable(error)) throw error;
        environment.logger.warn('a snapshot cannot be used; an older one is looked for', {
          manifest: name,
          error: String(error),
        });
        failure = error;
      }
    }
    throw failure;
  }
}

/** Another snapshot may be sound where this one is not. */
function isUnusable(error: unknown): boolean {
  return (
    isLogboomError(error, 'SNAPSHOT_CORRUPT') ||
    isLogboomError(error, 'SNAPSHOT_NOT_FOUND') ||
    isLogboomError(error, 'SNAPSHOT_VERSION_UNSUPPORTED')
  );
}

function noSnapshot(partition: PartitionId, lsn: Lsn): LogboomError {
  return new LogboomError(
    'SNAPSHOT_NOT_FOUND',
    `the log of partition ${partition} begins behind LSN ${lsn}, and the repository has no snapshot of that LSN or a later one: ` +
      'take one with "logboom snapshot create", and see that all nodes use the same repository',
    { facts: { partition, lsn } },
  );
}
