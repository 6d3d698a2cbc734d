import { describe, expect, test } from 'vitest';
import { expectedSeconds, plan, secondsLeft, secondsWithin } from '../../../bench/peers/plan.js';
import type { PlanOptions, Step } from '../../../bench/peers/plan.js';
import type { Sizes } from '../../../bench/peers/load/job.js';
import { systems } from '../../../bench/peers/systems/catalogue.js';
import type { SystemName } from '../../../bench/peers/systems/system.js';
import { workloads } from '../../../bench/peers/workloads.js';

const sizes: Sizes = {
  seconds: 6,
  warmUpSeconds: 2,
  readBytes: 100e6,
  restartBytes: 100e6,
  fillSecondsMax: 60,
  tailRecordsPerSecond: 1000,
};

function options(systemNames: readonly SystemName[], workloadNames: readonly string[]): PlanOptions {
  return {
    systems: systemNames.map((name) => systems.find((each) => each.name === name)!),
    workloads: workloadNames.map((name) => workloads.find((each) => each.name === name)!),
    rounds: 2,
    together: false,
    everyCodec: true,
  };
}

const nameOf = ({ round, system, workload, codec }: Step): string =>
  `${round} ${workload.name} ${system.name} ${codec}`;

describe('plan', () => {
  test('systems take turns at each workload, in every round, each with fresh servers', () => {
    const turns = plan(options(['logboom', 'etcd'], ['append-100b-one', 'tail']));
    expect(turns.map((turn) => turn.map(nameOf))).toEqual([
      ['1 append-100b-one logboom none'],
      ['1 append-100b-one etcd none'],
      ['1 tail logboom zstd'],
      ['1 tail etcd none'],
      ['2 append-100b-one logboom none'],
      ['2 append-100b-one etcd none'],
      ['2 tail logboom zstd'],
      ['2 tail etcd none'],
    ]);
  });

  test('every codec that a system has is measured where the workload says so, also next to systems with fewer', () => {
    const turns = plan({ ...options(['logboom', 'etcd', 'kafka'], ['append-4k-text', 'append-4k-random']), rounds: 1 });
    expect(turns.flat().map(nameOf)).toEqual([
      '1 append-4k-text logboom none',
      '1 append-4k-text etcd none',
      '1 append-4k-text kafka none',
      '1 append-4k-text logboom zstd',
      '1 append-4k-text kafka lz4',
      '1 append-4k-random logboom none',
      '1 append-4k-random etcd none',
      '1 append-4k-random kafka none',
    ]);
  });

  test('only the codec to recommend, when asked', () => {
    const turns = plan({ ...options(['logboom', 'jetstream'], ['append-4k-text']), rounds: 1, everyCodec: false });
    expect(turns.flat().map(nameOf)).toEqual(['1 append-4k-text logboom zstd', '1 append-4k-text jetstream none']);
  });

  test('a system is left out of a workload that it cannot do', () => {
    const turns = plan({ ...options(['logboom', 'etcd'], ['partitions-64']), rounds: 1 });
    expect(turns.flat().map(nameOf)).toEqual(['1 partitions-64 logboom zstd']);
  });

  test('together, servers are started once for what needs the same ones, and those that are killed come last', () => {
    const names = ['restart', 'failover', 'tail', 'partitions-64'];
    const turns = plan({ ...options(['logboom'], names), rounds: 1, together: true });
    expect(turns.map((turn) => turn.map(({ workload }) => workload.name))).toEqual([
      ['tail', 'failover', 'restart'],
      ['partitions-64'],
    ]);
  });
});

describe('time', () => {
  const turns = plan(options(['logboom', 'jetstream'], ['append-100b-one', 'read-text']));

  test('a budget is spent on what is timed, and kept', () => {
    const seconds = secondsWithin(2, turns, sizes);
    const total = turns.reduce((sum, turn) => sum + expectedSeconds(turn, { ...sizes, seconds }), 0);
    expect(seconds).toBeGreaterThan(2);
    expect(total).toBeGreaterThan(1.95 * 60);
    expect(total).toBeLessThan(2.05 * 60);
  });

  test('a budget that is too small or needlessly large still measures something sensible', () => {
    expect(secondsWithin(0.1, turns, sizes)).toBe(2);
    expect(secondsWithin(1000, turns, sizes)).toBe(30);
    expect(secondsWithin(5, plan(options(['logboom'], ['read-text'])), sizes)).toBe(sizes.seconds);
  });

  test('time left is what was expected, corrected by what was taken', () => {
    expect(secondsLeft([], [10, 20])).toBe(30);
    expect(secondsLeft([{ expected: 10, taken: 20 }], [10, 20])).toBe(60);
    expect(secondsLeft([{ expected: 10, taken: 5 }], [])).toBe(0);
  });
});
