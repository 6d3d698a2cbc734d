/** A server of the API in this process, made from proto/ alone, whose faults a test can script. */
import { Metadata, Server, ServerCredentials, loadPackageDefinition } from '@grpc/grpc-js';
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { decompress } from '@cloudpss/zstd';
import path from 'node:path';
import { errorRegistry } from '../../src/base/errors.js';
import type { Reason } from '../../src/base/errors.js';
import { errorInfo, any, retryInfo, rpcStatus } from '../../src/client/messages.js';

const protoDirectory = path.join(import.meta.dirname, '..', '..', 'proto');
export const definition = loadSync(['logboom/v1/streams.proto', 'logboom/v1/cluster.proto'], {
  includeDirs: [protoDirectory],
  keepCase: false,
  longs: Number,
  enums: Number,
  defaults: true,
  oneofs: true,
});

/* eslint-disable @typescript-eslint/no-explicit-any, @typescript-eslint/no-unsafe-assignment, @typescript-eslint/no-unsafe-member-access, @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-call, @typescript-eslint/no-unsafe-return -- messages of proto-loader have no types */
type Json = any;

interface StoredBatch {
  readonly firstSeq: number;
  readonly records: Json[];
  readonly producer: Json;
}
export interface FakeStream {
  readonly name: string;
  readonly batches: StoredBatch[];
  nextSeq: number;
  readonly producers: Map<
    string,
    { epoch: number; next: number; batches: Map<number, { count: number; seq: number }> }
  >;
}

