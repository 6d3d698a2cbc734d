import { GrpcStatus, isLogboomError, LogboomError } from '../base/errors.js';
import { ClientError, isCertainlyNotDone, isClientError, isRetryable } from './errors.js';
import { method } from './connection.js';
import type { Connection, Duplex } from './connection.js';
import { appendSessionResponse } from './messages.js';
import type { AppendResponseMessage } from './messages.js';
import { backoffMs } from './retry.js';
import type { Route } from './routes.js';
import { SilenceWatch } from './silence-watch.js';
import { errorOfAppend } from './status.js';

/** A batch on its way. */
export interface OutgoingBatch {
  readonly requestId: number;
  /** The encoded request; undefined while the batch is being compressed. */
  request: Buffer | undefined;
}

/** What the session tells its owner; exactly one of the two for each batch. */
export interface SessionEvents<Batch> {
  stored(batch: Batch, response: AppendResponseMessage): void;
  /** @param fatal whether everything behind the batch fails with it */
  failed(batch: Batch, error: Error, fatal: boolean): void;
  /** Nothing was stored for a while, for this reason; told once, until `resumed`. */
  interrupted(cause: Error): void;
  resumed(): void;
}

export interface SessionOptions {
  readonly stream: string;
  /** Whether a batch may be sent again when it is not known whether it was stored. */
  readonly idempotent: boolean;
  readonly inFlightBatchesMax: number;
  /** How long to go on without any progress. */
  readonly giveUpAfterMs: number;
}

/** A lost connection that is back, or a short back-pressure, before that is nobody's business. */
const interruptionMs = 1000;

/** Refusals that follow from the refusal of a batch before: its record numbers, or its positions, are missing. */
const followsFromRefusal = new Set(['PRODUCER_GAP', 'SEQ_MISMATCH']);

/**
 * Sends batches through an AppendSession, in order, several at a time, and keeps each until its answer is here. When the
 * connection breaks, or the server refuses a batch for now, it sends again from the first batch without an answer, byte
 * for byte the same. Batches are stored in the order they were given, none twice and none left out, as long as they carry
 * a producer (the server recognises repeats, and refuses what comes after a gap); without one only a single batch is in
 * flight, and one whose outcome is unknown is reported, never sent again.
 *
 * The queue at any time, in the order of the batches:
 *
 * ```
 * | refused for now, to be sent again | sent, no answer yet | not sent yet |
 *  <--------- refusedCount -----------> <- the rest of sentCount ->
 * ```
 *
 * While there are refused ones nothing new is sent; when every sent one has its answer, all go again.
 *
 * A session that was opened elsewhere than where the stream's leader is now known to be still works, because nodes pass
 * appends on. It moves: when all that was sent has its answer, what comes next goes through a session to the leader.
 */
export class AppendSession<Batch extends OutgoingBatch> {
  readonly #connection: Connection;
  readonly #options: SessionOptions;
  readonly #events: SessionEvents<Batch>;
  readonly #queue: Batch[] = [];
  #sentCount = 0;
  #refusedCount = 0;
  #call: Duplex | undefined;
  #route: Route;
  #silenceWatch: SilenceWatch | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #stallTimer: NodeJS.Timeout | undefined;
  #failures = 0;
  #progressAtMs = 0;
  #lastRefusal: Error | undefined;
  #toldInterruption = false;
  #ended = false;
  #failure: Error | undefined;

  constructor(connection: Connection, options: SessionOptions, events: SessionEvents<Batch>) {
    this.#connection = connection;
    this.#options = options;
    this.#events = events;
    this.#route = connection.route(options.stream);
  }

  /** Batches without a final answer. */
  get unsettledCount(): number {
    return this.#queue.length;
  }

