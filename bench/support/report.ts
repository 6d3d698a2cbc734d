import type { MachineFigures } from './machine.js';
import { spreadOf } from './statistics.js';
import type { Bound, Figures, Workload } from './workload.js';

export interface WorkloadResult {
  readonly workload: Workload;
  readonly runs: readonly Figures[];
  /** Measured just before each run. */
  readonly machine: readonly MachineFigures[];
}

/** Median of a figure over the runs. */
export function medianOf<Name extends string>(runs: readonly Readonly<Record<Name, number>>[], name: Name): number {
  return spreadOf(runs.map((run) => run[name])).median;
}

export function meets(bound: Bound, value: number): boolean {
  return bound.at === 'least' ? value >= bound.value : value <= bound.value;
}

function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return value.toPrecision(3);
}

export function printResults(results: readonly WorkloadResult[]): void {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  for (const { workload, runs, machine } of results) {
    print('');
    print(`${workload.name}: ${workload.description}`);
    for (const figure of Object.keys(runs[0] ?? {})) {
      const { min, median, max } = spreadOf(runs.map((run) => run[figure] ?? Number.NaN));
      const spread = runs.length > 1 ? `   (${digits(min)} to ${digits(max)})` : '';
      const target = workload.targets.find((bound) => bound.figure === figure);
      const verdict =
        target === undefined
          ? ''
          : `   target: at ${target.at} ${digits(target.value)}, ${meets(target, median) ? 'met' : 'MISSED'}`;
      print(`  ${figure.padEnd(28)} ${digits(median).padStart(12)}${spread}${verdict}`);
    }
    print(
      `  machine: ${digits(medianOf(machine, 'fdatasyncPerSecond'))} fdatasync/s, disk ${digits(medianOf(machine, 'diskMbPerSecond'))} MB/s, ` +
        `memcpy ${digits(medianOf(machine, 'memcpyMbPerSecond'))} MB/s`,
    );
  }
}
