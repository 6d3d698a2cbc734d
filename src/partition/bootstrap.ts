/**
 * Brings a replica that needs trimmed entries back to its group: fetches the newest confirmed snapshot that is far enough,
 * older ones when that cannot be used, and when there is none, the leader's own state, as it streams it; builds a store beside
 * its own, and hands it to the replica to be put in place. Goes on trying for as long as the leader has nothing else for it; never
 * starts empty.
 */
import { isLogboomError, LogboomError, type Reason } from '../base/errors.js';
import type { Lsn, PartitionId, ReplicaId } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import type { LogStart } from '../raft/types.js';
import type { ChunkSource, Manifest, SnapshotProgress } from '../snapshot/index.js';
import { noRepository } from './archiver.js';
import type { ArchivingMetrics } from './archiving-metrics.js';
import type { ImportedStart } from './installation.js';
import type { PeerSnapshot } from './peer-snapshot.js';
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
    source: ChunkSource,
    manifest: Manifest,
    options: { readonly signal: AbortSignal; readonly onProgress: (progress: SnapshotProgress) => void },
  ) => Promise<void>;
  readonly removeStaging: () => Promise<void>;
  /** Who leads the group, as far as it is known here. */
  readonly leader: () => ReplicaId | undefined;
  /** What another replica offers of its own state, at `minLsn` or above. @throws LogboomError as `PeerSnapshot.open` does */
  readonly openPeer: (
    replica: ReplicaId,
    minLsn: Lsn,
    options: {
      readonly signal: AbortSignal;
      readonly onPreparing: (lsn: Lsn, progress: SnapshotProgress) => void;
    },
  ) => Promise<PeerSnapshot>;
  /** Whether the log still lacks what the leader has trimmed. When it does not, the core is told. */
  readonly isNeeded: (start: LogStart) => boolean;
  /** Puts the staged store in place. False: the log has it all by now. `from`: whose state it was; undefined: a repository's. */
  readonly install: (start: ImportedStart, from: ReplicaId | undefined) => Promise<boolean>;
}

/** Attempts in a row that a repository which does not answer is waited for, before another replica is asked for its state ... */
const repositoryTries = 3;
/** ... and that a replica is waited for which does not answer, and of whose state something is imported already. */
const peerTries = 3;

type Status = Omit<BootstrapStatus, 'problem'>;

export class Bootstrap {
  readonly #parts: BootstrapParts;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** The attempt under way, and what for. */
  #attempting: { readonly start: LogStart; readonly abort: AbortController } | undefined;
  /** Asked for while the one before was ending. */
  #next: LogStart | undefined;
  #status: BootstrapStatus | undefined;
  /** Why the last attempt failed. */
  #problem = '';
  /** Attempts at a repository that did not answer, since the bootstrap began. */
  #repositoryFailures = 0;
  /** A replica of whose state something is imported, and attempts to go on with it that failed since. */
  #peer: { readonly replica: ReplicaId; failures: number } | undefined;
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
    this.#problem = '';
    this.#repositoryFailures = 0;
    logger.info('the log of the group begins behind what this replica has: it needs a snapshot', {
      neededLsn: start.lsn,
    });
    while (!signal.aborted && isNeeded(start)) {
      const startedMs = clock.monotonicMs();
      this.#show(idle(start));
      const abort = new AbortController();
      this.#attempting = { start, abort };
      try {
        const installed = await this.#attempt(start, AbortSignal.any([signal, abort.signal]));
        if (installed) metrics.bootstrapDone((clock.monotonicMs() - startedMs) / 1000);
        break;
      } catch (error) {
        if (signal.aborted) return;
        if (abort.signal.aborted) continue;
        this.#problem = messageOf(error);
        metrics.bootstrapFailed();
        logger.warn('the replica cannot be brought up to date yet', { error: this.#problem, retryInMs: delayMs });
      } finally {
        this.#attempting = undefined;
      }
      this.#show(idle(start));
      await sleep(clock, delayMs, signal);
      delayMs = Math.min(delayMs * 2, retryMsMax);
    }
    if (!signal.aborted) await this.#cleanUp();
  }

  #show(status: Status): void {
    this.#status = { ...status, problem: this.#problem };
  }

  async #attempt(start: LogStart, signal: AbortSignal): Promise<boolean> {
    const begun = this.#peer;
    if (begun !== undefined) {
      try {
        return await this.#fromPeer(begun.replica, start, signal);
      } catch (error) {
        if (signal.aborted || !isOfPeer(error)) throw error;
        begun.failures += 1;
        // What is imported of it is lost with it: it may only be restarting.
        if (isAbout(error, passingReasons) && begun.failures < peerTries) throw error;
        this.#peer = undefined;
      }
    }
    let failure: unknown;
    try {
      return await this.#fromRepository(start, signal);
    } catch (error) {
      if (signal.aborted || !isAbout(error, noRepositoryReasons)) throw error;
      failure = error;
    }
    // A repository that does not answer now may do so in a moment, and costs the leader nothing.
    if (isLogboomError(failure, 'REPOSITORY_UNAVAILABLE')) {
      this.#repositoryFailures += 1;
      if (this.#repositoryFailures < repositoryTries) throw failure;
    }
    return this.#fromLeader(failure, start, signal);
  }

