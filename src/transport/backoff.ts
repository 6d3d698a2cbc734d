import type { Random } from '../base/ports/random.js';

/**
 * How long to wait before attempt `attempt + 1`, after `attempt` failed ones (from 1): doubled each time, at most
 * `maxMs`, and of that a random part between a half and the whole, so that nodes that lost the same peer do not come
 * back in step.
 */
export function backoffMs(limits: { minMs: number; maxMs: number }, attempt: number, random: Random): number {
  const wholeMs = Math.min(limits.maxMs, limits.minMs * 2 ** Math.min(attempt - 1, 30));
  return (wholeMs / 2) * (1 + random.nextUint32() / 2 ** 32);
}
