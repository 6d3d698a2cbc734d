/** All replicas of a node, on its write-ahead log and its budget of unflushed state. */
import { assert } from '../base/assert.js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import { isDiskError } from '../base/ports/disk.js';
import { type NodeId, type PartitionId, type ReplicaId } from '../base/ids.js';
import type { Timer } from '../base/ports/clock.js';
import type { Environment } from '../base/ports/environment.js';
import type { StateMachine } from '../base/state-machine.js';
import type { ConfState, WireMessage } from '../raft/types.js';
import {
  FlushScheduler,
  openStateStore,
  type FlushSchedulerOptions,
  type OrderedStoreProvider,
  type StateStoreSizes,
} from '../state-store/index.js';
import { Wal, type WalOptions } from '../wal/index.js';
import type { PartitionLog, WalStats, WriteAheadLog } from '../wal/types.js';
import { defaultSnapshotSizes, restoreSnapshot, type SnapshotSizes } from '../snapshot/index.js';
import { DiskWatch } from './disk-watch.js';
import { managerMetrics, type ManagerMetrics } from './metrics.js';
import { NodePresence } from './node-presence.js';
import { finishInstallation, holdsState, removeState } from './installation.js';
import type { ReplicaObserver, ReplicaStart } from './observer.js';
import { RemovedReplicas } from './removed-replicas.js';
import type { RepositoryAccess } from './repository-access.js';
import type { PresenceTransport, ReplicaStatus, ReplicaTransport } from './types.js';
import { Replica } from './replica.js';
import { shuttingDown } from './refusals.js';
import {
  defaultReplicaOptions,
  type ReplicaHost,
  type ReplicaOptions,
  type ReplicaPresence,
} from './replica-options.js';
import { Slots } from './slots.js';
import { TurnQueue } from './turn-queue.js';

export interface PartitionManagerOptions<Result, Machine extends StateMachine<Result>> {
  readonly nodeId: NodeId;
  /**
   * What this node holds a replica of from its first start on; it takes the place of an older replica of the partition that
   * the log has. What else is in the log is opened besides.
   */
  readonly replicas: readonly ReplicaPlacement[];
  /** Of the cluster: in what replicas stream to each other. */
  readonly clusterId: string;
  readonly transport: ReplicaTransport;
  /** Undefined: groups do not fall quiet. */
  readonly presence?: PresenceTransport;
  /** Nodes of the cluster that are known, this one included. */
  readonly nodesKnown: () => number;
  readonly storeProvider: OrderedStoreProvider;
  readonly createMachine: (partitionId: PartitionId) => Machine;
  readonly wal?: Partial<WalOptions>;
  readonly storeSizes?: StateStoreSizes;
  readonly flush?: Partial<FlushSchedulerOptions>;
  readonly replica?: Partial<ReplicaOptions>;
  /** Unit of the core's timeouts. */
  readonly tickMs?: number;
  /** Above this, the partition that holds the oldest segment flushes, so that the segment can go. */
  readonly walTargetBytes?: number;
  readonly onReplay?: (progress: ReplayProgress) => void;
  /** Where snapshots go; without one there are none. */
  readonly repository?: RepositoryAccess;
  /**
   * The repository that the node of a replica has proved to see, by the last that it had recorded; empty: none. Counts for
   * replicas that a leader has not heard itself.
   */
  readonly recordedRepository?: (partitionId: PartitionId, replicaId: ReplicaId) => string;
  /** Of what replicas stream to each other. */
  readonly snapshotSizes?: Partial<SnapshotSizes>;
  /** States that the replicas of this node offer to others at the same time. */
  readonly offersMax?: number;
  readonly softwareVersion?: string;
  /** A deliberate bug; only the simulator sets it. */
  readonly mutant?: string;
  /** Called for every replica as it starts; only the simulator sets it. */
  readonly observe?: (start: ReplicaStart) => ReplicaObserver;
}

/** A replica that this node is to hold, as it is created; what is on disk counts once it is there. */
export interface ReplicaPlacement {
  readonly partitionId: PartitionId;
  readonly replicaId: ReplicaId;
  readonly confState: ConfState;
}

