import { errorRegistry, GrpcStatus, isLogboomError, LogboomError } from '../base/errors.js';
import { neverSent } from './channels.js';
import type { Reason } from '../base/errors.js';

/**
 * What can go wrong between the caller and a server, as opposed to what a server answers (a {@link LogboomError}).
 *
 * - `UNREACHABLE` no address could be connected to; the request was never sent
 * - `CONNECTION_LOST` the connection broke while a request was under way
 * - `OUTCOME_UNKNOWN` an append without a producer id met a lost connection: it may or may not be stored
 * - `APPENDER_FULL` more is pending than the appender's limits allow; wait for `ready()`
 * - `CLOSED` the client or the appender was closed
 * - `PROTOCOL` the peer sent something that is not this API
 * - `REFUSED` the peer refused with a status that carries no reason of Logboom's (a proxy, another service)
 */
export type ClientErrorCode =
  'UNREACHABLE' | 'CONNECTION_LOST' | 'OUTCOME_UNKNOWN' | 'APPENDER_FULL' | 'CLOSED' | 'PROTOCOL' | 'REFUSED';

/** A failure on the client's side of the API. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;

  constructor(code: ClientErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }
}

export function isClientError(error: unknown, code?: ClientErrorCode): error is ClientError {
  return error instanceof ClientError && (code === undefined || error.code === code);
}

/** Refusals that come before anything is proposed: the append is certainly not stored. */
const certainlyNotDone: ReadonlySet<Reason> = new Set<Reason>([
  'NOT_LEADER',
  'QUEUE_FULL',
  'DISK_FULL',
  'SHUTTING_DOWN',
]);

/** A node that stops, and calls that were taken when their partition could not go on, say so when they do not know. */
export const isCertainlyNotDone = ({ reason, facts }: LogboomError): boolean =>
  certainlyNotDone.has(reason) && facts['outcome'] !== 'unknown';

/**
 * Whether to send the same request again.
 *
 * @param idempotent whether doing it twice does no more than doing it once; otherwise only failures that certainly
 * changed nothing are retried
 */
export function isRetryable(error: unknown, idempotent: boolean): boolean {
  if (isLogboomError(error)) {
    // Our own deadline has passed: there is no time left to try again.
    if (error.reason === 'DEADLINE_EXCEEDED') return false;
    return error.retryable && (idempotent || isCertainlyNotDone(error));
  }
  if (isClientError(error, 'UNREACHABLE')) return true;
  return isClientError(error, 'CONNECTION_LOST') && idempotent;
}

/** The error of a reason as it came over the wire; reasons of a newer server than this client fall back to its status. */
export function errorOfReason(
  reason: string,
  message: string,
  facts: Readonly<Record<string, string>>,
  retryAfterMs: number | undefined,
): LogboomError | undefined {
  if (!Object.hasOwn(errorRegistry, reason)) return undefined;
  const hint = retryAfterMs === undefined ? {} : { retryAfterMs };
  return new LogboomError(reason as Reason, message, { facts, ...hint });
}

/** The error of a gRPC status without a reason of ours: from grpc-js itself, a proxy, or another kind of server. */
export function errorOfStatus(status: number, message: string, cause: unknown): Error {
  switch (status) {
    case GrpcStatus.deadlineExceeded:
      return new LogboomError('DEADLINE_EXCEEDED', `the deadline passed${waited(message)}`, { cause });
    case GrpcStatus.cancelled:
      // Not by us, or nobody would ask: a server that is killed resets its streams with this.
      return new ClientError('CONNECTION_LOST', `the connection was lost: ${message}`, { cause });
    case GrpcStatus.unavailable:
      // Anything else may have reached the server.
      return neverSent.test(message)
        ? new ClientError('UNREACHABLE', reachMessage(message), { cause })
        : new ClientError('CONNECTION_LOST', `the connection was lost: ${message}`, { cause });
    case GrpcStatus.internal:
      // How grpc-js reports streams that end with the connection (RST_STREAM, closed sessions).
      if (/RST_STREAM|stream (was )?(closed|ended)|session|GOAWAY|ECONNRESET/i.test(message))
        return new ClientError('CONNECTION_LOST', `the connection was lost: ${message}`, { cause });
      return new ClientError('REFUSED', `the server failed (gRPC status ${status}): ${message}`, { cause });
    default:
      return new ClientError('REFUSED', `the server refused (gRPC status ${status}): ${message}`, { cause });
  }
}

/** How long, out of grpc-js's list of where the time went; what another peer says as it is. */
function waited(message: string): string {
  const seconds = /^Deadline exceeded after ([\d.]+)s/.exec(message)?.[1];
  return seconds === undefined ? `: ${message}` : ` after ${seconds} s without an answer`;
}

/** The cause in grpc-js's words, without its own frame and time stamp. */
function reachMessage(message: string): string {
  const detail = /Last error: (.*?)\.?(?: Resolution note:.*)?$/s.exec(message)?.[1] ?? message;
  return `no server answers: ${detail
    .replace(/^Error: /, '')
    .replace(/ \(\d{4}-[\d-]+T[\d:.]+Z\)/, '')
    .trim()}`;
}