export class Refusal extends Error {
  readonly reason: Reason;
  readonly facts: Record<string, string>;
  readonly retryAfterMs: number;
  constructor(reason: Reason, facts: Record<string, string> = {}, retryAfterMs = 0) {
    super(`refused: ${reason}`);
    this.reason = reason;
    this.facts = facts;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Thrown by a hook: the connection of the call dies without an answer. */
export class Drop extends Error {}

function serviceError(error: unknown): Partial<ServiceError> {
  if (!(error instanceof Refusal)) return { code: 14, details: `connection dropped: ${String(error)}` };
  const code = errorRegistry[error.reason].status;
  const details = [
    any.encode({
      typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo',
      value: errorInfo.encode({ reason: error.reason, domain: 'logboom', metadata: error.facts }),
    }),
  ];
  if (error.retryAfterMs > 0) {
    const retryDelay = { seconds: 0, nanos: error.retryAfterMs * 1e6 };
    const value = retryInfo.encode({ retryDelay });
    details.push(any.encode({ typeUrl: 'type.googleapis.com/google.rpc.RetryInfo', value }));
  }
  const metadata = new Metadata();
  const status = { code, message: error.message, details: details.map((detail) => any.decode(detail)) };
  metadata.set('grpc-status-details-bin', rpcStatus.encode(status));
  return { code, details: error.message, metadata };
}

export class FakeServer {
  /** Nodes of one cluster share them. */
  streams = new Map<string, FakeStream>();
  /** What it says of its cluster, besides its limits. */
  cluster: () => Json = () => ({});
  partitions: readonly Json[] = [];
  /** Answers of CreateSnapshot, ListSnapshots and Trim, which nothing else has a part in. */
  onSnapshots: (method: string, request: Json) => Json = () => {
    throw new Refusal('REPOSITORY_NOT_CONFIGURED');
  };
  readonly requests: { method: string; request: Json; atMs: number }[] = [];
  /** Runs before a request is carried out; what it throws is the answer. */
  before: (method: string, request: Json, count: number) => void | Promise<void> = () => {};
  /** Runs after a request was carried out, before the answer. */
  after: (method: string, request: Json, count: number) => void | Promise<void> = () => {};
  limits = { recordBytes: 1 << 20, batchBytes: 8 << 20, batchRecords: 10_000, pageRecords: 10_000 };
  /** Of every batch that came. */
  readonly codecs: number[] = [];
  sessions = 0;
  port = 0;
  readonly #counts = new Map<string, number>();
  readonly #watchers = new Set<() => void>();
  #server: Server | undefined;

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  count(method: string): number {
    return this.#counts.get(method) ?? 0;
  }

  async start(): Promise<this> {
    const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
    const { StreamService, ClusterService } = (loadPackageDefinition(definition) as Json).logboom.v1;
    server.addService(StreamService.service, {
      CreateStream: this.#unary('CreateStream', (request) => this.#create(request)),
      GetStream: this.#unary('GetStream', (request) => ({ stream: this.#info(this.stream(request.name)) })),
      ListStreams: this.#unary('ListStreams', (request) => this.#list(request)),
      UpdateStream: this.#unary('UpdateStream', (request) => ({ stream: this.#info(this.stream(request.name)) })),
      DeleteStream: this.#unary('DeleteStream', (request) => this.#delete(request)),
      GetProducer: this.#unary('GetProducer', (request) => this.#producer(request)),
      Append: this.#unary('Append', (request) => this.append(request)),
      Read: this.#unary('Read', (request) => this.#read(request)),
      GetContext: this.#unary('GetContext', () => {
        throw new Refusal('UNIMPLEMENTED');
      }),
      AppendSession: (call: ServerDuplexStream<Json, Json>) => void this.#session(call),
      Tail: (call: ServerWritableStream<Json, Json>) => void this.#tail(call),
    });
    server.addService(ClusterService.service, {
      DescribeCluster: this.#unary('DescribeCluster', () => ({
        clusterId: 'fake',
        limits: this.limits,
        ...this.cluster(),
      })),
      ListPartitions: this.#unary('ListPartitions', () => ({ partitions: this.partitions })),
      CreateSnapshot: this.#unary('CreateSnapshot', (request) => this.onSnapshots('CreateSnapshot', request)),
      ListSnapshots: this.#unary('ListSnapshots', (request) => this.onSnapshots('ListSnapshots', request)),
      Trim: this.#unary('Trim', (request) => this.onSnapshots('Trim', request)),
      VerifyPartition: (call: ServerWritableStream<Json, Json>) => call.end(),
    });
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    this.#server = server;
    return this;
  }

  /** Kills every connection; the state stays for the next start on the same port. */
  async stop(): Promise<void> {
    this.#server?.forceShutdown();
    this.#server = undefined;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  stream(name: string): FakeStream {
    const stream = this.streams.get(name);
    if (!stream) throw new Refusal('STREAM_NOT_FOUND', { stream: name });
    return stream;
  }

  add(name: string): FakeStream {
    const stream = { name, batches: [], nextSeq: 0, producers: new Map() };
    this.streams.set(name, stream);
    return stream;
  }

  /** Values of all stored records, in order. */
  values(name: string): string[] {
    return this.stream(name).batches.flatMap((batch) => batch.records.map((record) => String(record.value)));
  }

  append(request: Json): Json {
    const stream = this.stream(request.stream);
    const { records } = this.#recordSet(request.batch);
    if (request.expectedNextSeq !== undefined && request._expectedNextSeq && request.expectedNextSeq !== stream.nextSeq)
      throw new Refusal('SEQ_MISMATCH', { next_seq: String(stream.nextSeq) });
    const repeated = this.#checkProducer(stream, request.producer, records.length);
    const firstSeq = repeated ?? stream.nextSeq;
    if (repeated === undefined) {
      stream.batches.push({ firstSeq, records, producer: request.producer });
      stream.nextSeq += records.length;
      for (const watcher of this.#watchers) watcher();
    }
    return {
      firstSeq,
      lastSeq: firstSeq + records.length - 1,
      streamEpoch: 7,
      lsn: stream.batches.length,
      appendTimeUnixMs: 1_700_000_000_000,
      durability: 1,
      repeated: repeated !== undefined,
    };
  }

  #recordSet(batch: Json): Json {
    this.codecs.push(batch.codec);
    if (batch.codec === 0) return batch.records;
    const bytes = Buffer.from(decompress(batch.compressed));
    if (bytes.length !== batch.uncompressedBytes) throw new Refusal('BATCH_MALFORMED');
    return (definition['logboom.v1.RecordSet'] as Json).deserialize(bytes);
  }

  #checkProducer(stream: FakeStream, position: Json, count: number): number | undefined {
    if (!position) return undefined;
    const producer = stream.producers.get(position.id) ?? { epoch: 0, next: 0, batches: new Map() };
    stream.producers.set(position.id, producer);
    if (position.epoch < producer.epoch) throw new Refusal('PRODUCER_FENCED');
    const stored = producer.batches.get(position.firstRecordNumber);
    if (stored?.count === count) return stored.seq;
    const facts = { next_record_number: String(producer.next) };
    if (position.firstRecordNumber > producer.next) throw new Refusal('PRODUCER_GAP', facts);
    if (position.firstRecordNumber < producer.next) throw new Refusal('PRODUCER_OVERLAP', facts);
    producer.epoch = position.epoch;
    producer.next += count;
    producer.batches.set(position.firstRecordNumber, { count, seq: stream.nextSeq });
    return undefined;
  }

  #create(request: Json): Json {
    const existing = this.streams.get(request.name);
    if (existing && !request.ifNotExists) throw new Refusal('STREAM_ALREADY_EXISTS');
    return { stream: this.#info(existing ?? this.add(request.name)), created: !existing };
  }

  #delete(request: Json): Json {
    const { nextSeq } = this.stream(request.name);
    this.streams.delete(request.name);
    return { firstSeq: 0, nextSeq };
  }

  #list(request: Json): Json {
    const names = [...this.streams.keys()].sort().filter((name) => name > request.pageToken);
    const page = names.slice(0, 2);
    const nextPageToken = names.length > page.length ? page.at(-1) : '';
    return { streams: page.map((name) => this.#info(this.stream(name))), nextPageToken };
  }

  #info(stream: FakeStream): Json {
    return { name: stream.name, epoch: 7, partition: 1, config: {}, firstSeq: 0, nextSeq: stream.nextSeq };
  }

  #producer(request: Json): Json {
    const producer = this.stream(request.stream).producers.get(request.producerId);
    if (!producer) return { streamEpoch: 7 };
    const { epoch, next } = producer;
    return { epoch, nextRecordNumber: next, streamEpoch: 7, known: true, lastSeq: 0 };
  }

  /** Each record as a batch of its own, so that windows and order are simple. */
  #slices(stream: FakeStream, from: number, to: number): Json[] {
    const all = stream.batches.flatMap((batch) => batch.records);
    return all.slice(from, to).map((record, index) => ({
      firstSeq: from + index,
      appendTimeUnixMs: 1_700_000_000_000 + from + index,
      lsn: 1,
      batch: { codec: 0, recordCount: 1, records: { records: [record] } },
      windowOffset: 0,
      windowCount: 1,
    }));
  }

  #read(request: Json): Json {
    const stream = this.stream(request.stream);
    const limit = Math.min(request.limit || 1000, 3);
    const backward = request.direction === 1;
    let from = backward ? stream.nextSeq : 0;
    if (request.start === 'fromSeq') from = backward ? request.fromSeq + 1 : request.fromSeq;
    if (request.start === 'pageToken') from = Number(request.pageToken.slice(1));
    const [low, high] = backward ? [Math.max(0, from - limit), from] : [from, Math.min(stream.nextSeq, from + limit)];
    const batches = this.#slices(stream, low, high);
    if (backward) batches.reverse();
    const atEnd = backward ? low === 0 : high === stream.nextSeq;
    return {
      batches,
      recordCount: batches.length,
      nextPageToken: `t${backward ? low : high}`,
      end: atEnd ? 2 : 1,
      firstSeq: 0,
      nextSeq: stream.nextSeq,
      streamEpoch: 7,
    };
  }

  async #tail(call: ServerWritableStream<Json, Json>): Promise<void> {
    const { request } = call;
    try {
      await this.#began('Tail', request);
      const stream = this.stream(request.stream);
      let position = request.start === 'pageToken' ? Number(request.pageToken.slice(1)) : request.fromSeq;
      const push = (): void => {
        while (position < stream.nextSeq) {
          const to = Math.min(stream.nextSeq, position + 2);
          const batches = this.#slices(stream, position, to);
          call.write({ batches, recordCount: batches.length, nextPageToken: `t${to}`, nextSeq: stream.nextSeq });
          position = to;
        }
      };
      call.write({ batches: [], recordCount: 0, nextPageToken: `t${position}`, nextSeq: stream.nextSeq });
      push();
      this.#watchers.add(push);
      call.on('cancelled', () => this.#watchers.delete(push));
      call.on('error', () => this.#watchers.delete(push));
    } catch (error) {
      call.emit('error', serviceError(error));
    }
  }

  async #session(call: ServerDuplexStream<Json, Json>): Promise<void> {
    this.sessions += 1;
    call.on('error', () => {});
    try {
      for await (const message of call.iterator({ destroyOnReturn: false })) {
        const { requestId, append } = message;
        try {
          await this.#began('AppendSession', append);
          const ok = this.append(append);
          await this.after('AppendSession', append, this.count('AppendSession'));
          call.write({ requestId, ok });
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
          const { status, retryable } = errorRegistry[error.reason];
          const { message: text, reason, facts, retryAfterMs } = error;
          call.write({ requestId, error: { code: status, message: text, reason, facts, retryable, retryAfterMs } });
        }
      }
      call.end();
    } catch (error) {
      call.emit('error', serviceError(error));
    }
  }

  async #began(method: string, request: Json): Promise<void> {
    this.#counts.set(method, this.count(method) + 1);
    this.requests.push({ method, request, atMs: performance.now() });
    await this.before(method, request, this.count(method));
  }

  #unary(method: string, handle: (request: Json) => Json) {
    return (call: ServerUnaryCall<Json, Json>, callback: sendUnaryData<Json>): void => {
      const run = async (): Promise<Json> => {
        await this.#began(method, call.request);
        const response = await handle(call.request);
        await this.after(method, call.request, this.count(method));
        return response;
      };
      run().then(
        (response) => callback(null, response),
        (error: unknown) => callback(serviceError(error)),
      );
    };
  }
}