/** A replica whose log was found, and which the options do not name, was added while the node ran. */
function withRecovered(replicas: readonly ReplicaPlacement[], wal: WriteAheadLog): readonly ReplicaPlacement[] {
  const named = new Set(replicas.map(({ partitionId }) => partitionId));
  const recovered = wal.partitionIds.flatMap((partitionId) => {
    const log = named.has(partitionId) ? undefined : wal.partition(partitionId);
    if (log === undefined) return [];
    const { replicaId, confState } = log.recovered;
    return [{ partitionId, replicaId, confState }];
  });
  return [...replicas, ...recovered];
}

/** How far the log is replayed into the state stores, summed over partitions. */
export interface ReplayProgress {
  readonly entriesDone: number;
  readonly entriesTotal: number;
}

const replayReportMs = 1000;
/** A partition is quiet when its part of the log is less than the average by this factor. */
const quietShare = 4;
/** What dashboards show, and what decides about snapshots and trimming, is no older than this. */
const sampleEveryMs = 1000;

/**
 * Opens WAL, stores and replicas, drives the cores' clocks, and sees to it that the log's disk space comes back: every
 * flush lets the log go up to the persisted LSN, and when the log outgrows its target, whoever holds the oldest segment
 * flushes, or is snapshotted, first.
 */
export class PartitionManager<Result, Machine extends StateMachine<Result>> {
  readonly #environment: Environment;
  readonly #options: PartitionManagerOptions<Result, Machine>;
  readonly #wal: WriteAheadLog;
  readonly #flushScheduler: FlushScheduler;
  readonly #diskWatch: DiskWatch;
  readonly #presence: NodePresence;
  readonly #metrics: ManagerMetrics;
  /** Set by the node while it refuses appends for lack of space: leaders hand over to nodes that may have some. */
  isShortOfSpace = false;
  readonly #directory: string;
  readonly #turnQueue = new TurnQueue();
  readonly #offerSlots: Slots;
  readonly #replicas = new Map<PartitionId, Replica<Result, Machine>>();
  readonly #diverged = new Set<PartitionId>();
  readonly #removed: RemovedReplicas;
  /** Settles when the replica that is being added or removed, if any, is there or gone. */
  #adding: Promise<unknown> = Promise.resolve();
  #ticker: Timer | undefined;
  #refusal: LogboomError | undefined;
  #ticks = 0;
  #stopping: Promise<void> | undefined;

