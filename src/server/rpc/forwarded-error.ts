import { errorRegistry, LogboomError } from '../../base/errors.js';
import type { ServiceError } from '@grpc/grpc-js';
import type { Reason } from '../../base/errors.js';
import type { ErrorInfo } from '../wire/status.js';

/**
 * The answer of another node, to be passed on as it came: also where it is of a newer build and has a reason that this
 * one does not know.
 */
export class ForwardedError extends LogboomError {
  readonly serviceError: ServiceError;

  constructor(error: ServiceError, info: ErrorInfo | undefined) {
    const reason =
      info !== undefined && Object.hasOwn(errorRegistry, info.reason) ? (info.reason as Reason) : 'INTERNAL';
    super(reason, error.details, { facts: info?.facts ?? {}, cause: error });
    this.serviceError = error;
  }
}
