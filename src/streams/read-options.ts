/** Bounds of read requests. Out of range is refused by name, not bent. */
import { LogboomError } from '../base/errors.js';
import { readLimits } from './limits.js';

export function pageLimit(limit: number | undefined): number {
  return inRange('limit', limit ?? readLimits.recordsDefault, 1, readLimits.recordsMax);
}

export function pageBytes(maxBytes: number | undefined): number {
  return inRange('max_bytes', maxBytes ?? readLimits.bytesDefault, readLimits.bytesMin, readLimits.bytesMax);
}

/** Unknown codecs in the list do no harm. */
export function acceptedCodecs(codecs: readonly number[] | undefined): readonly number[] {
  return codecs ?? [];
}

/** @throws LogboomError INVALID_ARGUMENT */
export function inRange(field: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new LogboomError('INVALID_ARGUMENT', `${field} is ${value}; it must be ${min} to ${max}.`, {
    facts: { field, value, min, max },
  });
}
