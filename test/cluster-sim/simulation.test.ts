/** Short runs; the long ones are `npm run sim -- run`, in CI. */
import { describe, expect, test } from 'vitest';
import { inMacrotask } from '../../cluster-sim/cli/run-range.js';
import { describeOutcome, kindOf, mutantOptions, runPlan, type SeedReport } from '../../cluster-sim/cli/run-seed.js';
import { shrinkPlan } from '../../cluster-sim/cli/shrink.js';
import { makePlan } from '../../cluster-sim/faults/make-plan.js';
import type { Plan, Profile } from '../../cluster-sim/plan.js';
import { timeLinePage } from '../../cluster-sim/report/time-line-page.js';
import { storedSeeds } from '../../cluster-sim/seeds/seeds.js';

const run = (plan: Plan, mutant?: string): Promise<SeedReport> =>
  inMacrotask(() => runPlan(plan, mutantOptions(mutant)).report);

describe('a seed takes the same course each time', () => {
  test.each<[Profile, number]>([
    ['calm', 1],
    ['swarm', 3],
    ['swarm', 4],
    ['bootstrap', 1],
    ['churn', 5],
    ['single', 6],
    ['lease', 7],
    ['cluster', 5],
  ])('%s %i', async (profile, seed) => {
    const first = await run(makePlan(seed, profile, 15_000));
    const second = await run(makePlan(seed, profile, 15_000));
    expect(second.traceHash).toBe(first.traceHash);
    expect(second.counts).toEqual(first.counts);
    expect(describeOutcome(first.outcome)).toBe('passed');
  });
});

test('seeds differ', async () => {
  const hashes = await Promise.all([1, 2, 3].map(async (seed) => (await run(makePlan(seed, 'swarm', 5000))).traceHash));
  expect(new Set(hashes).size).toBe(3);
});

test.each([11, 12, 13, 14, 15, 16])('swarm %i', async (seed) => {
  expect(describeOutcome((await run(makePlan(seed, 'swarm', 30_000))).outcome)).toBe('passed');
});

test.each(storedSeeds.map((stored) => [stored.profile, stored.seed, stored.found, stored] as const))(
  'stored seed %s %i: %s',
  async (_profile, _seed, _found, { seed, profile, durationMs }) => {
    expect(describeOutcome((await run(makePlan(seed, profile, durationMs))).outcome)).toBe('passed');
  },
);

test.each([
  ['vote-before-durable', 'promises-are-durable'],
  ['leader-counts-itself-at-send', 'committed-is-on-a-durable-quorum'],
])('the mutant %s is caught as %s', async (mutant, invariant) => {
  expect(kindOf((await run(makePlan(1, 'swarm', 30_000), mutant)).outcome)).toBe(invariant);
});

test('a replica that is deleted before its group has let it go is caught', async () => {
  const { outcome } = await run(makePlan(1, 'cluster', 30_000), 'leaving-replica-is-gone');
  expect(kindOf(outcome)).toBe('placement-keeps-majorities');
});

test('a failing run shrinks, and its time line names what is broken', async () => {
  const mutant = 'leader-counts-itself-at-send';
  const plan = makePlan(2, 'swarm', 20_000);
  const kind = kindOf((await run(plan, mutant)).outcome);
  const fails = (candidate: Plan): boolean => kindOf(runPlan(candidate, mutantOptions(mutant)).report.outcome) === kind;
  const smallest = await inMacrotask(() => shrinkPlan(plan, { fails, print: () => {}, runsMax: 40 }));
  expect(smallest.actions.length).toBeLessThan(plan.actions.length);
  const { result } = await inMacrotask(() => runPlan(smallest, { ...mutantOptions(mutant), keepTimeLine: true }));
  const page = timeLinePage(result, { commit: 'test', mutant });
  expect(page).toContain(kind);
  expect(page).not.toMatch(/<(script|link|img)[^>]+(src|href)=/);
});
