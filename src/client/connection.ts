import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ClientDuplexStream, ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { isLogboomError, LogboomError } from '../base/errors.js';
import type { Logger } from '../base/ports/logger.js';
import { ClientError, isClientError, isRetryable } from './errors.js';
import { abortError, backoffMs, pause } from './retry.js';
import type { RetryOptions } from './retry.js';
import type { Message } from './schema.js';
import { errorOfCall } from './status.js';

/** Bounds of one call; every method of the client takes them. */
export interface CallOptions {
  /** Ends the call, retries included, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Time for the call, retries included; the client's default when it is not given. */
  readonly deadlineMs?: number | undefined;
}

export interface ConnectionOptions {
  readonly addresses: readonly string[];
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

const passThrough = (bytes: Buffer): Buffer => bytes;
const noMetadata = new Metadata();

export type Duplex = ClientDuplexStream<Buffer, Buffer>;

/** Channels to the addresses of one cluster, one of them current; the next one is tried when it does not answer. */
export class Connection {
  readonly options: ConnectionOptions;
  #channels: (Client | undefined)[];
  #current = 0;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.options = options;
    this.#channels = options.addresses.map(() => undefined);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The address that requests go to now. */
  get address(): string {
    return this.options.addresses[this.#current] as string;
  }

  /**
   * One request, one response, as often as the retry options allow.
   *
   * @param idempotent whether the request may be sent again when it is not known whether it was carried out
   */
  async unary<Request, Response>(
    path: Method,
    request: { message: Message<Request>; value: Parameters<Message<Request>['encode']>[0] },
    response: Message<Response>,
    options: CallOptions & { idempotent: boolean },
  ): Promise<ReturnType<Message<Response>['decode']>> {
    const bytes = await this.unaryBytes(path, request.message.encode(request.value), options);
    return response.decode(bytes);
  }

  /** The same with the encoded messages. */
  async unaryBytes(path: Method, request: Buffer, options: CallOptions & { idempotent: boolean }): Promise<Buffer> {
    const deadlineAtMs = Date.now() + (options.deadlineMs ?? this.options.deadlineMs);
    return this.retrying(path, options.idempotent, { deadlineAtMs, signal: options.signal }, () =>
      this.#unaryOnce(path, request, deadlineAtMs, options.signal),
    );
  }

  /** Runs `attempt` until it succeeds, fails for good, or attempts or time are used up. */
  async retrying<Result>(
    what: string,
    idempotent: boolean,
    bounds: { readonly deadlineAtMs?: number | undefined; readonly signal?: AbortSignal | undefined },
    attempt: () => Promise<Result>,
  ): Promise<Result> {
    const { retry, addresses, logger, random } = this.options;
    let previous: Error | undefined;
    for (let failures = 1; ; failures += 1) {
      const attempted = this.#current;
      try {
        return await attempt();
      } catch (error) {
        // That the deadline passed says less than what the attempts before it met.
        if (idempotent && previous !== undefined && isLogboomError(error, 'DEADLINE_EXCEEDED')) throw previous;
        if (failures >= retry.attemptsMax || !isRetryable(error, idempotent)) throw error;
        previous = error as Error;
        this.leave(attempted, error);
        // Every address gets one attempt before any delay.
        const delayMs =
          isClientError(error, 'UNREACHABLE') && failures < addresses.length
            ? 0
            : backoffMs(retry, failures, error, random);
        // No time for another attempt.
        if (bounds.deadlineAtMs !== undefined && Date.now() + delayMs >= bounds.deadlineAtMs) throw error;
        logger.debug('request failed, trying again', { what, failures, delayMs, error });
        if (delayMs > 0) await pause(delayMs, bounds.signal);
      }
    }
  }

  /** Opens a bidirectional stream of encoded messages on the current address. */
  duplex(path: Method): Duplex {
    return this.#channel().makeBidiStreamRequest(path, passThrough, passThrough, noMetadata, {});
  }

  /** Opens a stream of encoded responses. */
  serverStream(path: Method, request: Buffer, deadlineMs?: number): ClientReadableStream<Buffer> {
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    return this.#channel().makeServerStreamRequest(path, passThrough, passThrough, request, noMetadata, options);
  }

  /** Index of the current address, to be given to {@link leave}. */
  get position(): number {
    return this.#current;
  }

  /** Moves on from an address that does not answer or does not lead; no more than once for the same failure. */
  leave(position: number, error: unknown): void {
    if (position !== this.#current || this.options.addresses.length === 1) return;
    if (isLogboomError(error) && error.reason !== 'NOT_LEADER' && error.reason !== 'SHUTTING_DOWN') return;
    const hinted = isLogboomError(error) ? this.options.addresses.indexOf(String(error.facts['leader_address'])) : -1;
    this.#current = hinted >= 0 ? hinted : (position + 1) % this.options.addresses.length;
  }

  close(): void {
    this.#closed = true;
    for (const channel of this.#channels) channel?.close();
    this.#channels = this.#channels.map(() => undefined);
  }

  #channel(): Client {
    if (this.#closed) throw new ClientError('CLOSED', 'the client is closed');
    const { addresses } = this.options;
    return (this.#channels[this.#current] ??= new Client(
      addresses[this.#current] as string,
      credentials.createInsecure(),
      channelOptions,
    ));
  }

  #unaryOnce(path: Method, request: Buffer, deadlineAtMs: number, signal: AbortSignal | undefined): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(abortError(signal));
      const onAbort = (): void => call.cancel();
      const finish = (error: ServiceError | null, response?: Buffer): void => {
        signal?.removeEventListener('abort', onAbort);
        if (!error) resolve(response as Buffer);
        else if (signal?.aborted) reject(abortError(signal));
        else if (this.#closed) reject(new ClientError('CLOSED', 'the client was closed', { cause: error }));
        else reject(withAddress(errorOfCall(error), this.address));
      };
      const options = { deadline: deadlineAtMs };
      const call = this.#channel().makeUnaryRequest(
        path,
        passThrough,
        passThrough,
        request,
        noMetadata,
        options,
        finish,
      );
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** Names the address in errors that are about reaching it. */
export function withAddress(error: Error, address: string): Error {
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
