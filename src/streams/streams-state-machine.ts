/** The state machine of a partition of streams. */
import { assert } from '../base/assert.js';
import { LogboomError } from '../base/errors.js';
import { asSeq, type Lsn } from '../base/ids.js';
import type { LogicalView, StateMachine, StateReader, StateScan, StateTransaction } from '../base/state-machine.js';
import { ClearingWork } from './clearing-work.js';
import { applyAppend } from './commands/append.js';
import type { ApplyContext } from './commands/apply-context.js';
import { decodeCommand } from './commands/codec.js';
import type { StreamsCommand } from './commands/commands.js';
import { applyCreateStream } from './commands/create-stream.js';
import { applyDeleteStream } from './commands/delete-stream.js';
import { applyDropProducers } from './commands/drop-producers.js';
import { applySetFirstSeq } from './commands/set-first-seq.js';
import { applyUpdateStream } from './commands/update-stream.js';
import { forkedEpoch, forksKept } from './fork.js';
import { encodeNumberValue } from './index-values.js';
import { entryTimeKey } from './keys.js';
import { loadStreams } from './load.js';
import { logicalViewOf } from './logical-view.js';
import { ProducerTable } from './producer-table.js';
import { StreamTable } from './stream-table.js';
import type { StreamsResult, StreamView } from './types.js';

export interface StreamsStateMachineOptions {
  /** Producer states kept in memory; others are read from the store. 10,000 (about 2 MB) when not set. */
  readonly producersCachedMax?: number;
}

const producersCachedDefault = 10_000;

/**
 * Keeps all streams of its partition in memory (about 0.5 KB each), and the producers used last.
 *
 * Invariant: what apply reads is either in memory as of the entries applied so far, or comes from the transaction; and
 * nothing that physical deletion may have removed changes a result. So equal entries give equal writes and results,
 * however they are grouped, wherever a restart falls, and whatever was cleared.
 */
export class StreamsStateMachine implements StateMachine<StreamsResult> {
  /** What physical deletion has to do; see physical-deletion.ts. */
  readonly clearing = new ClearingWork();
  readonly #streams = new StreamTable();
  readonly #producers: ProducerTable;
  /** Time of the last entry that changed something; the next entry's is not below it. */
  #entryTimeMs = 0;
  #appliedLsn = 0;

  constructor(options: StreamsStateMachineOptions = {}) {
    this.#producers = new ProducerTable(options.producersCachedMax ?? producersCachedDefault);
  }

  async load(reader: StateReader): Promise<void> {
    this.#producers.clear();
    this.clearing.clear();
    this.#streams.clear();
    this.#entryTimeMs = await loadStreams(reader, this.#streams, this.clearing);
    this.#appliedLsn = reader.appliedLsn;
    this.#streams.publishLoaded();
  }

  apply(lsn: Lsn, command: Uint8Array, transaction: StateTransaction): StreamsResult {
    assert(lsn > this.#appliedLsn, () => `entry ${lsn} is applied after ${this.#appliedLsn}`);
    const stamped = decodeCommand(command);
    const timeMs = Math.max(this.#entryTimeMs, stamped.timeMs);
    const context = {
      lsn,
      timeMs,
      transaction,
      streams: this.#streams,
      producers: this.#producers,
      clearing: this.clearing,
    };
    const result = applyCommand(stamped.command, context);
    this.#appliedLsn = lsn;
    this.#keepTime(result, context);
    return result;
  }

  /**
   * Begins new epochs for streams that a restore brings back as they were at a snapshot. Not a command: it happens before the
   * first entry of the new log, of which it takes the place of one, with equal effects on every replica.
   */
  fork(lsn: Lsn, streamIds: readonly number[], salt: number, transaction: StateTransaction): void {
    assert(lsn > this.#appliedLsn, () => `a fork at ${lsn} after ${this.#appliedLsn} was applied`);
    for (const id of streamIds) {
      const stream = this.#streams.applyingById(id);
      assert(stream !== undefined, () => `no stream ${id} to be forked`);
      const ended = { epoch: stream.epoch, seq: asSeq(stream.nextSeq) };
      stream.forks = [...stream.forks, ended].slice(-forksKept);
      stream.epoch = forkedEpoch(stream.epoch, salt);
      this.#streams.store(stream, transaction);
    }
    this.#appliedLsn = lsn;
  }

  publish(): Iterable<number> {
    return this.#streams.publish();
  }

  logicalView(state: StateScan): Promise<LogicalView> {
    return logicalViewOf(state);
  }

  streamByName(name: string): StreamView | undefined {
    return this.#streams.byName(name);
  }

  streamById(id: number): StreamView | undefined {
    return this.#streams.byId(id);
  }

  get streamCount(): number {
    return this.#streams.count;
  }

  /** In no particular order; `listStreams` sorts. */
  streams(): Iterable<StreamView> {
    return this.#streams.views();
  }

  /** Ascending by UTF-16 code units. */
  sortedStreamNames(): readonly string[] {
    return this.#streams.sortedNames();
  }

  /** Producer states in memory, for metrics. */
  get producersCached(): number {
    return this.#producers.cachedCount;
  }

  /** Entry time never goes back, also over restarts: an append's is stored with its batch, any other's under its own key. */
  #keepTime(result: StreamsResult, { timeMs, transaction }: ApplyContext): void {
    if (result.type === 'refused' || (result.type === 'appended' && result.repeated)) return;
    this.#entryTimeMs = timeMs;
    if (result.type !== 'appended') transaction.putIndex(entryTimeKey, encodeNumberValue(timeMs));
  }
}

function applyCommand(command: StreamsCommand, context: ApplyContext): StreamsResult {
  switch (command.type) {
    case 'create-stream':
      return applyCreateStream(command, context);
    case 'update-stream':
      return applyUpdateStream(command, context);
    case 'delete-stream':
      return applyDeleteStream(command, context);
    case 'append':
      return applyAppend(command, context);
    case 'set-first-seq':
      return applySetFirstSeq(command, context);
    case 'drop-producers':
      return applyDropProducers(command, context);
  }
}

type ResultOf<Type extends StreamsResult['type']> = Extract<StreamsResult, { readonly type: Type }>;

/**
 * The result of a proposal, as what its command answers.
 *
 * @throws LogboomError with the reason of a refusal
 */
export function expectResult<Type extends Exclude<StreamsResult['type'], 'refused'>>(
  result: StreamsResult,
  type: Type,
): ResultOf<Type> {
  if (result.type === 'refused') throw new LogboomError(result.reason, result.message, { facts: result.facts });
  assert(result.type === type, () => `a command answered ${result.type}, expected ${type}`);
  return result as ResultOf<Type>;
}
