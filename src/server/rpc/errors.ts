/** What a failed call tells its caller: known errors as they are, everything else as INTERNAL without details. */
import { Metadata } from '@grpc/grpc-js';
import { LogboomError, errorRegistry, isLogboomError } from '../../base/errors.js';
import { nextIdentity } from '../../base/ports/random.js';
import { boundedText, encodeStatus } from '../wire/status.js';
import { ForwardedError } from './forwarded-error.js';
import type { ServiceError } from '@grpc/grpc-js';
import type { Logger } from '../../base/ports/logger.js';
import type { Random } from '../../base/ports/random.js';

const detailsKey = 'grpc-status-details-bin';

export class ErrorReporter {
  readonly #logger: Logger;
  readonly #random: Random;
  readonly #explain: (error: LogboomError) => LogboomError;

  /** @param explain puts errors of inner layers in the terms of callers */
  constructor(
    parts: { readonly logger: Logger; readonly random: Random },
    explain: (error: LogboomError) => LogboomError = (error) => error,
  ) {
    this.#logger = parts.logger;
    this.#random = parts.random;
    this.#explain = explain;
  }

  /**
   * The error as the caller may see it. An unexpected one is logged, and the caller gets the number under which it was
   * logged: messages and stacks of bugs may hold what is none of the caller's business.
   */
  publicError(error: unknown, method: string): LogboomError {
    if (error instanceof ForwardedError) return error;
    if (isLogboomError(error) && error.reason !== 'INTERNAL') return this.#explain(error);
    const errorId = nextIdentity(this.#random).toString(16).padStart(14, '0');
    this.#logger.error('a request met an unexpected error', { method, errorId, error });
    return new LogboomError('INTERNAL', `the node met an unexpected error; its log has it under ${errorId}`, {
      facts: { error_id: errorId },
    });
  }
}

/** The status of a call, as grpc-js takes it. */
export function toServiceError(error: LogboomError): ServiceError {
  const metadata = new Metadata();
  if (error instanceof ForwardedError) {
    const { code, details, metadata: answered } = error.serviceError;
    for (const value of answered?.get(detailsKey) ?? []) metadata.add(detailsKey, value);
    return Object.assign(new Error(details), { code, details, metadata });
  }
  metadata.set(detailsKey, encodeStatus(error));
  const details = boundedText(error.message);
  return Object.assign(new Error(details), { code: errorRegistry[error.reason].status, details, metadata });
}
