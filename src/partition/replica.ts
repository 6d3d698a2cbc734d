/** One replica put together: consensus core, log, processor, state store. */
import { assert } from '../base/assert.js';
import { isLogboomError, type LogboomError } from '../base/errors.js';
import { asLsn, type Lsn, type NodeId, type PartitionId, type ReplicaId, type Term } from '../base/ids.js';
import type { Environment } from '../base/ports/environment.js';
import type { StateMachine, StateReader } from '../base/state-machine.js';
import { decodeConfChange, membersOf, type RaftCore } from '../raft/index.js';
import type { ConfChange, ConfState, Entry, Leadership, LogStart, RaftStatus, WireMessage } from '../raft/types.js';
import type { StateStore, StateStoreStats } from '../state-store/index.js';
import type { PartitionLog } from '../wal/types.js';
import { AppliedWaiters } from './applied-waiters.js';
import type { ArchiveState } from './archive-state.js';
import { ConfHistory } from './conf-history.js';
import { highestReplicaId, highestReplicaKey } from './conf-state.js';
import { CoreDriver } from './core-driver.js';
import { LinearizableReads, readableLsn } from './linearizable-reads.js';
import { LeadershipTransfer, type TransferOptions } from './leadership-transfer.js';
import { LoadingLog } from './loading-log.js';
import { LogTrimming } from './log-trimming.js';
import { partitionMetrics, type PartitionMetrics } from './metrics.js';
import type { ReplicaObserver } from './observer.js';
import { Processor } from './processor.js';
import { PendingProposals } from './proposals.js';
import { leadershipLost, notApplied, notLeader, partitionStopped, refused, shuttingDown } from './refusals.js';
import type { ReplicaHost, ReplicaOptions, ReplicaParts } from './replica-options.js';
import { ReplicaSnapshots, type SnapshottedReplica } from './replica-snapshots.js';
import { checkFit, makeCore, observeStart, startState, startWatermarks, StoreGenerations } from './replica-start.js';
import { describeStorageFault, StorageFaults } from './storage-faults.js';
import type { Applied, PartitionReplica, ReplicaStatus, TrimOutcome } from './types.js';
import { Watchers } from './watchers.js';
import { statusOf, type Watermarks, type WatermarkValues } from './watermarks.js';

/**
 * Puts the parts together, and is what the node and its services see of them. What the core says is carried out by the
 * `CoreDriver`; what it waits for is reported back from here.
 *
 * Whatever fails here besides a request is a broken invariant or a failed WAL, and ends the replica: it tells the core
 * nothing more, applies, sends and acknowledges nothing more, and says why to everyone who asks.
 */
