/** Ratios to what the machine itself can do in the same run, against bounds wide enough for noise. Reports; never fails. */
import { medianOf, type WorkloadResult } from './support/report.js';
import type { MachineFigures } from './support/machine.js';

interface RatioBound {
  readonly workload: string;
  readonly name: string;
  readonly figure: string;
  readonly per: keyof MachineFigures;
  readonly atLeast: number;
}

const bounds: readonly RatioBound[] = [
  {
    workload: 'append-100b',
    name: 'records a fdatasync',
    figure: 'recordsPerSecond',
    per: 'fdatasyncPerSecond',
    atLeast: 15,
  },
  {
    workload: 'append-64k-random',
    name: 'share of the disk',
    figure: 'mbPerSecond',
    per: 'diskMbPerSecond',
    atLeast: 0.15,
  },
  {
    workload: 'append-one-in-flight',
    name: 'appends a fdatasync',
    figure: 'recordsPerSecond',
    per: 'fdatasyncPerSecond',
    atLeast: 0.2,
  },
];

export function checkRatios(results: readonly WorkloadResult[]): void {
  process.stdout.write('\nRatios within this run:\n');
  for (const bound of bounds) {
    const result = results.find(({ workload }) => workload.name === bound.workload);
    if (result === undefined) continue;
    const ratio = medianOf(result.runs, bound.figure) / medianOf(result.machine, bound.per);
    const verdict = ratio >= bound.atLeast ? 'within' : 'BELOW';
    process.stdout.write(
      `  ${bound.workload}: ${ratio.toFixed(2)} ${bound.name} (${verdict} the bound of ${bound.atLeast})\n`,
    );
  }
}
