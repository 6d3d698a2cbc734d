/** One run, and how it is told. */
import { makePlan } from '../faults/make-plan.js';
import { isRaftMutant } from '../../src/raft/index.js';
import { isSimulationMutant } from '../mutants.js';
import type { Plan, Profile } from '../plan.js';
import { exitStatus, runSimulation, type Outcome, type RunOptions, type RunResult } from '../simulation.js';

export interface SeedOptions {
  readonly profile: Profile;
  readonly durationMs: number;
  readonly mutant?: string | undefined;
}

/** What is left of a run when it crosses from one process to another. */
export interface SeedReport {
  readonly seed: number;
  readonly outcome: Outcome;
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly events: number;
  readonly counts: Readonly<Record<string, number>>;
}

/** @throws Error for a mutant that does not exist */
export function mutantOptions(mutant: string | undefined): Pick<RunOptions, 'raftMutant' | 'mutant'> {
  if (mutant === undefined) return {};
  if (isRaftMutant(mutant)) return { raftMutant: mutant };
  if (isSimulationMutant(mutant)) return { mutant };
  throw new Error(`there is no mutant ${mutant}; npm run sim -- mutants --list names them`);
}

/** Not to be called from promise reactions: see `World`. */
export function runPlan(plan: Plan, options: Omit<RunOptions, 'plan'> = {}): { result: RunResult; report: SeedReport } {
  const cpu = process.cpuUsage();
  const startedMs = Number(process.hrtime.bigint() / 1_000_000n);
  const result = runSimulation({ plan, ...options });
  const { user, system } = process.cpuUsage(cpu);
  const { outcome, traceHash, simulatedMs, events, counts } = result;
  const wallMs = Number(process.hrtime.bigint() / 1_000_000n) - startedMs;
  return {
    result,
    report: { seed: plan.seed, outcome, traceHash, simulatedMs, wallMs, cpuMs: (user + system) / 1000, events, counts },
  };
}

export function runSeed(seed: number, { profile, durationMs, mutant }: SeedOptions): SeedReport {
  return runPlan(makePlan(seed, profile, durationMs), mutantOptions(mutant)).report;
}

export function statusOf(outcome: Outcome): number {
  switch (outcome.type) {
    case 'passed':
      return exitStatus.passed;
    case 'crashed':
      return exitStatus.crashed;
    case 'no-liveness':
      return exitStatus.noLiveness;
    case 'violated':
      return exitStatus.violated;
  }
}

/** Two outcomes that have the same cause, as far as their kind tells. */
export function kindOf(outcome: Outcome): string {
  return outcome.type === 'violated' ? outcome.violation.invariant : outcome.type;
}

export function describeOutcome(outcome: Outcome): string {
  switch (outcome.type) {
    case 'passed':
      return 'passed';
    case 'crashed':
      return `CRASHED at ${outcome.atMs.toFixed(3)} ms: ${outcome.error}`;
    case 'no-liveness':
      return `NO LIVENESS at ${outcome.atMs.toFixed(3)} ms: missing is ${outcome.missing}`;
    case 'violated':
      return `BROKEN ${outcome.violation.invariant} at ${outcome.violation.atMs.toFixed(3)} ms: ${outcome.violation.message}`;
  }
}

export function describeReport(report: SeedReport): string {
  const { seed, traceHash, simulatedMs, wallMs, cpuMs } = report;
  const perSecond = (ms: number): string => Math.round(simulatedMs / Math.max(1, ms)).toLocaleString('en');
  return (
    `seed ${seed} trace ${traceHash} ${(simulatedMs / 1000).toFixed(0)} s simulated in ${(wallMs / 1000).toFixed(1)} s ` +
    `(${perSecond(wallMs)} a wall second, ${perSecond(cpuMs)} a core second) ${describeOutcome(report.outcome)}`
  );
}
