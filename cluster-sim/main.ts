/** The command line of the simulator: `npm run sim -- COMMAND`. docs/simulator.md explains each. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { defaultTries, listMutants, runMutants } from './cli/run-mutants.js';
import { inMacrotask, runRange, serveAsWorker } from './cli/run-range.js';
import { describeReport, kindOf, mutantOptions, runPlan, statusOf } from './cli/run-seed.js';
import { parseDuration, parseSeeds } from './cli/seeds.js';
import { shrinkPlan } from './cli/shrink.js';
import { makePlan } from './faults/make-plan.js';
import { profiles, type Plan, type Profile } from './plan.js';
import { timeLinePage } from './report/time-line-page.js';

const program = fileURLToPath(import.meta.url);
const print = (line: string): void => console.log(line);

interface SeedFlags {
  readonly profile: Profile;
  readonly time: number;
  readonly mutant?: string;
  readonly plan?: string;
}

function commit(): string {
  try {
    const git = (...args: string[]): string => execFileSync('git', args, { encoding: 'utf8' }).trim();
    return (
      git('rev-parse', '--short', 'HEAD') +
      (git('status', '--porcelain', '--', 'cluster-sim', 'src') === '' ? '' : '-modified')
    );
  } catch {
    return 'unknown';
  }
}

function planOf(seed: string, { profile, time, plan }: SeedFlags): Plan {
  if (plan !== undefined) return JSON.parse(readFileSync(plan, 'utf8')) as Plan;
  return makePlan(Number(seed), profile, time);
}

/** A file among the artifacts, in a directory that exists then. */
function artifact(name: string): string {
  const directory = path.resolve('artifacts/simulator');
  mkdirSync(directory, { recursive: true });
  return path.join(directory, name);
}

function withSeedFlags(command: Command): Command {
  return command
    .addOption(new Option('--profile <profile>', 'what happens to the cluster').choices(profiles).default('swarm'))
    .option('--time <duration>', 'simulated time with faults, as 90s, 10m, 1h', parseDuration, parseDuration('10m'))
    .option('--mutant <name>', 'a deliberate bug, see `mutants --list`');
}

const sim = new Command('sim').description('Runs a simulated Logboom cluster, and looks for what must not happen.');

withSeedFlags(sim.command('run').description('runs a range of seeds'))
  .requiredOption('--seeds <range>', 'as 1..200 or 3,7', parseSeeds)
  .option('--jobs <count>', 'processes', Number, 1)
  .action(async ({ seeds, jobs, profile, time, mutant }: SeedFlags & { seeds: number[]; jobs: number }) => {
    process.exitCode = await runRange({
      seeds,
      jobs,
      profile,
      durationMs: time,
      mutant,
      commit: commit(),
      program,
      print,
    });
  });

withSeedFlags(sim.command('replay <seed>').description('runs one seed twice, and compares the traces'))
  .option('--plan <file>', 'a plan that shrink wrote, instead of the seed')
  .option('--trace', 'prints every event and message')
  .action(async (seed: string, flags: SeedFlags & { trace?: boolean }) => {
    const plan = planOf(seed, flags);
    const lines: string[] = [];
    const options = {
      ...mutantOptions(flags.mutant),
      ...(flags.trace === true ? { onLine: (line: string) => lines.push(line) } : {}),
    };
    const { report } = await inMacrotask(() => runPlan(plan, options));
    const again = await inMacrotask(() => runPlan(plan, mutantOptions(flags.mutant)));
    for (const line of lines) print(line);
    print(`commit ${commit()} ${describeReport(report)}`);
    for (const [name, count] of Object.entries(report.counts)) print(`${String(count).padStart(12)}  ${name}`);
    const isSame = again.report.traceHash === report.traceHash;
    print(
      isSame
        ? 'a second run took the same course'
        : `NOT DETERMINISTIC: a second run has trace ${again.report.traceHash}`,
    );
    process.exitCode = isSame ? statusOf(report.outcome) : 127;
  });

withSeedFlags(sim.command('shrink <seed>').description('leaves out of a failing run what the failure does not need'))
  .option('--plan <file>', 'a plan to go on with')
  .option('--runs <count>', 'runs at most', Number, 400)
  .action(async (seed: string, flags: SeedFlags & { runs: number }) => {
    const plan = planOf(seed, flags);
    const options = mutantOptions(flags.mutant);
    const first = await inMacrotask(() => runPlan(plan, options).report);
    print(describeReport(first));
    if (first.outcome.type === 'passed') return;
    const kind = kindOf(first.outcome);
    const fails = (candidate: Plan): boolean => kindOf(runPlan(candidate, options).report.outcome) === kind;
    const failedAtMs = Math.min(plan.durationMs, Math.ceil(first.simulatedMs));
    const smallest = await inMacrotask(() => {
      const cut = { ...plan, durationMs: failedAtMs, actions: plan.actions.filter(({ atMs }) => atMs <= failedAtMs) };
      return shrinkPlan(fails(cut) ? cut : plan, { fails, print, runsMax: flags.runs });
    });
    const file = artifact(`shrunk-${seed}.json`);
    writeFileSync(file, `${JSON.stringify(smallest, undefined, 2)}\n`);
    print(describeReport((await inMacrotask(() => runPlan(smallest, options))).report));
    for (const action of smallest.actions) print(JSON.stringify(action));
    print(
      `${smallest.nodes} nodes, ${smallest.actions.length} actions: ${file} (replay ${seed} --plan ${file}, viz ${seed} --plan ${file})`,
    );
    process.exitCode = statusOf(first.outcome);
  });

withSeedFlags(sim.command('viz <seed>').description('writes the time line of a run as one HTML page'))
  .option('--plan <file>', 'a plan that shrink wrote, instead of the seed')
  .option('--out <file>', 'where to')
  .action(async (seed: string, flags: SeedFlags & { out?: string }) => {
    const plan = planOf(seed, flags);
    const { result, report } = await inMacrotask(() =>
      runPlan(plan, { ...mutantOptions(flags.mutant), keepTimeLine: true }),
    );
    const file = flags.out ?? artifact(`time-line-${seed}.html`);
    writeFileSync(file, timeLinePage(result, { commit: commit(), mutant: flags.mutant }));
    print(describeReport(report));
    print(file);
    process.exitCode = statusOf(report.outcome);
  });

sim
  .command('mutants')
  .description('runs every deliberate bug until it is caught')
  .option('--list', 'names them')
  .option('--only <names>', 'some of them, separated by commas')
  .option('--tries <count>', 'each from other seeds; the median is reported', Number, defaultTries)
  .option('--seeds <count>', 'a mutant not caught in so many is missed', Number, 60)
  .option('--jobs <count>', 'processes', Number, 1)
  .action(async (flags: { list?: boolean; only?: string; tries: number; seeds: number; jobs: number }) => {
    if (flags.list === true) return listMutants(print);
    process.exitCode = await runMutants({
      ...flags,
      seedsMax: flags.seeds,
      only: flags.only?.split(','),
      program,
      print,
    });
  });

sim.command('worker', { hidden: true }).action(serveAsWorker);

await sim.parseAsync();
