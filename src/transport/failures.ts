/** What goes wrong on a link, as errors of this project. */
import { isLogboomError, LogboomError, type Reason } from '../base/errors.js';
import { LinkFormatError } from './frame.js';

/** `not-sent`: the request was certainly not carried out. */
export type CallOutcome = 'not-sent' | 'unknown';

export function unreachable(detail: string, outcome: CallOutcome, cause?: unknown): LogboomError {
  return new LogboomError('NODE_UNREACHABLE', detail, {
    facts: { outcome },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** An error of any kind, met while talking to another node. */
export function linkFailure(error: unknown, outcome: CallOutcome): LogboomError {
  if (isLogboomError(error)) return error;
  if (error instanceof LinkFormatError) {
    return new LogboomError('LINK_CORRUPT', error.message, { facts: { fault: error.fault, outcome }, cause: error });
  }
  return unreachable(error instanceof Error ? error.message : String(error), outcome, error);
}

/** What a connection that breaks, or a peer that is on its way down, ends with. */
const passing: readonly Reason[] = ['NODE_UNREACHABLE', 'LINK_CORRUPT', 'SHUTTING_DOWN', 'QUEUE_FULL'];

/** Whether one of the two nodes turned the other away. */
export function isRefusal({ reason }: LogboomError): boolean {
  return !passing.includes(reason);
}

export function tooLarge(what: string, bytesMax: number): LogboomError {
  return new LogboomError('MESSAGE_TOO_LARGE', `${what} exceeds its limit of ${bytesMax} bytes`, {
    facts: { bytesMax },
  });
}
