/** The part of a replica that has to do with snapshots: its archiver, its bootstrap, and putting an imported state in place. */
import { assert } from '../base/assert.js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import { noReplica, type Lsn, type ReplicaId, type Term } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { StateMachine, StateReader } from '../base/state-machine.js';
import { isQuorum } from '../raft/index.js';
import type { ConfState, Entry, LogStart, RaftStatus } from '../raft/types.js';
import type { StateStore } from '../state-store/index.js';
import { Archiver, type Checkpoint } from './archiver.js';
import type { ArchiveState } from './archive-state.js';
import { archivingMetrics } from './archiving-metrics.js';
import { Bootstrap } from './bootstrap.js';
import {
  finishInstallation,
  markReady,
  prepareInstallation,
  removeStaging,
  stagingDirectory,
  type ImportedStart,
} from './installation.js';
import type { ReplicaObserver } from './observer.js';
import { encodePartitionCommand, type PartitionCommand } from './partition-command.js';
import { PeerSnapshot } from './peer-snapshot.js';
import { PendingProposals } from './proposals.js';
import type { ReplicaParts } from './replica-options.js';
import { SnapshotSupplier } from './snapshot-supplier.js';
import type { TrimProposal } from './trim.js';
import type { ReplicaStatus } from './types.js';

/** What it needs of the replica that it is part of. */
export interface SnapshottedReplica {
  readonly replicaId: ReplicaId;
  readonly isLeader: boolean;
  readonly confState: ConfState;
  readonly raftStatus: RaftStatus;
  readonly lastLsn: Lsn;
  readonly persistedLsn: Lsn;
  readonly appliedBytes: number;
  readonly trimPoint: Lsn;
  /** The instance that is, or was last, in use. */
  readonly store: StateStore;
  readonly observer: ReplicaObserver | undefined;
  confStateAt(lsn: Lsn): ConfState;
  /** @throws LogboomError NOT_LEADER, QUEUE_FULL, DISK_FULL, STATE_STORE_FAILED, PARTITION_STOPPED, SHUTTING_DOWN */
  propose(command: Uint8Array): { readonly lsn: Lsn; readonly term: Term };
  sendToHost(to: ReplicaId, payload: Uint8Array): void;
  /** Archived LSN or trim point may have moved. */
  trim(): void;
  /** Resolves when all that the log was given is durable, or the replica has stopped. */
  logSettled(): Promise<void>;
  /** Closes the store, and goes on with what `swap` has put in its place. */
  replaceStore(swap: () => Promise<void>): Promise<void>;
  /** Asks the core whether state and log may be replaced (RaftCore.beginSnapshot). @throws LogboomError PARTITION_STOPPED */
  beginSnapshot(start: LogStart): boolean;
  /** State and log begin at `start`; the core is to be told. @throws LogboomError PARTITION_STOPPED */
  installed(start: LogStart): void;
  readonly isStopped: boolean;
  fail(error: unknown): void;
}

export class ReplicaSnapshots<Result, Machine extends StateMachine<Result>> {
  readonly #parts: ReplicaParts<Result, Machine>;
  readonly #replica: SnapshottedReplica;
  readonly #archiver: Archiver;
  readonly #bootstrap: Bootstrap;
  readonly #supplier: SnapshotSupplier;
  readonly #checkpoints = new PendingProposals<Checkpoint>({ itemsMax: 16, bytesMax: 1 << 20 });
  readonly #archives = new PendingProposals<undefined>({ itemsMax: 16, bytesMax: 1 << 20 });
  readonly #lastLsnAtStart: Lsn;
  #isInstalling = false;

