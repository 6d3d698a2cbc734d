/**
 * Clients that append and remember what was acknowledged.
 *
 * A writer numbers its records, and the number decides the bytes of the value: so a reader can tell for every record
 * whose it is and what it must hold, and the memory of the test does not grow with the bytes appended.
 */
import { onTestFinished } from 'vitest';
import { isClientError, isLogboomError } from '../../../src/client/index.js';
import type { Appender, LogboomClient } from '../../../src/client/index.js';
import { SeededRandom } from './random.js';

export type WriterKind = 'producer' | 'restarting producer' | 'session without producer' | 'unary' | 'conditional';

export interface WriterOptions {
  readonly index: number;
  readonly stream: string;
  readonly kind: WriterKind;
  readonly codec: 'zstd' | 'none';
  readonly valueBytesMax: number;
  /** Records of one unary append; for the others the appender decides. */
  readonly batchRecordsMax?: number;
  readonly pendingRecordsMax?: number;
  /** Pause after each append, so that a test of many rounds does not fill the disk. */
  readonly pauseMs?: number;
}

/** What an acknowledgement said. */
export interface Acknowledged {
  readonly seq: number;
  readonly lsn: number;
  readonly appendTimeMs: number;
}

const textPool = makePool((random) => 97 + (random.below(40) % 26));
const noisePool = makePool((random) => random.below(256));

function makePool(next: (random: SeededRandom) => number): Buffer {
  const random = new SeededRandom(4711);
  return Buffer.from(Array.from({ length: 512 * 1024 }, () => next(random)));
}

/** `w<writer>|<number>|` and then bytes that follow from both. */
export function valueOf(writer: WriterOptions, number: number): Buffer {
  const head = Buffer.from(`w${writer.index}|${number}|`);
  const mixed = mix(writer, number);
  const length = payloadBytes(writer, mixed);
  const pool = writer.codec === 'zstd' ? textPool : noisePool;
  const start = (mixed >>> 0) % (pool.length - writer.valueBytesMax);
  return Buffer.concat([head, pool.subarray(start, start + length)]);
}

const mix = (writer: WriterOptions, number: number): number =>
  Math.imul(number + 1, 0x9e3779b1) ^ Math.imul(writer.index + 1, 0x85ebca6b);

/** Mostly little, now and then near the maximum. */
function payloadBytes({ valueBytesMax }: WriterOptions, mixed: number): number {
  const unit = (mixed >>> 8) / 2 ** 24;
  return Math.floor(valueBytesMax * unit ** 4);
}

/** Whose a value is; undefined when no writer made it. */
export function originOf(value: Buffer): { readonly writer: number; readonly number: number } | undefined {
  const match = /^w(\d+)\|(\d+)\|/.exec(value.toString('latin1', 0, 40));
  return match ? { writer: Number(match[1]), number: Number(match[2]) } : undefined;
}

export class Writer {
  readonly options: WriterOptions;
  /** By number. */
  readonly acknowledged = new Map<number, Acknowledged>();
  /** Certainly refused: these must never turn up. */
  readonly refused = new Set<number>();
  /** Appended, and nobody knows: there or not, as whole batches, `first -> count`. */
  readonly openBatches = new Map<number, number>();
  lastAcknowledged = -1;
  acknowledgedBytes = 0;
  outcomesUnknown = 0;
  takeOvers = 0;
  seqMismatches = 0;
  readonly #client: LogboomClient;
  readonly #random: SeededRandom;
  readonly #stopping = new AbortController();
  #next = 0;
  #appender: Appender | undefined;
  #running: Promise<void> | undefined;

  constructor(client: LogboomClient, options: WriterOptions, seed: number) {
    this.#client = client;
    this.options = options;
    this.#random = new SeededRandom(seed + options.index);
  }

  get isNumbered(): boolean {
    return this.options.kind === 'producer' || this.options.kind === 'restarting producer';
  }

  get producerId(): string {
    return `writer-${this.options.index}`;
  }

