/**
 * Snapshots of one partition, and with them the trimming of its log. On every replica it answers what the replica has at a
 * checkpoint; on the leader it takes snapshots, has them confirmed, and proposes how far the log is archived and trimmed.
 *
 * A snapshot counts as archived only when (1) all its chunks and then its manifest are stored, (2) the manifest was read back and
 * its chunks were found again, (3) a quorum of replicas has the leader's state hash at its LSN, (4) a confirmation of that is
 * stored beside it, without which nobody begins with it, and (5) the group has committed so much. Only then the trim point may
 * follow, and only while all voters' nodes have proved, or have recorded, that they see this repository, and the manifest is still there.
 * Whatever fails on the way leaves a manifest that nobody relies on.
 */
import { isLogboomError, LogboomError } from '../base/errors.js';
import type { Lsn, PartitionId, ReplicaId, Term } from '../base/ids.js';
import { sleep } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import { nextInteger } from '../base/ports/random.js';
import type { LogicalView, StateReader, StateScan } from '../base/state-machine.js';
import { membersOf } from '../raft/index.js';
import type { ConfState, RaftStatus } from '../raft/types.js';
import type { PartitionArchive, SnapshotFacts } from '../snapshot/index.js';
import { CollectionMemory } from '../snapshot/index.js';
import { equalStateHashes, formatStateHash } from '../state-store/index.js';
import type { StateHash, StateSnapshot } from '../state-store/types.js';
import { archiveKey, checkpointsKey, decodeArchive, decodeCheckpoints, type ArchiveState } from './archive-state.js';
import { BootstrapHolds } from './bootstrap-holds.js';
import { judgeCheckpoint } from './checkpoint-agreement.js';
import {
  decodeCheckpointMessage,
  encodeCheckpointMessage,
  type CheckpointMessage,
  type CheckpointRequest,
} from './checkpoint-messages.js';
import { CheckpointReports } from './checkpoint-reports.js';
import type { ArchivingMetrics } from './archiving-metrics.js';
import type { RepositoryAccess } from './repository-access.js';
import type { ArchivingOptions } from './snapshot-options.js';
import { proposeTrim, withArchived, type ArchivedAt, type TrimProposal } from './trim.js';
import type { SnapshotUnderWay } from './types.js';

/** A state of exactly one LSN, to be closed. */
export interface Checkpoint {
  readonly state: StateSnapshot;
  readonly lsn: Lsn;
  readonly term: Term;
  readonly confState: ConfState;
}

/** What an archiver needs to know of its replica, and does with it. */
export interface ArchivedReplica {
  readonly replicaId: ReplicaId;
  readonly isLeader: boolean;
  readonly confState: ConfState;
  readonly raftStatus: RaftStatus;
  /** The instance that is, or was last, in use. */
  readonly store: StateReader;
  readonly persistedLsn: Lsn;
  readonly appliedBytes: number;
  /** Of its own log. */
  readonly trimPoint: Lsn;
  sendToHost(to: ReplicaId, payload: Uint8Array): void;
  /** Its state is wrong, and it must not serve any more. */
  fail(error: unknown): void;
}

export interface ArchiverParts {
  readonly partitionId: PartitionId;
  readonly environment: Environment;
  readonly replica: ArchivedReplica;
  readonly options: ArchivingOptions;
  /** Undefined: no repository is configured. */
  readonly repository: RepositoryAccess | undefined;
  /** Of the node of another replica, as recorded; empty: nothing. */
  readonly recordedRepository: (replica: ReplicaId) => string;
  readonly facts: Pick<SnapshotFacts, 'nodeId' | 'softwareVersion'>;
  readonly metrics: ArchivingMetrics;
  /** Whether the log is trimmed by what is archived. */
  readonly trims: boolean;
  /** @throws LogboomError NOT_LEADER, LEADERSHIP_LOST, ... */
  readonly checkpoint: () => Promise<Checkpoint>;
  /** Resolves when it is applied. @throws LogboomError */
  readonly proposeArchive: (archive: ArchiveState) => Promise<void>;
  readonly logicalView: (state: StateScan) => Promise<LogicalView>;
}

