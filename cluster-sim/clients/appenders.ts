/** Clients that write: producers with numbers, which repeat what was not answered, and appenders on a condition. */
import { isLogboomError } from '../../src/base/errors.js';
import type { StreamPlan } from '../plan.js';
import { Client, type ClientParts } from './client.js';
import type { StreamOperation } from './history.js';
import { append, getStream } from './node-service.js';
import { encodeBatch } from './records.js';

export interface AppenderParts extends ClientParts {
  /** Index in the plan. */
  readonly stream: number;
  /** Mean time between two appends. */
  readonly intervalMs: number;
}

abstract class Appender extends Client {
  protected readonly streamIndex: number;
  protected readonly stream: StreamPlan;
  readonly #intervalMs: number;
  #issued = 0;

  constructor(parts: AppenderParts) {
    super(parts);
    this.streamIndex = parts.stream;
    this.stream = parts.cluster.plan.streams[parts.stream] as StreamPlan;
    this.#intervalMs = parts.intervalMs;
  }

  protected interval(): Promise<void> {
    const isSteady = this.cluster.plan.profile === 'calm';
    return this.sleep(isSteady ? this.#intervalMs : this.random.exponential(this.#intervalMs));
  }

  /** Values that no other append of the run has. */
  protected newValues(): string[] {
    const { recordsMax, recordBytesMax } = this.cluster.plan.clients;
    const count = this.random.integer(1, recordsMax);
    const values: string[] = [];
    while (values.length < count) {
      this.#issued += 1;
      const filler = recordBytesMax > 0 ? '.'.repeat(this.random.integer(0, recordBytesMax)) : '';
      values.push(`${this.kind}-${this.id}-${this.#issued}-${filler}`);
    }
    this.books.issued(values);
    return values;
  }

  protected encode(values: readonly string[]): Uint8Array {
    return encodeBatch(values, this.random.chance(0.2));
  }

  protected acknowledged(operation: StreamOperation, epoch: number, firstSeq: number, values: readonly string[]): void {
    this.history.returned(operation, { type: 'appended', epoch, firstSeq });
    this.books.acknowledged(this.streamIndex, epoch, firstSeq, values);
    this.cluster.count('appends acknowledged');
  }
}

/** Numbers its records, and sends each batch until it knows where it is stored: at most once, whatever happens. */
export class Producer extends Appender {
  #nextNumber = 0;
  /** Of streams that may be deleted: the life of the stream in which the numbers count. */
  #streamEpoch: number | undefined;

  protected async work(): Promise<void> {
    await this.interval();
    if (this.stream.mayBeDeleted && this.#streamEpoch === undefined) await this.#beginLife();
    if (this.stream.mayBeDeleted && this.#streamEpoch === undefined) return;
    const values = this.newValues();
    const batch = this.encode(values);
    const expectedEpoch = this.#streamEpoch;
    const call = { type: 'append', count: values.length, expectedNextSeq: undefined, expectedEpoch } as const;
    const operation = this.history.invoke(this.id, this.streamIndex, call);
    const producer = { id: `${this.kind}-${this.id}`, epoch: 0, firstRecordNumber: this.#nextNumber };
    let isUnknown = false;
    for (let attempt = 0; this.isRunning; attempt += 1) {
      try {
        const result = await this.callLeader(this.stream, (serving) =>
          append(serving, this.stream, batch, { producer, expectedEpoch }, (key) => operation.commandKeys.push(key)),
        );
        if (result.repeated) this.cluster.count('repeats answered with the original position');
        if (attempt > 0) this.cluster.count('appends retried');
        this.acknowledged(operation, result.streamEpoch, result.firstSeq, values);
        this.#nextNumber += values.length;
        return;
      } catch (error) {
        isUnknown ||= !this.hadNoEffect(error);
        if (this.#isOver(error)) {
          if (!isUnknown) this.history.refused(operation);
          return;
        }
        if (!this.isExpected(error)) throw error;
        await this.pause(Math.min(2000, 50 * 2 ** Math.min(attempt, 6)));
      }
    }
  }

  /** Whether the batch is not to be sent any more: its stream, or what retention has left of it, is gone. */
  #isOver(error: unknown): boolean {
    if (
      this.stream.mayBeDeleted &&
      (isLogboomError(error, 'STREAM_NOT_FOUND') || isLogboomError(error, 'STREAM_EPOCH_MISMATCH'))
    ) {
      this.#streamEpoch = undefined;
      return true;
    }
    const hasRetention = this.stream.retentionBytes > 0 || this.stream.retentionAgeMs > 0;
    if (!hasRetention || !isLogboomError(error, 'PRODUCER_OVERLAP')) return false;
    // Stored by an attempt without answer, and deleted since: the numbers go on behind it.
    this.#nextNumber = Number(error.facts['next_record_number']);
    return true;
  }

  async #beginLife(): Promise<void> {
    const view = await this.callLeader(this.stream, (serving) => getStream(serving, this.stream));
    this.#streamEpoch = view?.epoch;
    this.#nextNumber = 0;
  }
}

/** Appends only where it believes the stream to end; after an unknown outcome it looks, and goes on from there. */
export class ConditionalAppender extends Appender {
  #view: { readonly epoch: number; readonly nextSeq: number } | undefined;

  protected async work(): Promise<void> {
    await this.interval();
    this.#view ??= await this.#look();
    if (this.#view === undefined) return;
    const { epoch, nextSeq } = this.#view;
    this.#view = undefined;
    const values = this.newValues();
    const batch = this.encode(values);
    const conditions = { expectedNextSeq: nextSeq, expectedEpoch: epoch };
    const operation = this.history.invoke(this.id, this.streamIndex, {
      type: 'append',
      count: values.length,
      ...conditions,
    });
    try {
      const result = await this.callLeader(this.stream, (serving) =>
        append(serving, this.stream, batch, conditions, (key) => operation.commandKeys.push(key)),
      );
      this.acknowledged(operation, result.streamEpoch, result.firstSeq, values);
      this.#view = { epoch, nextSeq: nextSeq + values.length };
    } catch (error) {
      if (isLogboomError(error, 'SEQ_MISMATCH')) {
        this.history.returned(operation, { type: 'seq-mismatch', nextSeq: Number(error.facts['next_seq']) });
        this.cluster.count('conditional appends refused');
        return;
      }
      if (this.hadNoEffect(error)) this.history.refused(operation);
      throw error;
    }
  }

  async #look(): Promise<{ epoch: number; nextSeq: number } | undefined> {
    const view = await this.callLeader(this.stream, (serving) => getStream(serving, this.stream));
    return view && { epoch: view.epoch, nextSeq: view.nextSeq };
  }
}