  /** Numbers handed out so far. */
  get attempted(): number {
    return this.#next;
  }

  run(): void {
    this.#running = this.#work();
    this.#running.catch(() => {});
    // When the test has failed in between; otherwise both have come to an end long ago.
    onTestFinished(() => {
      this.#stopping.abort();
      this.#appender?.abort(new Error('the test is over'));
    });
  }

  /** Waits for what is pending. @throws what no writer may meet */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /** Rejects when the writer has failed. */
  get failure(): Promise<never> {
    return (this.#running ?? Promise.resolve()).then(() => new Promise<never>(() => {}));
  }

  async #work(): Promise<void> {
    try {
      switch (this.options.kind) {
        case 'producer':
          return await this.#appendNumbered();
        case 'restarting producer':
          while (!this.#stopping.signal.aborted) await this.#appendNumberedForAWhile();
          return;
        case 'session without producer':
          return await this.#appendWithoutProducer();
        case 'unary':
          return await this.#appendUnary();
        case 'conditional':
          return await this.#appendConditionally();
      }
    } catch (error) {
      throw new Error(
        `writer ${this.options.index} (${this.options.kind}, ${this.options.stream}) failed: ${String(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  async #appendNumbered(): Promise<void> {
    const appender = await this.#open({ id: this.producerId });
    this.#next = appender.nextRecordNumber;
    await this.#feed(appender, () => this.#stopping.signal.aborted);
    await appender.close();
  }

  /** A producer that crashes: it forgets what was pending, and goes on from where the server has it. */
  async #appendNumberedForAWhile(): Promise<void> {
    const appender = await this.#open({ id: this.producerId, takeOver: true });
    if (appender.nextRecordNumber <= this.lastAcknowledged) {
      throw new Error(
        `the server has the producer at ${appender.nextRecordNumber}, but acknowledged ${this.lastAcknowledged}`,
      );
    }
    this.#next = appender.nextRecordNumber;
    this.takeOvers++;
    const untilMs = Date.now() + this.#random.between(100, 3000);
    try {
      await this.#feed(appender, () => this.#stopping.signal.aborted || Date.now() > untilMs);
      if (this.#stopping.signal.aborted) await appender.close();
    } catch (error) {
      // What the life before had under way came in after this one had asked where to go on.
      if (!isLogboomError(error, 'PRODUCER_OVERLAP') && !isLogboomError(error, 'PRODUCER_CONFLICT')) throw error;
    } finally {
      appender.abort(new Error('the producer crashed'));
    }
  }

  async #appendWithoutProducer(): Promise<void> {
    const appender = await this.#open(false);
    await this.#feed(appender, () => this.#stopping.signal.aborted);
    await appender.close().catch((error: unknown) => {
      if (!isClientError(error, 'OUTCOME_UNKNOWN')) throw error;
    });
  }

  async #open(producer: { id: string; takeOver?: boolean } | false): Promise<Appender> {
    const { stream, codec } = this.options;
    const options = { producer, codec, batchBytesMax: 128 * 1024 };
    this.#appender = await this.#persistently(() => this.#client.appender(stream, options));
    return this.#appender;
  }

  /** Keeps records pending, and notes what becomes of each. */
  async #feed(appender: Appender, isOver: () => boolean): Promise<void> {
    const { pendingRecordsMax = 100, pauseMs = 1 } = this.options;
    let failure: Error | undefined;
    while (!isOver() && failure === undefined) {
      while (appender.pendingRecords < pendingRecordsMax) {
        const number = this.#next++;
        appender.append(valueOf(this.options, number)).then(
          ({ seq, lsn, appendTimeMs }) => this.#acknowledge(number, { seq, lsn, appendTimeMs }),
          (error: unknown) => {
            if (isClientError(error, 'OUTCOME_UNKNOWN')) this.outcomesUnknown++;
            else if ((error as Error).message !== 'the producer crashed') failure ??= error as Error;
          },
        );
      }
      await pauseFor(pauseMs);
    }
    if (failure !== undefined) throw failure;
  }

  async #appendUnary(): Promise<void> {
    const { stream, codec, batchRecordsMax = 20, pauseMs = 1 } = this.options;
    while (!this.#stopping.signal.aborted) {
      const count = this.#random.between(1, batchRecordsMax);
      const first = this.#takeNumbers(count);
      const values = Array.from({ length: count }, (_, index) => valueOf(this.options, first + index));
      await this.#settle(first, count, () => this.#client.append(stream, values, { codec }));
      await pauseFor(pauseMs);
    }
  }

  /** Two of these on one stream race for every position. */
  async #appendConditionally(): Promise<void> {
    const { stream, codec, pauseMs = 1 } = this.options;
    while (!this.#stopping.signal.aborted) {
      const { nextSeq } = await this.#persistently(() => this.#client.streams.get(stream));
      let expectedNextSeq = nextSeq;
      for (;;) {
        const number = this.#takeNumbers(1);
        const value = valueOf(this.options, number);
        const result = await this.#settle(number, 1, () =>
          this.#client.append(stream, [value], { codec, expectedNextSeq }),
        );
        if (result === undefined) break;
        if (result.firstSeq !== expectedNextSeq) {
          throw new Error(`appended at ${result.firstSeq} on the condition of ${expectedNextSeq}`);
        }
        expectedNextSeq++;
        if (this.#stopping.signal.aborted) break;
        await pauseFor(pauseMs);
      }
    }
  }

  #takeNumbers(count: number): number {
    const first = this.#next;
    this.#next += count;
    return first;
  }

  async #settle(
    first: number,
    count: number,
    append: () => Promise<{ firstSeq: number; lastSeq: number; lsn: number; appendTimeMs: number; repeated: boolean }>,
  ): Promise<{ firstSeq: number } | undefined> {
    try {
      const { firstSeq, lastSeq, lsn, appendTimeMs, repeated } = await append();
      if (lastSeq - firstSeq + 1 !== count || repeated)
        throw new Error(`${count} records were stored as ${firstSeq} to ${lastSeq}`);
      for (let index = 0; index < count; index++)
        this.#acknowledge(first + index, { seq: firstSeq + index, lsn, appendTimeMs });
      return { firstSeq };
    } catch (error) {
      if (isClientError(error, 'OUTCOME_UNKNOWN')) {
        this.openBatches.set(first, count);
        this.outcomesUnknown++;
        return undefined;
      }
      const mismatch = isLogboomError(error, 'SEQ_MISMATCH');
      if (mismatch) this.seqMismatches++;
      if (!mismatch && !meansNotStored(error)) throw error;
      for (let index = 0; index < count; index++) this.refused.add(first + index);
      return undefined;
    }
  }

  #acknowledge(number: number, acknowledged: Acknowledged): void {
    if (this.acknowledged.has(number)) throw new Error(`record ${number} was acknowledged twice`);
    this.acknowledged.set(number, acknowledged);
    this.acknowledgedBytes += payloadBytes(this.options, mix(this.options, number));
    this.lastAcknowledged = Math.max(this.lastAcknowledged, number);
  }

  /** For calls that change nothing. */
  async #persistently<Result>(call: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        const passes = isLogboomError(error) && error.retryable;
        if (!passes && !isClientError(error, 'UNREACHABLE') && !isClientError(error, 'CONNECTION_LOST')) throw error;
        await pauseFor(50);
      }
    }
  }
}

/** Errors after which an append is certainly not there. */
function meansNotStored(error: unknown): boolean {
  if (isClientError(error, 'UNREACHABLE')) return true;
  return ['SHUTTING_DOWN', 'NOT_LEADER', 'QUEUE_FULL', 'DISK_FULL'].some((reason) =>
    isLogboomError(error, reason as 'SHUTTING_DOWN'),
  );
}

const pauseFor = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
