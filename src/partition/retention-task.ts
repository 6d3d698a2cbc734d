/**
 * Retention of one replica: the leader proposes where streams begin and which producers are forgotten; every replica, by
 * itself and later, gives back the space of what no reader can see any more. Bounded steps with pauses between them, so
 * that appends go on.
 */
import { InvariantViolation } from '../base/assert.js';
import { isLogboomError } from '../base/errors.js';
import { sleep } from '../base/ports/clock.js';
import { encodeCommand, expiredProducers, nextPhysicalDeletion, retentionCommand } from '../streams/index.js';
import type { PartitionId } from '../base/ids.js';
import type { Environment } from '../base/ports/environment.js';
import type { Counter } from '../base/ports/metrics.js';
import type { StateReader } from '../base/state-machine.js';
import type { StateStore } from '../state-store/types.js';
import type { StreamsCommand, StreamsLimits, StreamsResult, StreamsStateMachine } from '../streams/index.js';
import type { Applied } from './types.js';

export interface RetentionOptions {
  /** Between two rounds over all streams of the partition. */
  readonly checkIntervalMs: number;
  readonly limits: Pick<StreamsLimits, 'producerIdleMs'>;
  /** The cluster's: what may be written to the log. */
  readonly featureLevel?: () => number;
  /** Between two steps of physical deletion. */
  readonly stepPauseMs?: number;
  /** Batches of one step. */
  readonly stepBatchesMax?: number;
}

const stepPauseMsDefault = 20;
const stepBatchesMaxDefault = 1000;
/** Streams looked at in one go: without a pause a round over thousands of them would hold up the event loop. */
const streamsPerTurn = 200;
/** Producers are kept for days: looking for idle ones more often than this finds nothing. */
const producerCheckMsMax = 60 * 60 * 1000;

/** What the task needs of a replica; `Replica` is one. */
export interface RetainedReplica {
  readonly partitionId: PartitionId;
  /** @throws LogboomError as `store` does */
  readonly machine: StreamsStateMachine;
  readonly isLeader: boolean;
  /** @throws LogboomError while it is being reopened, and when the partition has stopped */
  readonly store: StateReader & Pick<StateStore, 'persistedLsn' | 'deletePhysically'>;
  propose(command: Uint8Array): Promise<Applied<StreamsResult>>;
  /** Ends the replica. */
  fail(error: Error): void;
}

export class RetentionTask {
  readonly #environment: Environment;
  readonly #replica: RetainedReplica;
  readonly #options: RetentionOptions;
  readonly #stopping = new AbortController();
  readonly #trimmedRecords: Counter;
  readonly #droppedProducers: Counter;
  readonly #deletedBatches: Counter;
  #producersCheckedMs: number;
  #loop: Promise<void> | undefined;

  constructor(environment: Environment, replica: RetainedReplica, options: RetentionOptions) {
    this.#environment = environment;
    this.#replica = replica;
    this.#options = options;
    this.#producersCheckedMs = environment.clock.monotonicMs();
    const { metrics } = environment;
    this.#trimmedRecords = metrics.counter('logboom_retention_records_total', 'Records that retention has let go.');
    this.#droppedProducers = metrics.counter('logboom_retention_producers_total', 'Producers that were forgotten.');
    this.#deletedBatches = metrics.counter(
      'logboom_retention_deleted_batches_total',
      'Batches whose space was given back on this node, of retention and of deleted streams.',
    );
  }

  run(): void {
    this.#loop = this.#repeat();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** One round; everything that is due now. */
  async runOnce(): Promise<void> {
    if (this.#replica.isLeader) {
      await this.#moveFirstSeqs();
      if (this.#producersAreDue()) await this.#dropProducers();
    }
    await this.#deletePhysically();
  }

  async #repeat(): Promise<void> {
    const { clock, logger } = this.#environment;
    for (;;) {
      await sleep(clock, this.#options.checkIntervalMs, this.#stopping.signal);
      if (this.#isStopping) return;
      try {
        await this.runOnce();
      } catch (error) {
        if (error instanceof InvariantViolation) return this.#replica.fail(error);
        // What passes by itself (a full queue, a store that is reopened, leadership that moved) is tried again next time.
        if (!isLogboomError(error) || !error.retryable) {
          logger.warn('a round of retention failed', { partition: this.#replica.partitionId, error });
        }
      }
    }
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #moveFirstSeqs(): Promise<void> {
    const { clock } = this.#environment;
    for await (const streamId of this.#streamIds()) {
      // Anew for each: the stream may have changed, and the store may have been reopened, since the last one.
      const stream = this.#replica.machine.streamById(streamId);
      if (!stream) continue;
      const command = await retentionCommand(this.#replica.store, stream, clock.wallMs());
      if (!command) continue;
      const result = await this.#propose(command);
      if (result.type === 'first-seq-set') this.#trimmedRecords.add(Math.max(0, result.firstSeq - stream.firstSeq));
    }
  }

  #producersAreDue(): boolean {
    const nowMs = this.#environment.clock.monotonicMs();
    const intervalMs = Math.min(producerCheckMsMax, this.#options.limits.producerIdleMs);
    if (nowMs - this.#producersCheckedMs < intervalMs) return false;
    this.#producersCheckedMs = nowMs;
    return true;
  }

  async #dropProducers(): Promise<void> {
    for await (const streamId of this.#streamIds()) {
      let after: string | undefined;
      do {
        const stream = this.#replica.machine.streamById(streamId);
        if (!stream || stream.producerCount === 0 || this.#isStopping) break;
        const { store } = this.#replica;
        const nowMs = this.#environment.clock.wallMs();
        const { command, next } = await expiredProducers(store, stream, nowMs, this.#options.limits, after);
        after = next;
        const result = command && (await this.#propose(command));
        if (result?.type === 'producers-dropped') this.#droppedProducers.add(result.count);
      } while (after !== undefined);
    }
  }

  async #deletePhysically(): Promise<void> {
    const { stepPauseMs = stepPauseMsDefault, stepBatchesMax: batchesMax = stepBatchesMaxDefault } = this.#options;
    while (!this.#isStopping) {
      const { store, machine } = this.#replica;
      const step = await nextPhysicalDeletion(machine, store, { persistedLsn: store.persistedLsn, batchesMax });
      if (!step) return;
      await store.deletePhysically(step.deletion);
      step.done();
      this.#deletedBatches.add(step.deletion.recordLsns.length);
      await sleep(this.#environment.clock, stepPauseMs, this.#stopping.signal);
    }
  }

  async *#streamIds(): AsyncIterable<number> {
    const ids = Array.from(this.#replica.machine.streams(), (stream) => stream.id);
    for (const [index, id] of ids.entries()) {
      if (index % streamsPerTurn === streamsPerTurn - 1) await sleep(this.#environment.clock, 1, this.#stopping.signal);
      if (this.#isStopping || !this.#replica.isLeader) return;
      yield id;
    }
  }

  async #propose(command: StreamsCommand): Promise<StreamsResult> {
    const stamp = {
      timeMs: Math.floor(this.#environment.clock.wallMs()),
      featureLevel: this.#options.featureLevel?.(),
    };
    return (await this.#replica.propose(encodeCommand(command, stamp))).result;
  }
}
