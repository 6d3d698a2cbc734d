/** `mutants`: proof that the checkers find bugs. Each deliberate bug runs, seed after seed, until it is caught. */
import { fork } from 'node:child_process';
import { raftMutants } from '../../src/raft/index.js';
import { simulationMutants } from '../mutants.js';
import type { Profile } from '../plan.js';
import { kindOf, type SeedOptions, type SeedReport } from './run-seed.js';

export const defaultTries = 3;

export interface MutantsOptions {
  readonly only: readonly string[] | undefined;
  readonly tries: number;
  readonly seedsMax: number;
  readonly jobs: number;
  readonly program: string;
  readonly print: (line: string) => void;
}

interface Hunt {
  readonly mutant: string;
  readonly caughtAfter: readonly (number | undefined)[];
  readonly invariants: readonly string[];
}

const all: Readonly<Record<string, string>> = { ...raftMutants, ...simulationMutants };

/** Where a bug shows itself soonest; the swarm finds the others. */
const profileOf: Readonly<Record<string, Profile>> = {
  'accept-append-below-snapshot': 'bootstrap',
  'campaign-with-unapplied-conf-change': 'churn',
  'conf-change-before-current-term-commit': 'churn',
  'ignore-lease-drift-bound': 'lease',
  'collect-without-grace': 'bootstrap',
  'damage-is-cut-away': 'churn',
  'deleted-replica-is-forgotten': 'cluster',
  'half-import-accepted': 'bootstrap',
  'leaving-replica-is-gone': 'cluster',
  'manifest-before-chunks': 'bootstrap',
  'peer-state-of-another-lsn': 'bootstrap',
  'rebuilt-replica-keeps-its-id': 'bootstrap',
  'removed-leader-counts-itself': 'churn',
  'replicas-move-at-once': 'cluster',
  'rotten-value-archived': 'bootstrap',
  'torn-tail-is-data': 'single',
  'trim-beyond-archived': 'bootstrap',
  'trim-ignores-persisted': 'bootstrap',
  'trim-to-applied': 'single',
  'trim-without-proof': 'bootstrap',
  'trim-touches-other-log': 'single',
  'wiped-disk-keeps-its-identity': 'bootstrap',
  'wiped-node-keeps-its-record': 'cluster',
};

/** What has to catch a bug whose consequences others may stumble over as well; of the rest, any check will do. */
const provenBy: Readonly<Record<string, string>> = {
  'accept-append-below-snapshot': 'commit-never-regresses',
  'collect-without-grace': 'needed-chunks-stay',
  'quiet-although-a-follower-lags': 'quiet-groups-are-at-rest',
  'quiet-under-a-dead-leader': 'quiet-followers-have-a-leader',
  'rotten-value-archived': 'archived-is-restorable',
  'replicas-move-at-once': 'one-replica-of-a-group-moves',
  'leaving-replica-is-gone': 'placement-keeps-majorities',
};

const durationMs = 120_000;

export function listMutants(print: (line: string) => void): void {
  for (const [name, what] of Object.entries(all)) print(`${name.padEnd(44)} ${what}`);
}

/** Answers the exit status: 1 when one was missed. */
export async function runMutants(options: MutantsOptions): Promise<number> {
  const { print, only, jobs } = options;
  const unknown = only?.filter((name) => !(name in all)) ?? [];
  if (unknown.length > 0) throw new Error(`there is no mutant ${unknown.join(', ')}`);
  const queue = Object.keys(all).filter((name) => only?.includes(name) !== false);
  const hunts: Hunt[] = [];
  const work = async (): Promise<void> => {
    for (let mutant = queue.shift(); mutant !== undefined; mutant = queue.shift()) {
      const hunt = await huntDown(mutant, options);
      hunts.push(hunt);
      print(describe(hunt));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, work));
  print('');
  print('| mutant | what it does | median seeds until caught | of tries | caught by |');
  print('| --- | --- | --- | --- | --- |');
  for (const hunt of hunts.sort((a, b) => (a.mutant < b.mutant ? -1 : 1))) {
    const median = medianOf(hunt.caughtAfter) ?? 'MISSED';
    print(`| ${hunt.mutant} | ${all[hunt.mutant]} | ${median} | ${triesText(hunt)} | ${hunt.invariants.join(', ')} |`);
  }
  return hunts.every(({ caughtAfter }) => medianOf(caughtAfter) !== undefined) ? 0 : 1;
}

/** Runs in a process of its own: a bug may also run the process out of memory, or into the ground. */
async function huntDown(mutant: string, options: MutantsOptions): Promise<Hunt> {
  const caughtAfter: (number | undefined)[] = [];
  const invariants = new Set<string>();
  for (let attempt = 0; attempt < options.tries; attempt += 1) {
    const { seeds, report } = await runUntilCaught(mutant, 1 + 1000 * attempt, options);
    caughtAfter.push(report === undefined ? undefined : seeds);
    if (report !== undefined) invariants.add(kindOf(report.outcome));
  }
  return { mutant, caughtAfter, invariants: [...invariants] };
}

function runUntilCaught(
  mutant: string,
  firstSeed: number,
  { program, seedsMax }: MutantsOptions,
): Promise<{ readonly seeds: number; readonly report: SeedReport | undefined }> {
  return new Promise((resolve, reject) => {
    const child = fork(program, ['worker'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const options: SeedOptions = { profile: profileOf[mutant] ?? 'swarm', durationMs, mutant };
    let seeds = 0;
    const next = (): void => {
      seeds += 1;
      child.send({ seed: firstSeed + seeds - 1, options });
    };
    const end = (report: SeedReport | undefined): void => {
      child.removeAllListeners('exit');
      child.disconnect();
      resolve({ seeds, report });
    };
    child.on('message', (report: SeedReport) => {
      if (isCaught(mutant, report)) end(report);
      else if (seeds >= seedsMax) end(undefined);
      else next();
    });
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`the simulator of mutant ${mutant} ended with status ${code}`)));
    next();
  });
}

function isCaught(mutant: string, { outcome }: SeedReport): boolean {
  if (outcome.type === 'passed') return false;
  return provenBy[mutant] === undefined || provenBy[mutant] === kindOf(outcome);
}

/** Misses count as larger than anything. */
function medianOf(counts: readonly (number | undefined)[]): number | undefined {
  const sorted = counts.map((count) => count ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b);
  const median = sorted[Math.floor((sorted.length - 1) / 2)];
  return median === undefined || !Number.isFinite(median) ? undefined : median;
}

function triesText({ caughtAfter }: Hunt): string {
  return caughtAfter.map((count) => count ?? 'missed').join(', ');
}

function describe(hunt: Hunt): string {
  return `${hunt.mutant.padEnd(44)} ${triesText(hunt)} (${hunt.invariants.join(', ')})`;
}
