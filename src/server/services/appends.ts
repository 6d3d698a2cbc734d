/** The path of an append on this node: parse in place, check, verify, route, propose. */
import { LogboomError, isLogboomError } from '../../base/errors.js';
import { latencyBoundsSeconds } from '../../base/ports/metrics.js';
import {
  appendCommand,
  encodeCommand,
  expectResult,
  parseRecordBatch,
  requireStream,
  verifyBatch,
} from '../../streams/index.js';
import { orAborted } from '../rpc/calls.js';
import { decodeAppendRequest } from '../wire/requests.js';
import { encodeAppendResponse, encodeAppendSessionError, encodeAppendSessionOk } from '../wire/responses.js';
import type { Environment } from '../../base/ports/environment.js';
import type { Counter, Histogram } from '../../base/ports/metrics.js';
import type { AppendedResult, StreamsLimits } from '../../streams/index.js';
import type { AppendAdmission } from '../admission.js';
import type { AppendTurn, SessionAppends, SessionRequest } from './session-appends.js';
import type { Router } from './routing.js';

export interface AppenderParts {
  readonly environment: Environment;
  readonly router: Router;
  readonly admission: AppendAdmission;
  readonly limits: StreamsLimits;
}

export class Appender {
  readonly #environment: Environment;
  readonly #router: Router;
  readonly #admission: AppendAdmission;
  readonly #limits: StreamsLimits;
  readonly #records: Counter;
  readonly #bytes: Counter;
  readonly #refused: Counter;
  readonly #seconds: Histogram;

  constructor(parts: AppenderParts) {
    this.#environment = parts.environment;
    this.#router = parts.router;
    this.#admission = parts.admission;
    this.#limits = parts.limits;
    const { metrics } = parts.environment;
    this.#records = metrics.counter('logboom_append_records_total', 'Records appended through this node.');
    this.#bytes = metrics.counter(
      'logboom_append_bytes_total',
      'Bytes of the batches appended through this node, as sent.',
    );
    this.#refused = metrics.counter('logboom_append_refused_total', 'Appends that failed, by reason.');
    this.#seconds = metrics.histogram(
      'logboom_append_seconds',
      'Time from an append being read to its answer, of those that succeeded.',
      latencyBoundsSeconds,
    );
  }

  /**
   * Appends what an encoded AppendRequest says. Answers when the batch is durable on a quorum and applied here; a caller
   * that gives up before the proposal keeps it from being made.
   *
   * @param bytes not changed as long as the append is under way
   * @throws LogboomError
   */
  async append(bytes: Uint8Array, signal: AbortSignal, turn?: AppendTurn): Promise<AppendedResult> {
    const { clock } = this.#environment;
    const startedMs = clock.monotonicMs();
    let release: (() => void) | undefined;
    try {
      release = this.#admission.admit(bytes.length);
      const { recordCount, payloadBytes, result } = await this.#append(bytes, signal, turn);
      this.#records.add(result.repeated ? 0 : recordCount);
      this.#bytes.add(result.repeated ? 0 : payloadBytes);
      this.#seconds.observe((clock.monotonicMs() - startedMs) / 1000);
      return result;
    } catch (error) {
      this.#refused.add(1, { reason: isLogboomError(error) ? error.reason : 'INTERNAL' });
      throw error;
    } finally {
      release?.();
      turn?.done();
    }
  }

  /** The same as a unary call. The append goes on when its caller is gone, and gives back its share when it ends. */
  async appendUnary(bytes: Uint8Array, signal: AbortSignal): Promise<Buffer> {
    return encodeAppendResponse(await orAborted(this.append(bytes, signal), signal));
  }

  async #append(
    bytes: Uint8Array,
    signal: AbortSignal,
    turn: AppendTurn | undefined,
  ): Promise<{ recordCount: number; payloadBytes: number; result: AppendedResult }> {
    const request = decodeAppendRequest(bytes);
    if (request.batch === undefined) throw new LogboomError('BATCH_EMPTY', 'the append has no batch');
    const { compressor, crc32, clock } = this.#environment;
    const batch = await verifyBatch(parseRecordBatch(request.batch), { compressor, crc32, limits: this.#limits });
    // Verified side by side, proposed one after another: the order of a session is the order of its messages.
    if (turn) await turn.previous;
    if (signal.aborted) throw signal.reason;
    const replica = this.#router.replicaOfStream(request.stream);
    const stream = requireStream(replica.machine, request.stream);
    const command = appendCommand(stream, batch, request, this.#limits);
    const proposed = replica.propose(encodeCommand(command, { timeMs: Math.floor(clock.wallMs()) }));
    turn?.done();
    const { result } = await proposed;
    return {
      recordCount: batch.recordCount,
      payloadBytes: batch.payload.length,
      result: expectResult(result, 'appended'),
    };
  }
}

/** Appends of sessions, carried out on this node. */
export class LocalAppends implements SessionAppends {
  readonly #appender: Appender;
  readonly #publicError: (error: unknown) => LogboomError;

  /** @param publicError the error as the client may see it */
  constructor(appender: Appender, publicError: (error: unknown) => LogboomError) {
    this.#appender = appender;
    this.#publicError = publicError;
  }

  async answer({ append, requestId }: SessionRequest, signal: AbortSignal, turn: AppendTurn): Promise<Buffer> {
    try {
      return encodeAppendSessionOk(requestId, await this.#appender.append(append, signal, turn));
    } catch (error) {
      return encodeAppendSessionError(requestId, this.#publicError(error));
    }
  }

  close(): void {}
}
