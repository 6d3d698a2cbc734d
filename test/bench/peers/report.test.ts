import { describe, expect, test } from 'vitest';
import { chart } from '../../../bench/peers/report/chart.js';
import { comparison, details, digits, report, verdicts } from '../../../bench/peers/report/markdown.js';
import { best, bestOf, merge, timesAsGood } from '../../../bench/peers/report/results.js';
import type { Results, Row } from '../../../bench/peers/report/results.js';
import { judge } from '../../../bench/peers/report/targets.js';
import { systems } from '../../../bench/peers/systems/catalogue.js';
import { workloads } from '../../../bench/peers/workloads.js';

const workload = (name: string) => workloads.find((each) => each.name === name)!;
const shown = systems.filter(({ name }) => ['logboom', 'jetstream', 'etcd'].includes(name));

const row = (system: Row['system'], name: string, codec: string, round: number, figures: Row['figures']): Row => ({
  system,
  workload: name,
  codec,
  round,
  figures,
});

const results = (rows: readonly Row[], more: Partial<Results> = {}): Results => ({
  startedAt: '2026-01-01 00:00',
  commit: 'abc',
  machine: 'a machine',
  textSource: 'made-up log lines',
  rows,
  failures: [],
  missing: {},
  ...more,
});

const appends = results([
  row('logboom', 'append-4k-text', 'none', 1, { mbPerSecond: 50, recordsPerSecond: 5_000 }),
  row('logboom', 'append-4k-text', 'none', 2, { mbPerSecond: 70, recordsPerSecond: 7_000 }),
  row('logboom', 'append-4k-text', 'none', 3, { mbPerSecond: 60, recordsPerSecond: 6_000 }),
  row('logboom', 'append-4k-text', 'zstd', 1, { mbPerSecond: 90, recordsPerSecond: 9_000 }),
  row('jetstream', 'append-4k-text', 'none', 1, { mbPerSecond: 20, recordsPerSecond: 2_000 }),
]);

describe('results', () => {
  test('a system is judged by its best codec, with median, least and most over the rounds', () => {
    expect(best(appends, 'logboom', workload('append-4k-text'))).toEqual({
      codec: 'zstd',
      rounds: 1,
      median: 90,
      min: 90,
      max: 90,
    });
    const uncompressed = results(appends.rows.filter(({ codec }) => codec === 'none'));
    expect(best(uncompressed, 'logboom', workload('append-4k-text'))).toEqual({
      codec: 'none',
      rounds: 3,
      median: 60,
      min: 50,
      max: 70,
    });
  });

  test('where less is better, the best codec is the one with less', () => {
    const rows = [row('kafka', 'tail', 'none', 1, { p99Ms: 5 }), row('kafka', 'tail', 'lz4', 1, { p99Ms: 9 })];
    const question = { system: 'kafka', workload: 'tail', figure: 'p99Ms' } as const;
    expect(bestOf(results(rows), { ...question, better: 'less' })?.codec).toBe('none');
    expect(bestOf(results(rows), { ...question, better: 'more' })?.codec).toBe('lz4');
  });

  test('what was not measured is undefined', () => {
    expect(best(appends, 'etcd', workload('append-4k-text'))).toBeUndefined();
    expect(best(appends, 'logboom', workload('tail'))).toBeUndefined();
  });

  test('how many times as good, whichever way is better', () => {
    expect(timesAsGood(10, 5, 'more')).toBe(2);
    expect(timesAsGood(10, 5, 'less')).toBe(0.5);
  });

  test('several runs are one, with the failures of all', () => {
    const failure = { system: 'etcd', workload: 'tail', codec: 'none', round: 1, failed: 'why' } as const;
    const other = results([row('etcd', 'tail', 'none', 1, { p99Ms: 1 })], {
      failures: [failure],
      missing: { kafka: 'no java' },
    });
    const merged = merge([appends, other]);
    expect(merged.rows).toHaveLength(appends.rows.length + 1);
    expect(merged.failures).toEqual([failure]);
    expect(merged.missing).toEqual({ kafka: 'no java' });
    expect(() => merge([])).toThrow('no results');
  });
});

