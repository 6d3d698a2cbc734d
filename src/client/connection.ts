import type { Client, ClientDuplexStream, ClientReadableStream, Metadata, ServiceError } from '@grpc/grpc-js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import type { Logger } from '../base/ports/logger.js';
import { Channels } from './channels.js';
import type { Credentials } from './credentials.js';
import { ClientError, isClientError, isRetryable } from './errors.js';
import { abortError, backoffMs, pause } from './retry.js';
import type { RetryOptions } from './retry.js';
import { MapRefresh } from './map-refresh.js';
import { describeClusterRequest, describeClusterResponse } from './messages.js';
import type { ClusterDescription } from './messages.js';
import { Routes } from './routes.js';
import type { Route } from './routes.js';
import type { Message } from './schema.js';
import { SilenceWatch } from './silence-watch.js';
import { errorOfCall } from './status.js';
import type { CallFailure } from './status.js';

/** Bounds of one call; every method of the client takes them. */
export interface CallOptions {
  /** Ends the call, retries included, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Time for the call, retries included; the client's default when it is not given. */
  readonly deadlineMs?: number | undefined;
}

export interface ConnectionOptions {
  readonly addresses: readonly string[];
  readonly credentials: Credentials;
  readonly deadlineMs: number;
  readonly retry: RetryOptions;
  readonly logger: Logger;
  readonly random: () => number;
}

const streams = '/logboom.v1.StreamService/';
const cluster = '/logboom.v1.ClusterService/';
/** Full paths of the methods. */
export const method = {
  createStream: `${streams}CreateStream`,
  getStream: `${streams}GetStream`,
  listStreams: `${streams}ListStreams`,
  updateStream: `${streams}UpdateStream`,
  deleteStream: `${streams}DeleteStream`,
  getProducer: `${streams}GetProducer`,
  append: `${streams}Append`,
  appendSession: `${streams}AppendSession`,
  read: `${streams}Read`,
  tail: `${streams}Tail`,
  getContext: `${streams}GetContext`,
  describeCluster: `${cluster}DescribeCluster`,
  listPartitions: `${cluster}ListPartitions`,
  verifyPartition: `${cluster}VerifyPartition`,
  createSnapshot: `${cluster}CreateSnapshot`,
  listSnapshots: `${cluster}ListSnapshots`,
  trim: `${cluster}Trim`,
  transferLeadership: `${cluster}TransferLeadership`,
  describeMembership: `${cluster}DescribeMembership`,
  addNode: `${cluster}AddNode`,
  drainNode: `${cluster}DrainNode`,
  removeNode: `${cluster}RemoveNode`,
  replaceNode: `${cluster}ReplaceNode`,
  movePartition: `${cluster}MovePartition`,
  setClusterSetting: `${cluster}SetClusterSetting`,
} as const;
export type Method = (typeof method)[keyof typeof method];

/** A page may be asked up to 64 MiB, and its last batch may stick out of it. */
const receiveBytesMax = 96 * 1024 * 1024;

const channelOptions = {
  'grpc.max_receive_message_length': receiveBytesMax,
  'grpc.max_send_message_length': -1,
  // A peer that is gone without a word is noticed within 15 s, also on a tail that waits for nothing.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Retries are ours: only we know what may be sent twice.
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // Connections belong to this client and are gone when it is closed.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  // A proxy for the web is of no use on the way to a log server, and breaks the one on this machine.
  'grpc.enable_http_proxy': 0,
  // A page fits, so that its bytes do not wait for window updates.
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
};

/** Time for a node to say what it knows: it asks nobody for it. */
const describeMs = 1000;

const passThrough = (bytes: Buffer): Buffer => bytes;

export interface UnaryOptions extends CallOptions {
  readonly idempotent: boolean;
  /** What the request is about: it goes to the leader of this stream's partition. */
  readonly stream?: string | undefined;
}

interface AttemptOptions {
  readonly address: string;
  readonly deadlineAtMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly watched?: Route | undefined;
}

export type Duplex = ClientDuplexStream<Buffer, Buffer>;

/** What to send one attempt at a request with. */
type Attempt<Result> = (route: Route) => Promise<Result>;

