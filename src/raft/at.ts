import { InvariantViolation } from '../base/assert.js';

/** The element at an index that is in range by construction. */
export function at<T>(list: readonly T[], index: number): T {
  const value = list[index];
  if (value === undefined) throw new InvariantViolation(`index ${index} of a list of ${list.length}`);
  return value;
}
