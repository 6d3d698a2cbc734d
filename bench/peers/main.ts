/**
 * Logboom beside its peers, three nodes each on loopback: `npm run bench:peers`. Installs what it compares, starts each
 * system for its turn only, and stops everything it started, also on Ctrl-C. See README.md beside this file.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { cpus, setPriority, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { measureMachine } from '../support/machine.js';
import { makePayloads } from '../support/payloads.js';
import { ensureInstalled } from './install/install.js';
import { measure } from './measure.js';
import { parseOptions, usage, UsageError } from './options.js';
import type { Options } from './options.js';
import { expectedSeconds, plan, secondsLeft, secondsWithin } from './plan.js';
import type { Step, Turn } from './plan.js';
import { chart } from './report/chart.js';
import { digits, report } from './report/markdown.js';
import { merge } from './report/results.js';
import type { Failure, Results, Row } from './report/results.js';
import { killAll, Servers } from './servers.js';
import type { System, SystemName } from './systems/system.js';
import { workloads } from './workloads.js';

const say = (line: string): void => void process.stderr.write(`${line}\n`);

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.list) {
    for (const { name, description } of workloads) process.stdout.write(`${name.padEnd(20)} ${description}\n`);
    return;
  }
  if (options.report.length > 0) {
    finish(merge(options.report.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Results)), options);
    return;
  }
  const missing = await install(options.systems);
  if (options.installOnly) return;
  // Inherited by all that is started from here on.
  if (options.niceness !== undefined) setPriority(options.niceness);
  const parent = await mkdtemp(path.join(options.directory ?? tmpdir(), 'logboom-peers-'));
  onWayOut(parent);
  const present = options.systems.filter(({ name }) => missing[name] === undefined);
  finish(await measureAll({ ...options, systems: present }, parent, missing), options);
}

/** @returns systems that cannot be had, with the reason */
async function install(systems: readonly System[]): Promise<Results['missing']> {
  const missing: Partial<Record<SystemName, string>> = {};
  const reasons = new Map<string, string | undefined>();
  for (const { name, needs } of systems) {
    for (const part of needs) {
      if (!reasons.has(part)) reasons.set(part, await ensureInstalled(part, say));
      const reason = reasons.get(part);
      if (reason === undefined) continue;
      say(`${name} is left out: ${reason}`);
      missing[name] = reason;
    }
  }
  return missing;
}

/** However it ends, no process and no data stay. */
function onWayOut(parent: string): void {
  const removeData = (): void => rmSync(parent, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  process.on('exit', () => {
    void killAll();
    removeData();
  });
  let stopping: Promise<void> | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // More than once: npx and tsx pass on what the terminal has sent to this process already, and the second must not end it.
    process.on(signal, () => {
      if (stopping !== undefined) return;
      say(`\n${signal}: stopping what was started`);
      // A server that still ends goes on writing into what is being removed.
      stopping = killAll().then(() => process.exit(signal === 'SIGINT' ? 130 : 143));
    });
  }
}

async function measureAll(options: Options, parent: string, missing: Results['missing']): Promise<Results> {
  const turns = plan(options);
  const seconds =
    options.minutes === undefined ? options.sizes.seconds : secondsWithin(options.minutes, turns, options.sizes);
  const sizes = { ...options.sizes, seconds };
  const expected = turns.map((turn) => expectedSeconds(turn, sizes));
  const steps = turns.reduce((total, turn) => total + turn.length, 0);
  say(`${steps} measurements, ${seconds} s each where timed; about ${duration(secondsLeft([], expected))}`);
  const results = await emptyResults(parent, missing);
  const { rows, failures } = results;
  const done: { readonly expected: number; readonly taken: number }[] = [];
  for (const [index, turn] of turns.entries()) {
    const startedMs = performance.now();
    const left = secondsLeft(done, expected.slice(index));
    const note = ({ round, system, workload, codec }: Step, outcome: string): void => {
      const place = `[${rows.length + failures.length}/${steps}, ${duration(left)} left]`;
      say(`${place} round ${round} ${system.name} ${workload.name} ${codec}: ${outcome}`);
    };
    await runTurn(
      turn,
      { parent, sizes },
      {
        measured: (step, row) => {
          rows.push(row);
          const { figure, unit } = step.workload.headline;
          note(step, `${digits(row.figures[figure] ?? Number.NaN)} ${unit}`);
        },
        failed: (step, failure) => {
          failures.push(failure);
          note(step, `FAILED: ${failure.failed}`);
        },
      },
    );
    done.push({ expected: expected[index] as number, taken: (performance.now() - startedMs) / 1000 });
    // One that is interrupted leaves what it has: `--report` makes the rest of it.
    if (options.out !== undefined) writeResults(results, options.out);
  }
  return results;
}

interface GrowingResults extends Results {
  readonly rows: Row[];
  readonly failures: Failure[];
}

async function emptyResults(parent: string, missing: Results['missing']): Promise<GrowingResults> {
  const { fdatasyncPerSecond, diskMbPerSecond } = await measureMachine(parent);
  const processors = `${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'})`;
  const disk = `${digits(fdatasyncPerSecond)} fdatasync/s, disk ${digits(diskMbPerSecond)} MB/s`;
  return {
    startedAt: new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit: commit(),
    machine: `${processors}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ${disk}`,
    textSource: makePayloads().textSource,
    rows: [],
    failures: [],
    missing,
  };
}

function writeResults(results: Results, out: string): void {
  mkdirSync(out, { recursive: true });
  writeFileSync(path.join(out, 'results.json'), `${JSON.stringify(results, undefined, 2)}\n`);
}

interface TurnListener {
  readonly measured: (step: Step, row: Row) => void;
  readonly failed: (step: Step, failure: Failure) => void;
}

/** Servers for these steps alone: the other systems do not run meanwhile. */
async function runTurn(
  turn: Turn,
  { parent, sizes }: { readonly parent: string; readonly sizes: Options['sizes'] },
  { measured, failed }: TurnListener,
): Promise<void> {
  const identity = ({ round, system, workload, codec }: Step) => ({
    round,
    system: system.name,
    workload: workload.name,
    codec,
  });
  const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
  // What the system before left in the page cache would be written during this turn.
  execFileSync('sync');
  const [{ system, workload }] = turn;
  let servers: Servers | undefined;
  try {
    servers = await Servers.start(system, parent, workload.partitions);
    for (const step of turn) {
      try {
        measured(step, { ...identity(step), figures: await measure(servers, { ...step, sizes }) });
      } catch (error) {
        failed(step, { ...identity(step), failed: `${messageOf(error)}\n${servers.logs()}`.trim() });
      }
      if (step.workload.kind === 'failover' || step.workload.kind === 'restart') {
        await servers.spawnAll();
        await servers.untilReady();
      }
    }
  } catch (error) {
    for (const step of turn) failed(step, { ...identity(step), failed: messageOf(error) });
  } finally {
    await servers?.stop();
  }
}

function finish(results: Results, { systems, out }: Options): void {
  const text = report(results, { systems, workloads, ...(out === undefined ? {} : { chart: 'peers.svg' }) });
  process.stdout.write(`${text}\n`);
  if (out !== undefined) {
    writeResults(results, out);
    writeFileSync(path.join(out, 'peers.md'), `${text}\n`);
    writeFileSync(path.join(out, 'peers.svg'), chart(results, systems, workloads));
  }
  // A measurement that failed is a failure of the run; a target that is missed is a finding.
  if (results.failures.length > 0) process.exitCode = 1;
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    return 'an unknown commit';
  }
}

function duration(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  say(`${error.message}\n\n${usage}`);
  process.exitCode = 2;
}