/** Requests for reports are repeated this often. */
const askEveryMs = 250;
/** A leader waits so long for the word of a node before it takes it for away. */
const silenceMs = 5000;
/** So often where no quorum can answer. */
const quorumlessAsks = 4;
const looksPerAsk = 5;

export class Archiver {
  readonly #parts: ArchiverParts;
  readonly #reports = new CheckpointReports();
  readonly #collection = new CollectionMemory();
  readonly #stopping = new AbortController();
  /** Applied bytes at the newest checkpoints, by LSN. */
  readonly #bytesAt = new Map<Lsn, number>();
  #archive: ArchiveState;
  #archivedBytes = 0;
  /** LSNs that were archived while this process looked on, and when; ascending. */
  #archived: readonly ArchivedAt[] = [];
  readonly #bootstrapHolds: BootstrapHolds;
  #job: { readonly done: Promise<ArchiveState>; readonly abort: AbortController } | undefined;
  #underWay: SnapshotUnderWay | undefined;
  #trimming: Promise<void> | undefined;
  #failure: { readonly message: string; readonly count: number; readonly retryAtMs: number } | undefined;
  #trimHeld = '';
  /** The archived LSN of a snapshot that was found to be missing or damaged in the repository. */
  #lostLsn: Lsn | undefined;
  #lastArchivedMs: number;
  #nextCollectionMs: number;
  #nextProofMs = 0;
  #isWanted = false;
  /** When leadership has last changed. */
  #leadershipMs: number;
  #collecting: Promise<void> | undefined;
  /** Of one checkpoint at a time: a report is about the one that was asked for last. */
  #agreeing: Promise<void> = Promise.resolve();
  /** Spreads the snapshots of partitions that were started together. */
  readonly #jitter: number;

  constructor(parts: ArchiverParts, reader: StateReader) {
    this.#parts = parts;
    const { clock, random } = parts.environment;
    this.#archive = decodeArchive(reader.getIndex(archiveKey));
    this.#bootstrapHolds = new BootstrapHolds(parts.options.bootstrapHoldMs);
    this.#lastArchivedMs = clock.monotonicMs();
    this.#leadershipMs = this.#lastArchivedMs;
    this.#nextCollectionMs = this.#lastArchivedMs + parts.options.collectEveryMs;
    this.#jitter = 0.8 + nextInteger(random, 400) / 1000;
    if (this.#archive.archivedLsn > 0) {
      this.#archived = [{ lsn: this.#archive.archivedLsn, atMs: this.#lastArchivedMs }];
    }
  }

  get archive(): ArchiveState {
    return this.#archive;
  }

  get underWay(): SnapshotUnderWay | undefined {
    return this.#underWay;
  }

  /** Why the last snapshot failed; empty when it did not. */
  get lastFailure(): string {
    return this.#failure?.message ?? '';
  }

