/** `run`: a range of seeds, over several processes, and what they met together. */
import { fork } from 'node:child_process';
import { coverageSeedsMin, missingCoverage } from '../report/coverage.js';
import { describeReport, runSeed, statusOf, type SeedOptions, type SeedReport } from './run-seed.js';

export interface RangeOptions extends SeedOptions {
  readonly seeds: readonly number[];
  readonly jobs: number;
  readonly commit: string;
  /** The main program, for further processes. */
  readonly program: string;
  readonly print: (line: string) => void;
}

/** The exit status of a range whose runs passed, but which did not meet what it was to meet. */
const notCovered = 1;

/** Answers the exit status. */
export async function runRange(options: RangeOptions): Promise<number> {
  const { seeds, jobs, print, profile, durationMs, commit } = options;
  print(
    `profile ${profile}, commit ${commit}, ${seeds.length} seeds of ${durationMs / 1000} simulated s, ${jobs} jobs`,
  );
  const reports: SeedReport[] = [];
  const onReport = (report: SeedReport): void => {
    reports.push(report);
    print(describeReport(report));
  };
  const startedMs = performance.now();
  if (jobs <= 1) await runHere(options, onReport);
  else await runInChildren(options, onReport);
  const wallMs = performance.now() - startedMs;
  const counts = sumOfCounts(reports);
  for (const [name, count] of Object.entries(counts)) print(`${String(count).padStart(12)}  ${name}`);
  const simulatedMs = reports.reduce((sum, report) => sum + report.simulatedMs, 0);
  const cpuMs = reports.reduce((sum, report) => sum + report.cpuMs, 0);
  print(
    `${(simulatedMs / 1000).toFixed(0)} simulated s in ${(wallMs / 1000).toFixed(1)} wall s: ${Math.round(simulatedMs / wallMs)} a wall ` +
      `second, ${Math.round(simulatedMs / Math.max(1, cpuMs))} a core second`,
  );
  const failed = reports.filter(({ outcome }) => outcome.type !== 'passed');
  if (failed.length > 0) {
    print(`FAILED seeds: ${failed.map(({ seed }) => seed).join(' ')} (npm run sim -- viz SEED, shrink SEED)`);
    return Math.max(...failed.map(({ outcome }) => statusOf(outcome)));
  }
  return coverage(options, counts);
}

function coverage({ profile, seeds, print }: RangeOptions, counts: Record<string, number>): number {
  const missing = missingCoverage(profile, counts);
  if (missing.length === 0) {
    print('all passed, and everything that was to happen happened');
    return 0;
  }
  print(`never happened: ${missing.join(', ')}`);
  if (seeds.length >= coverageSeedsMin) return notCovered;
  print(`all passed (a range of fewer than ${coverageSeedsMin} seeds need not meet everything)`);
  return 0;
}

/** Each run in a macrotask of its own, as `World` demands. */
async function runHere({ seeds, ...options }: RangeOptions, onReport: (report: SeedReport) => void): Promise<void> {
  for (const seed of seeds) onReport(await inMacrotask(() => runSeed(seed, options)));
}

export function inMacrotask<Result>(work: () => Result): Promise<Result> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(work());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });
}

function runInChildren(options: RangeOptions, onReport: (report: SeedReport) => void): Promise<void> {
  const { seeds, jobs, program, profile, durationMs, mutant } = options;
  const queue = [...seeds];
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(program, ['worker'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      let current: number | undefined;
      const next = (): void => {
        current = queue.shift();
        if (current === undefined) child.disconnect();
        else child.send({ seed: current, options: { profile, durationMs, mutant } });
      };
      child.on('message', (report: SeedReport) => {
        onReport(report);
        next();
      });
      child.on('error', reject);
      child.on('exit', (code) => {
        if (current === undefined) return resolve();
        // The process itself died: a stack or heap that ran over, for one.
        const error = `the simulator ended with status ${code}`;
        onReport({
          seed: current,
          outcome: { type: 'crashed', error, atMs: 0 },
          traceHash: '',
          simulatedMs: 0,
          wallMs: 0,
          cpuMs: 0,
          events: 0,
          counts: {},
        });
        resolve(queue.length > 0 ? work() : undefined);
      });
      next();
    });
  return Promise.all(Array.from({ length: Math.min(jobs, seeds.length) }, work)).then(() => {});
}

/** The other end: runs what it is sent, until nobody is there any more. */
export function serveAsWorker(): void {
  process.on('message', ({ seed, options }: { seed: number; options: SeedOptions }) => {
    setImmediate(() => process.send?.(runSeed(seed, options)));
  });
}

function sumOfCounts(reports: readonly SeedReport[]): Record<string, number> {
  const sum = new Map<string, number>();
  for (const { counts } of reports) {
    for (const [name, count] of Object.entries(counts)) sum.set(name, (sum.get(name) ?? 0) + count);
  }
  return Object.fromEntries([...sum].sort(([a], [b]) => (a < b ? -1 : 1)));
}
