/** Nodes that lose their data, and who brings them back. */
import { expect, test } from 'vitest';
import { inMacrotask } from '../../cluster-sim/cli/run-range.js';
import { describeOutcome, runPlan } from '../../cluster-sim/cli/run-seed.js';
import { makePlan } from '../../cluster-sim/faults/make-plan.js';
import type { Action, Plan } from '../../cluster-sim/plan.js';

/** One group of three that works hard enough for a write to the log every few milliseconds. */
function busyPlan(durationMs: number, actions: readonly Action[]): Plan {
  const plan = makePlan(1, 'calm', durationMs);
  return {
    ...plan,
    partitions: 1,
    streams: plan.streams.slice(0, 1),
    tickMs: 100,
    clients: { ...plan.clients, producers: 4, appendsPerSecond: 40 },
    actions,
  };
}

test('a node that lost a write, and was replaced twice at once, was forgotten: the group named its first replica for ever', async () => {
  // The process ends before a group behind the write shows that it went astray.
  const lose = (node: number, atMs: number): Action[] => [
    { atMs, kind: 'misdirected-write', target: { node }, pick: 7 },
    { atMs: atMs + 30, kind: 'crash', target: { node }, downMs: 500 },
  ];
  const plan = busyPlan(30_000, [...lose(2, 10_000), { atMs: 20_000, kind: 'wipe', node: 3, downMs: 500 }]);
  const { report } = await inMacrotask(() => runPlan(plan, {}));
  expect(describeOutcome(report.outcome)).toBe('passed');
  expect(report.counts).toMatchObject({ 'damage detected': 1, 'wiped disks': 2, 'nodes replaced': 2 });
});