  constructor(parts: ReplicaParts<Result, Machine>, replica: SnapshottedReplica, reader: StateReader) {
    this.#parts = parts;
    this.#replica = replica;
    const { environment, options, repository, log, machine } = parts;
    this.#lastLsnAtStart = log.lastLsn;
    const metrics = archivingMetrics(environment.metrics, log.partitionId);
    this.#archiver = new Archiver(
      {
        environment,
        options: options.archiving,
        repository,
        recordedRepository: parts.recordedRepository,
        metrics,
        facts: { nodeId: parts.nodeId, softwareVersion: parts.softwareVersion },
        trims: options.trimMode === 'archived',
        partitionId: log.partitionId,
        replica,
        checkpoint: () => this.#checkpoint(),
        proposeArchive: (archive) => this.#proposeArchive(archive),
        logicalView: (state) => machine.logicalView(state),
      },
      reader,
    );
    this.#bootstrap = new Bootstrap({
      partitionId: log.partitionId,
      environment,
      repository,
      metrics,
      retryMsMin: options.archiving.retryMsMin,
      retryMsMax: options.archiving.retryMsMax,
      restore: (source, manifest, restoreOptions) =>
        parts.restoreSnapshot(source, manifest, {
          ...restoreOptions,
          bytesPerSecondMax: options.archiving.bytesPerSecondMax,
          directory: stagingDirectory(parts.directory),
          logicalView: (state) => machine.logicalView(state),
        }),
      removeStaging: () => removeStaging(environment.disk, parts.directory),
      leader: () => {
        const { leader } = replica.raftStatus;
        return leader === noReplica || leader === replica.replicaId ? undefined : leader;
      },
      openPeer: (from, minLsn, openOptions) =>
        PeerSnapshot.open(
          {
            partitionId: log.partitionId,
            clusterId: parts.clusterId,
            environment,
            ask: parts.host.ask,
            sizes: parts.snapshotSizes,
          },
          from,
          minLsn,
          openOptions,
        ),
      isNeeded: (start) => this.#isNeeded(start),
      install: (start, from) => this.#install(start, from),
    });
    this.#supplier = new SnapshotSupplier({
      partitionId: log.partitionId,
      clusterId: parts.clusterId,
      environment,
      facts: { replicaId: replica.replicaId, nodeId: parts.nodeId, softwareVersion: parts.softwareVersion },
      isLeader: () => replica.isLeader,
      pin: (signal) => this.#pin(signal),
      logicalView: (state) => machine.logicalView(state),
      slots: parts.offerSlots,
      sizes: parts.snapshotSizes,
      bytesPerSecondMax: options.archiving.bytesPerSecondMax,
      idleMs: options.archiving.offerIdleMs,
    });
  }

  get archive(): ArchiveState {
    return this.#archiver.archive;
  }

  /** What keeps this leader from archiving or trimming; empty on other replicas. */
  get holds(): string {
    return this.#archiver.holds;
  }

  /** State and log are being replaced: what the core wants done goes behind the snapshot. */
  get isInstalling(): boolean {
    return this.#isInstalling;
  }

  get status(): Pick<
    ReplicaStatus,
    'archivedLsn' | 'groupTrimPoint' | 'archivedManifest' | 'snapshot' | 'snapshotFailure' | 'bootstrap'
  > {
    const { archivedLsn, trimPoint, manifest } = this.archive;
    return {
      archivedLsn: archivedLsn === 0 ? undefined : archivedLsn,
      groupTrimPoint: trimPoint,
      archivedManifest: manifest,
      snapshot: this.#archiver.underWay,
      snapshotFailure: this.#archiver.lastFailure,
      bootstrap: this.#bootstrap.status,
    };
  }

  /** A snapshot is being taken, or is to take the place of the state. */
  get isBusy(): boolean {
    return this.#isInstalling || this.#archiver.underWay !== undefined || this.#bootstrap.status !== undefined;
  }

  get unarchivedBytes(): number {
    return this.#archiver.unarchivedBytes;
  }

  takeSoon(): void {
    this.#archiver.snapshotSoon();
  }

  take(): Promise<ArchiveState> {
    return this.#archiver.snapshot();
  }

  trim(dryRun: boolean): Promise<TrimProposal> {
    return this.#archiver.trim(dryRun);
  }

  tick(): void {
    this.#archiver.tick();
    this.#supplier.tick();
    if (!this.#isInstalling) this.#bootstrap.tick();
    // The log goes on from where it was: what an earlier process was importing is not needed.
    if (this.#replica.lastLsn > this.#lastLsnAtStart) this.#bootstrap.discardLeftovers();
  }

  /** What another replica asks for of this one's state. @throws LogboomError as `SnapshotSupplier.answer` does */
  answerPeer(request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return this.#supplier.answer(request, signal);
  }

  onMessage(from: ReplicaId, payload: Uint8Array): void {
    this.#archiver.onMessage(from, payload);
  }

  onLeadership(): void {
    this.#archiver.onLeadership();
  }

  /** The leader has trimmed what this replica needs. */
  onSnapshotNeeded(start: LogStart): void {
    this.#bootstrap.begin(start);
  }

  /** Ends proposals that wait, as those of the replica's own end. */
  rejectAll(error: LogboomError): void {
    this.#checkpoints.rejectAll(error);
    this.#archives.rejectAll(error);
  }

  /** A command of the partition is applied; behind a checkpoint the store stays where it is until this resolves. */
  async onCommand({ lsn, term }: Entry, command: PartitionCommand): Promise<void> {
    if (command.type === 'archive') {
      this.#readArchive();
      this.#archives.applied(lsn, term, undefined);
      return;
    }
    this.#archiver.onCheckpoint(lsn);
    if (!this.#checkpoints.awaits(lsn, term)) return;
    try {
      const state = await this.#replica.store.snapshot();
      assert(state.appliedLsn === lsn, () => `a checkpoint of LSN ${lsn} got the state of ${state.appliedLsn}`);
      // Leadership may have been lost meanwhile.
      if (!this.#checkpoints.awaits(lsn, term)) return await state.close();
      this.#checkpoints.applied(lsn, term, { state, lsn, term, confState: this.#replica.confStateAt(lsn) });
    } catch (error) {
      if (!isLogboomError(error)) throw error;
      this.#checkpoints.rejectAll(error);
    }
  }

  /** Ends what is under way, also what waits for entries that may never be applied. The replica proposes nothing any more. */
  halt(reason: LogboomError): void {
    this.#archiver.halt(reason);
    this.#bootstrap.halt(reason);
    this.#supplier.halt(reason);
    this.rejectAll(reason);
  }

  /** Resolves when nothing is under way any more, after `halt`. */
  async ended(): Promise<void> {
    await Promise.all([this.#archiver.ended(), this.#bootstrap.ended(), this.#supplier.ended()]);
  }

  #readArchive(): void {
    this.#archiver.onArchive(this.#replica.store);
    this.#replica.observer?.onArchive(this.archive);
    this.#replica.trim();
  }

  async #checkpoint(): Promise<Checkpoint> {
    return this.#proposeCommand({ type: 'checkpoint' }, this.#checkpoints);
  }

  /** A state that the group stands for, to be streamed to a replica that needs it. */
  async #pin(signal: AbortSignal): Promise<Checkpoint> {
    const replica = this.#replica;
    const asOfCheckpoint = this.#canCommit(() => true) ? await this.#pinCheckpoint(signal) : undefined;
    signal.throwIfAborted();
    // Others may be away for good: then the group waits for the replica that waits for its state.
    if (asOfCheckpoint === undefined && this.#canCommit(({ recentActive }) => recentActive)) throw this.#notCommitted();
    const checkpoint = asOfCheckpoint ?? (await this.#pinAsItIs());
    try {
      if (asOfCheckpoint === undefined) await this.#archiver.requireNoOther(signal);
      else await this.#archiver.confirmState(checkpoint.lsn, signal);
      return checkpoint;
    } catch (error) {
      await checkpoint.state.close();
      if (isLogboomError(error, 'STATE_DIVERGED') || isLogboomError(error, 'STATE_DISPUTED')) replica.fail(error);
      throw error;
    }
  }

  /** Whether there is a quorum without the replicas that wait for a state, before which they take no entries. */
  #canCommit(isThere: (progress: RaftStatus['progress'][number]) => boolean): boolean {
    const { replicaId, confState, raftStatus } = this.#replica;
    const able = raftStatus.progress.filter((each) => each.state !== 'snapshot' && isThere(each));
    const ids = new Set([replicaId, ...able.map(({ replica }) => replica)]);
    return isQuorum(confState, (each) => ids.has(each));
  }

  async #pinAsItIs(): Promise<Checkpoint> {
    const state = await this.#replica.store.snapshot();
    const lsn = state.appliedLsn;
    const term = this.#parts.log.termAt(lsn);
    assert(term !== undefined, () => `the log does not know the term of LSN ${lsn}, which is applied`);
    return { state, lsn, term, confState: this.#replica.confStateAt(lsn) };
  }

  /** Undefined when it is not committed in time. */
  async #pinCheckpoint(signal: AbortSignal): Promise<Checkpoint | undefined> {
    const { environment, options } = this.#parts;
    const checkpoint = this.#checkpoint();
    const isThere = new AbortController();
    const limit = AbortSignal.any([signal, isThere.signal]);
    const late = sleep(environment.clock, options.archiving.agreementMs, limit).then(() => undefined);
    const first = await Promise.race([checkpoint, late]).finally(() => isThere.abort());
    // It may come about yet, and nobody wants it then.
    if (first === undefined) checkpoint.then(({ state }) => state.close()).catch(() => {});
    return first;
  }

  #notCommitted(): LogboomError {
    const { log, options } = this.#parts;
    return new LogboomError(
      'SNAPSHOT_NOT_CONFIRMED',
      `nothing was committed in partition ${log.partitionId} within ${options.archiving.agreementMs} ms: a state that is ` +
        'streamed has to be',
      { facts: { partition: log.partitionId }, retryAfterMs: 1000 },
    );
  }

  async #proposeArchive(archive: ArchiveState): Promise<void> {
    await this.#proposeCommand({ type: 'archive', ...archive }, this.#archives);
  }

  async #proposeCommand<Answer>(command: PartitionCommand, pending: PendingProposals<Answer>): Promise<Answer> {
    const bytes = encodePartitionCommand(command);
    pending.admit(bytes.length);
    const { lsn, term } = this.#replica.propose(bytes);
    const { result } = await pending.wait(lsn, term, bytes.length);
    return result;
  }

  /** Whether entries are missing that the leader has trimmed; when they are not, the core goes on without a bootstrap. */
  #isNeeded(start: LogStart): boolean {
    const replica = this.#replica;
    if (replica.isStopped) return false;
    if (replica.raftStatus.commit < start.lsn) return true;
    return replica.beginSnapshot(start);
  }

  /**
   * Puts the staged state in the place of this replica's own. From the core's yes on it hears of messages and time, but nothing
   * that it says is carried out before state, log and core all begin at the snapshot; and there is no way back: what fails
   * stops the replica, and what was begun is finished by the next start. Answers false when the core says that the log has
   * it all by now.
   */
  async #install(imported: ImportedStart, from: ReplicaId | undefined): Promise<boolean> {
    const replica = this.#replica;
    const { environment, directory, log } = this.#parts;
    // What fails here is an attempt that failed, and nothing has changed.
    await prepareInstallation(environment.disk, directory, imported);
    if (replica.isStopped || !replica.beginSnapshot(imported)) return false;
    this.#isInstalling = true;
    try {
      // What was handed over before speaks of the old log, and must not be reported durable of the new one.
      await replica.logSettled();
      replica.observer?.onInstalling(imported, from);
      await replica.replaceStore(async () => {
        await markReady(environment.disk, directory);
        await finishInstallation(environment.disk, directory, log, replica.raftStatus);
      });
      if (replica.isStopped) return false;
      log.setPersistedLsn(imported.lsn);
      this.#archiver.onArchive(replica.store);
    } catch (error) {
      replica.fail(error);
      return false;
    }
    this.#isInstalling = false;
    replica.installed(imported);
    environment.logger.info('the replica goes on from a snapshot', { lsn: imported.lsn, term: imported.term });
    return true;
  }
}