  private constructor(
    environment: Environment,
    options: PartitionManagerOptions<Result, Machine>,
    wal: WriteAheadLog,
    flushScheduler: FlushScheduler,
    directory: string,
    removed: RemovedReplicas,
  ) {
    this.#removed = removed;
    this.#directory = directory;
    this.#environment = environment;
    this.#options = options;
    this.#wal = wal;
    this.#flushScheduler = flushScheduler;
    this.#offerSlots = new Slots(options.offersMax ?? 1);
    const { electionTicks } = this.#replicaOptions;
    this.#metrics = managerMetrics(environment.metrics);
    this.#presence = new NodePresence({
      random: environment.random,
      // Just before an election can be due; the timer goes on from the last sign of life.
      silentAfterTicks: Math.max(1, electionTicks - 2),
      onSilence: (nodeId, ticks) => this.#onSilence(nodeId, ticks),
    });
    this.#diskWatch = new DiskWatch({
      wal,
      // As patient as followers are with a leader.
      hangMs: electionTicks * this.#tickMs,
      refusal: () => this.#refusal,
      logger: environment.logger,
    });
  }

  /**
   * Resolves when every partition has replayed its log and has a leader.
   *
   * @param directory absolute; holds `wal/` and `partitions/<id>/`
   * @throws LogboomError WAL_CORRUPT, STATE_STORE_CORRUPT, DISK_FULL
   */
  static async open<Result, Machine extends StateMachine<Result>>(
    environment: Environment,
    options: PartitionManagerOptions<Result, Machine>,
    directory: string,
  ): Promise<PartitionManager<Result, Machine>> {
    const wal = await Wal.open(environment, options.wal ?? {}, `${directory}/wal`);
    const flushScheduler = new FlushScheduler(environment, options.flush ?? {});
    const removed = await RemovedReplicas.load(environment.disk, `${directory}/partitions`);
    const manager = new PartitionManager(environment, options, wal, flushScheduler, directory, removed);
    try {
      await manager.#finishRemovals();
      const placements = options.replicas.filter((placement) => !manager.wasRemoved(placement));
      for (const placement of withRecovered(placements, wal)) await manager.#openReplica(placement);
      flushScheduler.run();
      manager.#scheduleTick();
      await manager.#replay();
      return manager;
    } catch (error) {
      // What fails here was logged; the caller is to hear why the start failed.
      await manager.stop().catch(() => {});
      throw error;
    }
  }

  get partitionIds(): readonly PartitionId[] {
    return [...this.#replicas.keys()];
  }

  get replicas(): readonly Replica<Result, Machine>[] {
    return [...this.#replicas.values()];
  }

  /** Those that have stopped because the majority of their group has another state. */
  get divergedReplicas(): readonly Replica<Result, Machine>[] {
    return this.replicas.filter(({ partitionId }) => this.#diverged.has(partitionId));
  }

  /** Undefined when this node has no replica of the partition. */
  findReplica(id: PartitionId): Replica<Result, Machine> | undefined {
    return this.#replicas.get(id);
  }

  /** @throws LogboomError PARTITION_NOT_FOUND */
  replicaOf(id: PartitionId): Replica<Result, Machine> {
    const replica = this.#replicas.get(id);
    if (replica === undefined) {
      const known = this.partitionIds.join(', ');
      throw new LogboomError('PARTITION_NOT_FOUND', `this node has no partition ${id}; it has ${known}`, {
        facts: { partition: id },
      });
    }
    return replica;
  }

  get walStats(): WalStats {
    return this.#wal.stats;
  }

  /** Resolves when the WAL has failed for good: the process must end (rule 7). */
  get failed(): Promise<Error> {
    return this.#wal.failed;
  }

  /**
   * Refuses appends, and every other command, with this error until it is called with undefined; DISK_FULL, as if the
   * log had no room. Reads go on.
   */
  refuseAppends(error: LogboomError | undefined): void {
    this.#refusal = error;
  }

  /** Why appends are refused now; undefined when they are not. */
  appendsRefused(): LogboomError | undefined {
    if (this.#refusal !== undefined) return this.#refusal;
    if (this.#wal.canAccept) return undefined;
    if (this.#wal.space === 'low') {
      return new LogboomError(
        'DISK_FULL',
        'the disk has no room for another log segment; appends are refused until there is space again, reads go on',
        { retryAfterMs: 1000 },
      );
    }
    const { pendingBytes } = this.#wal;
    return new LogboomError(
      'QUEUE_FULL',
      `${pendingBytes} bytes wait for the write-ahead log, as many as may; send again later`,
      { facts: { pendingBytes }, retryAfterMs: 50 },
    );
  }

  /** Refuses new proposals and waits for those under way, at most `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.drain(timeoutMs)));
  }

  /** Flushes and closes everything, also what is left when a part fails: the next start replays nothing. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#ticker?.cancel();
    const failures: unknown[] = [];
    const attempt = (work: () => Promise<void>): Promise<void> => work().catch((error) => void failures.push(error));
    await this.#adding;
    // At once, but not waited for before the replicas, whose applies may wait for what it flushes.
    const flushed = attempt(() => this.#flushScheduler.stop());
    for (const replica of this.replicas) await attempt(() => replica.stop());
    await flushed;
    await attempt(() => this.#wal.stop());
    if (failures.length > 0) throw failures[0];
  }

  /** A message of another replica of a group; dropped when this node has no replica of it. */
  deliver(partitionId: PartitionId, message: WireMessage): void {
    this.#replicas.get(partitionId)?.deliver(message);
  }

  /**
   * What another replica of a group asks the one here for, of a snapshot of its state.
   *
   * @throws LogboomError PARTITION_NOT_FOUND, PARTITION_STOPPED, NOT_LEADER, SNAPSHOT_NOT_FOUND, DATA_CORRUPT, ...
   */
  async answer(partitionId: PartitionId, request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return this.replicaOf(partitionId).answerPeer(request, signal);
  }

  /** A sign of life of another node. */
  hear(nodeId: NodeId, epoch: number): void {
    this.#presence.hear(nodeId, epoch);
  }

  /** Another replica of a group cannot be reached: what was sent to it may be lost. */
  peerUnreachable(partitionId: PartitionId, replicaId: ReplicaId): void {
    this.#replicas.get(partitionId)?.peerUnreachable(replicaId);
  }

  /**
   * A replica that this node is to hold from now on; the one that is there already when there is one. One at a time, in
   * the order of the calls.
   *
   * @throws LogboomError WAL_CORRUPT, STATE_STORE_CORRUPT, DISK_FULL, SHUTTING_DOWN
   */
  addReplica(placement: ReplicaPlacement): Promise<Replica<Result, Machine>> {
    const added = this.#adding.then(async () => {
      if (this.#stopping !== undefined) throw shuttingDown();
      assert(
        !this.wasRemoved(placement),
        () => `replica ${placement.replicaId} was removed and cannot be started again`,
      );
      if (!this.#replicas.has(placement.partitionId)) await this.#openReplica(placement);
      return this.replicaOf(placement.partitionId);
    });
    this.#adding = added.catch(() => {});
    return added;
  }

  /** Whether this replica, or a later one of the partition, was held here and given up: it cannot be added any more. */
  wasRemoved({ partitionId, replicaId }: Pick<ReplicaPlacement, 'partitionId' | 'replicaId'>): boolean {
    return this.#removed.has(partitionId, replicaId);
  }

  /**
   * Deletes a replica that its group does not need any more, with its log; it never comes back under its id. In order with
   * `addReplica`. Killed on the way, the next start does the rest.
   *
   * @throws LogboomError SHUTTING_DOWN, WAL_FAILED; DiskError
   */
  removeReplica(partitionId: PartitionId, replicaId: ReplicaId): Promise<void> {
    const gone = this.#adding.then(async () => {
      if (this.#stopping !== undefined) throw shuttingDown();
      await this.#removed.begin(partitionId, replicaId);
      const replica = this.#replicas.get(partitionId);
      if (replica !== undefined && replica.replicaId > replicaId) return;
      this.#flushScheduler.remove(partitionId);
      this.#presence.withdraw();
      await replica?.stop({ flush: false });
      this.#replicas.delete(partitionId);
      const hasDiverged = this.#diverged.delete(partitionId);
      await this.#deleteReplica(partitionId, hasDiverged);
      this.#environment.logger.info('the replica was removed', { partition: partitionId, replica: replicaId });
    });
    this.#adding = gone.catch(() => {});
    return gone;
  }

  /** What a removal had decided when the process ended; and replicas whose places are taken by others now. */
  async #finishRemovals(): Promise<void> {
    for (const { partitionId, replicaId } of this.#options.replicas) {
      const found = this.#wal.partition(partitionId)?.recovered.replicaId;
      if (found !== undefined && found < replicaId) await this.#removed.begin(partitionId, found);
    }
    for (const partitionId of this.#removed.unfinished) {
      const log = this.#wal.partition(partitionId);
      if (log === undefined || this.#removed.has(partitionId, log.recovered.replicaId)) {
        await this.#deleteReplica(partitionId);
      } else {
        await this.#removed.finish(partitionId);
      }
    }
  }

  /** The log first: a store without a log is what is left of a removal, or damage, and only the list of removals tells. */
  async #deleteReplica(partitionId: PartitionId, keepState = false): Promise<void> {
    await this.#wal.removePartition(partitionId);
    if (keepState) await this.#setAside(partitionId);
    await removeState(this.#environment.disk, `${this.#directory}/partitions/${partitionId}`);
    await this.#removed.finish(partitionId);
  }

  /** What has diverged may be looked at, and may be what was right after all: the last of a partition is kept for its operator. */
  async #setAside(partitionId: PartitionId): Promise<void> {
    const { disk, logger } = this.#environment;
    const folder = `${this.#directory}/diverged`;
    const place = `${folder}/${partitionId}`;
    try {
      if (!(await disk.exists(folder))) await disk.makeDirectory(folder);
      await disk.removeTree(place);
      await disk.rename(`${this.#directory}/partitions/${partitionId}`, place);
      await disk.syncDirectory(folder);
      logger.warn('the state that has diverged is kept', { partition: partitionId, directory: place });
    } catch (error) {
      if (!isDiskError(error)) throw error;
      logger.error('the state that has diverged cannot be kept', { partition: partitionId, error: error.message });
    }
  }

  async #openReplica(placement: ReplicaPlacement): Promise<void> {
    const environment = this.#environment;
    const options = this.#options;
    const id = placement.partitionId;
    const directory = `${this.#directory}/partitions/${id}`;
    const log = this.#wal.partition(id) ?? (await this.#createLog(placement, directory));
    const isInstalled = await finishInstallation(environment.disk, directory, log, log.recovered.hardState);
    if (isInstalled) environment.logger.info('an interrupted bootstrap was completed', { partition: id });
    const host: ReplicaHost = {
      send: (partitionId, messages) => options.transport.send(partitionId, messages),
      ask: (partitionId, to, request, askOptions) => options.transport.ask(partitionId, to, request, askOptions),
      awaitRoom: () => this.#flushScheduler.awaitRoom(),
      atEndOfTurn: (work) => this.#turnQueue.add(work),
      nodesKnown: options.nodesKnown,
      appendsRefused: () => this.appendsRefused(),
      storageFault: () => this.#diskWatch.fault,
      isShortOfSpace: () => this.isShortOfSpace,
      isSound: () => this.#isSound,
      presence: this.#presenceFor(id),
      onFault: (partitionId, error) => {
        this.#presence.withdraw();
        // What it had not flushed stays so: it must not count for the others.
        this.#flushScheduler.remove(partitionId);
        if (isLogboomError(error, 'STATE_DIVERGED')) this.#diverged.add(partitionId);
      },
    };
    const logger = environment.logger.child({ partition: id });
    const replica = await Replica.open<Result, Machine>({
      environment: { ...environment, logger },
      nodeId: options.nodeId,
      options: this.#replicaOptions,
      host,
      log,
      machine: options.createMachine(id),
      directory,
      repository: options.repository,
      recordedRepository: (replicaId) => options.recordedRepository?.(id, replicaId) ?? '',
      softwareVersion: options.softwareVersion ?? 'unknown',
      clusterId: options.clusterId,
      snapshotSizes: { ...defaultSnapshotSizes, ...options.snapshotSizes },
      offerSlots: this.#offerSlots,
      restoreSnapshot: (source, manifest, restoreOptions) =>
        restoreSnapshot({
          ...restoreOptions,
          source,
          manifest,
          disk: environment.disk,
          storeProvider: options.storeProvider,
          crc32: environment.crc32,
          ...(options.storeSizes === undefined ? {} : { sizes: options.storeSizes }),
        }),
      // The store's own directory is not there before the first open.
      freeBytes: () => environment.disk.freeBytes(this.#directory),
      openStore: (onPersisted) =>
        openStateStore({
          directory,
          provider: options.storeProvider,
          clock: environment.clock,
          crc32: environment.crc32,
          logger,
          metrics: environment.metrics,
          labels: { partition: String(id) },
          onPersisted,
          ...(options.storeSizes === undefined ? {} : { sizes: options.storeSizes }),
        }),
      ...(options.mutant === undefined ? {} : { mutant: options.mutant }),
      ...(options.observe === undefined ? {} : { observe: options.observe }),
    });
    this.#replicas.set(id, replica);
    // Nothing that waits would ever be durable: it is told at once, and not only when the process ends (rule 7).
    void this.#wal.failed.then((error) => replica.fail(error));
    if (replica.stopped !== undefined) return;
    this.#flushScheduler.add(id, {
      stats: () => replica.lastStats,
      flush: () => replica.flush(),
    });
  }

  #presenceFor(partitionId: PartitionId): ReplicaPresence | undefined {
    const transport = this.#options.presence;
    const presence = this.#presence;
    if (transport === undefined) return undefined;
    return {
      get epoch() {
        return presence.epoch;
      },
      withdraw: () => presence.withdraw(),
      nodeOf: (replicaId) => transport.nodeOf(partitionId, replicaId),
      epochOf: (nodeId) => presence.epochOf(nodeId),
    };
  }

  /** A partition whose log is gone but whose store is there has lost its votes and its newest entries: not a new one. */
  async #createLog(placement: ReplicaPlacement, directory: string): Promise<PartitionLog> {
    const { partitionId: id, replicaId, confState } = placement;
    if (await holdsState(this.#environment.disk, directory)) {
      throw new LogboomError(
        'WAL_CORRUPT',
        `partition ${id} has a state store in ${directory}, but the write-ahead log does not know it: the log was deleted ` +
          'or replaced. Put back the whole data directory from one copy, or start this node with an empty data directory.',
        { facts: { partition: id, directory } },
      );
    }
    return this.#wal.createPartition(id, replicaId, confState);
  }

  async #replay(): Promise<void> {
    const { clock } = this.#environment;
    // A group of several voters needs other nodes to go on; whether it can serve is for its status to say.
    const goals = this.replicas
      .filter((replica) => replica.isAlone)
      .map((replica) => ({ replica, ...replica.replayed }));
    const entriesTotal = goals.reduce((sum, { from, to }) => sum + to - from, 0);
    const report = (): void => {
      const entriesDone = goals.reduce(
        (sum, { replica, from, to }) => sum + Math.min(to, replica.status.appliedLsn) - from,
        0,
      );
      this.#options.onReplay?.({ entriesDone, entriesTotal });
    };
    let reporting: Timer | undefined;
    const reportLater = (): void => {
      reporting = clock.setTimer(replayReportMs, () => {
        report();
        reportLater();
      });
    };
    reportLater();
    try {
      await Promise.all(goals.map(({ replica }) => replica.caughtUp()));
    } finally {
      reporting?.cancel();
    }
    // Most replays are over before the first report.
    report();
    for (const { stopped } of this.replicas) if (stopped !== undefined) throw stopped;
  }

  get #replicaOptions(): ReplicaOptions {
    return { ...defaultReplicaOptions, ...this.#options.replica };
  }

  get #tickMs(): number {
    return this.#options.tickMs ?? 100;
  }

  #scheduleTick(): void {
    this.#ticker = this.#environment.clock.setTimer(this.#tickMs, () => {
      if (this.#stopping !== undefined) return;
      this.#diskWatch.tick();
      this.#tickPresence();
      // What is wrong with the disk, each has to tell its core.
      for (const replica of this.#replicas.values()) if (!replica.isQuiet || !this.#isSound) replica.tick();
      this.#ticks += 1;
      if (this.#ticks % Math.max(1, Math.round(sampleEveryMs / this.#tickMs)) === 0) this.#sample();
      this.#scheduleTick();
    });
  }

  get #isSound(): boolean {
    return this.#diskWatch.fault === undefined && !this.isShortOfSpace;
  }

  /** Before the replicas' own ticks: what they withdraw counts from the next one on. */
  #tickPresence(): void {
    this.#presence.tick();
    const isDue = this.#ticks % this.#replicaOptions.heartbeatTicks === 0;
    if (isDue) this.#options.presence?.send(this.#presence.epoch);
  }

  #onSilence(nodeId: NodeId, ticks: number): void {
    const quiet = this.replicas.filter(({ isQuiet }) => isQuiet);
    for (const replica of quiet) replica.nodeSilent(nodeId, ticks);
    this.#metrics.wokenBySilence(quiet.filter(({ isQuiet }) => !isQuiet).length);
  }

  #sample(): void {
    this.#metrics.quietReplicas(this.replicas.filter(({ isQuiet }) => isQuiet).length);
    for (const replica of this.#replicas.values()) {
      replica.sampleMetrics();
      replica.sampleSnapshots();
    }
    this.#keepLogSmall();
  }

  #keepLogSmall(): void {
    const { bytes, oldestSegmentHeldBy } = this.#wal.stats;
    if (bytes <= (this.#options.walTargetBytes ?? 1 << 30) || oldestSegmentHeldBy === undefined) return;
    const replica = this.#replicas.get(oldestSegmentHeldBy);
    if (replica === undefined) return;
    const { status } = replica;
    // A flush lets a segment go where trimming goes by what is persisted, or has gone further than that already.
    if (isHeldByPersistence(status)) this.#flushScheduler.flushSoon(oldestSegmentHeldBy);
    // Elsewhere a snapshot does. One that is due for its bytes comes by itself; but a few entries of a quiet partition would
    // hold all that came after them for as long as snapshots.maxAgeMs.
    else if (status.trimMode === 'archived' && replica.unarchivedBytes * quietShare < bytes / this.#replicas.size) {
      replica.snapshotSoon();
    }
  }
}

function isHeldByPersistence({ trimMode, trimHeldBecause, groupTrimPoint, persistedLsn }: ReplicaStatus): boolean {
  return trimMode === 'archived' ? persistedLsn < groupTrimPoint : trimHeldBecause === '';
}
