/** Clients under faults: each call, and each answer, goes into a history and into books that are checked as they grow. */
import { setTimeout as delay } from 'node:timers/promises';
import { StreamBooks } from '../../cluster-sim/checkers/stream-books.js';
import { History } from '../../cluster-sim/clients/history.js';
import { isClientError, isLogboomError, LogboomClient } from '../../src/client/index.js';
import { SeededRandom } from '../integration/support/random.js';
import type { Verdict } from '../../cluster-sim/checkers/verdict.js';
import type { StreamCall, StreamOperation } from '../../cluster-sim/clients/history.js';
import type { AppendBatchResult } from '../../src/client/index.js';

export const streamNames = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;

/** Answers that tell for certain that nothing was stored; `outcome: unknown` takes the certainty back. */
const certainlyNotStored = new Set(['NOT_LEADER', 'QUEUE_FULL', 'DISK_FULL', 'SHUTTING_DOWN']);
/** What the documentation names for calls that meet a fault; anything else is a finding. */
const ofFaults = new Set([
  ...certainlyNotStored,
  'LEADERSHIP_LOST',
  'DEADLINE_EXCEEDED',
  'STATE_STORE_FAILED',
  'PARTITION_STOPPED',
  'CANCELLED',
]);
const callMs = 4000;

/** An append whose outcome only the stream itself can tell. */
export interface OpenAppend {
  readonly operation: StreamOperation;
  readonly values: readonly string[];
}

interface Worker {
  readonly id: number;
  readonly stream: number;
  readonly client: LogboomClient;
  readonly random: SeededRandom;
}

export class Workload {
  readonly history: History;
  readonly books: StreamBooks;
  readonly open: OpenAppend[] = [];
  readonly partitions: number[] = [];
  /** Of each partition: when an append to it was last acknowledged, and the longest time without since `resetGaps`. */
  readonly #lastAckMs = new Map<number, number>();
  readonly #gapMs = new Map<number, number>();
  readonly answers = new Map<string, number>();
  readonly #verdict: Verdict;
  readonly #addresses: readonly string[];
  readonly #seed: number;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>[] = [];
  readonly #clients: LogboomClient[] = [];
  #values = 0;

  constructor(verdict: Verdict, addresses: readonly string[], seed: number) {
    this.#verdict = verdict;
    this.#addresses = addresses;
    this.#seed = seed;
    this.history = new History(() => performance.now());
    this.books = new StreamBooks(verdict);
  }

