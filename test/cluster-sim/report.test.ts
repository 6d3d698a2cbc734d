import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { invariants } from '../../cluster-sim/checkers/invariants.js';
import { inMacrotask } from '../../cluster-sim/cli/run-range.js';
import { mutantOptions, runPlan, statusOf } from '../../cluster-sim/cli/run-seed.js';
import { parseDuration, parseSeeds } from '../../cluster-sim/cli/seeds.js';
import { makePlan } from '../../cluster-sim/faults/make-plan.js';
import { missingCoverage } from '../../cluster-sim/report/coverage.js';
import { timeLinePage } from '../../cluster-sim/report/time-line-page.js';

test('docs/simulator.md explains every invariant', () => {
  const page = readFileSync('docs/simulator.md', 'utf8');
  for (const name of Object.keys(invariants)) expect(page).toContain(`\`${name}\``);
});

test('exit statuses tell a crash, a lack of liveness and a broken invariant apart', () => {
  const violation = { invariant: 'log-matching', message: '', atMs: 0 } as const;
  expect(statusOf({ type: 'passed' })).toBe(0);
  expect(statusOf({ type: 'crashed', error: '', atMs: 0 })).toBe(127);
  expect(statusOf({ type: 'no-liveness', missing: '', atMs: 0 })).toBe(128);
  expect(statusOf({ type: 'violated', violation })).toBe(129);
});

test('a range that never met a kind of fault is told so, by name', () => {
  const missing = missingCoverage('swarm', { elections: 3, 'torn sectors': 0 });
  expect(missing).not.toContain('elections');
  for (const name of [
    'log truncations',
    'partial partitions',
    'configuration changes',
    'crashes with pending writes',
    'torn sectors',
    'power losses',
    'slow disks',
    'hung disks',
    'leaders that stepped down for a disk that hung',
    'leaders that stepped down for a disk that was full',
    'misdirected writes',
  ]) {
    expect(missing).toContain(name);
  }
});

test('seeds and durations are read as they are written', () => {
  expect(parseSeeds('1..3,7')).toEqual([1, 2, 3, 7]);
  expect(() => parseSeeds('3..1')).toThrow(/empty/);
  expect(parseDuration('1h')).toBe(3_600_000);
  expect(parseDuration('90')).toBe(90_000);
  expect(() => parseDuration('soon')).toThrow(/no duration/);
});

test('the page of a failed run says what the invariant means, and lists the last moments', async () => {
  const mutant = 'leader-counts-itself-at-send';
  const plan = makePlan(1, 'swarm', 30_000);
  const { result } = await inMacrotask(() => runPlan(plan, { ...mutantOptions(mutant), keepTimeLine: true }));
  const page = timeLinePage(result, { commit: 'test', mutant });
  expect(page).toContain(invariants['committed-is-on-a-durable-quorum']);
  expect(page).toContain('Deliberate bug: a leader counts its own entries');
  expect(page).toMatch(/<td>node \d<\/td><td>leads partition/);
  expect(page).toMatch(/<pre>partition 1: /);
});
