/** What a failed call tells its caller: known errors as they are, everything else as INTERNAL without details. */
import { Metadata } from '@grpc/grpc-js';
import { LogboomError, errorRegistry, isLogboomError } from '../../base/errors.js';
import { nextIdentity } from '../../base/ports/random.js';
import { boundedText, encodeStatus } from '../wire/status.js';
import type { ServiceError } from '@grpc/grpc-js';
import type { Logger } from '../../base/ports/logger.js';
import type { Random } from '../../base/ports/random.js';

export class ErrorReporter {
  readonly #logger: Logger;
  readonly #random: Random;

  constructor(parts: { readonly logger: Logger; readonly random: Random }) {
    this.#logger = parts.logger;
    this.#random = parts.random;
  }

  /**
   * The error as the caller may see it. An unexpected one is logged, and the caller gets the number under which it was
   * logged: messages and stacks of bugs may hold what is none of the caller's business.
   */
  publicError(error: unknown, method: string): LogboomError {
    if (isLogboomError(error) && error.reason !== 'INTERNAL') return error;
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
  metadata.set('grpc-status-details-bin', encodeStatus(error));
  const details = boundedText(error.message);
  return Object.assign(new Error(details), { code: errorRegistry[error.reason].status, details, metadata });
}
