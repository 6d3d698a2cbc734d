/**
 * Benchmarks of one node: `npm run bench -- [WORKLOAD...] [--seconds N] [--repeat N] [--json FILE] [--directory DIR]
 * [--list] [--check]`. Client in this process, server in another, fsync before every acknowledgement.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { LogboomClient } from '../src/client/index.js';
import { checkRatios } from './check.js';
import { measureMachine, type MachineFigures } from './support/machine.js';
import { startNodeProcess } from './support/node-process.js';
import { makePayloads, type Payloads } from './support/payloads.js';
import { printResults, type WorkloadResult } from './support/report.js';
import type { Figures, Workload } from './support/workload.js';
import { appendWorkloads } from './workloads/append.js';
import { idleWorkloads } from './workloads/idle.js';
import { readWorkloads } from './workloads/read.js';
import { snapshotWorkloads } from './workloads/snapshot.js';
import { steadyWorkloads } from './workloads/steady.js';
import { tailWorkloads } from './workloads/tail.js';

const workloads: readonly Workload[] = [
  ...appendWorkloads,
  ...readWorkloads,
  ...tailWorkloads,
  ...steadyWorkloads,
  ...idleWorkloads,
  ...snapshotWorkloads,
];

interface RunOptions {
  readonly seconds: number | undefined;
  readonly repeat: number;
  readonly directory: string;
  readonly profile: boolean;
}

async function runOnce(workload: Workload, payloads: Payloads, options: RunOptions): Promise<Figures> {
  const node = await startNodeProcess({
    parentDirectory: options.directory,
    flags: workload.nodeFlags ?? [],
    nodeFlags: options.profile ? ['--cpu-prof'] : [],
  });
  const client = new LogboomClient({ address: node.address });
  try {
    return await workload.run({ client, node, payloads, seconds: options.seconds ?? workload.seconds });
  } finally {
    await client.close();
    await node.stop();
  }
}

async function runAll(chosen: readonly Workload[], options: RunOptions): Promise<WorkloadResult[]> {
  const payloads = makePayloads();
  process.stderr.write(`text is ${payloads.textSource}\n`);
  const results: WorkloadResult[] = [];
  for (const workload of chosen) {
    const runs: Figures[] = [];
    const machine: MachineFigures[] = [];
    for (let run = 1; run <= options.repeat; run += 1) {
      process.stderr.write(`${workload.name} (${run} of ${options.repeat}) ... `);
      // What the workload before left in the page cache would be written during this one.
      execFileSync('sync');
      machine.push(await measureMachine(options.directory));
      runs.push(await runOnce(workload, payloads, options));
      process.stderr.write('done\n');
    }
    results.push({ workload, runs, machine });
  }
  return results;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string' },
      repeat: { type: 'string', default: '1' },
      json: { type: 'string' },
      directory: { type: 'string', default: tmpdir() },
      list: { type: 'boolean', default: false },
      check: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
    },
  });
  if (values.list) {
    for (const { name, description } of workloads) process.stdout.write(`${name.padEnd(22)} ${description}\n`);
    return;
  }
  const unknown = positionals.filter((name) => !workloads.some((workload) => workload.name === name));
  if (unknown.length > 0) throw new Error(`no such workload: ${unknown.join(', ')}; --list shows them`);
  const checked = ['append-100b', 'append-64k-random', 'append-one-in-flight'];
  const names = positionals.length > 0 ? positionals : values.check ? checked : workloads.map(({ name }) => name);
  const results = await runAll(
    workloads.filter(({ name }) => names.includes(name)),
    {
      seconds: values.seconds === undefined ? (values.check ? 4 : undefined) : Number(values.seconds),
      repeat: Number(values.repeat),
      directory: values.directory,
      profile: values.profile,
    },
  );
  printResults(results);
  if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(results, undefined, 2));
  if (values.check) checkRatios(results);
}

await main();
