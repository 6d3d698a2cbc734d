import { randomBytes } from 'node:crypto';
import { Codec } from '../base/ports/compressor.js';
import { noLogger } from '../base/ports/logger.js';
import type { Logger } from '../base/ports/logger.js';
import { LogboomError } from '../base/errors.js';
import { Appender } from './appender.js';
import type { AppenderLimits } from './appender.js';
import { appendBatch } from './append.js';
import type { AppendBatchOptions, AppendBatchResult } from './append.js';
import type { RecordInput } from './batch-buffer.js';
import { Cluster } from './cluster.js';
import type { Limits } from './cluster.js';
import { Connection, method } from './connection.js';
import { Credentials } from './credentials.js';
import type { CredentialOptions } from './credentials.js';
import type { CallOptions } from './connection.js';
import { getProducerRequest, getProducerResponse } from './messages.js';
import { readContext, readPage, readPages } from './reader.js';
import type { ContextOptions, ContextRecords, Page, ReaderSetup, ReadOptions, ReadPageOptions } from './reader.js';
import type { LogRecord } from './records.js';
import { abortError, defaultRetry } from './retry.js';
import type { RetryOptions } from './retry.js';
import { Streams } from './streams.js';
import { tailPages } from './tail.js';
import type { TailOptions, TailPage } from './tail.js';
import { ZstdCompressor } from './zstd.js';

export interface ClientOptions extends CredentialOptions {
  /**
   * `host:port`, or several with commas between them; by default 127.0.0.1:7400. Any node of the cluster will do; several
   * are for the first call, and for when all nodes that the first one told of have moved.
   */
  readonly address?: string | undefined;
  /** The same as a list; the next one is tried when one does not answer. */
  readonly addresses?: readonly string[] | undefined;
  /** How batches are compressed; `zstd` by default. Reading takes both. */
  readonly codec?: 'zstd' | 'none' | undefined;
  /** Time for a call, retries included, unless the call says otherwise; 10,000 ms by default. */
  readonly deadlineMs?: number | undefined;
  readonly retry?: Partial<RetryOptions> | undefined;
  readonly logger?: Logger | undefined;
  /** In [0, 1), for the jitter of retries. */
  readonly random?: (() => number) | undefined;
}

/** Where a producer stands in a stream. */
export interface ProducerState {
  readonly known: boolean;
  readonly epoch: number;
  /** Number of the record that the producer is expected to append next; 0 when it is not known. */
  readonly nextRecordNumber: number;
  readonly streamEpoch: number;
  /** Position of its last record; undefined when it is not known. */
  readonly lastSeq: number | undefined;
}

export interface AppenderOptions extends Partial<AppenderLimits> {
  /**
   * Who appends. With an id the records are numbered on from where the server has that producer, and with `takeOver` its
   * epoch is raised by one, which fences whoever used it before. Without an id the appender makes one of its own, for
   * its retries. `false` switches numbering off: then a lost connection leaves appends whose outcome is unknown.
   */
  readonly producer?: { readonly id: string; readonly epoch?: number; readonly takeOver?: boolean } | false | undefined;
  readonly fencingToken?: string | undefined;
  /** Append only as long as the stream's positions go on from here without records of others in between. */
  readonly expectedNextSeq?: number | undefined;
  readonly codec?: 'zstd' | 'none' | undefined;
  /** Aborts the appender: what is pending is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called when nothing could be stored for a second; the appender goes on trying until `giveUpAfterMs`. */
  readonly onInterruption?: ((error: Error) => void) | undefined;
  /** Called when records are stored again after an interruption. */
  readonly onResumption?: (() => void) | undefined;
}

const defaultAppenderLimits: AppenderLimits = {
  batchBytesMax: 1024 * 1024,
  batchRecordsMax: 10_000,
  inFlightBatchesMax: 4,
  pendingBytesMax: 32 * 1024 * 1024,
  pendingRecordsMax: 100_000,
  giveUpAfterMs: 60_000,
};

const defaultAddress = '127.0.0.1:7400';

/**
 * A client of a Logboom cluster. Connects when it is first used. All calls take an `AbortSignal` and a deadline, and retry
 * what is safe to retry; see docs/client.md. `close()` it at the end: open connections keep the process alive.
 */
export class LogboomClient {
  readonly streams: Streams;
  readonly cluster: Cluster;
  readonly #connection: Connection;
  readonly #compressor = new ZstdCompressor();
  readonly #codec: Codec;
  readonly #reader: ReaderSetup;
  readonly #appenders = new Set<Appender>();

