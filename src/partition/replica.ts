/** One replica put together: consensus core, log, processor, state store. */
import { assert, InvariantViolation } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import type { Lsn, NodeId, PartitionId, ReplicaId } from '../base/ids.js';
import type { Environment } from '../base/ports/environment.js';
import type { StateMachine, StateReader } from '../base/state-machine.js';
import { decodeConfChange, RaftCore } from '../raft/index.js';
import type {
  ConfChange,
  ConfState,
  Entry,
  Leadership,
  Message,
  RaftLimits,
  RaftOptions,
  RaftOutput,
  RaftStatus,
} from '../raft/types.js';
import type { StateStore, StateStoreStats } from '../state-store/index.js';
import type { PartitionLog } from '../wal/types.js';
import { ConfHistory } from './conf-history.js';
import { LinearizableReads } from './linearizable-reads.js';
import { LoadingLog } from './loading-log.js';
import { partitionMetrics, type PartitionMetrics } from './metrics.js';
import type { ReplicaObserver, ReplicaStart } from './observer.js';
import { defaultProcessorOptions, Processor, type ProcessorOptions } from './processor.js';
import { leadershipLost, PendingProposals, shuttingDown } from './proposals.js';
import { checkFit, startState, StoreGenerations } from './replica-start.js';
import { decideTrim, type TrimDecision } from './trim.js';
import type { Applied, PartitionReplica, ReplicaStatus, TrimMode } from './types.js';
import { Watermarks } from './watermarks.js';

export interface ReplicaOptions {
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly raftLimits: Partial<RaftLimits>;
  /** How reads are confirmed; the core's defaults where nothing is set. */
  readonly reads: Pick<RaftOptions, 'readMode' | 'clockDriftBound'>;
  readonly processor: ProcessorOptions;
  /** Proposals that are not applied yet. */
  readonly proposalsMax: number;
  readonly proposalBytesMax: number;
  readonly trimMode: TrimMode;
}

export const defaultReplicaOptions: ReplicaOptions = {
  electionTicks: 10,
  heartbeatTicks: 1,
  raftLimits: {},
  reads: {},
  processor: defaultProcessorOptions,
  proposalsMax: 16_384,
  proposalBytesMax: 64 << 20,
  trimMode: 'persisted',
};

/** What a replica needs from the node around it. */
export interface ReplicaHost {
  /** Sends to the replicas named in the messages; may drop. */
  send(partitionId: PartitionId, messages: readonly Message[]): void;
  /** Waits until the node's memory for unflushed state has room. */
  awaitRoom(): Promise<void>;
  nodesKnown(): number;
  /** Why appends are refused now; undefined when they are not. */
  appendsRefused(): LogboomError | undefined;
  onFault(partitionId: PartitionId, error: Error): void;
}

/**
 * Runs the core's contract: outputs are carried out in the order of their fields. Everything the core is told happens
 * in one place, `#pump`, at the end of the turn of the event loop in which it became due, so that proposals and
 * messages which arrive together leave together.
 */
export class Replica<Result, Machine extends StateMachine<Result>> implements PartitionReplica<Result, Machine> {
  readonly partitionId: PartitionId;
  readonly machine: Machine;
  readonly #nodeId: NodeId;
  readonly #replicaId: ReplicaId;
  readonly #environment: Environment;
  readonly #options: ReplicaOptions;
  readonly #host: ReplicaHost;
  readonly #log: PartitionLog;
  readonly #core: RaftCore;
  readonly #metrics: PartitionMetrics;
  readonly #watermarks: Watermarks;
  readonly #confHistory: ConfHistory;
  readonly #processor: Processor<Result>;
  readonly #proposals: PendingProposals<Result>;
  readonly #reads: LinearizableReads;
  readonly #watchers = new Map<number, Set<() => void>>();
  readonly #caughtUpWaiters: { readonly lsn: Lsn; readonly resolve: () => void }[] = [];
  /** Promises about the disk that wait for their sync, in token order. */
  #afterDurable: { readonly token: number; readonly messages: readonly Message[] }[] = [];
  #durableToken = 0;
  #leadership: Leadership;
  #pumpScheduled = false;
  #draining = false;
  #fault: Error | undefined;
  readonly #observer: ReplicaObserver | undefined;