interface RetryBounds {
  readonly deadlineAtMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Calls to the nodes of one cluster: each goes to the leader that it is for, as far as that is known. */
export class Connection {
  readonly options: ConnectionOptions;
  readonly #routes: Routes;
  readonly #refresh: MapRefresh;
  readonly #asking = new Map<string, Promise<void>>();
  readonly #channels: Channels;
  /** Of calls that are streams. */
  readonly #sentWith = new WeakMap<object, Metadata>();
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.options = options;
    const { credentials } = options;
    this.#channels = new Channels(
      { ...channelOptions, ...credentials.channelOptions },
      () => credentials.channelCredentials(),
      () => performance.now(),
    );
    this.#routes = new Routes(options.addresses);
    this.#refresh = new MapRefresh({
      routes: this.#routes,
      logger: options.logger,
      describe: (address) => this.#describe(address),
    });
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The address of requests that no leader is known for. */
  get address(): string {
    return this.#routes.home;
  }

  /** Number of addresses that there are to choose from. */
  get addressCount(): number {
    return this.#routes.addresses.length;
  }

  /** Where a request goes now: to the leader of the stream's partition, or to any node. */
  route(stream?: string): Route {
    const route = this.#routes.route(stream);
    if (stream === undefined) return route;
    const unproven = this.#routes.unprovenLeader(route);
    if (unproven !== undefined) void this.#ask(unproven);
    const isDoubtful = unproven === undefined && !this.isDirect(route) && !this.#routes.isSingle;
    this.#refresh.used(isDoubtful);
    return route;
  }

  /** Whether the node at the other end is known to lead. */
  isDirect(route: Route): boolean {
    return this.#routes.isDirect(route);
  }

  /** To be told of every failed attempt. */
  failed(route: Route, error: unknown): void {
    if (this.#routes.failed(route, error) && !this.#closed) void this.#refresh.refresh();
  }

  answered(route: Route): void {
    this.#routes.answered(route.address);
  }

  /** What a node said of the cluster. */
  learned(description: ClusterDescription): void {
    this.#refresh.learned(this.#usable(description));
  }

  /** Resolves when the cluster is known, or was asked in vain: for requests that stay where they go first. */
  async ready(stream: string): Promise<void> {
    if (!this.#refresh.isFresh) await this.#refresh.refresh();
    const unproven = this.#routes.unprovenLeader(this.#routes.route(stream));
    if (unproven !== undefined) await this.#ask(unproven);
  }

  /**
   * Looks after a request that has had no answer for long: asks the node whether it is there, and another one who leads.
   *
   * @returns whether to give the attempt up: the node does not answer, or another one leads
   */
  async examine(route: Route): Promise<boolean> {
    if (this.#routes.isSingle || this.#closed) return false;
    await this.#ask(route.address);
    await this.#refresh.refresh();
    return !this.#closed && (this.#routes.isSuspect(route.address) || this.#routes.isElsewhere(route));
  }

  /**
   * One request, one response, as often as the retry options allow.
   *
   * @param options.idempotent whether the request may be sent again when it is not known whether it was carried out
   * @param options.stream what the request is about
   */
  async unary<Request, Response>(
    path: Method,
    request: { message: Message<Request>; value: Parameters<Message<Request>['encode']>[0] },
    response: Message<Response>,
    options: UnaryOptions,
  ): Promise<ReturnType<Message<Response>['decode']>> {
    const bytes = await this.unaryBytes(path, request.message.encode(request.value), options);
    return response.decode(bytes);
  }

  /** The same with the encoded messages. */
  async unaryBytes(path: Method, request: Buffer, options: UnaryOptions): Promise<Buffer> {
    const { stream, idempotent, signal } = options;
    const deadlineAtMs = Date.now() + (options.deadlineMs ?? this.options.deadlineMs);
    return this.retrying({ what: path, idempotent, stream }, { deadlineAtMs, signal }, (route) => {
      const watched = idempotent ? route : undefined;
      return this.#unaryOnce(path, request, { address: route.address, deadlineAtMs, signal, watched });
    });
  }

  /** Runs `attempt` until it succeeds, fails for good, or attempts or time are used up. */
  async retrying<Result>(
    call: { readonly what: string; readonly idempotent: boolean; readonly stream?: string | undefined },
    bounds: RetryBounds,
    attempt: Attempt<Result>,
  ): Promise<Result> {
    const { retry, logger, random } = this.options;
    // What is told in the end.
    let previous: Error | undefined;
    for (let failures = 1; ; failures += 1) {
      const route = this.route(call.stream);
      try {
        const result = await attempt(route);
        this.answered(route);
        return result;
      } catch (error) {
        // That the deadline passed says less than what the attempts before it met.
        if (call.idempotent && previous !== undefined && isLogboomError(error, 'DEADLINE_EXCEEDED')) throw previous;
        this.failed(route, error);
        if (!isRetryable(error, call.idempotent)) throw error;
        previous = moreTelling(previous, error as Error);
        if (failures >= retry.attemptsMax) throw previous;
        // Every address gets one attempt before any delay.
        const delayMs =
          isClientError(error, 'UNREACHABLE') && failures < this.addressCount
            ? 0
            : backoffMs(retry, failures, error, random);
        // No time for another attempt.
        if (bounds.deadlineAtMs !== undefined && Date.now() + delayMs >= bounds.deadlineAtMs) throw previous;
        logger.debug('request failed, trying again', { ...call, ...route, failures, delayMs, error });
        if (delayMs > 0) await pause(delayMs, bounds.signal);
      }
    }
  }

  /** Opens a bidirectional stream of encoded messages. */
  duplex(path: Method, { address }: Route): Duplex {
    const metadata = this.options.credentials.metadata(address);
    const call = this.#channel(address).makeBidiStreamRequest(path, passThrough, passThrough, metadata, {});
    this.#sentWith.set(call, metadata);
    return call;
  }

  /** Opens a stream of encoded responses. */
  serverStream(path: Method, request: Buffer, { address }: Route, deadlineMs?: number): ClientReadableStream<Buffer> {
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const metadata = this.options.credentials.metadata(address);
    const channel = this.#channel(address);
    const call = channel.makeServerStreamRequest(path, passThrough, passThrough, request, metadata, options);
    this.#sentWith.set(call, metadata);
    return call;
  }

  /** Why a stream ended, as callers see it. */
  errorOfStream(call: object, failure: CallFailure, address: string): Error {
    return this.#errorOf(failure, address, this.#sentWith.get(call));
  }

  close(): void {
    this.#closed = true;
    this.#channels.close();
  }

  /** Finds out whether a node is there, and what it knows. */
  #ask(address: string): Promise<void> {
    let asking = this.#asking.get(address);
    if (asking) return asking;
    asking = this.#describe(address)
      .then(
        (description) => {
          this.#routes.answered(address);
          this.#refresh.learned(description);
        },
        (error: unknown) => void this.#routes.failed({ address, partition: undefined }, error),
      )
      .finally(() => this.#asking.delete(address));
    this.#asking.set(address, asking);
    return asking;
  }

  /**
   * A token that was withdrawn, and has another one in its place by now, is no reason to give up: whoever replaces tokens
   * puts the new one where clients find it before the old one goes.
   */
  #errorOf(failure: CallFailure, address: string, sent: Metadata | undefined): Error {
    const error = withAddress(errorOfCall(failure), address);
    const isRefusedToken = isLogboomError(error, 'TOKEN_INVALID') || isLogboomError(error, 'TOKEN_EXPIRED');
    if (!isRefusedToken || sent === undefined || !this.options.credentials.hasChangedSince(sent)) return error;
    return new ClientError('CONNECTION_LOST', `the token was replaced meanwhile (${address})`, { cause: error });
  }

  /** Without addresses to which nothing may be sent from here. */
  #usable(description: ClusterDescription): ClusterDescription {
    const { credentials } = this.options;
    const nodes = description.nodes.map((node) => ({
      ...node,
      advertisedAddresses: node.advertisedAddresses.filter((address) => credentials.mayUse(address)),
    }));
    return { ...description, nodes };
  }

  #channel(address: string): Client {
    if (this.#closed) throw new ClientError('CLOSED', 'the client is closed');
    return this.#channels.to(address);
  }

  /** @throws ClientError also when the answer takes too long: whoever is well answers at once */
  async #describe(address: string): Promise<ClusterDescription> {
    const request = describeClusterRequest.encode({ ownView: true });
    const deadlineAtMs = Date.now() + describeMs;
    try {
      const bytes = await this.#unaryOnce(method.describeCluster, request, { address, deadlineAtMs });
      return this.#usable(describeClusterResponse.decode(bytes));
    } catch (error) {
      if (!isLogboomError(error, 'DEADLINE_EXCEEDED')) throw error;
      throw new ClientError('CONNECTION_LOST', `the node does not answer (${address})`, { cause: error });
    }
  }

  /** @param options.watched the route of a request that may be given up and sent elsewhere when its node falls silent */
  #unaryOnce(path: Method, request: Buffer, options: AttemptOptions): Promise<Buffer> {
    const { address, deadlineAtMs, signal, watched } = options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortError(signal));
      let abandoned: Error | undefined;
      const onAbort = (): void => call.cancel();
      const finish = (error: ServiceError | null, response?: Buffer): void => {
        watch?.end();
        signal?.removeEventListener('abort', onAbort);
        if (!error) resolve(response as Buffer);
        else if (signal?.aborted) reject(abortError(signal));
        else if (this.#closed) reject(new ClientError('CLOSED', 'the client was closed', { cause: error }));
        else reject(abandoned ?? this.#errorOf(error, address, metadata));
      };
      const metadata = this.options.credentials.metadata(address);
      const call = this.#channel(address).makeUnaryRequest(
        path,
        passThrough,
        passThrough,
        request,
        metadata,
        { deadline: deadlineAtMs },
        finish,
      );
      const abandon = (error: Error): void => {
        abandoned = error;
        call.cancel();
      };
      const watch = watched && new SilenceWatch(this, watched, abandon);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** That one node cannot be reached says little when another has said what is wrong. */
function moreTelling(previous: Error | undefined, error: Error): Error {
  return isLogboomError(previous) && isClientError(error, 'UNREACHABLE') ? previous : error;
}

/** Names the address in errors that are about reaching it. */
function withAddress(error: Error, address: string): Error {
  if (error.message.includes(address)) return error;
  if (isClientError(error, 'UNREACHABLE') || isClientError(error, 'CONNECTION_LOST'))
    return new ClientError(error.code, `${error.message} (${address})`, { cause: error.cause });
  if (isLogboomError(error, 'DEADLINE_EXCEEDED') && Object.keys(error.facts).length === 0)
    return new LogboomError('DEADLINE_EXCEEDED', `${error.message} (${address})`, {
      facts: { address },
      cause: error.cause,
    });
  return error;
}