export class Replica<Result, Machine extends StateMachine<Result>> implements PartitionReplica<Result, Machine> {
  readonly partitionId: PartitionId;
  readonly replicaId: ReplicaId;
  /** What the store was at, and where the log ended, when the replica was opened: what lies between is replayed. */
  readonly replayed: { readonly from: Lsn; readonly to: Lsn };
  readonly #machine: Machine;
  readonly #nodeId: NodeId;
  readonly #environment: Environment;
  readonly #options: ReplicaOptions;
  readonly #host: ReplicaHost;
  readonly #log: PartitionLog;
  readonly #core: RaftCore;
  readonly #driver: CoreDriver;
  readonly #metrics: PartitionMetrics;
  readonly #watermarks: Watermarks;
  readonly #snapshots: ReplicaSnapshots<Result, Machine>;
  readonly #trimming: LogTrimming;
  #confHistory: ConfHistory;
  readonly #processor: Processor<Result>;
  readonly #proposals: PendingProposals<Result>;
  readonly #reads: LinearizableReads;
  readonly #watchers = new Watchers();
  readonly #storageFaults: StorageFaults;
  readonly #leadershipWatchers = new Watchers();
  readonly #transfer: LeadershipTransfer;
  readonly #caughtUpWaiters = new AppliedWaiters();
  /** Made once: it is called some twenty times a second for every replica. */
  readonly #tickNow = (): void => {
    this.#core.tick();
    if (this.#core.isMute) this.#withdraw();
    this.#storageFaults.tick(this.#host.storageFault());
    if (this.#host.isShortOfSpace()) this.#storageFaults.tickShortOfSpace();
    if (this.#leadership.role !== 'leader') this.#reads.tick();
  };
  #leadership: Leadership;
  /** Others may be quiet because it led. */
  #hasLed = false;
  #draining = false;
  #fault: Error | undefined;
  readonly #observer: ReplicaObserver | undefined;

  private constructor(parts: ReplicaParts<Result, Machine>, store: StateStore, stores: StoreGenerations) {
    this.partitionId = parts.log.partitionId;
    this.#machine = parts.machine;
    this.#nodeId = parts.nodeId;
    this.#environment = parts.environment;
    this.#options = parts.options;
    this.#host = parts.host;
    this.#log = parts.log;
    this.#metrics = partitionMetrics(parts.environment.metrics, this.partitionId);
    const start = startState(parts.log, store);
    this.replayed = { from: store.appliedLsn, to: parts.log.lastLsn };
    this.replicaId = start.replicaId;
    this.#confHistory = new ConfHistory(store.appliedLsn, start.confState);
    this.#observer = observeStart(parts, start, store);
    const onLoaded = (): void => this.#driver.report(() => this.#core.onLogLoaded());
    const log = new LoadingLog(parts.log, { onLoaded, onFailed: (error) => this.fail(error) });
    this.#core = makeCore(parts, { ...start, log, applied: store.appliedLsn }, () => this.#isIdle);
    this.#storageFaults = new StorageFaults({
      core: this.#core,
      leaderlessTicksMax: 3 * parts.options.electionTicks,
      logger: parts.environment.logger,
      onLeadershipGivenUp: (fault) => {
        this.#metrics.leadershipGivenUp(fault);
        this.#observer?.onLeadershipGivenUp(fault);
        this.#withdraw();
      },
    });
    this.#leadership = { role: this.#core.role, leader: this.#core.leader, term: this.#core.term };
    this.#watermarks = startWatermarks(parts.log, store);
    this.#driver = new CoreDriver({
      core: this.#core,
      log: parts.log,
      watermarks: this.#watermarks,
      observer: this.#observer,
      send: (messages) => this.#host.send(this.partitionId, messages),
      isInstalling: () => this.#snapshots.isInstalling,
      isStopped: () => this.#fault !== undefined,
      onAppliable: (lsn) => this.#processor.advanceTo(lsn),
      onReadConfirmed: (read) => this.#reads.confirmed(read),
      onReadDropped: (context) => this.#reads.dropped(context),
      onSnapshotNeeded: (start) => this.#snapshots.onSnapshotNeeded(start),
      onLeadership: (leadership) => this.#onLeadership(leadership),
      atEndOfTurn: (work) => this.#host.atEndOfTurn(work),
      onFault: (error) => this.fail(error),
    });
    this.#proposals = new PendingProposals({
      itemsMax: parts.options.proposalsMax,
      bytesMax: parts.options.proposalBytesMax,
    });
    this.#transfer = new LeadershipTransfer({
      partitionId: this.partitionId,
      clock: parts.environment.clock,
      raftStatus: () => this.raftStatus,
      leadership: () => this.#leadership,
      fault: () => this.#fault,
      proposalsUnderWay: () => this.#proposals.items,
      transferInCore: (to) => this.transferLeader(to),
      onRefusing: () => this.#leadershipWatchers.wakeAll(),
    });
    this.#reads = new LinearizableReads({
      readersMax: parts.options.readsMax,
      // A leader that a quorum does not answer steps down within two election timeouts: no answer comes later.
      answerTicksMax: 2 * parts.options.electionTicks,
      random: parts.environment.random,
      request: (context) => this.#request(() => this.#core.readIndex(context)),
      forget: (context) => this.#core.forgetRead(context),
      appliedLsn: () => this.#readableLsn,
      heldUp: () => this.#processor.heldUp,
      refused: (refusal) => refused(this.partitionId, refusal),
      notLeader: () => notLeader(this.partitionId, this.#leadership.leader),
    });
    this.#processor = new Processor<Result>({
      environment: parts.environment,
      options: parts.options.processor,
      log: parts.log,
      machine: parts.machine,
      store,
      openStore: () => stores.open(),
      freeBytes: parts.freeBytes,
      watermarks: this.#watermarks,
      metrics: this.#metrics,
      events: {
        awaitRoom: () => parts.host.awaitRoom(),
        onConfChange: (entry) => this.#applyConfChange(entry),
        onApplied: (appliedLsn, topics) => this.#onApplied(appliedLsn, topics),
        onResult: (lsn, term, result) => this.#proposals.applied(lsn, term, result),
        onPartitionCommand: (entry, command) => this.#snapshots.onCommand(entry, command),
        onHeldUp: (error) => this.#onHeldUp(error),
        onStoreReopened: (appliedLsn) => this.#observer?.onStoreReopened(appliedLsn),
        onFault: (error) => this.fail(error),
      },
    });
    this.#snapshots = new ReplicaSnapshots(parts, this.#snapshotted(), store);
    this.#trimming = new LogTrimming({
      mode: parts.options.trimMode,
      hasRepository: parts.repository !== undefined,
      log: parts.log,
      watermarks: this.#watermarks,
      observer: this.#observer,
      confHistory: () => this.#confHistory,
      archive: () => this.#snapshots.archive,
      leaderHolds: () => this.#snapshots.holds,
      // A configuration with another replica knows of another node, whatever the node's own list says.
      nodesKnown: () => Math.max(parts.host.nodesKnown(), membersOf(this.#confHistory.latest).length),
    });
    parts.log.setPersistedLsn(store.persistedLsn);
    stores.onPersisted = (persistedLsn) => this.#onPersisted(persistedLsn);
  }

  /**
   * Opens the store, loads the machine, and starts the core. The only voter of its group campaigns at once.
   *
   * @throws LogboomError STATE_STORE_CORRUPT when store and log do not fit
   */
  static async open<Result, Machine extends StateMachine<Result>>(
    parts: ReplicaParts<Result, Machine>,
  ): Promise<Replica<Result, Machine>> {
    const stores = new StoreGenerations(parts.openStore);
    const store = await stores.open();
    try {
      checkFit(parts.log, store);
      await parts.machine.load(store);
      const replica = new Replica<Result, Machine>(parts, store, stores);
      replica.#begin();
      return replica;
    } catch (error) {
      await store.close({ flush: false });
      throw error;
    }
  }

  /** @throws LogboomError PARTITION_STOPPED; STATE_STORE_FAILED while it shows less than it has shown before */
  get machine(): Machine {
    this.#throwIfStopped();
    this.#processor.throwIfBehind();
    return this.#machine;
  }

  get reader(): StateReader {
    this.#throwIfStopped();
    return this.#processor.store;
  }

  /** The store itself, for those that flush it. */
  get store(): StateStore {
    return this.#processor.store;
  }

  /** Figures for those who decide what to flush; also while the store is being reopened. */
  get lastStats(): StateStoreStats {
    return this.#processor.storeStats;
  }

  /** The consensus core's own view of the group. */
  get raftStatus(): RaftStatus {
    return this.#core.status();
  }

  /** The configuration that is in force. */
  get confState(): ConfState {
    return this.#confHistory.latest;
  }

  /** The highest replica id that the configuration of the group ever had, as applied here. */
  get highestReplicaId(): ReplicaId {
    return highestReplicaId(this.reader.getIndex(highestReplicaKey), this.confState);
  }

  /** Why the replica stopped, as requests are told; undefined when it did not. */
  get stopped(): LogboomError | undefined {
    return this.#fault === undefined ? undefined : partitionStopped(this.partitionId, this.#fault);
  }

  get isLeader(): boolean {
    return this.#leadership.role === 'leader' && this.#fault === undefined;
  }

  /** It leads and takes nothing more, for another replica is about to lead. */
  get isHandingOver(): boolean {
    return this.isLeader && this.#transfer.isRefusing;
  }

  get leader(): ReplicaId {
    return this.#leadership.leader;
  }

  get term(): Term {
    return this.#leadership.term;
  }

  get lsns(): WatermarkValues {
    return this.#watermarks;
  }

  /** Why it stopped, or neither leads nor stores anything now; undefined when it is well. */
  get fault(): string | undefined {
    const diskFault = this.#storageFaults.reported;
    return this.#fault?.message ?? (diskFault === undefined ? undefined : describeStorageFault(diskFault));
  }

  get status(): ReplicaStatus {
    const trim = this.#trimming.decide();
    return {
      partitionId: this.partitionId,
      replicaId: this.replicaId,
      nodeId: this.#nodeId,
      role: this.#fault === undefined ? this.#leadership.role : 'stopped',
      leader: this.#leadership.leader,
      term: this.#leadership.term,
      firstLsn: this.#log.firstLsn,
      ...statusOf(this.#watermarks),
      ...this.#snapshots.status,
      trimPoint: this.#log.trimPoint,
      trimMode: this.#options.trimMode,
      trimHeldBecause: trim.heldBecause,
      stateHash: this.#processor.lastStore.stateHash,
      dirtyBytes: this.#processor.storeStats.dirtyBytes,
      fault: this.fault,
    };
  }

  async propose(command: Uint8Array): Promise<Applied<Result>> {
    // An empty entry is no command: it has no result to wait for.
    assert(command.length > 0, () => `an empty command for partition ${this.partitionId}`);
    this.#throwIfNotTaking();
    // What holds up this node is no reason not to append where the leader is.
    const leadsElsewhere = !this.isLeader && this.leader !== 0;
    const refusedBy = leadsElsewhere ? undefined : (this.#processor.heldUp ?? this.#host.appendsRefused());
    if (refusedBy !== undefined) throw refusedBy;
    if (this.#transfer.isRefusing) throw notLeader(this.partitionId, this.leader);
    this.#proposals.admit(command.length);
    const startedMs = this.#environment.clock.monotonicMs();
    const answer = this.#request(() => this.#core.propose([command]));
    if (!answer.ok) throw refused(this.partitionId, answer);
    const applied = await this.#proposals.wait(answer.lastLsn, answer.term, command.length);
    this.#metrics.proposalApplied(this.#environment.clock.monotonicMs() - startedMs);
    return applied;
  }

  /**
   * Appends a configuration change to the log of the group this replica leads, and answers its LSN; it takes effect when
   * it is applied, unless the core finds it impossible.
   *
   * @throws LogboomError NOT_LEADER, QUEUE_FULL, DISK_FULL, PARTITION_STOPPED, SHUTTING_DOWN
   */
  proposeConfChange(change: ConfChange): Lsn {
    this.#throwIfNotTaking();
    const answer = this.#request(() => this.#core.proposeConfChange(change));
    if (!answer.ok) throw refused(this.partitionId, answer);
    return answer.lastLsn;
  }

  /** See {@link PartitionReplica.snapshot}. */
  async snapshot(): Promise<ArchiveState> {
    this.#throwIfNotTaking();
    if (!this.isLeader) throw notLeader(this.partitionId, this.leader);
    return this.#snapshots.take();
  }

  /** See {@link PartitionReplica.trim}. */
  async trim({ dryRun }: { readonly dryRun: boolean }): Promise<TrimOutcome> {
    this.#throwIfNotTaking();
    if (!this.isLeader) throw notLeader(this.partitionId, this.leader);
    const mode = this.#options.trimMode;
    const { archivedLsn } = this.#snapshots.archive;
    if (mode === 'archived') return { ...(await this.#snapshots.trim(dryRun)), archivedLsn, mode };
    // What is persisted goes with each flush.
    if (!dryRun && mode === 'persisted') await this.flush();
    const { trimPoint, heldBecause } = this.#trimming.decide();
    return { trimPoint, archivedLsn, mode, heldBecause };
  }

  /**
   * Begins to hand leadership of the group to another replica at once, which may fail without a word: whoever asked looks at
   * `leader`. Appends under way may end with LEADERSHIP_LOST; with `handOver` they do not.
   *
   * @throws LogboomError NOT_LEADER, INVALID_ARGUMENT (no voter), PARTITION_STOPPED
   */
  transferLeader(to: ReplicaId): void {
    this.#throwIfStopped();
    const answer = this.#request(() => this.#core.transferLeader(to));
    if (!answer.ok && answer.reason !== 'forwarded') throw refused(this.partitionId, answer);
  }

  /** See {@link LeadershipTransfer.run}. */
  handOver(to: ReplicaId, options: TransferOptions): Promise<void> {
    return this.#transfer.run(to, options);
  }

  watch(topic: number, onChange: () => void): () => void {
    return this.#watchers.watch(topic, onChange);
  }

  watchLeadership(onChange: () => void): () => void {
    return this.#leadershipWatchers.watch(0, onChange);
  }

  async awaitLinearizable(signal?: AbortSignal): Promise<void> {
    this.#throwIfStopped();
    await this.#reads.wait(signal);
  }

  async verify(
    onProgress?: (done: { values: number; bytes: number }) => void,
    signal?: AbortSignal,
  ): ReturnType<PartitionReplica<Result, Machine>['verify']> {
    this.#throwIfStopped();
    return this.#processor.store.verify(onProgress, signal);
  }

  storeBytes(): Promise<number> {
    return this.#processor.store.sizeBytes();
  }

  /** It needs no ticks until something happens to its group. */
  get isQuiet(): boolean {
    return this.#core.isQuiet;
  }

  tick(): void {
    this.#driver.report(this.#tickNow);
  }

  /** A node has given no sign of life for so many ticks, or gives another than before. */
  nodeSilent(nodeId: NodeId, ticks: number): void {
    const isThere = (member: ReplicaId): boolean => this.#host.presence?.nodeOf(member) === nodeId;
    if (this.isQuiet) this.#driver.report(() => this.#core.onSilence(isThere, ticks));
  }

  sampleMetrics(): void {
    this.#metrics.sample(() => this.status, this.#watermarks, this.#leadership);
  }

  /** Of what it leads: a snapshot soon, so that its part of the log can go. */
  snapshotSoon(): void {
    this.#driver.report(() => this.#snapshots.takeSoon());
  }

  /** Bytes applied since the newest snapshot, as far as this process knows. */
  get unarchivedBytes(): number {
    return this.#snapshots.unarchivedBytes;
  }

  /** What another replica of the group asks for of this one's state. @throws LogboomError of `SnapshotSupplier.answer` */
  answerPeer(request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return this.#snapshots.answerPeer(request, signal);
  }

  /** About once a second. */
  sampleSnapshots(): void {
    this.#driver.report(() => this.#snapshots.tick());
  }

  /** A message of another replica of the group. */
  deliver(message: WireMessage): void {
    this.#driver.report(() => {
      if (message.type !== 'host') this.#core.step(message);
      else if (message.to === this.replicaId) this.#snapshots.onMessage(message.from, message.payload);
    });
  }

  /** What was sent to another replica of the group may be lost. */
  peerUnreachable(replicaId: ReplicaId): void {
    this.#driver.report(() => this.#core.onUnreachable(replicaId));
  }

  /** Resolves when everything that was in the log at the start is applied, and a leader is known; or when the replica has stopped. */
  caughtUp(): Promise<void> {
    // It may have stopped while other partitions were being opened.
    if (this.#fault !== undefined) return Promise.resolve();
    const lsn = this.#log.lastLsn;
    if (this.#watermarks.applied >= lsn && this.#leadership.leader !== 0) return Promise.resolve();
    return this.#caughtUpWaiters.wait(lsn);
  }

  /**
   * Makes what is applied durable in the state store, then lets the log go up to it as far as the rules allow. A flush
   * that fails ends the store instance, which is reopened; a broken invariant ends the replica.
   */
  async flush(): Promise<Lsn> {
    this.#throwIfStopped();
    const store = this.#processor.lastStore;
    try {
      return await store.flush();
    } catch (error) {
      // Not waited for: it may take as long as the disk is full, and whoever flushes has other stores to see to.
      if (isLogboomError(error, 'STATE_STORE_FAILED')) void this.#processor.reopenStore(store, error);
      else this.fail(error);
      throw error;
    }
  }

  /** Refuses new proposals and waits for those under way, at most `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true;
    await this.#proposals.drained(this.#environment.clock, timeoutMs, () => this.#fault !== undefined);
  }

  /** Flushes, unless the replica is removed from this node, and closes; what is under way ends with SHUTTING_DOWN. The log stays open. */
  async stop({ flush }: { readonly flush: boolean } = { flush: true }): Promise<void> {
    if (!flush) this.#observer?.onDiscarded();
    this.#draining = true;
    this.#snapshots.halt(shuttingDown());
    await this.#snapshots.ended();
    await this.#processor.stop();
    if (flush && this.#fault === undefined) {
      await this.flush().catch((error: unknown) => {
        this.#environment.logger.warn('the last flush failed; a start replays more of the log', {
          partition: this.partitionId,
          error: String(error),
        });
      });
    }
    this.#fault ??= shuttingDown();
    this.#endWaiting(shuttingDown());
    await this.#processor.lastStore.close({ flush: false });
  }

  /** Whether this replica is the only voter of its group. */
  get isAlone(): boolean {
    const { voters, votersOutgoing } = this.#confHistory.latest;
    return voters.length === 1 && voters[0] === this.replicaId && votersOutgoing.length === 0;
  }

  /**
   * Ends the replica after a fault that it does not find by itself. What waits is rejected; what is applied already stays
   * readable to nobody, for with a broken invariant it may be wrong.
   */
  fail(error: unknown): void {
    if (this.#fault !== undefined) return;
    const fault = error instanceof Error ? error : new Error(String(error));
    this.#fault = fault;
    this.#processor.halt();
    this.#snapshots.halt(partitionStopped(this.partitionId, fault));
    this.#observer?.onFault(fault);
    this.#environment.logger.error('the partition stops', {
      partition: this.partitionId,
      error: fault.message,
      stack: fault.stack,
    });
    this.#endWaiting(partitionStopped(this.partitionId, fault));
    this.#host.onFault(this.partitionId, fault);
  }

  #begin(): void {
    // A trim point is durable only with what was written after it, and so may have been lost.
    this.#trimming.trim();
    this.#campaignAlone();
    this.#driver.schedulePump();
  }

  /**
   * The only voter need not wait for anybody. At the start the core may have to: for the committed entries above the
   * store's, which can hold a change of configuration. Each group applied may have been the last of them.
   */
  #campaignAlone(): void {
    if (this.#leadership.leader === 0 && this.isAlone && this.#core.status().role === 'follower') this.#core.campaign();
  }

  /** @throws LogboomError PARTITION_STOPPED */
  #request<Answer>(call: () => Answer): Answer {
    const answer = this.#driver.request(call);
    if (answer === undefined) throw this.stopped ?? shuttingDown();
    return answer.value;
  }

  /** It cannot keep what its node promises of a replica that has led: see src/raft/quiet.ts. */
  #withdraw(): void {
    if (this.#hasLed) this.#host.presence?.withdraw();
    this.#hasLed = this.#core.role === 'leader';
  }

  /** Whether nothing is to be done here for which the group has to be awake. */
  get #isIdle(): boolean {
    const isBusy = this.#proposals.items > 0 || this.#snapshots.isBusy || this.#processor.heldUp !== undefined;
    return this.#watermarks.persisted === this.#watermarks.applied && !isBusy && this.#host.isSound();
  }

  #onPersisted(persistedLsn: Lsn): void {
    this.#driver.report(() => {
      this.#watermarks.persistedAdvanced(persistedLsn);
      this.#observer?.onPersisted(persistedLsn);
      this.#log.setPersistedLsn(persistedLsn);
      this.#trimming.trim();
    });
  }

  #onApplied(appliedLsn: Lsn, topics: Iterable<number>): void {
    this.#driver.report(() => {
      this.#observer?.onApplied(appliedLsn, this.#processor.lastStore.stateHash);
      this.#core.onApplied(appliedLsn);
      this.#campaignAlone();
      this.#reads.applied();
      this.#watchers.changed(topics);
      this.#settleCaughtUp();
    });
  }

  #applyConfChange(entry: Entry): ConfState {
    const known = this.#confHistory.covers(entry.lsn) ? this.#confHistory.at(entry.lsn) : undefined;
    const confState = known ?? this.#request(() => this.#core.applyConfChange(decodeConfChange(entry.data)));
    if (known === undefined) this.#confHistory.changed(entry.lsn, confState);
    this.#observer?.onConfChange(entry.lsn, entry.term, confState);
    return confState;
  }

  #onLeadership(leadership: Leadership): void {
    const before = this.#leadership;
    const lost = before.role === 'leader' && (leadership.role !== 'leader' || leadership.term !== before.term);
    this.#leadership = leadership;
    this.#hasLed ||= leadership.role === 'leader';
    this.#environment.logger.debug('leadership', { partition: this.partitionId, ...leadership });
    if (lost) this.#rejectProposals(leadershipLost());
    this.#snapshots.onLeadership();
    this.#settleCaughtUp();
    this.#leadershipWatchers.wakeAll();
  }

  /**
   * Those who wait for what cannot be applied would wait for as long as the disk is full: appends are told that their
   * outcome is open, and reads get what was acknowledged so far, or have to go to another replica.
   */
  #onHeldUp(error: LogboomError): void {
    this.#rejectProposals(notApplied(error));
    this.#reads.applied();
  }

  get #readableLsn(): Lsn {
    const { applied, commit } = this.#watermarks;
    const { role, term } = this.#leadership;
    return readableLsn({
      applied,
      commit,
      isHeldUp: this.#processor.heldUp !== undefined,
      isOnlyMember: this.isAlone && membersOf(this.#confHistory.latest).length === 1,
      isOfThisTerm: () => role === 'leader' && this.#log.termAt(asLsn(applied + 1)) === term,
    });
  }

  #settleCaughtUp(): void {
    if (this.#leadership.leader !== 0) this.#caughtUpWaiters.applied(this.#watermarks.applied);
  }

  #rejectProposals(error: LogboomError): void {
    this.#proposals.rejectAll(error);
    this.#snapshots.rejectAll(error);
  }

  #snapshotted(): SnapshottedReplica {
    const { replicaId } = this;
    const of = <Value>(get: () => Value): PropertyDescriptor => ({ enumerable: true, get });
    const methods = {
      replicaId,
      observer: this.#observer,
      confStateAt: (lsn: Lsn) => this.#confHistory.at(lsn),
      propose: (command: Uint8Array) => {
        this.#throwIfNotTaking();
        if (this.#transfer.isRefusing) throw notLeader(this.partitionId, this.leader);
        // Nobody would hear of it before the store goes on.
        if (this.#processor.heldUp !== undefined) throw this.#processor.heldUp;
        const answer = this.#request(() => this.#core.propose([command]));
        if (!answer.ok) throw refused(this.partitionId, answer);
        return { lsn: answer.lastLsn, term: answer.term };
      },
      sendToHost: (to: ReplicaId, payload: Uint8Array) => {
        const { term } = this.#leadership;
        this.#host.send(this.partitionId, [{ type: 'host', from: replicaId, to, term, payload }]);
      },
      trim: () => this.#trimming.trim(),
      logSettled: () => this.#driver.settled(),
      replaceStore: (swap: () => Promise<void>) => this.#processor.replaceStore(swap),
      beginSnapshot: (start: LogStart) => this.#request(() => this.#core.beginSnapshot(start)),
      installed: (start: LogStart) => this.#installed(start),
      fail: (error: unknown) => this.fail(error),
    };
    return Object.defineProperties(methods, {
      isLeader: of(() => this.isLeader),
      confState: of(() => this.confState),
      raftStatus: of(() => this.raftStatus),
      lastLsn: of(() => this.#core.lastLsn),
      persistedLsn: of(() => this.#watermarks.persisted),
      appliedBytes: of(() => this.#processor.appliedBytes),
      trimPoint: of(() => this.#log.trimPoint),
      store: of(() => this.#processor.lastStore),
      isStopped: of(() => this.#fault !== undefined),
    }) as SnapshottedReplica;
  }

  /** State and log begin at the snapshot: so do the core, and what is known of configurations. */
  #installed(start: LogStart): void {
    this.#driver.report(() => {
      this.#confHistory = new ConfHistory(start.lsn, start.confState);
      this.#observer?.onInstalled(start, this.#processor.lastStore.stateHash);
      const isTaken = this.#core.onSnapshotDone(start);
      assert(isTaken, () => `the core does not take the snapshot at LSN ${start.lsn} that it had agreed to`);
      this.#reads.applied();
      this.#watchers.wakeAll();
      this.#settleCaughtUp();
      this.#driver.schedulePump();
    });
  }

  #endWaiting(error: LogboomError): void {
    this.#rejectProposals(error);
    this.#driver.end();
    this.#reads.rejectAll(error);
    this.#caughtUpWaiters.releaseAll();
    this.#watchers.wakeAll();
    this.#leadershipWatchers.wakeAll();
  }

  #throwIfStopped(): void {
    if (this.stopped !== undefined) throw this.stopped;
  }

  #throwIfNotTaking(): void {
    this.#throwIfStopped();
    if (this.#draining) throw shuttingDown();
  }
}
