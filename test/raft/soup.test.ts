import { describe, expect, it } from 'vitest';
import { raftMutants, type RaftMutant } from '../../src/raft/index.js';
import { runSoup } from './soup.js';

/** Enough schedules for every kind of event to have happened often; the simulator and nightly runs do many more. */
const seeds = 1000;
const steps = 4000;

/** Nodes are no part of the soup, so its groups never fall quiet: the cluster simulator catches these. */
const uncaught = ['quiet-although-a-follower-lags', 'quiet-under-a-dead-leader'] as const;
type SoupMutant = Exclude<RaftMutant, (typeof uncaught)[number]>;

/** The first seed from 1 that catches each, so that this test is quick. A change of the soup moves them: search again. */
const caughtAt: Record<SoupMutant, number> = {
  'vote-before-durable': 24,
  'leader-counts-itself-at-send': 1,
  'drop-current-term-check': 739,
  'read-before-term-commit': 1,
  'ignore-lease-drift-bound': 4002,
  'conf-change-before-current-term-commit': 25,
  'removed-leader-counts-itself': 47,
  'accept-stale-append': 3,
  'accept-append-below-snapshot': 130,
  'campaign-with-unapplied-conf-change': 5,
  'ignore-durability-term': 513,
};

describe('consensus under random schedules', () => {
  it('keeps election safety, log matching, leader completeness, committed entries and linearizable reads', () => {
    const total = { commits: 0, elections: 0, reads: 0, restarts: 0, installs: 0, confChanges: 0 };
    for (let seed = 1; seed <= seeds; seed += 1) {
      const { violation, counts } = runSoup({ seed, steps });
      expect(violation, `seed ${seed}`).toBeUndefined();
      for (const key of Object.keys(total) as (keyof typeof total)[]) total[key] += counts[key];
    }
    // A run in which something never happened proves nothing about it.
    expect(total.commits).toBeGreaterThan(50_000);
    expect(total.elections).toBeGreaterThan(2_000);
    expect(total.reads).toBeGreaterThan(5_000);
    expect(total.restarts).toBeGreaterThan(10_000);
    expect(total.installs).toBeGreaterThan(50);
    expect(total.confChanges).toBeGreaterThan(1_000);
  }, 60_000);

  it('is the same for the same seed', () => {
    for (let seed = 1; seed <= 20; seed += 1) expect(runSoup({ seed, steps })).toEqual(runSoup({ seed, steps }));
  });

  it('has a seed for every mutant that it can catch', () => {
    expect([...Object.keys(caughtAt), ...uncaught].toSorted()).toEqual(Object.keys(raftMutants).toSorted());
  });

  it.each(Object.keys(caughtAt) as SoupMutant[])('catches the mutant %s', (mutant) => {
    const seed = caughtAt[mutant];
    expect(runSoup({ seed, steps: 6000, mutant }).violation).toBeDefined();
    expect(runSoup({ seed, steps: 6000 }).violation).toBeUndefined();
  });
});
