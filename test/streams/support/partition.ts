/** A partition of one replica in memory: log, state machine, store. */
import { asLsn } from '../../../src/base/ids.js';
import { Codec } from '../../../src/base/ports/compressor.js';
import {
  appendCommand,
  createStreamCommand,
  defaultStreamsLimits,
  encodeCommand,
  nextPhysicalDeletion,
  PageReader,
  requireStream,
  StreamsStateMachine,
} from '../../../src/streams/index.js';
import type {
  AppendCommand,
  AppendConditions,
  AppendedResult,
  PageReaderOptions,
  StreamsCommand,
  StreamsLimits,
  StreamsResult,
  StreamView,
} from '../../../src/streams/index.js';
import { MemoryStore, MemoryTransaction } from './memory-store.js';
import { crc, testCompressor, textBatch } from './records.js';

export class TestPartition {
  readonly log: Uint8Array[] = [];
  store = new MemoryStore();
  machine: StreamsStateMachine;
  /** The leader's clock. */
  timeMs = 1_000_000;
  readonly limits: StreamsLimits;
  pages: PageReader;
  readonly #producersCachedMax: number;
  readonly #pageOptions: Partial<PageReaderOptions>;
  #epochs = 0;

  constructor(
    options: { limits?: Partial<StreamsLimits>; producersCachedMax?: number; pages?: Partial<PageReaderOptions> } = {},
  ) {
    this.limits = { ...defaultStreamsLimits, ...options.limits };
    this.#producersCachedMax = options.producersCachedMax ?? 1000;
    this.#pageOptions = options.pages ?? {};
    this.machine = new StreamsStateMachine({ producersCachedMax: this.#producersCachedMax });
    this.pages = this.#pageReader();
  }

  /** Applies commands as one group and publishes it. */
  group(commands: readonly StreamsCommand[]): StreamsResult[] {
    const entries = commands.map((command) => encodeCommand(command, { timeMs: this.timeMs }));
    return this.applyEntries(entries);
  }

  applyEntries(entries: readonly Uint8Array[]): StreamsResult[] {
    const transaction = new MemoryTransaction(this.store);
    const results = entries.map((entry) => {
      this.log.push(entry);
      transaction.lsn = asLsn(this.log.length);
      return this.machine.apply(transaction.lsn, entry, transaction);
    });
    transaction.commit();
    for (const _topic of this.machine.publish());
    return results;
  }

  run(command: StreamsCommand): StreamsResult {
    return this.group([command])[0]!;
  }

  create(
    name: string,
    request: { fencingToken?: string; retentionAgeMs?: number; retentionBytes?: number } = {},
  ): StreamView {
    const config = { retentionAgeMs: request.retentionAgeMs ?? 0, retentionBytes: request.retentionBytes ?? 0 };
    this.#epochs += 1;
    const command = createStreamCommand(
      { name, config, fencingToken: request.fencingToken ?? '', ifNotExists: false },
      0x1_0000_0000_0000 + this.#epochs,
      this.limits,
    );
    const result = this.run(command);
    if (result.type !== 'stream-created') throw new Error(JSON.stringify(result));
    return result.stream;
  }

  async append(
    name: string,
    texts: readonly string[],
    conditions: AppendConditions = {},
    codec: Codec = Codec.none,
  ): Promise<StreamsResult> {
    return this.run(await this.appendCommand(name, texts, conditions, codec));
  }

  async appendCommand(
    name: string,
    texts: readonly string[],
    conditions: AppendConditions = {},
    codec: Codec = Codec.none,
  ): Promise<AppendCommand> {
    const batch = await textBatch(texts, codec);
    return appendCommand(requireStream(this.machine, name), batch, conditions, this.limits);
  }

  async mustAppend(name: string, texts: readonly string[], conditions: AppendConditions = {}): Promise<AppendedResult> {
    const result = await this.append(name, texts, conditions);
    if (result.type !== 'appended') throw new Error(JSON.stringify(result));
    return result;
  }

  /** A restart on the same store. */
  async restart(): Promise<void> {
    this.machine = new StreamsStateMachine({ producersCachedMax: this.#producersCachedMax });
    await this.machine.load(this.store);
    this.pages = this.#pageReader();
  }

  /** All of physical deletion that is due. */
  async clear(batchesMax = 7): Promise<number> {
    let steps = 0;
    for (;;) {
      const budget = { persistedLsn: this.store.appliedLsn, batchesMax };
      const step = await nextPhysicalDeletion(this.machine, this.store, budget);
      if (step === undefined) return steps;
      this.store.deletePhysically(step.deletion);
      step.done();
      steps += 1;
    }
  }

  view(name: string): StreamView {
    return requireStream(this.machine, name);
  }

  #pageReader(): PageReader {
    return new PageReader({ machine: this.machine, compressor: testCompressor, crc32: crc, ...this.#pageOptions });
  }
}