  constructor(options: ClientOptions = {}) {
    const addresses = (options.addresses ?? (options.address ?? defaultAddress).split(','))
      .map((address) => address.trim())
      .filter((address) => address !== '');
    if (addresses.length === 0) throw new RangeError('no address is given');
    for (const address of addresses) checkAddress(address);
    this.#connection = new Connection({
      addresses,
      credentials: new Credentials(options, addresses),
      deadlineMs: options.deadlineMs ?? 10_000,
      retry: { ...defaultRetry, ...options.retry },
      logger: options.logger ?? noLogger,
      random: options.random ?? Math.random,
    });
    this.#codec = codecOf(options.codec ?? 'zstd');
    this.#reader = {
      connection: this.#connection,
      compressor: this.#compressor,
      acceptCodecs: [Codec.none, Codec.zstd],
    };
    this.streams = new Streams(this.#connection);
    this.cluster = new Cluster(this.#connection);
  }

  /** The address of calls for which no leader is known, or needed. */
  get address(): string {
    return this.#connection.address;
  }

  /**
   * Appends one batch: all of its records or none, at consecutive positions. It is retried when nothing can have been
   * stored, and always with a producer position.
   *
   * @throws LogboomError with what the server refused
   * @throws ClientError OUTCOME_UNKNOWN without a producer, when the connection was lost in between
   */
  append(
    stream: string,
    records: readonly RecordInput[],
    options: AppendBatchOptions = {},
  ): Promise<AppendBatchResult> {
    const codec = options.codec === undefined ? this.#codec : codecOf(options.codec);
    return appendBatch({ connection: this.#connection, compressor: this.#compressor, codec }, stream, records, options);
  }

  /**
   * Opens an appender, which batches and pipelines by itself. Asks the server for its limits and for where the producer
   * stands.
   *
   * @throws LogboomError STREAM_NOT_FOUND
   */
  async appender(stream: string, options: AppenderOptions = {}): Promise<Appender> {
    const { signal } = options;
    const wanted = options.producer === false ? undefined : (options.producer ?? { id: randomProducerId() });
    const codec = options.codec === undefined ? this.#codec : codecOf(options.codec);
    const [state, serverLimits] = await Promise.all([
      // Also without a producer: it tells whether the stream is there, and its epoch.
      this.producer(stream, wanted?.id ?? '-', { signal }),
      this.cluster.limits({ signal }),
      codec === Codec.none ? undefined : this.#compressor.load(),
    ]);
    // A session stays where it is opened until it is at rest.
    await this.#connection.ready(stream);
    if (signal?.aborted) throw abortError(signal);
    const limits = appenderLimits(options, serverLimits);
    const epoch = wanted?.epoch ?? state.epoch + (wanted?.takeOver && state.known ? 1 : 0);
    const appender: Appender = new Appender({
      connection: this.#connection,
      compressor: this.#compressor,
      target: {
        stream,
        fencingToken: options.fencingToken,
        expectedEpoch: state.streamEpoch,
        producer: wanted && { id: wanted.id, epoch },
      },
      limits,
      recordBytesMax: serverLimits.recordBytes,
      codec,
      nextRecordNumber: wanted ? state.nextRecordNumber : 0,
      expectedNextSeq: options.expectedNextSeq,
      signal,
      onClose: () => this.#appenders.delete(appender),
      onInterruption: options.onInterruption,
      onResumption: options.onResumption,
    });
    this.#appenders.add(appender);
    return appender;
  }

  /** Where a producer stands: what a restarted producer asks before it goes on. */
  async producer(stream: string, producerId: string, options: CallOptions = {}): Promise<ProducerState> {
    const request = { message: getProducerRequest, value: { stream, producerId } };
    const bounds = { ...options, stream, idempotent: true };
    const state = await this.#connection.unary(method.getProducer, request, getProducerResponse, bounds);
    return { ...state, lastSeq: state.known ? state.lastSeq : undefined };
  }

  /** One page of records. */
  readPage(stream: string, options: ReadPageOptions = {}): Promise<Page> {
    return readPage(this.#reader, stream, options);
  }

  /** Page after page until the limit or the end of the stream; the next is fetched while one is being used. */
  readPages(stream: string, options: ReadOptions = {}): AsyncIterableIterator<Page> {
    return readPages(this.#reader, stream, options);
  }

  /** The same, record by record. */
  async *read(stream: string, options: ReadOptions = {}): AsyncIterableIterator<LogRecord> {
    for await (const page of this.readPages(stream, options)) yield* page;
  }

  /** Records from a position on, and then what is appended; resumes by itself after a lost connection. */
  async *tail(stream: string, options: TailOptions = {}): AsyncIterableIterator<LogRecord> {
    for await (const page of this.tailPages(stream, options)) yield* page;
  }

  /** The same in the portions in which they arrive. */
  tailPages(stream: string, options: TailOptions = {}): AsyncIterableIterator<TailPage> {
    return tailPages(this.#reader, stream, options);
  }

  /** The records around one record, by position and not by time. */
  context(stream: string, seq: number, options: ContextOptions = {}): Promise<ContextRecords> {
    return readContext(this.#reader, stream, seq, options);
  }

  /**
   * Closes appenders, waiting for what is pending in them, and then the connections. Calls under way fail with CLOSED.
   * Rejects with the first failure of an appender, closed all the same.
   */
  async close(): Promise<void> {
    const closings = await Promise.allSettled([...this.#appenders].map((appender) => appender.close()));
    this.#connection.close();
    this.#compressor.close();
    for (const closing of closings) if (closing.status === 'rejected') throw closing.reason;
  }
}

const codecOf = (name: 'zstd' | 'none'): Codec => Codec[name];

function appenderLimits(options: AppenderOptions, server: Limits): AppenderLimits {
  const limits = { ...defaultAppenderLimits };
  for (const name of Object.keys(limits) as (keyof AppenderLimits)[]) {
    const given = options[name];
    if (given === undefined) continue;
    if (!(given >= 1)) throw new RangeError(`${name} must be at least 1, not ${given}`);
    limits[name satisfies string] = given;
  }
  return {
    ...limits,
    batchBytesMax: Math.min(limits.batchBytesMax, server.batchBytes),
    batchRecordsMax: Math.min(limits.batchRecordsMax, server.batchRecords),
  };
}

function randomProducerId(): string {
  return `auto-${randomBytes(12).toString('hex')}`;
}

function checkAddress(address: string): void {
  const port = /:(\d{1,5})$/.exec(address)?.[1];
  if (port !== undefined && Number(port) >= 1 && Number(port) <= 65535) return;
  throw new LogboomError('INVALID_ARGUMENT', `an address is HOST:PORT, not "${address}"`, { facts: { address } });
}
