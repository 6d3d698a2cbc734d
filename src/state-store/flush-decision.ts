/** Which state store flushes next: a pure function, so that it is tested without time and disks. */
import type { PartitionId } from '../base/ids.js';

export interface FlushSchedulerOptions {
  /** Unflushed bytes of all stores together, above which the fullest one is flushed. */
  readonly budgetBytes: number;
  /**
   * Unflushed bytes of one store at which it is flushed. LevelDB syncs them at once, and commit groups of the log wait
   * behind them: docs/decisions/0006-flushes-of-8-mib.md.
   */
  readonly storeBytes: number;
  /** Age of the oldest unflushed write at which a store is flushed, however little it is. */
  readonly ageMs: number;
  /** Flushes of the node at once: each holds a pool thread, and LevelDB runs all of them on one thread anyway. */
  readonly concurrentMax: number;
  /** Unflushed bytes of all stores together, above which applies wait. */
  readonly hardLimitBytes: number;
}

const mebibyte = 1 << 20;
export const defaultFlushSchedulerOptions: FlushSchedulerOptions = {
  budgetBytes: 96 * mebibyte,
  storeBytes: 8 * mebibyte,
  ageMs: 10_000,
  concurrentMax: 2,
  hardLimitBytes: 192 * mebibyte,
};

export interface FlushCandidate {
  readonly id: PartitionId;
  /** Unflushed bytes, with those that a flush under way is writing. */
  readonly dirtyBytes: number;
  readonly dirtySinceMs: number | undefined;
  /** Undefined when no flush is under way; else the bytes that it will have made durable. */
  readonly flushingBytes: number | undefined;
  /** Ascending in the order of the demands; undefined when nobody asked. */
  readonly demand: number | undefined;
  /** A flush failed not long ago; the store is being reopened. */
  readonly resting: boolean;
}

/** In order of precedence. */
export type FlushReason = 'demand' | 'bytes' | 'budget' | 'age';

export interface ChosenFlush {
  readonly id: PartitionId;
  readonly reason: FlushReason;
}

/**
 * The flushes to start now, the most urgent first: those asked for, then stores above their own limit (the fullest
 * first), then the fullest ones until the rest keeps to the budget, then those of age (the oldest first).
 */
export function chooseFlushes(
  candidates: readonly FlushCandidate[],
  options: FlushSchedulerOptions,
  nowMs: number,
): ChosenFlush[] {
  // The usual case, met at nearly every apply: it is told without sorting anything.
  if (!isAnyDue(candidates, options, nowMs)) return [];
  const underWay = candidates.filter(({ flushingBytes }) => flushingBytes !== undefined).length;
  const eligible = candidates.filter(
    ({ dirtyBytes, flushingBytes, resting }) => dirtyBytes > 0 && flushingBytes === undefined && !resting,
  );
  const byBytes = eligible.toSorted((a, b) => b.dirtyBytes - a.dirtyBytes || a.id - b.id);
  const byAge = eligible.toSorted((a, b) => since(a) - since(b) || a.id - b.id);
  const byDemand = eligible
    .filter(({ demand }) => demand !== undefined)
    .toSorted((a, b) => (a.demand ?? 0) - (b.demand ?? 0));
  const chosen = new Map<PartitionId, FlushReason>();
  let excess = -options.budgetBytes;
  for (const { dirtyBytes, flushingBytes } of candidates) excess += dirtyBytes - (flushingBytes ?? 0);
  const choose = ({ id, dirtyBytes }: FlushCandidate, reason: FlushReason): void => {
    if (chosen.has(id)) return;
    chosen.set(id, reason);
    excess -= dirtyBytes;
  };
  for (const candidate of byDemand) choose(candidate, 'demand');
  for (const candidate of byBytes) if (candidate.dirtyBytes >= options.storeBytes) choose(candidate, 'bytes');
  for (const candidate of byBytes) if (excess > 0) choose(candidate, 'budget');
  for (const candidate of byAge) if (nowMs - since(candidate) >= options.ageMs) choose(candidate, 'age');
  return [...chosen].slice(0, Math.max(0, options.concurrentMax - underWay)).map(([id, reason]) => ({ id, reason }));
}

/** Whether some store meets one of the reasons, as far as that can be told without comparing stores. */
function isAnyDue(candidates: readonly FlushCandidate[], options: FlushSchedulerOptions, nowMs: number): boolean {
  let dirtyBytes = 0;
  for (const candidate of candidates) {
    dirtyBytes += candidate.dirtyBytes;
    if (candidate.dirtyBytes === 0 || candidate.flushingBytes !== undefined || candidate.resting) continue;
    if (candidate.demand !== undefined || candidate.dirtyBytes >= options.storeBytes) return true;
    if (nowMs - since(candidate) >= options.ageMs) return true;
  }
  return dirtyBytes > options.budgetBytes;
}

const since = ({ dirtySinceMs }: FlushCandidate): number => dirtySinceMs ?? Number.POSITIVE_INFINITY;