  /** Knows all nodes, beginning with one; with `only`, that one alone. */
  client(first: number, { only = false, attemptsMax = 3 } = {}): LogboomClient {
    const at = first % this.#addresses.length;
    const all = [...this.#addresses.slice(at), ...this.#addresses.slice(0, at)];
    const client = new LogboomClient({
      addresses: only ? all.slice(0, 1) : all,
      retry: { attemptsMax, delayMsMax: 200 },
      deadlineMs: callMs,
    });
    this.#clients.push(client);
    return client;
  }

  async makeStreams(): Promise<void> {
    const client = this.client(0, { attemptsMax: 50 });
    for (const [stream, name] of streamNames.entries()) {
      const operation = this.history.invoke(0, stream, { type: 'create' });
      const { partition, epoch } = await client.streams.create(name, { ifNotExists: true, deadlineMs: 60_000 });
      this.history.returned(operation, { type: 'created', epoch });
      this.partitions.push(partition);
      this.#lastAckMs.set(partition, performance.now());
    }
  }

  run(): void {
    const kinds = [
      this.#append,
      this.#append,
      this.#appendConditionally,
      this.#appendConditionally,
      this.#appendAsProducer,
    ];
    let id = 0;
    for (const stream of streamNames.keys()) {
      for (const kind of [...kinds, this.#look, this.#readPages]) {
        id += 1;
        const worker = { id, stream, client: this.client(id), random: new SeededRandom(this.#seed + id) };
        this.#running.push(this.#forever(worker, kind));
      }
      // Through one node alone: it forwards, and tells when it is cut off.
      id += 1;
      const worker = { id, stream, client: this.client(id, { only: true }), random: new SeededRandom(this.#seed + id) };
      this.#running.push(this.#forever(worker, this.#append));
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#running);
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close().catch(() => {})));
  }

  resetGaps(): void {
    const now = performance.now();
    for (const partition of this.#lastAckMs.keys()) {
      this.#lastAckMs.set(partition, now);
      this.#gapMs.set(partition, 0);
    }
  }

  /** Since `resetGaps`, up to now. */
  get longestGapMs(): number {
    const now = performance.now();
    return Math.max(
      ...[...this.#lastAckMs].map(([partition, at]) => Math.max(this.#gapMs.get(partition) ?? 0, now - at)),
    );
  }

  /** Resolves when an append to each partition, begun after the call, was acknowledged. */
  async eachPartitionAppends(timeoutMs: number): Promise<number> {
    const startedMs = performance.now();
    await Promise.all(
      [...new Set(this.partitions)].map(async (partition) => {
        const stream = this.partitions.indexOf(partition);
        const client = this.client(partition);
        for (;;) {
          const stored = await this.appendOnce({ id: 0, stream, client }, 1, {});
          if (stored !== undefined) break;
          if (performance.now() - startedMs > timeoutMs) {
            this.#verdict.broken(
              'clients-are-answered-as-documented',
              `no append to partition ${partition} succeeds any more, ${timeoutMs} ms after everything was healed`,
            );
            break;
          }
          await delay(50);
        }
        await client.close();
      }),
    );
    return performance.now() - startedMs;
  }

  async #forever(worker: Worker, step: (worker: Worker) => Promise<void>): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await step.call(this, worker);
      await delay(worker.random.between(50, 400));
    }
  }

  // ---- What workers do ---------------------------------------------------------------------------------------------

  async #append(worker: Worker): Promise<void> {
    await this.appendOnce(worker, worker.random.between(1, 4), {});
  }

  async #appendConditionally(worker: Worker): Promise<void> {
    const nextSeq = await this.#get(worker);
    if (nextSeq === undefined) return;
    await this.appendOnce(worker, 1, { expectedNextSeq: nextSeq });
  }

  /** The same batch again until it is acknowledged: it is stored once, however often it is sent. */
  async #appendAsProducer(worker: Worker & { recordNumber?: number }): Promise<void> {
    const count = worker.random.between(1, 3);
    const firstRecordNumber = worker.recordNumber ?? 0;
    const producer = { id: `p${worker.id}`, firstRecordNumber };
    const values = this.#newValues(worker, count);
    const call: StreamCall = { type: 'append', count, expectedNextSeq: undefined, expectedEpoch: undefined };
    const operation = this.history.invoke(worker.id, worker.stream, call);
    while (!(await this.#send(worker, operation, values, { producer }, true))) {
      if (this.#stopping.signal.aborted) {
        this.open.push({ operation, values });
        return;
      }
      await delay(50);
    }
    worker.recordNumber = firstRecordNumber + count;
  }

  async #look(worker: Worker): Promise<void> {
    await this.#get(worker);
  }