  /** What keeps this leader from archiving or trimming; empty on other replicas. */
  get holds(): string {
    const { replica, repository } = this.#parts;
    if (!replica.isLeader || repository === undefined) return '';
    const failed = this.#failure === undefined ? '' : `the last snapshot failed: ${this.#failure.message}`;
    const running = this.#underWay === undefined ? '' : 'a snapshot is under way';
    const reasons = [repository.problem, failed, failed === '' && this.#archive.archivedLsn === 0 ? running : ''];
    return [...new Set([...reasons, this.#trimHeld])].filter((reason) => reason !== '').join('; ');
  }

  /** About once a second. */
  tick(): void {
    const { replica, repository, options, environment } = this.#parts;
    if (this.#stopping.signal.aborted) return;
    if (!replica.isLeader || repository === undefined) {
      this.#job?.abort.abort(notLeading());
      this.#trimHeld = '';
      return;
    }
    this.#bootstrapHolds.note(replica.raftStatus.progress, environment.clock.monotonicMs());
    if (this.#job === undefined && options.automatic && this.#isDue()) void this.snapshot().catch(() => {});
    if (this.#parts.trims && this.#trimming === undefined) {
      this.#trimming = this.#trim(repository)
        .catch((error: unknown) => replica.fail(error))
        .finally(() => (this.#trimming = undefined));
    }
    this.#collectWhenDue(repository);
  }

  /**
   * Takes a snapshot and has it confirmed, or joins the one that is under way.
   *
   * @throws LogboomError NOT_LEADER, LEADERSHIP_LOST, REPOSITORY_UNAVAILABLE, STATE_DIVERGED, SNAPSHOT_NOT_CONFIRMED, ...
   */
  async snapshot(): Promise<ArchiveState> {
    while (this.#job !== undefined) {
      if (!this.#job.abort.signal.aborted) return this.#job.done;
      // Of a leadership that was lost; the one that asks now has come since.
      await this.#job.done.catch(() => {});
    }
    return this.#begin();
  }

  #begin(): Promise<ArchiveState> {
    const abort = new AbortController();
    const signal = AbortSignal.any([abort.signal, this.#stopping.signal]);
    const done = this.#run(signal).finally(() => {
      this.#job = undefined;
      this.#underWay = undefined;
    });
    this.#job = { done, abort };
    return done;
  }

  /** Bytes that were applied since the newest snapshot, as far as this process knows. */
  get unarchivedBytes(): number {
    return this.#parts.replica.appliedBytes - this.#archivedBytes;
  }

  /** A snapshot is due at the next look, though little has come since the last one: its part of the log holds much else. */
  snapshotSoon(): void {
    const { replica, options } = this.#parts;
    const { archivedLsn } = this.#archive;
    // What is archived already only waits for its trim.
    const isAllArchived = archivedLsn > replica.trimPoint || archivedLsn >= replica.raftStatus.applied;
    if (replica.isLeader && options.automatic && !isAllArchived) this.#isWanted = true;
  }

  /** A checkpoint was applied. */
  onCheckpoint(lsn: Lsn): void {
    this.#bytesAt.set(lsn, this.#parts.replica.appliedBytes);
    if (this.#bytesAt.size > 16) this.#bytesAt.delete([...this.#bytesAt.keys()][0] as Lsn);
  }

  /** The replicated archive state may have changed: by an entry, or with the whole state. */
  onArchive(reader: StateReader): void {
    const before = this.#archive;
    const after = decodeArchive(reader.getIndex(archiveKey));
    // The log is replayed into a store that was reopened: what the group has committed since holds.
    if (after.archivedLsn < before.archivedLsn || after.trimPoint < before.trimPoint) return;
    this.#archive = after;
    if (after.archivedLsn === before.archivedLsn) return;
    const nowMs = this.#parts.environment.clock.monotonicMs();
    this.#lastArchivedMs = nowMs;
    this.#archivedBytes = this.#bytesAt.get(this.#archive.archivedLsn) ?? this.#parts.replica.appliedBytes;
    const next = { lsn: this.#archive.archivedLsn, atMs: nowMs };
    this.#archived = withArchived(this.#archived, next, this.#parts.options.trimDelayMs);
  }

  onLeadership(): void {
    this.#reports.clear();
    this.#leadershipMs = this.#parts.environment.clock.monotonicMs();
    this.#isWanted = false;
    this.#bootstrapHolds.clear();
    if (!this.#parts.replica.isLeader) this.#job?.abort.abort(notLeading());
  }

  onMessage(from: ReplicaId, payload: Uint8Array): void {
    const message = decodeCheckpointMessage(payload);
    const { replica } = this.#parts;
    if (message?.type === 'request') this.#answer(from, message);
    // Of members only: no more reports are kept than the group has replicas.
    else if (message !== undefined && replica.isLeader && membersOf(replica.confState).includes(from))
      this.#reports.add(from, message);
  }

  halt(reason: LogboomError): void {
    this.#stopping.abort(reason);
  }

  /** Resolves when nothing is under way any more, after `halt`. */
  async ended(): Promise<void> {
    await Promise.allSettled([this.#job?.done, this.#trimming, this.#collecting]);
  }

  /** What this replica has at a checkpoint, and the repository it sees. */
  #answer(to: ReplicaId, request: CheckpointRequest): void {
    const { replica, repository } = this.#parts;
    const hashBefore = this.#hashBefore(request.lsn);
    // What the majority has is for the leader to say: another's word, of an earlier term perhaps, stops nobody.
    const agreed = replica.raftStatus.leader === to ? request.agreed : undefined;
    if (hashBefore !== undefined && agreed !== undefined && !equalStateHashes(hashBefore, agreed)) {
      replica.fail(diverged(this.#parts.partitionId, request.lsn, hashBefore, agreed));
      return;
    }
    this.#send(to, {
      type: 'report',
      lsn: request.lsn,
      hashBefore,
      appliedLsn: replica.raftStatus.applied,
      persistedLsn: replica.persistedLsn,
      repositoryId: repository?.provenId ?? '',
    });
  }

  #hashBefore(lsn: Lsn): StateHash | undefined {
    try {
      const marks = decodeCheckpoints(this.#parts.replica.store.getIndex(checkpointsKey));
      return marks.find((mark) => mark.lsn === lsn)?.hashBefore;
    } catch (error) {
      // The store is being reopened; the leader asks again.
      if (isLogboomError(error, 'STATE_STORE_FAILED')) return undefined;
      throw error;
    }
  }

  #send(to: ReplicaId, message: CheckpointMessage): void {
    this.#parts.replica.sendToHost(to, encodeCheckpointMessage(message));
  }

  #isDue(): boolean {
    const { replica, options, environment } = this.#parts;
    const nowMs = environment.clock.monotonicMs();
    if (this.#failure !== undefined && nowMs < this.#failure.retryAtMs) return false;
    // Also of an idle partition: whoever needs it could not be brought back.
    if (this.#lostLsn !== undefined && this.#lostLsn === this.#archive.archivedLsn) return true;
    // The log of a group that was restored begins behind what it began with, which no repository has of it yet.
    if (this.#parts.trims && this.#archive.archivedLsn === 0 && replica.trimPoint > 0) return true;
    if (this.#isWanted) return true;
    const bytes = this.unarchivedBytes;
    if (bytes >= options.logBytes * this.#jitter) return true;
    const isAged = nowMs - this.#lastArchivedMs >= options.ageMs * this.#jitter;
    // What was applied before this process began counts as well: it may never have been archived.
    return isAged && (bytes > 0 || this.#archive.archivedLsn === 0) && replica.raftStatus.applied > 0;
  }

  async #run(signal: AbortSignal): Promise<ArchiveState> {
    const { environment, replica, metrics } = this.#parts;
    const startedMs = environment.clock.monotonicMs();
    this.#underWay = { lsn: undefined, progress: undefined };
    this.#isWanted = false;
    try {
      const archived = await this.#archiveState(signal);
      this.#failure = undefined;
      metrics.snapshotDone((environment.clock.monotonicMs() - startedMs) / 1000);
      return archived;
    } catch (error) {
      if (signal.aborted || isLogboomError(error, 'NOT_LEADER') || isLogboomError(error, 'LEADERSHIP_LOST'))
        throw error;
      this.#failed(error);
      if (isLogboomError(error, 'STATE_DIVERGED') || isLogboomError(error, 'STATE_DISPUTED')) replica.fail(error);
      throw error;
    }
  }

  #failed(error: unknown): void {
    const { environment, options, metrics } = this.#parts;
    const count = (this.#failure?.count ?? 0) + 1;
    const delayMs = Math.min(options.retryMsMax, options.retryMsMin * 2 ** Math.min(count - 1, 20));
    const message = error instanceof Error ? error.message : String(error);
    this.#failure = { message, count, retryAtMs: environment.clock.monotonicMs() + delayMs * this.#jitter };
    metrics.snapshotFailed();
    environment.logger.warn('a snapshot failed; nothing is trimmed for it', {
      error: message,
      attempts: count,
      retryInMs: delayMs,
    });
  }

  async #archiveState(signal: AbortSignal): Promise<ArchiveState> {
    const { replica, repository, facts, options, environment, metrics } = this.#parts;
    if (repository === undefined) throw noRepository(this.#parts.partitionId);
    const archive = repository.archive(this.#parts.partitionId);
    const release = await repository.takeSlot(signal);
    // One thing at a time is done to what is archived of a partition.
    await this.#collecting;
    try {
      const checkpoint = await this.#parts.checkpoint();
      const { state, lsn, term, confState } = checkpoint;
      this.#underWay = { lsn, progress: undefined };
      let name: string;
      try {
        const written = await archive.write({
          state,
          view: await this.#parts.logicalView(state),
          facts: { lsn, term, confState, stateHash: state.stateHash, replicaId: replica.replicaId, ...facts },
          signal,
          bytesPerSecondMax: options.bytesPerSecondMax,
          // What nobody has confirmed may be of a replica that diverged.
          mayReuse: (name) => name === this.#archive.manifest,
          onProgress: (progress) => (this.#underWay = { lsn, progress }),
        });
        name = written.name;
        metrics.uploaded(written.uploadedBytes, written.reusedBytes);
        environment.logger.info('snapshot written', {
          lsn,
          uploadedBytes: written.uploadedBytes,
          reusedBytes: written.reusedBytes,
          manifest: name,
        });
      } finally {
        await state.close();
      }
      const manifest = await archive.readBack(name, { signal });
      await this.confirmState(lsn, signal);
      // Before the group relies on it, so that every LSN that was trimmed can be had from a confirmed snapshot.
      await archive.confirm(manifest, name, { signal });
      signal.throwIfAborted();
      await this.#parts.proposeArchive({ archivedLsn: lsn, manifest: name, trimPoint: this.#archive.trimPoint });
      return this.#archive;
    } finally {
      release();
    }
  }

  /**
   * Resolves when a quorum has what this replica has at the checkpoint.
   *
   * @throws LogboomError STATE_DIVERGED, STATE_DISPUTED, SNAPSHOT_NOT_CONFIRMED
   */
  confirmState(lsn: Lsn, signal: AbortSignal): Promise<void> {
    const agreed = this.#agreeing.then(() => this.#agree(lsn, signal));
    this.#agreeing = agreed.catch(() => {});
    return agreed;
  }

  /**
   * For a state that no quorum can stand for, because it would take a replica that has none yet: that of the others
   * nobody who answers had another one at the newest checkpoint.
   *
   * @throws LogboomError SNAPSHOT_NOT_CONFIRMED
   */
  requireNoOther(signal: AbortSignal): Promise<void> {
    const heard = this.#agreeing.then(() => this.#hearOthers(signal));
    this.#agreeing = heard.catch(() => {});
    return heard;
  }

  async #hearOthers(signal: AbortSignal): Promise<void> {
    const { replica, environment, partitionId } = this.#parts;
    const mark = decodeCheckpoints(replica.store.getIndex(checkpointsKey)).at(-1);
    if (mark === undefined) return;
    // Each time: a later report of another checkpoint takes the place of what was said of this one.
    const differing = new Set<ReplicaId>();
    for (let asked = 0; asked < quorumlessAsks; asked += 1) {
      this.#ask(mark.lsn, undefined);
      for (let looked = 0; looked < looksPerAsk; looked += 1) {
        await sleep(environment.clock, askEveryMs / looksPerAsk, signal);
        signal.throwIfAborted();
        for (const [other, hash] of this.#reports.hashesAt(mark.lsn)) {
          if (!equalStateHashes(hash, mark.hashBefore)) differing.add(other);
        }
      }
    }
    if (differing.size === 0) return;
    throw new LogboomError(
      'SNAPSHOT_NOT_CONFIRMED',
      `replica ${[...differing].join(', ')} of partition ${partitionId} has another state than this one at LSN ` +
        `${mark.lsn}, and no quorum says which is right`,
      { facts: { partition: partitionId, lsn: mark.lsn }, retryAfterMs: 1000 },
    );
  }

  async #agree(lsn: Lsn, signal: AbortSignal): Promise<void> {
    const { replica, environment, options } = this.#parts;
    const { clock, logger } = environment;
    const deadlineMs = clock.monotonicMs() + options.agreementMs;
    for (;;) {
      signal.throwIfAborted();
      const own = this.#hashBefore(lsn);
      const hashes = this.#reports.hashesAt(lsn);
      if (own !== undefined) hashes.set(replica.replicaId, own);
      const judgement = own === undefined ? undefined : judgeCheckpoint(replica.confState, own, hashes);
      if (judgement?.type === 'agreed' && own !== undefined) {
        for (const differing of judgement.differing) {
          logger.error('a replica has another state than the majority; it is told to stop', {
            replica: differing,
            lsn,
          });
        }
        // Also to those that were not heard yet: one of them may differ.
        this.#ask(lsn, own);
        return;
      }
      if (judgement?.type === 'differs' && own !== undefined) {
        throw diverged(this.#parts.partitionId, lsn, own, judgement.agreed);
      }
      if (judgement?.type === 'no-majority') throw noMajority(this.#parts.partitionId, lsn);
      if (clock.monotonicMs() >= deadlineMs) {
        throw notConfirmed(this.#parts.partitionId, lsn, judgement?.type === 'open' ? judgement.unheard : []);
      }
      this.#ask(lsn, undefined);
      await sleep(clock, askEveryMs, signal);
    }
  }

  #ask(lsn: Lsn, agreed: StateHash | undefined): void {
    const { replica } = this.#parts;
    for (const member of membersOf(replica.confState)) {
      if (member !== replica.replicaId) this.#send(member, { type: 'request', lsn, agreed });
    }
  }

  /**
   * Trims as far as may be, now; with `dryRun` only says how far that is. Answers the group's trim point then.
   *
   * @throws LogboomError REPOSITORY_NOT_CONFIGURED
   */
  async trim(dryRun: boolean): Promise<TrimProposal> {
    const { repository, partitionId } = this.#parts;
    if (repository === undefined) throw noRepository(partitionId);
    const { trimPoint, heldBecause } = this.#decideTrim(repository);
    if (dryRun) return { trimPoint, heldBecause };
    this.#trimming ??= this.#trim(repository).finally(() => (this.#trimming = undefined));
    await this.#trimming;
    return { trimPoint: this.#archive.trimPoint, heldBecause: this.#trimHeld };
  }

  #decideTrim(repository: RepositoryAccess): TrimProposal {
    const { environment, options } = this.#parts;
    const archive = this.#archive;
    const nowMs = environment.clock.monotonicMs();
    return proposeTrim({
      archive,
      archived: this.#archived.map(({ lsn, atMs }) => ({ lsn, forMs: nowMs - atMs })),
      marginEntries: options.trimMarginEntries,
      delayMs: options.trimDelayMs,
      unproven: this.#unproven(repository.provenId),
      bootstrapping: this.#bootstrapHolds.at(nowMs),
    });
  }

  async #trim(repository: RepositoryAccess): Promise<void> {
    const { environment, options } = this.#parts;
    const archive = this.#archive;
    if (archive.archivedLsn === 0) return;
    const nowMs = environment.clock.monotonicMs();
    const unproven = this.#unproven(repository.provenId);
    const { trimPoint, heldBecause } = this.#decideTrim(repository);
    const heldBefore = this.#trimHeld;
    // What a trim that is to be tried again was held by counts until it has come about.
    if (trimPoint <= archive.trimPoint) this.#trimHeld = heldBecause;
    if (unproven.length > 0 || nowMs >= this.#nextProofMs) {
      this.#nextProofMs = nowMs + options.proofMs;
      this.#ask(archive.archivedLsn, undefined);
    }
    if (trimPoint <= archive.trimPoint) return;
    let failed = 'the newest snapshot cannot be read back';
    try {
      // What the trim relies on must be there now, and not only when it was archived.
      await this.#confirmArchived(repository, archive);
      // That took its time: a voter may have come, or a repository gone, meanwhile.
      const decided = this.#decideTrim(repository);
      if (this.#archive !== archive || decided.trimPoint < trimPoint) {
        this.#trimHeld = decided.heldBecause;
        return;
      }
      failed = 'the trim point cannot be committed';
      await this.#parts.proposeArchive({ ...archive, trimPoint });
      this.#trimHeld = '';
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#trimHeld = `${failed}: ${error instanceof Error ? error.message : String(error)}`;
      // Once for each reason: this is tried again about every second.
      if (this.#trimHeld !== heldBefore) environment.logger.warn('the log is not trimmed', { reason: this.#trimHeld });
    }
  }

  /** What counts as archived must be there. When it is not, it is replaced by a newer one soon. */
  async #confirmArchived(repository: RepositoryAccess, { archivedLsn, manifest }: ArchiveState): Promise<void> {
    const { signal } = this.#stopping;
    const archived = repository.archive(this.#parts.partitionId);
    try {
      const found = await archived.readBack(manifest, { signal });
      // The group has committed that it was confirmed: what says so may be written again.
      await archived.confirm(found, manifest, { signal });
    } catch (error) {
      const isLost = isLogboomError(error, 'SNAPSHOT_CORRUPT') || isLogboomError(error, 'SNAPSHOT_NOT_FOUND');
      if (isLost) this.#lostLsn = archivedLsn;
      throw error;
    }
  }

  #unproven(repositoryId: string): readonly ReplicaId[] {
    const { replica } = this.#parts;
    const { voters, votersOutgoing } = replica.confState;
    const hasProved = (voter: ReplicaId): boolean =>
      repositoryId !== '' && (voter === replica.replicaId || this.#repositoryOf(voter) === repositoryId);
    return [...new Set([...voters, ...votersOutgoing])].filter((voter) => !hasProved(voter));
  }

  /** What a node says counts; of one that has said nothing to this leader, and could have by now, what it had recorded. */
  #repositoryOf(voter: ReplicaId): string | undefined {
    const { environment, recordedRepository } = this.#parts;
    const heard = this.#reports.repositoryOf(voter);
    if (heard !== undefined) return heard;
    const isAway = environment.clock.monotonicMs() - this.#leadershipMs >= silenceMs;
    return isAway ? recordedRepository(voter) : undefined;
  }

  #collectWhenDue(repository: RepositoryAccess): void {
    const { environment, options, partitionId } = this.#parts;
    const nowMs = environment.clock.monotonicMs();
    if (nowMs < this.#nextCollectionMs || this.#job !== undefined || repository.problem !== '') return;
    this.#nextCollectionMs = nowMs + options.collectEveryMs;
    const { signal } = this.#stopping;
    const collect = async (archive: PartitionArchive): Promise<void> => {
      if (this.#archive.archivedLsn > 0) await this.#confirmArchived(repository, this.#archive).catch(ignoreLoss);
      const report = await archive.collect(this.#collection, {
        keep: options.manifestsKept,
        graceMs: options.graceMs,
        isPinned: ({ name }) => name === this.#archive.manifest,
        signal,
      });
      environment.logger.debug('snapshots collected', { ...report });
    };
    this.#collecting = Promise.resolve()
      .then(() => collect(repository.archive(partitionId)))
      .catch((error: unknown) => {
        if (!signal.aborted) environment.logger.warn('old snapshots could not be collected', { error: String(error) });
      })
      .finally(() => (this.#collecting = undefined));
  }
}

/** The snapshot is taken anew; what is left is collected all the same. */
function ignoreLoss(error: unknown): void {
  if (!isLogboomError(error)) throw error;
}

function notLeading(): LogboomError {
  return new LogboomError('NOT_LEADER', 'this replica does not lead the partition any more', { retryAfterMs: 100 });
}

export function noRepository(partition: PartitionId): LogboomError {
  return new LogboomError(
    'REPOSITORY_NOT_CONFIGURED',
    'no snapshot repository is configured: set snapshots.repository on every node, to one place that all of them see',
    { facts: { partition } },
  );
}

function diverged(partition: PartitionId, lsn: Lsn, own: StateHash, agreed: StateHash): LogboomError {
  const [has, majority] = [formatStateHash(own), formatStateHash(agreed)];
  return new LogboomError(
    'STATE_DIVERGED',
    `the state of this replica of partition ${partition} is not that of the majority: at LSN ${lsn} it has ${has}, a majority has ` +
      `${majority}. It does not serve any more, and is made anew under another replica id`,
    { facts: { partition, lsn, state_hash: has, agreed: majority } },
  );
}

function noMajority(partition: PartitionId, lsn: Lsn): LogboomError {
  return new LogboomError(
    'STATE_DISPUTED',
    `the replicas of partition ${partition} have different states at LSN ${lsn}, and none of them a majority: nobody knows which is ` +
      'right, and the partition stops. Restore it from a snapshot',
    { facts: { partition, lsn } },
  );
}

function notConfirmed(partition: PartitionId, lsn: Lsn, unheard: readonly ReplicaId[]): LogboomError {
  return new LogboomError(
    'SNAPSHOT_NOT_CONFIRMED',
    `no quorum has confirmed the state of the snapshot at LSN ${lsn} in time; nothing was heard of replica ${unheard.join(', ')}`,
    { facts: { partition, lsn }, retryAfterMs: 1000 },
  );
}
