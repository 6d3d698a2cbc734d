/** A node in this process, and clients generated from the proto files: not the project's own client. */
import path from 'node:path';
import type { Readable } from 'node:stream';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import type { Client, ClientDuplexStream, ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import { noLogger } from '../../../src/base/ports/logger.js';
import { loadConfiguration, startNode } from '../../../src/server/index.js';
import type { RunningNode, StartOptions } from '../../../src/server/index.js';
import type {
  AppendResponseMessage,
  ClusterResponses,
  PageMessage,
  SessionAnswerMessage,
  StreamResponses,
  VerifyMessage,
} from './messages.js';
import { decodeStatusDetails, packageDefinition } from './proto-codecs.js';
import { temporaryDirectory } from './temporary-directory.js';

export type ServerStream<Message> = ClientReadableStream<Message>;
type Callback<Response> = (error: ServiceError | null, response: Response) => void;
type UnaryMethods<Responses> = {
  [Method in keyof Responses]: (request: object, options: object, callback: Callback<Responses[Method]>) => void;
};

export interface StreamClient extends Client, UnaryMethods<StreamResponses> {
  appendSession(): ClientDuplexStream<object, SessionAnswerMessage>;
  tail(request: object, options?: object): ServerStream<PageMessage>;
}

export interface ClusterClient extends Client, UnaryMethods<ClusterResponses> {
  verifyPartition(request: object): ServerStream<VerifyMessage>;
}

type Constructor<Made> = new (address: string, channelCredentials: object, options?: object) => Made;

const { StreamService, ClusterService } = (
  loadPackageDefinition(packageDefinition) as unknown as {
    logboom: { v1: { StreamService: Constructor<StreamClient>; ClusterService: Constructor<ClusterClient> } };
  }
).logboom.v1;

const clientOptions = { 'grpc.max_receive_message_length': 80 * 2 ** 20, 'grpc.use_local_subchannel_pool': 1 };

export const streamClient = (address: string): StreamClient =>
  new StreamService(address, credentials.createInsecure(), clientOptions);
export const clusterClient = (address: string): ClusterClient =>
  new ClusterService(address, credentials.createInsecure(), clientOptions);

/** Unary calls of a client as promises. */
export function unary<Responses>(
  client: UnaryMethods<Responses>,
): <Method extends keyof Responses>(method: Method, request: object, options?: object) => Promise<Responses[Method]> {
  return (method, request, options = {}) =>
    new Promise((resolve, reject) => {
      client[method](request, options, (error, response) => (error ? reject(error) : resolve(response)));
    });
}

export type StreamCall = ReturnType<typeof unary<StreamResponses>>;

/** Small, quick to start, and with a test's tempo. */
const testFlags = [
  '--port=0',
  '--partitions=2',
  '--wal-segment-bytes=32MiB',
  '--retention-check-interval-ms=100',
  '--shutdown-drain-ms=2s',
];

export interface TestNode {
  readonly node: RunningNode;
  readonly directory: string;
  readonly streams: StreamClient;
  readonly cluster: ClusterClient;
  readonly call: StreamCall;
  readonly append: (stream: string, values: readonly string[], more?: object) => Promise<AppendResponseMessage>;
  /** The text of /metrics. */
  readonly metrics: () => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** Stopped at the end of the test. `flags` win over those of all test nodes. */
export async function startTestNode(
  options: { flags?: readonly string[]; directory?: string; start?: StartOptions } = {},
): Promise<TestNode> {
  const directory = options.directory ?? path.join(await temporaryDirectory(), 'data');
  const overridden = new Set((options.flags ?? []).map((flag) => flag.split('=')[0]));
  const defaults = testFlags.filter((flag) => !overridden.has(flag.split('=')[0]));
  const flags = [...defaults, `--data-dir=${directory}`, ...(options.flags ?? [])];
  const node = await startNode(loadConfiguration({ flags }).configuration, { logger: noLogger, ...options.start });
  const streams = streamClient(node.addresses.grpc);
  const cluster = clusterClient(node.addresses.grpc);
  const stop = async (): Promise<void> => {
    streams.close();
    cluster.close();
    await node.stop();
  };
  onTestFinished(stop);
  const call = unary<StreamResponses>(streams);
  return {
    node,
    directory,
    streams,
    cluster,
    call,
    append: (stream, values, more = {}) => call('append', { stream, batch: batchOf(values), ...more }),
    metrics: async () => (await fetch(`${node.addresses.http}/metrics`)).text(),
    stop,
  };
}

export const batchOf = (values: readonly string[]): object => ({
  records: { records: values.map((value) => ({ value: Buffer.from(value) })) },
});

/** The reason of a failed call, with what its trailers tell. */
export function detailsOf(error: unknown): ReturnType<typeof decodeStatusDetails> {
  const [bytes] = (error as ServiceError).metadata.get('grpc-status-details-bin');
  if (bytes === undefined) throw error;
  return decodeStatusDetails(bytes as Buffer);
}

export async function reasonOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return detailsOf(error).errorInfo.reason;
  }
  return 'OK';
}

/** The values of all records of a page, in its order of batches. */
export function valuesOf({ batches }: Pick<PageMessage, 'batches'>): string[] {
  return batches.flatMap((slice) => slice.batch.records.records.map(({ value }) => value.toString()));
}

export interface Collected<Message> {
  readonly messages: Message[];
  /** Resolves at the end, with the error when there is one. */
  readonly ended: Promise<ServiceError | undefined>;
  /** Resolves when that many messages are there. */
  readonly until: (count: number) => Promise<void>;
}

/** Collects the messages of a stream until it ends. */
export function collect<Message>(call: Readable & { deserialize: (bytes: Buffer) => Message }): Collected<Message> {
  const messages: Message[] = [];
  const waiters: { count: number; resolve: () => void }[] = [];
  call.on('data', (message: Message) => {
    messages.push(message);
    for (const { count, resolve } of waiters) if (messages.length >= count) resolve();
  });
  const ended = new Promise<ServiceError | undefined>((resolve) => {
    call.on('error', (error: ServiceError) => resolve(error));
    call.on('end', () => resolve(undefined));
  });
  const until = (count: number): Promise<void> =>
    new Promise((resolve) => {
      if (messages.length >= count) resolve();
      else waiters.push({ count, resolve });
    });
  return { messages, ended, until };
}