  async #fromRepository(start: LogStart, signal: AbortSignal): Promise<boolean> {
    const { repository, partitionId, environment, restore, install } = this.#parts;
    if (repository === undefined) throw noRepository(partitionId);
    const archive = repository.archive(partitionId);
    const candidates = await archive.candidates(start.lsn, { signal });
    let failure: unknown = noSnapshot(partitionId, start.lsn);
    for (const { name, lsn } of candidates) {
      const status = { ...idle(start), snapshotLsn: lsn };
      this.#show(status);
      try {
        const manifest = await archive.readConfirmed(name, { signal });
        await restore(archive, manifest, { signal, onProgress: (progress) => this.#show({ ...status, progress }) });
        environment.logger.info('snapshot imported', { lsn, manifest: name });
        const { term, confState } = manifest;
        return await install({ lsn, term, confState }, undefined);
      } catch (error) {
        if (signal.aborted || !isAbout(error, unusableReasons)) throw error;
        environment.logger.warn('a snapshot cannot be used; an older one is looked for', {
          manifest: name,
          error: String(error),
        });
        failure = error;
      }
    }
    throw failure;
  }

  /** @param failure why the repository has nothing */
  async #fromLeader(failure: unknown, start: LogStart, signal: AbortSignal): Promise<boolean> {
    const leader = this.#parts.leader();
    if (leader === undefined) throw nothingThere(failure, 'the leader of the group is not known');
    try {
      return await this.#fromPeer(leader, start, signal);
    } catch (error) {
      if (signal.aborted || !isOfPeer(error)) throw error;
      throw nothingThere(failure, `from replica ${leader}, which leads the group: ${messageOf(error)}`);
    }
  }

  async #fromPeer(replica: ReplicaId, start: LogStart, signal: AbortSignal): Promise<boolean> {
    const { openPeer, restore, install, environment } = this.#parts;
    const status = { ...idle(start), fromReplica: replica };
    this.#show({ ...status, isPreparing: true });
    const peer = await openPeer(replica, start.lsn, {
      signal,
      onPreparing: (lsn, progress) =>
        this.#show({ ...status, isPreparing: true, snapshotLsn: lsn === 0 ? undefined : lsn, progress }),
    });
    const { lsn, term, confState } = peer.manifest;
    this.#show({ ...status, snapshotLsn: lsn });
    await restore(peer, peer.manifest, {
      signal,
      onProgress: (progress) => {
        this.#peer = { replica, failures: 0 };
        this.#show({ ...status, snapshotLsn: lsn, progress });
      },
    });
    environment.logger.info('the state of another replica was imported', { lsn, replica });
    void peer.close();
    this.#peer = undefined;
    return install({ lsn, term, confState }, replica);
  }
}

const idle = ({ lsn }: LogStart): Status => ({
  neededLsn: lsn,
  snapshotLsn: undefined,
  progress: undefined,
  fromReplica: undefined,
  isPreparing: false,
});

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Another snapshot may be sound where this one is not. */
const unusableReasons: readonly Reason[] = ['SNAPSHOT_CORRUPT', 'SNAPSHOT_NOT_FOUND', 'SNAPSHOT_VERSION_UNSUPPORTED'];
/** The repository has nothing that can be used, or is not there. */
const noRepositoryReasons: readonly Reason[] = [
  ...unusableReasons,
  'REPOSITORY_NOT_CONFIGURED',
  'REPOSITORY_UNAVAILABLE',
  'REPOSITORY_REFUSED',
];
/** The other replica cannot be reached now. */
const passingReasons: readonly Reason[] = [
  'NODE_UNREACHABLE',
  'DEADLINE_EXCEEDED',
  'LINK_CORRUPT',
  'QUEUE_FULL',
  'SHUTTING_DOWN',
];
/** What is the matter here. All else is the other's. */
const ownReasons: readonly Reason[] = ['DISK_FULL', 'STATE_STORE_FAILED', 'PARTITION_STOPPED'];

const isAbout = (error: unknown, reasons: readonly Reason[]): boolean =>
  isLogboomError(error) && reasons.includes(error.reason);

const isOfPeer = (error: unknown): boolean => isLogboomError(error) && !ownReasons.includes(error.reason);

function nothingThere(repositoryFailure: unknown, peerProblem: string): LogboomError {
  const reason = isLogboomError(repositoryFailure) ? repositoryFailure.reason : 'SNAPSHOT_NOT_FOUND';
  return new LogboomError(reason, `${messageOf(repositoryFailure)}; ${peerProblem}`, { cause: repositoryFailure });
}

function noSnapshot(partition: PartitionId, lsn: Lsn): LogboomError {
  return new LogboomError(
    'SNAPSHOT_NOT_FOUND',
    `the log of partition ${partition} begins behind LSN ${lsn}, and the repository has no snapshot of that LSN or a later one: ` +
      'take one with "logboom snapshot create", and see that all nodes use the same repository',
    { facts: { partition, lsn } },
  );
}
