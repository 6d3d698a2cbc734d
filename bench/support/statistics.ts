/** Value at a quantile in [0, 1] of samples that are sorted ascending; NaN of none. */
export function quantile(sorted: readonly number[], at: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))] ?? Number.NaN;
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((one, other) => one - other);
  return { min: quantile(sorted, 0), median: quantile(sorted, 0.5), max: quantile(sorted, 1) };
}

/** Latencies in milliseconds, summed up. */
export function latencies(samplesMs: readonly number[]): Record<'p50Ms' | 'p99Ms' | 'p999Ms' | 'maxMs', number> {
  const sorted = [...samplesMs].sort((one, other) => one - other);
  return {
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    p999Ms: quantile(sorted, 0.999),
    maxMs: quantile(sorted, 1),
  };
}
