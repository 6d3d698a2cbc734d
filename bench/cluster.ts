/**
 * Benchmarks of a cluster of three nodes on this machine:
 *
 *   npm run bench:cluster -- transfers [--count 50]      leaderships handed over under load
 *   npm run bench:cluster -- failover  [--count 50]      leaders killed
 *   npm run bench:cluster -- idle [--partitions 256] [--seconds 30]
 *
 * [--samples FILE] adds each sample to a file, as a line of JSON, and sums up all that it holds: for figures of many runs.
 * [--flags "--a=b ..."] are flags of the nodes, [--profile DIRECTORY] writes a CPU profile of each.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { measureFailovers } from './cluster/failover.js';
import { measureIdle } from './cluster/idle.js';
import { measureTransfers } from './cluster/transfers.js';
import { ClusterProcesses } from './support/cluster-process.js';
import { latencies, spreadOf } from './support/statistics.js';

type Sample = Readonly<Record<string, unknown>>;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '50' },
    partitions: { type: 'string' },
    seconds: { type: 'string', default: '30' },
    samples: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
    flags: { type: 'string', default: '' },
    profile: { type: 'string' },
  },
});

function partitionsOf(name: string): string {
  return values.partitions ?? (name === 'idle' ? '256' : '4');
}

async function measure(name: string, cluster: ClusterProcesses): Promise<readonly Sample[]> {
  switch (name) {
    case 'transfers':
      return (await measureTransfers(cluster, Number(values.count))).map((sample) => ({ ...sample }));
    case 'failover':
      return (await measureFailovers(cluster, Number(values.count))).map((sample) => ({ ...sample }));
    default:
      return [{ ...(await measureIdle(cluster, Number(values.seconds))) }];
  }
}

function summary(name: string, samples: readonly Sample[]): void {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  print(`${name}: ${samples.length} samples`);
  for (const figure of Object.keys(samples[0] ?? {})) {
    const numbers = samples.map((sample) => sample[figure]).filter((value) => typeof value === 'number');
    if (numbers.length === 0) {
      print(`  ${figure.padEnd(20)} ${JSON.stringify(samples.at(-1)?.[figure])}`);
      continue;
    }
    const { p50Ms, p99Ms, maxMs } = latencies(numbers);
    const { min } = spreadOf(numbers);
    const [p50, p99, max, least] = [p50Ms, p99Ms, maxMs, min].map((value) => value.toFixed(1));
    print(`  ${figure.padEnd(20)} min ${least}, p50 ${p50}, p99 ${p99}, max ${max}`);
  }
}

const [name = ''] = positionals;
if (!['transfers', 'failover', 'idle'].includes(name)) throw new Error('say what: transfers, failover or idle');
const cluster = await ClusterProcesses.start({
  parentDirectory: values.directory,
  flags: [`--partitions=${partitionsOf(name)}`, ...values.flags.split(' ').filter((flag) => flag !== '')],
  nodeFlags: values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`],
});
let samples: readonly Sample[];
try {
  samples = await measure(name, cluster);
} finally {
  await cluster.stop();
}
if (values.samples !== undefined) {
  for (const sample of samples) appendFileSync(values.samples, `${JSON.stringify(sample)}\n`);
  const lines = readFileSync(values.samples, 'utf8').trim().split('\n');
  samples = lines.map((line) => JSON.parse(line) as Sample);
}
summary(name, samples);