  private constructor(parts: ReplicaParts<Result, Machine>, store: StateStore, stores: StoreGenerations) {
    this.partitionId = parts.log.partitionId;
    this.machine = parts.machine;
    this.#nodeId = parts.nodeId;
    this.#environment = parts.environment;
    this.#options = parts.options;
    this.#host = parts.host;
    this.#log = parts.log;
    this.#metrics = partitionMetrics(parts.environment.metrics, this.partitionId);
    const start = startState(parts.log, store);
    this.#replicaId = start.replicaId;
    this.#confHistory = new ConfHistory(store.appliedLsn, start.confState);
    this.#observer = parts.observe?.({
      partitionId: this.partitionId,
      ...start,
      log: parts.log,
      durableLsn: parts.log.durableLsn,
      appliedLsn: store.appliedLsn,
      persistedLsn: store.persistedLsn,
      stateHash: store.stateHash,
    });
    this.#core = new RaftCore({
      id: start.replicaId,
      electionTicks: parts.options.electionTicks,
      heartbeatTicks: parts.options.heartbeatTicks,
      log: new LoadingLog(parts.log, {
        onLoaded: () => {
          if (this.#fault === undefined) this.#tell(() => this.#core.onLogLoaded());
        },
        onFailed: (error) => this.#stopOnFault(error),
      }),
      hardState: start.hardState,
      applied: store.appliedLsn,
      confState: start.confState,
      random: parts.environment.random,
      limits: parts.options.raftLimits,
      ...parts.options.reads,
      ...(parts.mutant === undefined ? {} : { mutant: parts.mutant }),
    });
    const status = this.#core.status();
    this.#leadership = { role: status.role, leader: status.leader, term: status.term };
    this.#watermarks = new Watermarks({
      durable: parts.log.durableLsn,
      commit: store.appliedLsn,
      applied: store.appliedLsn,
      persisted: store.persistedLsn,
    });
    this.#proposals = new PendingProposals({
      itemsMax: parts.options.proposalsMax,
      bytesMax: parts.options.proposalBytesMax,
    });
    this.#reads = new LinearizableReads({
      request: (context) => this.#tell(() => this.#core.readIndex(context)),
      appliedLsn: () => this.#watermarks.applied,
      notLeader: () => this.#notLeader(),
    });
    this.#processor = new Processor<Result>({
      environment: parts.environment,
      options: parts.options.processor,
      log: parts.log,
      machine: parts.machine,
      store,
      openStore: () => stores.open(),
      watermarks: this.#watermarks,
      metrics: this.#metrics,
      events: {
        awaitRoom: () => parts.host.awaitRoom(),
        onConfChange: (entry) => this.#applyConfChange(entry),
        onApplied: (appliedLsn, topics) => this.#onApplied(appliedLsn, topics),
        onResult: (lsn, term, result) => this.#proposals.applied(lsn, term, result),
        onStoreReopened: (appliedLsn) => this.#observer?.onStoreReopened(appliedLsn),
        onFault: (error) => this.#stopOnFault(error),
      },
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

  get reader(): StateReader {
    this.#assertServing();
    return this.#processor.store;
  }

  /** The store itself, for those that flush it. */
  get store(): StateStore {
    return this.#processor.store;
  }

  /** Figures for those who decide what to flush; also while the store is being reopened. */
  get lastStats(): StateStoreStats {
    return this.#processor.lastStore.stats;
  }

  /** The consensus core's own view of the group. */
  get raftStatus(): RaftStatus {
    return this.#core.status();
  }

  /** The configuration that is in force. */
  get confState(): ConfState {
    return this.#confHistory.latest;
  }

  /** Last entry of the log, durable or not, committed or not. */
  get lastLogLsn(): Lsn {
    return this.#log.lastLsn;
  }

  /** Why the replica stopped, as requests are told. */
  get faultError(): LogboomError {
    return this.#stopped();
  }

  get isLeader(): boolean {
    return this.#leadership.role === 'leader' && this.#fault === undefined;
  }

  get leader(): ReplicaId {
    return this.#leadership.leader;
  }

  get status(): ReplicaStatus {
    const trim = this.#decideTrim();
    return {
      partitionId: this.partitionId,
      replicaId: this.#replicaId,
      nodeId: this.#nodeId,
      role: this.#fault === undefined ? this.#leadership.role : 'stopped',
      leader: this.#leadership.leader,
      term: this.#leadership.term,
      firstLsn: this.#log.firstLsn,
      durableLsn: this.#watermarks.durable,
      commitLsn: this.#watermarks.commit,
      appliedLsn: this.#watermarks.applied,
      persistedLsn: this.#watermarks.persisted,
      archivedLsn: undefined,
      trimPoint: this.#log.trimPoint,
      trimMode: this.#options.trimMode,
      trimHeldBecause: trim.heldBecause,
      stateHash: this.#processor.lastStore.stateHash,
      dirtyBytes: this.#processor.lastStore.stats.dirtyBytes,
      fault: this.#fault?.message,
    };
  }

  async propose(command: Uint8Array): Promise<Applied<Result>> {
    this.#assertServing();
    if (this.#draining) throw shuttingDown();
    const refusedBy = this.#host.appendsRefused();
    if (refusedBy !== undefined) throw refusedBy;
    this.#proposals.admit(command.length);
    const startedMs = this.#environment.clock.monotonicMs();
    const answer = this.#tell(() => this.#core.propose([command]));
    if (!answer.ok) throw this.#refusal(answer.reason);
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
    this.#assertServing();
    if (this.#draining) throw shuttingDown();
    const answer = this.#tell(() => this.#core.proposeConfChange(change));
    if (!answer.ok) throw this.#refusal(answer.reason);
    return answer.lastLsn;
  }

  /**
   * Begins to hand leadership of the group to another replica, which may fail without a word: whoever asked looks at
   * `leader`.
   *
   * @throws LogboomError NOT_LEADER, PARTITION_STOPPED
   */
  transferLeader(to: ReplicaId): void {
    this.#assertServing();
    const answer = this.#tell(() => this.#core.transferLeader(to));
    if (!answer.ok && answer.reason !== 'forwarded') throw this.#refusal(answer.reason);
  }

  watch(topic: number, onChange: () => void): () => void {
    let watchers = this.#watchers.get(topic);
    if (watchers === undefined) {
      watchers = new Set();
      this.#watchers.set(topic, watchers);
    }
    const watchersOfTopic = watchers;
    // A wrapper of its own, so that one callback may watch twice.
    const entry = (): void => onChange();
    watchersOfTopic.add(entry);
    return () => {
      watchersOfTopic.delete(entry);
      if (watchersOfTopic.size === 0 && this.#watchers.get(topic) === watchersOfTopic) this.#watchers.delete(topic);
    };
  }

  async awaitLinearizable(signal?: AbortSignal): Promise<void> {
    this.#assertServing();
    const confirmed = this.#reads.wait();
    if (signal === undefined) return confirmed;
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(new LogboomError('CANCELLED', 'the caller gave up the read'));
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      confirmed.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  }

  async verify(
    onProgress?: (done: { values: number; bytes: number }) => void,
    signal?: AbortSignal,
  ): ReturnType<PartitionReplica<Result, Machine>['verify']> {
    const store = this.#processor.store;
    const appliedLsn = this.#watermarks.applied;
    return { ...(await store.verify(onProgress, signal)), appliedLsn };
  }

  storeBytes(): Promise<number> {
    return this.#processor.store.sizeBytes();
  }

  tick(): void {
    if (this.#fault !== undefined) return;
    this.#tell(() => this.#core.tick());
  }

  sampleMetrics(): void {
    this.#metrics.watermarks(this.status);
  }

  /** A message of another replica of the group. */
  deliver(message: Message): void {
    if (this.#fault !== undefined) return;
    this.#tell(() => this.#core.step(message));
  }

  /** Resolves when everything that was in the log at the start is applied, and a leader is known; or when the replica has stopped. */
  caughtUp(): Promise<void> {
    // It may have stopped while other partitions were being opened.
    if (this.#fault !== undefined) return Promise.resolve();
    const lsn = this.#log.lastLsn;
    if (this.#watermarks.applied >= lsn && this.#leadership.leader !== 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#caughtUpWaiters.push({ lsn, resolve });
    });
  }

  /**
   * Makes what is applied durable in the state store, then lets the log go up to it as far as the rules allow. A flush
   * that fails ends the store instance, which is reopened.
   */
  async flush(): Promise<Lsn> {
    const store = this.#processor.lastStore;
    try {
      return await store.flush();
    } catch (error) {
      await this.#processor.reopenStore(store, error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  /** Refuses new proposals and waits for those under way, at most `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#draining = true;
    const { clock } = this.#environment;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    while (this.#proposals.items > 0 && this.#fault === undefined && clock.monotonicMs() < deadlineMs) {
      await new Promise<void>((resolve) => clock.setTimer(2, resolve));
    }
  }

  /** Flushes and closes; what is still under way ends with SHUTTING_DOWN. The log stays open: the WAL is the node's. */
  async stop(): Promise<void> {
    this.#draining = true;
    await this.#processor.stop();
    if (this.#fault === undefined) {
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
    return voters.length === 1 && voters[0] === this.#replicaId && votersOutgoing.length === 0;
  }

  #begin(): void {
    if (this.isAlone) this.#core.campaign();
    this.#schedulePump();
  }

  /** Runs a call into the core and sees to it that what follows from it is carried out. A broken invariant stops the replica. */
  #tell<Answer>(call: () => Answer): Answer {
    try {
      const answer = call();
      if (this.#core.hasOutput) this.#schedulePump();
      return answer;
    } catch (error) {
      if (error instanceof InvariantViolation) this.#stopOnFault(error);
      throw error;
    }
  }

  #schedulePump(): void {
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      if (this.#fault !== undefined) return;
      try {
        this.#pump();
      } catch (error) {
        this.#stopOnFault(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }

  #pump(): void {
    for (let output = this.#core.takeOutput(); output !== undefined; output = this.#core.takeOutput()) {
      this.#carryOut(output);
    }
  }

  #carryOut(output: RaftOutput): void {
    this.#observer?.onOutput(output);
    const { persist } = output;
    if (persist !== undefined) this.#log.append(persist, () => this.#onWalDurable(persist.token));
    if (output.messages.length > 0) this.#host.send(this.partitionId, output.messages);
    if (output.messagesAfterDurable.length > 0) {
      if (output.durableAfter <= this.#durableToken) this.#host.send(this.partitionId, output.messagesAfterDurable);
      else this.#afterDurable.push({ token: output.durableAfter, messages: output.messagesAfterDurable });
    }
    if (output.appliable !== undefined) {
      this.#watermarks.commitAdvanced(output.appliable);
      this.#processor.advanceTo(output.appliable);
    }
    for (const read of output.confirmedReads) this.#reads.confirmed(read);
    for (const context of output.droppedReads) this.#reads.dropped(context);
    if (output.leadership !== undefined) this.#onLeadership(output.leadership);
  }

  #onWalDurable(token: number): void {
    if (this.#fault !== undefined) return;
    this.#durableToken = token;
    this.#observer?.onDurable(token, this.#log.durableLsn);
    this.#watermarks.durableMoved(this.#log.durableLsn);
    while (this.#afterDurable[0] !== undefined && this.#afterDurable[0].token <= token) {
      const { messages } = this.#afterDurable[0];
      this.#afterDurable.shift();
      this.#host.send(this.partitionId, messages);
    }
    this.#tell(() => this.#core.onWalDurable(token));
  }

  #onPersisted(persistedLsn: Lsn): void {
    if (this.#fault !== undefined) return;
    this.#watermarks.persistedAdvanced(persistedLsn);
    this.#observer?.onPersisted(persistedLsn);
    this.#log.setPersistedLsn(persistedLsn);
    this.#trim();
  }

  #onApplied(appliedLsn: Lsn, topics: Iterable<number>): void {
    this.#observer?.onApplied(appliedLsn, this.#processor.lastStore.stateHash);
    this.#tell(() => this.#core.onApplied(appliedLsn));
    this.#reads.applied();
    for (const topic of topics) {
      for (const watcher of this.#watchers.get(topic) ?? []) watcher();
    }
    this.#settleCaughtUp();
  }

  #applyConfChange(entry: Entry): ConfState {
    const known = this.#confHistory.covers(entry.lsn) ? this.#confHistory.at(entry.lsn) : undefined;
    const confState = known ?? this.#tell(() => this.#core.applyConfChange(decodeConfChange(entry.data)));
    if (known === undefined) this.#confHistory.changed(entry.lsn, confState);
    this.#observer?.onConfChange(entry.lsn, entry.term, confState);
    return confState;
  }

  #onLeadership(leadership: Leadership): void {
    const lost = this.#leadership.role === 'leader' && leadership.role !== 'leader';
    this.#leadership = leadership;
    this.#environment.logger.debug('leadership', { partition: this.partitionId, ...leadership });
    if (lost) this.#proposals.rejectAll(leadershipLost());
    this.#settleCaughtUp();
  }

  #settleCaughtUp(): void {
    if (this.#leadership.leader === 0) return;
    for (let index = this.#caughtUpWaiters.length - 1; index >= 0; index -= 1) {
      const waiter = this.#caughtUpWaiters[index];
      if (waiter === undefined || waiter.lsn > this.#watermarks.applied) continue;
      this.#caughtUpWaiters.splice(index, 1);
      waiter.resolve();
    }
  }

  #decideTrim(): TrimDecision {
    return decideTrim({
      mode: this.#options.trimMode,
      trimPoint: this.#log.trimPoint,
      persistedLsn: this.#watermarks.persisted,
      archivedLsn: undefined,
      nodesKnown: this.#host.nodesKnown(),
      hasRepository: false,
    });
  }

  #trim(): void {
    const { trimPoint } = this.#decideTrim();
    if (trimPoint <= this.#log.trimPoint) return;
    // Rule 1 for the mode without snapshots: the safe point is the persisted LSN.
    assert(
      trimPoint <= this.#watermarks.persisted,
      () => `trim point ${trimPoint} is above the persisted LSN ${this.#watermarks.persisted}`,
    );
    this.#observer?.onTrimPoint(trimPoint);
    this.#log.setTrimPoint(trimPoint, this.#confHistory.at(trimPoint));
    this.#confHistory.forgetBelow(trimPoint);
  }

  #stopOnFault(error: Error): void {
    if (this.#fault !== undefined) return;
    this.#fault = error;
    this.#observer?.onFault(error);
    this.#environment.logger.error('the partition stops', {
      partition: this.partitionId,
      error: error.message,
      stack: error.stack,
    });
    this.#endWaiting(this.#stopped());
    this.#host.onFault(this.partitionId, error);
  }

  #endWaiting(error: LogboomError): void {
    this.#proposals.rejectAll(error);
    this.#reads.rejectAll(error);
    for (const waiter of this.#caughtUpWaiters.splice(0)) waiter.resolve();
    for (const watchers of [...this.#watchers.values()]) for (const watcher of watchers) watcher();
  }

  #assertServing(): void {
    if (this.#fault !== undefined) throw this.#stopped();
  }

  #stopped(): LogboomError {
    if (this.#fault instanceof LogboomError && this.#fault.reason === 'SHUTTING_DOWN') return this.#fault;
    return new LogboomError(
      'PARTITION_STOPPED',
      `partition ${this.partitionId} has stopped after a fault: ${this.#fault?.message ?? 'unknown'}`,
      { facts: { partition: this.partitionId }, retryAfterMs: 1000, cause: this.#fault },
    );
  }

  #notLeader(): LogboomError {
    const { leader } = this.#leadership;
    return new LogboomError(
      'NOT_LEADER',
      leader === 0
        ? `partition ${this.partitionId} has no leader now`
        : `replica ${leader} leads partition ${this.partitionId}`,
      { facts: { partition: this.partitionId, leader }, retryAfterMs: 50 },
    );
  }

  #refusal(reason: string): LogboomError {
    if (reason === 'uncommitted-limit') {
      return new LogboomError('QUEUE_FULL', 'the leader holds as many uncommitted bytes as it may; send again later', {
        retryAfterMs: 50,
      });
    }
    if (reason === 'storage-fault') {
      return new LogboomError('DISK_FULL', "the leader's disk does not take writes now", { retryAfterMs: 1000 });
    }
    if (reason === 'too-large') {
      return new LogboomError('BATCH_TOO_LARGE', 'the command exceeds the limit of one log entry');
    }
    return this.#notLeader();
  }
}

export interface ReplicaParts<Result, Machine extends StateMachine<Result>> {
  readonly environment: Environment;
  readonly nodeId: NodeId;
  readonly options: ReplicaOptions;
  readonly host: ReplicaHost;
  readonly log: PartitionLog;
  readonly machine: Machine;
  /** Opens the replica's store, also once more after it failed. `onPersisted` is told of every completed flush. */
  readonly openStore: (onPersisted: (lsn: Lsn) => void) => Promise<StateStore>;
  readonly mutant?: string;
  /** Called once, before the replica does anything. */
  readonly observe?: (start: ReplicaStart) => ReplicaObserver;
}
