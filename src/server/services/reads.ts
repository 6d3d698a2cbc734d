/** Read and GetContext: one page each, from the applied state. */
import { LogboomError } from '../../base/errors.js';
import { PageReader, readLimits, requireStream } from '../../streams/index.js';
import { orAborted } from '../rpc/calls.js';
import { decodeGetContextRequest, decodeReadRequest } from '../wire/requests.js';
import { encodeGetContextResponse, encodeReadResponse } from '../wire/responses.js';
import type { Environment } from '../../base/ports/environment.js';
import type { Counter } from '../../base/ports/metrics.js';
import type { PageSlice } from '../../streams/index.js';
import type { ReadBudget } from '../admission.js';
import type { CallContext } from '../rpc/calls.js';
import type { Router, StreamsReplica } from './routing.js';

export interface ReaderParts {
  readonly environment: Environment;
  readonly router: Router;
  readonly budget: ReadBudget;
  /** Records of a page, at most what the API allows. */
  readonly pageRecordsMax: number;
}

/** Pages of a node: one reader a replica, and the counters that reads and tails share. */
export class Pages {
  readonly #environment: Environment;
  readonly #readers = new Map<StreamsReplica, PageReader>();
  readonly #records: Counter;
  readonly #bytes: Counter;

  constructor(environment: Environment) {
    this.#environment = environment;
    const { metrics } = environment;
    this.#records = metrics.counter('logboom_read_records_total', 'Records sent to readers.');
    this.#bytes = metrics.counter('logboom_read_bytes_total', 'Payload bytes sent to readers, as stored.');
  }

  readerOf(replica: StreamsReplica): PageReader {
    let reader = this.#readers.get(replica);
    if (!reader) {
      const { compressor, crc32 } = this.#environment;
      reader = new PageReader({ machine: replica.machine, compressor, crc32 });
      this.#readers.set(replica, reader);
    }
    return reader;
  }

  count(slices: readonly PageSlice[]): void {
    let records = 0;
    let bytes = 0;
    for (const slice of slices) {
      records += slice.windowCount;
      bytes += slice.payload.length;
    }
    this.#records.add(records);
    this.#bytes.add(bytes);
  }
}

/** The bytes that a page may take, for the budget; the reader refuses what is out of range. */
export function pageBytes(maxBytes: number | undefined): number {
  return Math.min(Math.max(maxBytes ?? readLimits.bytesDefault, 0), readLimits.bytesMax);
}

export class Reads {
  readonly #parts: ReaderParts;
  readonly #pages: Pages;

  constructor(parts: ReaderParts, pages: Pages) {
    this.#parts = parts;
    this.#pages = pages;
  }

  async read(bytes: Buffer, context: CallContext): Promise<Buffer> {
    const request = decodeReadRequest(bytes);
    const { limit } = request;
    const { pageRecordsMax } = this.#parts;
    if (limit !== undefined && limit > pageRecordsMax && pageRecordsMax < readLimits.recordsMax) {
      throw new LogboomError(
        'INVALID_ARGUMENT',
        `limit is ${limit}; this node gives at most ${pageRecordsMax} records a page`,
        {
          facts: { field: 'limit', value: limit, max: pageRecordsMax },
        },
      );
    }
    const replica = await this.#replicaFor(request.stream, context);
    return this.#withBudget(request.maxBytes, context, async () => {
      const page = await this.#pages.readerOf(replica).readPage(replica.reader, request.stream, {
        ...request,
        limit: limit ?? Math.min(pageRecordsMax, readLimits.recordsDefault),
      });
      this.#pages.count(page.slices);
      return encodeReadResponse(page);
    });
  }

  async getContext(bytes: Buffer, context: CallContext): Promise<Buffer> {
    const request = decodeGetContextRequest(bytes);
    const replica = await this.#replicaFor(request.stream, context);
    return this.#withBudget(request.maxBytes, context, async () => {
      const page = await this.#pages.readerOf(replica).getContext(replica.reader, request.stream, request);
      this.#pages.count(page.slices);
      return encodeGetContextResponse(page);
    });
  }

  /** The replica of a stream once it shows everything that was acknowledged before the call. */
  async #replicaFor(stream: string, { signal }: CallContext): Promise<StreamsReplica> {
    const replica = this.#parts.router.replicaOfStream(stream);
    await replica.awaitLinearizable(signal);
    // Before the budget: a stream that is not there must not wait for pages of others.
    requireStream(replica.machine, stream);
    return replica;
  }

  /** The page counts until it has left the node, not only until it was read: clients may be slow. */
  async #withBudget(
    maxBytes: number | undefined,
    { signal, onFinished }: CallContext,
    read: () => Promise<Buffer>,
  ): Promise<Buffer> {
    const release = await this.#parts.budget.acquire(pageBytes(maxBytes), signal);
    const page = read();
    let waiting = 2;
    const leave = (): void => {
      if (--waiting === 0) release();
    };
    page.then(leave, leave);
    onFinished(leave);
    return orAborted(page, signal);
  }
}
