/** What Logboom aims at, each within one run on one machine: no I/O. */
import type { SystemName } from '../systems/system.js';
import { bestOf } from './results.js';
import type { Results } from './results.js';

export interface Target {
  readonly text: string;
  readonly at: 'least' | 'most';
  readonly value: number;
  readonly unit: 'times' | 'ms';
  /** Undefined when what it needs was not measured. */
  measured(results: Results): number | undefined;
}

export interface Verdict {
  readonly target: Target;
  readonly measured: number | undefined;
  readonly verdict: 'met' | 'missed' | 'not measured';
}

type Better = 'more' | 'less';

function figure(
  results: Results,
  system: SystemName,
  workload: string,
  name: string,
  better: Better,
): number | undefined {
  return bestOf(results, { system, workload, figure: name, better })?.median;
}

const quotient = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? undefined : one / other;

/** So many times a peer's rate, each with its best codec. */
function timesPeer(peer: SystemName, peerTitle: string, workload: string, what: string, value: number): Target {
  const rate = (results: Results, system: SystemName) => figure(results, system, workload, 'recordsPerSecond', 'more');
  return {
    text: `${what}: at least ${value === 1 ? '' : `${value} times `}${peerTitle}'s rate`,
    at: 'least',
    value,
    unit: 'times',
    measured: (results) => quotient(rate(results, 'logboom'), rate(results, peer)),
  };
}

/** A share of Logboom's own rate elsewhere. */
function shareOf(workload: string, ofWorkload: string, what: string, value: number): Target {
  const rate = (results: Results, name: string) => figure(results, 'logboom', name, 'recordsPerSecond', 'more');
  return {
    text: `${what}: at least ${value * 100}%`,
    at: 'least',
    value,
    unit: 'times',
    measured: (results) => quotient(rate(results, workload), rate(results, ofWorkload)),
  };
}

const sizes = [
  ['100b', '100 B', 10],
  ['1k', '1 KiB', undefined],
  ['4k', '4 KiB', 3],
  ['64k', '64 KiB', 2],
  ['256k', '256 KiB', 1.5],
] as const;

export const targets: readonly Target[] = [
  ...sizes.flatMap(([size, title, times]) =>
    times === undefined
      ? []
      : [timesPeer('jetstream', 'JetStream', `append-${size}-text`, `append ${title} of log text`, times)],
  ),
  ...sizes.map(([size, title]) =>
    timesPeer('jetstream', 'JetStream', `append-${size}-random`, `append ${title}, incompressible`, 1),
  ),
  {
    text: "append one at a time: p50 not above JetStream's",
    at: 'most',
    value: 1,
    unit: 'times',
    measured: (results) => {
      const p50 = (system: SystemName) => figure(results, system, 'append-100b-one', 'p50Ms', 'less');
      return quotient(p50('logboom'), p50('jetstream'));
    },
  },
  timesPeer('etcd', 'etcd', 'append-100b-text', 'append 100 B of log text', 20),
  timesPeer('jetstream', 'JetStream', 'read-text', 'catch-up read of log text', 2),
  timesPeer('jetstream', 'JetStream', 'read-random', 'catch-up read, incompressible', 2),
  {
    text: 'append to tail at a steady rate: p99 below 10 ms',
    at: 'most',
    value: 10,
    unit: 'ms',
    measured: (results) => figure(results, 'logboom', 'tail', 'p99Ms', 'less'),
  },
  shareOf('partitions-64', 'partitions-8', '64 partitions, of the rate of 8', 0.8),
  shareOf('streams-1000', 'streams-1', '1,000 streams, of the rate of one', 0.8),
];

export function judge(results: Results): readonly Verdict[] {
  return targets.map((target) => {
    const measured = target.measured(results);
    if (measured === undefined) return { target, measured, verdict: 'not measured' };
    const isMet = target.at === 'least' ? measured >= target.value : measured <= target.value;
    return { target, measured, verdict: isMet ? 'met' : 'missed' };
  });
}