  /** The newest part of the stream, as it is. */
  async #readPages(worker: Worker): Promise<void> {
    const floor = this.books.floor(worker.stream);
    const fromSeq = Math.max(0, (floor?.nextSeq ?? 0) - worker.random.between(0, 300));
    try {
      let last: { epoch: number; firstSeq: number; nextSeq: number } | undefined;
      for await (const page of worker.client.readPages(streamNames[worker.stream] as string, {
        fromSeq,
        maxBytes: 64 * 1024,
      })) {
        const records = [...page].map(({ seq, value }) => ({ seq, value: value.toString() }));
        this.books.read(worker.stream, page.streamEpoch, records);
        last = { epoch: page.streamEpoch, firstSeq: page.firstSeq, nextSeq: page.nextSeq };
      }
      if (last !== undefined) this.books.viewed(worker.stream, last, floor);
      this.#count('read');
    } catch (error) {
      this.#failed(worker, 'read', error);
    }
  }

  // ---- Calls -------------------------------------------------------------------------------------------------------

  async #get(worker: Worker): Promise<number | undefined> {
    const floor = this.books.floor(worker.stream);
    const operation = this.history.invoke(worker.id, worker.stream, { type: 'get' });
    try {
      const { epoch, firstSeq, nextSeq } = await worker.client.streams.get(streamNames[worker.stream] as string);
      this.history.returned(operation, { type: 'found', epoch, nextSeq });
      this.books.viewed(worker.stream, { epoch, firstSeq, nextSeq }, floor);
      this.#count('get');
      return nextSeq;
    } catch (error) {
      this.history.refused(operation);
      this.#failed(worker, 'get', error);
      return undefined;
    }
  }

  /** Answers what was stored; undefined when nothing was, or nobody knows. */
  async appendOnce(
    worker: Omit<Worker, 'random'>,
    count: number,
    { expectedNextSeq }: { readonly expectedNextSeq?: number },
  ): Promise<boolean | undefined> {
    const values = this.#newValues(worker, count);
    const call: StreamCall = { type: 'append', count, expectedNextSeq, expectedEpoch: undefined };
    const operation = this.history.invoke(worker.id, worker.stream, call);
    const isSettled = await this.#send(worker, operation, values, { expectedNextSeq }, false);
    if (!isSettled) this.open.push({ operation, values });
    return operation.outcome?.type === 'appended' ? true : undefined;
  }

  /** @returns whether the outcome is known; with `mayRepeat`, only success is an outcome */
  async #send(
    worker: Omit<Worker, 'random'>,
    operation: StreamOperation,
    values: readonly string[],
    options: {
      readonly producer?: { id: string; firstRecordNumber: number };
      readonly expectedNextSeq?: number | undefined;
    },
    mayRepeat: boolean,
  ): Promise<boolean> {
    const name = streamNames[worker.stream] as string;
    try {
      const records = values.map((value) => Buffer.from(value));
      this.#appended(worker.stream, operation, values, await worker.client.append(name, records, options));
      return true;
    } catch (error) {
      if (isLogboomError(error, 'SEQ_MISMATCH') && !mayRepeat) {
        this.history.returned(operation, { type: 'seq-mismatch', nextSeq: Number(error.facts['next_seq']) });
        this.#count('SEQ_MISMATCH');
        return true;
      }
      this.#failed(worker, 'append', error);
      if (mayRepeat || !isCertainlyNotStored(error)) return false;
      this.history.refused(operation);
      return true;
    }
  }

  #appended(
    stream: number,
    operation: StreamOperation,
    values: readonly string[],
    { streamEpoch: epoch, firstSeq, lastSeq }: AppendBatchResult,
  ): void {
    this.#verdict.require(
      lastSeq - firstSeq + 1 === values.length,
      'clients-are-answered-as-documented',
      () => `${values.length} records were acknowledged as seq ${firstSeq} to ${lastSeq}`,
    );
    this.history.returned(operation, { type: 'appended', epoch, firstSeq });
    this.books.acknowledged(stream, epoch, firstSeq, values);
    const partition = this.partitions[stream] as number;
    const now = performance.now();
    const gap = now - (this.#lastAckMs.get(partition) ?? now);
    this.#gapMs.set(partition, Math.max(this.#gapMs.get(partition) ?? 0, gap));
    this.#lastAckMs.set(partition, now);
    this.#count('append');
  }

  /** Notes an error, and that it is none that a fault explains. */
  #failed({ id, stream }: Pick<Worker, 'id' | 'stream'>, what: string, error: unknown): void {
    const code = isLogboomError(error) ? error.reason : isClientError(error) ? error.code : String(error);
    this.#count(code);
    const isExpected = isLogboomError(error)
      ? ofFaults.has(error.reason)
      : isClientError(error) && error.code !== 'PROTOCOL';
    this.#verdict.require(
      isExpected,
      'clients-are-answered-as-documented',
      () => `client ${id}, ${what} of stream ${streamNames[stream]}: ${String(error)}`,
    );
  }

  #newValues({ id }: Pick<Worker, 'id'>, count: number): string[] {
    const values = Array.from({ length: count }, () => `c${id}-${++this.#values} ${'x'.repeat(this.#values % 300)}`);
    this.books.issued(values);
    return values;
  }

  #count(answer: string): void {
    this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1);
  }
}

function isCertainlyNotStored(error: unknown): boolean {
  if (isClientError(error, 'UNREACHABLE')) return true;
  return isLogboomError(error) && certainlyNotStored.has(error.reason) && error.facts['outcome'] !== 'unknown';
}
