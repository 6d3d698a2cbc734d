import { isLogboomError, LogboomError } from '../../base/errors.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { Timer } from '../../base/ports/clock.js';
import type { WireMessage } from '../../raft/index.js';
import { backoffMs } from '../backoff.js';
import { isRefusal, unreachable } from '../failures.js';
import type { MemberHello } from '../identity.js';
import { LogRate } from '../log-rate.js';
import { OutgoingQueue } from '../outgoing-queue.js';
import type { CallOptions, LinkFailure, LinkParts, NodeAddress, PeerStatus } from '../types.js';
import { CallBudget } from './call-budget.js';
import { Connection } from './connection.js';
import { callMany, callOnce, type OutgoingCall } from './outgoing-call.js';
import { formatAddress } from './sessions.js';

/** What the other direction, of which another part knows, has brought in from the peer. */
export interface Received {
  readonly messages: number;
  readonly bytes: number;
}

/**
 * The way from this node to one peer: connects, connects again when that breaks, and holds what is to be sent. While an
 * attempt to connect is under way, messages wait in the queue; between attempts they are dropped at once, for nobody
 * knows how long it will take, and old messages of Raft are of no use.
 */
export class PeerLink {
  readonly nodeId: NodeId;
  readonly #parts: LinkParts;
  readonly #labels: { readonly peer: string };
  readonly #queue: OutgoingQueue;
  readonly #budget: CallBudget;
  readonly #refusalLog: LogRate;
  readonly #failureLog: LogRate;
  #address: NodeAddress;
  #state: PeerStatus['state'] = 'waiting';
  #connection: Connection | undefined;
  #retryTimer: Timer | undefined;
  #failedAttempts = 0;
  #openedMs = 0;
  #hello: MemberHello | undefined;
  #lastFailure: LinkFailure | undefined;
  #lastRefusal: LinkFailure | undefined;
  #roundTripMs: number | undefined;
  #sentMessages = 0;
  #sentBytes = 0;
  #droppedReported = 0;
  #isWriteDue = false;
  /** Calls that wait for the attempt to connect that is under way. */
  #waiting: ((failure: LogboomError | undefined) => void)[] = [];

  constructor(parts: LinkParts, nodeId: NodeId, address: NodeAddress) {
    const { queueMessagesMax, queueBytesMax, refusalLogIntervalMs } = parts.options;
    this.nodeId = nodeId;
    this.#parts = parts;
    this.#address = address;
    this.#labels = { peer: String(nodeId) };
    this.#queue = new OutgoingQueue({ messagesMax: queueMessagesMax, bytesMax: queueBytesMax });
    this.#budget = new CallBudget(parts.options);
    this.#refusalLog = new LogRate(refusalLogIntervalMs);
    this.#failureLog = new LogRate(refusalLogIntervalMs);
  }

