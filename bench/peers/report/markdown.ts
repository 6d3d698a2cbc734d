/** The results as Markdown tables: no I/O. */
import type { System, SystemName } from '../systems/system.js';
import type { Workload } from '../workloads.js';
import { best, spread, timesAsGood } from './results.js';
import type { Best, Results } from './results.js';
import { judge } from './targets.js';

export function digits(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(3)));
}

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');
}

const codecText = ({ codec }: Best): string => (codec === 'none' ? '' : `, ${codec}`);

function spreadText({ median, min, max, rounds }: Best): string {
  return rounds > 1 ? `${digits(median)} (${digits(min)}..${digits(max)})` : digits(median);
}

/** A line a workload; each system with its best codec, and how many times as good Logboom is. */
export function comparison(results: Results, systems: readonly System[], workloads: readonly Workload[]): string {
  const head = ['', 'unit', ...systems.map(({ title }) => title)];
  const lines = workloads.map((workload) => {
    const own = best(results, 'logboom', workload);
    const cells = systems.map((system) => {
      const found = best(results, system.name, workload);
      if (found === undefined) return absence(results, system.name, workload);
      const text = `${spreadText(found)}${codecText(found)}`;
      if (system.name === 'logboom' || own === undefined) return text;
      return `${text}; **${digits(timesAsGood(own.median, found.median, workload.headline.better))}x**`;
    });
    return [workload.description, workload.headline.unit, ...cells];
  });
  return table(head, lines);
}

function absence({ failures, missing }: Results, system: SystemName, workload: Workload): string {
  if (missing[system] !== undefined) return 'not here';
  const reason = workload.without[system];
  if (reason !== undefined) return `- (${reason})`;
  return failures.some((each) => each.system === system && each.workload === workload.name) ? 'failed' : '-';
}

const costs = [
  ['p50Ms', 'p50 ms'],
  ['p99Ms', 'p99 ms'],
  ['serverCpuMsPerMb', 'CPU ms/MB, servers'],
  ['clientCpuMsPerMb', 'CPU ms/MB, client'],
  ['diskBytesPerByte', 'disk bytes/byte'],
  ['serverMemoryMb', 'memory MB, servers'],
] as const;

/** A line a system, workload and codec: medians of all that was measured. */
export function details(results: Results, systems: readonly System[], workloads: readonly Workload[]): string {
  const head = ['', 'system', 'codec', 'rounds', 'records/s', 'MB/s', ...costs.map(([, title]) => title)];
  const lines = workloads.flatMap((workload) =>
    systems.flatMap((system) =>
      system.codecs.flatMap((codec) => {
        const rows = results.rows.filter(
          (each) => each.system === system.name && each.workload === workload.name && each.codec === codec,
        );
        if (rows.length === 0) return [];
        const cell = (figure: string): string => {
          const found = spread(rows, figure);
          return found === undefined ? '' : digits(found.median);
        };
        const rates = [cell('recordsPerSecond'), cell('mbPerSecond')];
        return [
          [workload.name, system.title, codec, String(rows.length), ...rates, ...costs.map(([figure]) => cell(figure))],
        ];
      }),
    ),
  );
  return table(head, lines);
}

export function verdicts(results: Results): string {
  const lines = judge(results).map(({ target, measured, verdict }) => {
    const value = measured === undefined ? '' : `${digits(measured)}${target.unit === 'ms' ? ' ms' : ''}`;
    return [target.text, value, verdict === 'missed' ? '**missed**' : verdict];
  });
  return table(['target', 'measured', ''], lines);
}

export function fairness(systems: readonly System[]): string {
  return table(
    ['', 'an acknowledgement means', 'many small appends'],
    systems.map(({ title, acknowledged, batching }) => [title, acknowledged, batching]),
  );
}

export interface ReportOptions {
  readonly systems: readonly System[];
  readonly workloads: readonly Workload[];
  /** As it is to be linked to; without it the report has no chart. */
  readonly chart?: string;
}

export function report(results: Results, { systems, workloads, chart }: ReportOptions): string {
  const measured = workloads.filter(({ name }) => results.rows.some(({ workload }) => workload === name));
  const missing = Object.entries(results.missing).map(([system, reason]) => `- ${system} is not here: ${reason}`);
  const failed = results.failures.map(
    ({ system, workload, codec, round, failed: why }) =>
      `- ${system}, ${workload}, ${codec}, round ${round}: ${why.split('\n')[0] ?? ''}`,
  );
  return [
    `Three nodes and the client on one machine: ${results.machine}; Logboom at ${results.commit}, ${results.startedAt}. Log text: ${results.textSource}.`,
    'Medians over the rounds, with the least and the most; each system with its best codec. **2x**: Logboom is twice as good.',
    ...(chart === undefined ? [] : [`![${'What Logboom and its peers reach, workload by workload'}](${chart})`]),
    comparison(results, systems, measured),
    fairness(systems),
    details(results, systems, measured),
    verdicts(results),
    ...(missing.length + failed.length === 0 ? [] : [[...missing, ...failed].join('\n')]),
  ].join('\n\n');
}
