import type { LogboomError } from '../base/errors.js';
import { errorOfReason, errorOfStatus, ClientError } from './errors.js';
import type { appendError } from './messages.js';
import { errorInfo, retryInfo, rpcStatus } from './messages.js';
import type { MessageValue } from './schema.js';

/** A failed call as grpc-js reports it (`ServiceError`). */
export interface CallFailure {
  readonly code: number;
  readonly details: string;
  readonly metadata?: { get(key: string): (string | Buffer)[] };
}

/**
 * The error a failed call stands for: a {@link LogboomError} with reason and facts when the server sent them (as
 * google.rpc.ErrorInfo in `grpc-status-details-bin`), otherwise a {@link ClientError}.
 */
export function errorOfCall(failure: CallFailure): Error {
  const encoded = failure.metadata?.get('grpc-status-details-bin')[0];
  if (Buffer.isBuffer(encoded)) {
    try {
      const refusal = decodeDetails(encoded, failure.details);
      if (refusal) return refusal;
    } catch (error) {
      if (!(error instanceof ClientError)) throw error;
      // Details that cannot be read leave the status, which is enough to act on.
    }
  }
  return errorOfStatus(failure.code, failure.details, failure);
}

function decodeDetails(encoded: Buffer, message: string): LogboomError | undefined {
  let reason = '';
  let facts: Readonly<Record<string, string>> = {};
  let retryAfterMs: number | undefined;
  for (const detail of rpcStatus.decode(encoded).details) {
    if (detail.typeUrl.endsWith('/google.rpc.ErrorInfo')) {
      const info = errorInfo.decode(detail.value);
      reason = info.reason;
      facts = info.metadata;
    } else if (detail.typeUrl.endsWith('/google.rpc.RetryInfo')) {
      const delay = retryInfo.decode(detail.value).retryDelay;
      if (delay) retryAfterMs = delay.seconds * 1000 + Math.ceil(delay.nanos / 1e6);
    }
  }
  return errorOfReason(reason, message, facts, retryAfterMs);
}

/** The same for a refused append of a session. */
export function errorOfAppend(refusal: MessageValue<typeof appendError>): Error {
  const retryAfterMs = refusal.retryAfterMs > 0 ? refusal.retryAfterMs : undefined;
  return (
    errorOfReason(refusal.reason, refusal.message, refusal.facts, retryAfterMs) ??
    errorOfStatus(refusal.code, refusal.message, undefined)
  );
}
