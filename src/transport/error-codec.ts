/**
 * Errors on links: a JSON object in UTF-8, the body of an error frame.
 *
 * ```
 * {"reason": "QUEUE_FULL", "message": "...", "facts": {"limit": 12}, "retryAfterMs": 50, "retryable": true}
 * ```
 *
 * `retryAfterMs` may be absent. `retryable` is for receivers that do not know the reason: they are of an older build.
 */
import { errorRegistry, LogboomError, type ErrorFacts, type Reason } from '../base/errors.js';

const messageCharactersMax = 8192;
const decoder = new TextDecoder('utf-8', { fatal: true });
const encoder = new TextEncoder();

export function encodeError(error: LogboomError): Uint8Array {
  const { reason, message, facts, retryAfterMs, retryable } = error;
  return encoder.encode(
    JSON.stringify({ reason, message: message.slice(0, messageCharactersMax), facts, retryAfterMs, retryable }),
  );
}

/** The error in `body`; LINK_CORRUPT when there is none, and INTERNAL for a reason that this build does not know. */
export function decodeError(body: Uint8Array): LogboomError {
  const fields = parse(body);
  if (fields === undefined) return new LogboomError('LINK_CORRUPT', 'the other node answered a malformed error');
  const { reason, message, facts, retryAfterMs, retryable } = fields;
  const known = Object.hasOwn(errorRegistry, reason);
  return new LogboomError(known ? (reason as Reason) : 'INTERNAL', known ? message : `${reason}: ${message}`, {
    facts: known ? facts : { ...facts, reason, retryable: String(retryable) },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

interface Fields {
  readonly reason: string;
  readonly message: string;
  readonly facts: ErrorFacts;
  readonly retryAfterMs: number | undefined;
  readonly retryable: boolean;
}

function parse(body: Uint8Array): Fields | undefined {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { reason, message, facts, retryAfterMs, retryable } = value as Record<string, unknown>;
  const isWhole =
    typeof reason === 'string' &&
    typeof message === 'string' &&
    typeof retryable === 'boolean' &&
    (retryAfterMs === undefined || (typeof retryAfterMs === 'number' && retryAfterMs >= 0)) &&
    areFacts(facts);
  return isWhole ? { reason, message, facts, retryAfterMs, retryable } : undefined;
}

function areFacts(value: unknown): value is ErrorFacts {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((fact) => typeof fact === 'string' || typeof fact === 'number');
}