  run(): void {
    if (this.#state === 'waiting') this.#connect();
  }

  /** The peer is there, for it has just connected to this node: no reason to wait any longer. */
  wake(): void {
    if (this.#state !== 'waiting' || this.#retryTimer === undefined) return;
    this.#retryTimer.cancel();
    this.#connect();
  }

  changeAddress(address: NodeAddress): void {
    if (address.host === this.#address.host && address.port === this.#address.port) return;
    this.#address = address;
    if (this.#state === 'stopped') return;
    this.#failedAttempts = 0;
    this.#onEnd(unreachable(`node ${this.nodeId} has moved to ${formatAddress(address)}`, 'unknown'), 0);
  }

  send(partitionId: PartitionId, messages: readonly WireMessage[]): void {
    const mayQueue = this.#state === 'connecting' || this.#state === 'connected';
    let isFirstLoss = false;
    for (const message of messages) {
      const outcome = mayQueue ? this.#queue.offer(partitionId, message) : this.#queue.lose(partitionId);
      if (outcome === 'dropped-first') isFirstLoss = true;
    }
    // All that is sent within one turn leaves in one frame.
    if (!this.#isWriteDue && this.#connection?.isOpen === true) {
      this.#isWriteDue = true;
      queueMicrotask(() => {
        this.#isWriteDue = false;
        this.#connection?.write();
      });
    }
    if (isFirstLoss) this.#parts.host.onUnreachable(this.nodeId, [partitionId]);
  }

  /** Not to a peer that would not understand it. */
  sendPresence(epoch: number): void {
    if (this.#hello?.takesPresence === true) this.#connection?.writePresence(epoch);
  }

  async call(method: string, request: Uint8Array, options: CallOptions): Promise<Uint8Array> {
    const { clock } = this.#parts.environment;
    const startMs = clock.monotonicMs();
    try {
      const timeoutMs = options.timeoutMs ?? this.#parts.options.callDeadlineMs;
      const answer = await this.#counted(method, request, { ...options, timeoutMs }, (connection, call) =>
        callOnce(this.#parts, connection.session, call),
      );
      this.#parts.metrics.callSeconds.observe((clock.monotonicMs() - startMs) / 1000);
      this.#countCall(method, undefined);
      return answer;
    } catch (error) {
      this.#countCall(method, error);
      throw error;
    }
  }

  async *callStream(method: string, request: Uint8Array, options: CallOptions): AsyncGenerator<Uint8Array, void, void> {
    const release = this.#budget.enter(this.nodeId, request.length);
    let failure: unknown;
    try {
      const call = await this.#ready(method, request, options);
      yield* callMany(this.#parts, call.connection.session, call);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      release();
      this.#countCall(method, failure);
    }
  }

  status(received: Received): PeerStatus {
    const isConnected = this.#state === 'connected';
    return {
      nodeId: this.nodeId,
      address: this.#address,
      state: this.#state,
      hello: isConnected ? this.#hello : undefined,
      lastFailure: this.#lastFailure,
      lastRefusal: this.#lastRefusal,
      queueMessages: this.#queue.length,
      queueBytes: this.#queue.bytes,
      callsUnderWay: this.#budget.calls,
      sentMessages: this.#sentMessages,
      sentBytes: this.#sentBytes,
      receivedMessages: received.messages,
      receivedBytes: received.bytes,
      droppedMessages: this.#queue.dropped,
      roundTripMs: isConnected ? this.#roundTripMs : undefined,
    };
  }

  /** What changes too often to be reported as it changes. */
  sampleMetrics(): void {
    const { metrics } = this.#parts;
    metrics.connected.set(this.#state === 'connected' ? 1 : 0, this.#labels);
    metrics.queueBytes.set(this.#queue.bytes, this.#labels);
    metrics.droppedMessages.add(this.#queue.dropped - this.#droppedReported, this.#labels);
    this.#droppedReported = this.#queue.dropped;
  }

  /** Whether everything that was to be sent has been written. */
  get isIdle(): boolean {
    return this.#state !== 'connected' || this.#queue.length === 0;
  }

  stop(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#retryTimer?.cancel();
    this.#connection?.close();
    this.#connection = undefined;
    this.#queue.clear();
    this.#tellWaiting(new LogboomError('SHUTTING_DOWN', `the link to node ${this.nodeId} is closed`));
    this.sampleMetrics();
  }

  #connect(): void {
    this.#retryTimer = undefined;
    this.#state = 'connecting';
    const peer = { nodeId: this.nodeId, address: this.#address };
    this.#connection = new Connection(this.#parts, peer, this.#queue, {
      onOpen: (hello) => this.#onOpen(hello),
      onEnd: (error) => this.#onEnd(error),
      onRoundTrip: (roundTripMs) => {
        this.#roundTripMs = roundTripMs;
        this.#parts.metrics.roundTripSeconds.observe(roundTripMs / 1000, this.#labels);
        this.sampleMetrics();
      },
      onWritten: (messages, bytes) => this.#onWritten(messages, bytes),
    });
  }

  #onOpen(hello: MemberHello): void {
    const { environment } = this.#parts;
    this.#state = 'connected';
    this.#hello = hello;
    this.#openedMs = environment.clock.monotonicMs();
    environment.logger.info('connected to a node', { node: this.nodeId, address: formatAddress(this.#address) });
    this.#tellWaiting(undefined);
    this.sampleMetrics();
  }

  #onWritten(messages: number, bytes: number): void {
    const { metrics } = this.#parts;
    this.#sentMessages += messages;
    this.#sentBytes += bytes;
    metrics.sentMessages.add(messages, this.#labels);
    metrics.sentBytes.add(bytes, this.#labels);
    metrics.sentFrames.add(1, this.#labels);
  }

  /** @param delayMs until the next attempt; by default as the backoff says */
  #onEnd(error: LogboomError, delayMs?: number): void {
    const { environment, options, host, metrics } = this.#parts;
    const { clock, random } = environment;
    const wasConnected = this.#state === 'connected';
    if (wasConnected && clock.monotonicMs() - this.#openedMs >= options.stableAfterMs) this.#failedAttempts = 0;
    this.#connection?.close();
    this.#connection = undefined;
    this.#retryTimer?.cancel();
    this.#state = 'waiting';
    this.#failedAttempts += 1;
    this.#lastFailure = { error, atUnixMs: clock.wallMs() };
    if (isRefusal(error)) this.#lastRefusal = this.#lastFailure;
    metrics.ended.add(1, { ...this.#labels, reason: error.reason });
    this.#log(error, wasConnected);
    const limits = { minMs: options.backoffMinMs, maxMs: options.backoffMaxMs };
    this.#retryTimer = clock.setTimer(delayMs ?? backoffMs(limits, this.#failedAttempts, random), () =>
      this.#connect(),
    );
    const hadWork = wasConnected || this.#queue.length > 0;
    this.#queue.clear();
    this.#tellWaiting(unreachable(error.message, 'not-sent', error));
    this.sampleMetrics();
    // What was on its way is lost as well, and nobody knows what that was.
    if (hadWork) host.onUnreachable(this.nodeId, 'all');
  }

  #log(error: LogboomError, wasConnected: boolean): void {
    const { logger, clock } = this.#parts.environment;
    const [rate, message] = isRefusal(error)
      ? ([this.#refusalLog, 'a link is refused'] as const)
      : ([this.#failureLog, wasConnected ? 'a link broke' : 'a node cannot be reached'] as const);
    const heldBack = rate.take(clock.monotonicMs());
    if (heldBack === undefined) return;
    const { reason, message: detail } = error;
    logger.warn(message, { node: this.nodeId, address: formatAddress(this.#address), reason, detail, heldBack });
  }

  async #counted<T>(
    method: string,
    request: Uint8Array,
    options: CallOptions,
    run: (connection: Connection, call: OutgoingCall) => Promise<T>,
  ): Promise<T> {
    const release = this.#budget.enter(this.nodeId, request.length);
    try {
      const call = await this.#ready(method, request, options);
      return await run(call.connection, call);
    } finally {
      release();
    }
  }

  /** The call as it can be made now; waits while an attempt to connect is under way. */
  async #ready(
    method: string,
    request: Uint8Array,
    options: CallOptions,
  ): Promise<OutgoingCall & { connection: Connection }> {
    const { clock } = this.#parts.environment;
    const startMs = clock.monotonicMs();
    if (this.#state === 'connecting') await this.#connected(method, options);
    if (this.#connection?.isOpen !== true) throw this.#notConnected();
    const { timeoutMs } = options;
    const rest = timeoutMs === undefined ? {} : { timeoutMs: Math.max(1, timeoutMs - (clock.monotonicMs() - startMs)) };
    const call = { method, request, toNodeId: this.nodeId, options: { ...options, ...rest } };
    return { ...call, connection: this.#connection };
  }

  #notConnected(): LogboomError {
    if (this.#state === 'stopped')
      return new LogboomError('SHUTTING_DOWN', `the link to node ${this.nodeId} is closed`);
    const detail = this.#lastFailure?.error.message ?? 'not connected yet';
    return unreachable(`no link to node ${this.nodeId}: ${detail}`, 'not-sent', this.#lastFailure?.error);
  }

  #connected(method: string, { timeoutMs, signal }: CallOptions): Promise<void> {
    return new Promise((resolve, reject) => {
      const { clock } = this.#parts.environment;
      const finish = (failure: LogboomError | undefined): void => {
        timer?.cancel();
        signal?.removeEventListener('abort', onAbort);
        if (failure === undefined) resolve();
        else reject(failure);
      };
      const onAbort = (): void => finish(new LogboomError('CANCELLED', `the caller of ${method} gave up`));
      const timer =
        timeoutMs === undefined
          ? undefined
          : clock.setTimer(timeoutMs, () =>
              finish(new LogboomError('DEADLINE_EXCEEDED', `no link to node ${this.nodeId} within ${timeoutMs} ms`)),
            );
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(finish);
    });
  }

  #tellWaiting(failure: LogboomError | undefined): void {
    for (const tell of this.#waiting.splice(0)) tell(failure);
  }

  #countCall(method: string, failure: unknown): void {
    const reason = failure === undefined ? 'OK' : isLogboomError(failure) ? failure.reason : 'INTERNAL';
    this.#parts.metrics.calls.add(1, { method, reason });
  }
}
