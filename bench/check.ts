/** Ratios to what the machine itself can do in the same run, against bounds wide enough for noise. Reports; never fails. */
import { medianOf, type WorkloadResult } from './support/report.js';
import type { MachineFigures } from './support/machine.js';

interface RatioBound {
  readonly workload: string;
  readonly name: string;
  /** From the medians of the workload's runs and of the machine's figures beside them. */
  readonly ratio: (figure: (name: string) => number, machine: (name: keyof MachineFigures) => number) => number;
  readonly at: 'least' | 'most';
  readonly value: number;
}

const bounds: readonly RatioBound[] = [
  {
    workload: 'append-100b',
    name: 'records a fdatasync',
    ratio: (figure, machine) => figure('recordsPerSecond') / machine('fdatasyncPerSecond'),
    at: 'least',
    value: 15,
  },
  // Not MB/s against the disk's: a disk of 2 GB/s leaves CPU as the limit. These two hold whichever it is.
  {
    workload: 'append-64k-random',
    name: "of a loopback connection's MB for a second of CPU, in the server",
    ratio: (figure, machine) => 1000 / figure('serverCpuMsPerMb') / machine('loopbackMbPerCpuSecond'),
    at: 'least',
    value: 0.03,
  },
  {
    workload: 'append-64k-random',
    name: 'bytes written to the disk for each appended',
    ratio: (figure) => figure('diskBytesPerByte'),
    at: 'most',
    value: 6.5,
  },
  {
    workload: 'append-one-in-flight',
    name: 'appends a fdatasync',
    ratio: (figure, machine) => figure('recordsPerSecond') / machine('fdatasyncPerSecond'),
    at: 'least',
    value: 0.2,
  },
];

export function checkRatios(results: readonly WorkloadResult[]): void {
  process.stdout.write('\nRatios within this run:\n');
  for (const { workload, name, ratio, at, value } of bounds) {
    const result = results.find((candidate) => candidate.workload.name === workload);
    if (result === undefined) continue;
    const measured = ratio(
      (figure) => medianOf(result.runs, figure),
      (figure) => medianOf(result.machine, figure),
    );
    const within = at === 'least' ? measured >= value : measured <= value;
    const verdict = within ? 'within' : at === 'least' ? 'BELOW' : 'ABOVE';
    process.stdout.write(`  ${workload}: ${measured.toFixed(3)} ${name} (${verdict} the bound of ${value})\n`);
  }
}