describe('targets', () => {
  const verdict = (of: Results, text: string) => judge(of).find(({ target }) => target.text.includes(text));

  test('met, missed and not measured are told apart', () => {
    expect(verdict(appends, 'append 4 KiB of log text')).toMatchObject({ measured: 4.5, verdict: 'met' });
    const slower = results([...appends.rows, row('jetstream', 'append-4k-text', 's2', 1, { recordsPerSecond: 4_000 })]);
    expect(verdict(slower, 'append 4 KiB of log text')).toMatchObject({ measured: 2.25, verdict: 'missed' });
    expect(verdict(appends, 'append 64 KiB of log text')).toMatchObject({ verdict: 'not measured' });
  });

  test('latencies have to be low', () => {
    const at = (p50Ms: number) =>
      results([
        row('logboom', 'append-100b-one', 'none', 1, { p50Ms }),
        row('jetstream', 'append-100b-one', 'none', 1, { p50Ms: 1 }),
      ]);
    expect(verdict(at(0.9), 'one at a time')?.verdict).toBe('met');
    expect(verdict(at(1.1), 'one at a time')?.verdict).toBe('missed');
  });

  test('a share of its own rate', () => {
    const at = (rate: number) =>
      results([
        row('logboom', 'partitions-8', 'zstd', 1, { recordsPerSecond: 1000 }),
        row('logboom', 'partitions-64', 'zstd', 1, { recordsPerSecond: rate }),
      ]);
    expect(verdict(at(810), '64 partitions')?.verdict).toBe('met');
    expect(verdict(at(790), '64 partitions')?.verdict).toBe('missed');
  });
});

describe('report', () => {
  test('numbers have three digits that count', () => {
    expect([0.00451, 4.5, 18.04, 123.4, 1234.5, 245_678].map(digits)).toEqual([
      '0.00451',
      '4.5',
      '18',
      '123',
      '1,235',
      '245,678',
    ]);
    expect(digits(Number.NaN)).toBe('-');
  });

  test('a line a workload: medians, spread, codec, and how many times as good Logboom is', () => {
    expect(
      comparison(appends, shown, [workload('append-4k-text')])
        .split('\n')
        .at(-1),
    ).toBe('| append 4 KiB, 512 in flight, log text | MB/s | 90, zstd | 20; **4.5x** | - |');
  });

  test('what is not here, cannot be, or failed is said, and never an empty cell', () => {
    const failed = {
      system: 'jetstream',
      workload: 'partitions-8',
      codec: 'none',
      round: 1,
      failed: 'no quorum\nat',
    } as const;
    const rows = [row('logboom', 'partitions-8', 'zstd', 1, { mbPerSecond: 10 })];
    const partly = results(rows, { failures: [failed] });
    const line = (of: Results): string | undefined =>
      comparison(of, shown, [workload('partitions-8')])
        .split('\n')
        .at(-1);
    expect(line(partly)).toContain('| 10, zstd | failed | - (it has one Raft group) |');
    expect(line(results(rows, { missing: { etcd: 'go is not there' } }))).toContain('| 10, zstd | - | not here |');
    const text = report(partly, { systems: shown, workloads });
    expect(text).toContain('- jetstream, partitions-8, none, round 1: no quorum');
  });

  test('details have every codec, medians of what was measured', () => {
    const lines = details(appends, shown, [workload('append-4k-text')])
      .split('\n')
      .slice(2);
    expect(lines).toEqual([
      '| append-4k-text | Logboom | none | 3 | 6,000 | 60 |  |  |  |  |  |  |',
      '| append-4k-text | Logboom | zstd | 1 | 9,000 | 90 |  |  |  |  |  |  |',
      '| append-4k-text | NATS JetStream | none | 1 | 2,000 | 20 |  |  |  |  |  |  |',
    ]);
  });

  test('the table of targets shows each of them', () => {
    expect(verdicts(appends).split('\n')).toHaveLength(2 + judge(appends).length);
    expect(verdicts(appends)).toContain("| append 4 KiB of log text: at least 3 times JetStream's rate | 4.5 | met |");
  });
});

describe('chart', () => {
  const lengths = (svg: string): readonly number[] =>
    [...svg.matchAll(/<rect x="370" y="[\d.]+" width="(\d+)"/g)].map(([, width]) => Number(width));

  test('the best has the longest bar, whether more or less is better', () => {
    expect(lengths(chart(appends, shown, [workload('append-4k-text')]))).toEqual([360, 80]);
    const gaps = results([
      row('logboom', 'failover', 'zstd', 1, { gapMs: 1000 }),
      row('jetstream', 'failover', 'none', 1, { gapMs: 4000 }),
    ]);
    expect(lengths(chart(gaps, shown, [workload('failover')]))).toEqual([360, 90]);
  });

  test('it is well-formed, and its values are those of the results', () => {
    const svg = chart(appends, shown, workloads);
    expect(svg).toContain('>90 MB/s</text>');
    expect(svg).toContain('>20 MB/s</text>');
    expect(svg.startsWith('<svg ') && svg.endsWith('</svg>\n')).toBe(true);
    // Every element but the outer one is closed where it stands.
    expect(svg.match(/<rect [^>]*[^/]>/g)).toBeNull();
    expect(svg.match(/<text /g)?.length).toBe(svg.match(/<\/text>/g)?.length);
  });
});