  /** Takes a batch; it is sent as soon as it has its request and its turn. */
  offer(batch: Batch): void {
    if (this.#ended) return this.#events.failed(batch, this.#failure ?? closed(), true);
    if (this.#queue.length === 0) this.#progressAtMs = Date.now();
    this.#queue.push(batch);
    this.pump();
  }

  /** Sends what can be sent; to be called when a batch got its request. */
  pump(): void {
    if (this.#ended || this.#retryTimer || this.#refusedCount > 0) return;
    if (this.#call && this.#shouldMove()) {
      if (this.#sentCount > 0) return;
      this.#endCall();
    }
    while (this.#sentCount < this.#queue.length && this.#sentCount < this.#options.inFlightBatchesMax) {
      const request = (this.#queue[this.#sentCount] as Batch).request;
      if (!request) return;
      const call = (this.#call ??= this.#open());
      this.#sentCount += 1;
      this.#watchStall();
      this.#watchSilence();
      call.write(request);
    }
  }

  /** Ends the call. Batches that are still here are forgotten: their owner knows them. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#stallTimer);
    this.#queue.length = 0;
    this.#endCall();
  }

  /** Nothing more is sent through the call, and nothing that was sent waits for its answer. */
  #endCall(): void {
    const call = this.#call;
    this.#forgetCall();
    if (!call) return;
    call.end();
    // A session that the peer does not end in return must not keep the process alive.
    setTimeout(() => call.cancel(), 1000).unref();
  }

  #forgetCall(): void {
    this.#call = undefined;
    this.#restSilenceWatch();
  }

  #shouldMove(): boolean {
    const route = this.#connection.route(this.#options.stream);
    return route.address !== this.#route.address && this.#connection.isDirect(route);
  }

  #open(): Duplex {
    this.#route = this.#connection.route(this.#options.stream);
    const call = this.#connection.duplex(method.appendSession, this.#route);
    const { address } = this.#route;
    call.on('data', (bytes: Buffer) => {
      if (call === this.#call) this.#answered(bytes);
    });
    let failure: Error | undefined;
    call.on('error', (error: Error & { code: number; details: string }) => {
      failure = this.#connection.errorOfStream(call, error, address);
      if (call === this.#call) this.#broken(failure);
    });
    call.on('end', () => {
      // The status follows; when it is OK the server ended a session that we did not.
      setImmediate(() => {
        if (call === this.#call && !failure)
          this.#broken(new ClientError('CONNECTION_LOST', `the server ended the session (${address})`));
      });
    });
    return call;
  }

  #answered(bytes: Buffer): void {
    const answer = this.#decode(bytes);
    if (!answer) return;
    this.#silenceWatch?.heard();
    const batch = this.#refusedCount < this.#sentCount ? this.#queue[this.#refusedCount] : undefined;
    if (!batch || batch.requestId !== answer.requestId) {
      const expected = batch ? String(batch.requestId) : 'none';
      return this.#fatal(
        new ClientError('PROTOCOL', `answer to request ${answer.requestId} of the session, expected ${expected}`),
      );
    }
    if (answer.ok) this.#stored(batch, answer.ok);
    else if (answer.error) this.#refused(batch, errorOfAppend(answer.error));
    else return this.#fatal(new ClientError('PROTOCOL', `an answer without a result to request ${answer.requestId}`));
    if (this.#refusedCount > 0 && this.#refusedCount === this.#sentCount) this.#sendAgainLater(undefined);
    else this.pump();
  }

  #decode(bytes: Buffer): ReturnType<typeof appendSessionResponse.decode> | undefined {
    try {
      return appendSessionResponse.decode(bytes);
    } catch (error) {
      this.#fatal(error as Error);
      return undefined;
    }
  }

  #stored(batch: Batch, response: AppendResponseMessage): void {
    this.#queue.splice(this.#refusedCount, 1);
    this.#sentCount -= 1;
    if (this.#failures > 0) this.#connection.answered(this.#route);
    this.#failures = 0;
    this.#progressAtMs = Date.now();
    if (this.#sentCount === 0) this.#restSilenceWatch();
    if (this.#toldInterruption) this.#events.resumed();
    this.#toldInterruption = false;
    this.#events.stored(batch, response);
  }

  #refused(batch: Batch, error: Error): void {
    const followsFrom = this.#refusedCount > 0 && isLogboomError(error) && followsFromRefusal.has(error.reason);
    if (followsFrom) {
      this.#refusedCount += 1;
      return;
    }
    // A deadline of the server's own: ours would not come as an answer.
    const again = isRetryable(error, this.#options.idempotent) || (this.#options.idempotent && isRetryLater(error));
    if (again) {
      this.#refusedCount += 1;
      this.#lastRefusal = error;
      return;
    }
    if (!this.#options.idempotent && isLogboomError(error) && error.retryable) {
      // May be stored or not, as with a lost connection; what comes behind it does not depend on it.
      this.#drop(this.#refusedCount, outcomeUnknown(error));
      return;
    }
    this.#fatal(error);
  }

  #drop(index: number, error: Error): void {
    const [batch] = this.#queue.splice(index, 1);
    this.#sentCount -= 1;
    if (batch) this.#events.failed(batch, error, false);
  }

  #broken(error: Error): void {
    this.#forgetCall();
    this.#connection.failed(this.#route, error);
    if (this.#connection.closed) return this.#fatal(closed());
    // Nobody waits for anything: the next batch opens another session.
    if (this.#queue.length === 0) return;
    // A node that stops has answered all that it took off the session before it ends it: what is left was never looked at.
    const neverTaken = isLogboomError(error, 'SHUTTING_DOWN') && isCertainlyNotDone(error);
    const neverSent = isClientError(error, 'UNREACHABLE') || neverTaken;
    if (!neverSent && !isRetryable(error, true) && !isRetryLater(error)) return this.#fatal(error);
    if (!neverSent && !this.#options.idempotent)
      while (this.#sentCount > this.#refusedCount) this.#drop(this.#refusedCount, outcomeUnknown(error));
    this.#sendAgainLater(error);
  }

  /** After a delay all that is in the queue goes again, from the first. */
  #sendAgainLater(error: Error | undefined): void {
    const cause = error ?? this.#lastRefusal;
    if (!error) this.#leaveSession(cause);
    this.#sentCount = 0;
    this.#refusedCount = 0;
    clearTimeout(this.#stallTimer);
    this.#stallTimer = undefined;
    if (this.#ended || this.#queue.length === 0) return;
    const { options } = this.#connection;
    this.#failures += 1;
    const delayMs =
      isClientError(cause, 'UNREACHABLE') && this.#failures < this.#connection.addressCount
        ? 0
        : backoffMs(options.retry, this.#failures, cause, options.random);
    if (Date.now() + delayMs - this.#progressAtMs > this.#options.giveUpAfterMs)
      return this.#fatal(cause ?? new ClientError('CONNECTION_LOST', 'the session ended'));
    if (cause && !this.#toldInterruption && Date.now() + delayMs - this.#progressAtMs > interruptionMs) {
      this.#toldInterruption = true;
      this.#events.interrupted(cause);
    }
    options.logger.debug('append session interrupted, sending again', { delayMs, error: cause });
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.pump();
    }, delayMs);
  }

  /** Sends again through another node when this one cannot take it, otherwise through the same session. */
  #leaveSession(refusal: Error | undefined): void {
    if (!isLogboomError(refusal)) return;
    this.#connection.failed(this.#route, refusal);
    if (refusal.reason === 'NOT_LEADER' || refusal.reason === 'SHUTTING_DOWN') this.#endCall();
  }

  /** Only what may be sent again is taken away from a node that does not answer. */
  #watchSilence(): void {
    if (!this.#options.idempotent || this.#silenceWatch) return;
    this.#silenceWatch = new SilenceWatch(this.#connection, this.#route, (error) => {
      const call = this.#call;
      this.#broken(error);
      call?.cancel();
    });
  }

  #restSilenceWatch(): void {
    this.#silenceWatch?.end();
    this.#silenceWatch = undefined;
  }

  #watchStall(): void {
    this.#stallTimer ??= setTimeout(() => {
      this.#stallTimer = undefined;
      if (this.#sentCount === 0) return;
      const waitedMs = Date.now() - this.#progressAtMs;
      if (waitedMs < this.#options.giveUpAfterMs) return this.#watchStall();
      this.#fatal(new LogboomError('DEADLINE_EXCEEDED', `no append was answered for ${waitedMs} ms`));
    }, this.#options.giveUpAfterMs);
  }

  /** Fails all that is here with `error`, and ends. */
  fail(error: Error): void {
    if (!this.#ended) this.#fatal(error);
  }

  #fatal(error: Error): void {
    this.#failure = error;
    const batches = this.#queue.splice(0);
    const call = this.#call;
    this.#forgetCall();
    this.end();
    call?.cancel();
    for (const batch of batches) this.#events.failed(batch, error, true);
  }
}

const closed = (): ClientError => new ClientError('CLOSED', 'the client was closed');

const isRetryLater = (error: Error): boolean => isLogboomError(error) && error.status === GrpcStatus.deadlineExceeded;

function outcomeUnknown(cause: Error): ClientError {
  const message = `it is not known whether the records were stored, and without a producer they cannot be sent again: ${cause.message}`;
  return new ClientError('OUTCOME_UNKNOWN', message, { cause });
}
