/** What was measured, and what it comes to over the rounds: no I/O. */
import { spreadOf } from '../../support/statistics.js';
import type { Spread } from '../../support/statistics.js';
import type { Figures } from '../../support/workload.js';
import type { SystemName } from '../systems/system.js';
import type { Workload } from '../workloads.js';

export interface Row {
  readonly system: SystemName;
  readonly workload: string;
  readonly codec: string;
  readonly round: number;
  readonly figures: Figures;
}

export interface Failure extends Omit<Row, 'figures'> {
  readonly failed: string;
}

/** What a results file holds. */
export interface Results {
  readonly startedAt: string;
  readonly commit: string;
  readonly machine: string;
  readonly textSource: string;
  readonly rows: readonly Row[];
  readonly failures: readonly Failure[];
  /** Systems that were asked for and are not on this machine, with the reason. */
  readonly missing: Readonly<Partial<Record<SystemName, string>>>;
}

export function merge(all: readonly Results[]): Results {
  const [first] = all;
  if (first === undefined) throw new Error('there are no results');
  return {
    ...first,
    rows: all.flatMap(({ rows }) => rows),
    failures: all.flatMap(({ failures }) => failures),
    missing: Object.assign({}, ...all.map(({ missing }) => missing)) as Results['missing'],
  };
}

/** A figure of a system in a workload, over all rounds. */
export function spread(rows: readonly Row[], figure: string): Spread | undefined {
  const values = rows.map(({ figures }) => figures[figure]).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : spreadOf(values);
}

export interface Best extends Spread {
  readonly codec: string;
  readonly rounds: number;
}

/** Of the codecs that were measured, the one with the best median: a system is compared by the best that it can do. */
export function best(results: Results, system: SystemName, workload: Workload): Best | undefined {
  const { figure, better } = workload.headline;
  return bestOf(results, { system, workload: workload.name, figure, better });
}

export interface Question {
  readonly system: SystemName;
  readonly workload: string;
  readonly figure: string;
  readonly better: 'more' | 'less';
}

export function bestOf({ rows }: Results, { system, workload, figure, better }: Question): Best | undefined {
  const own = rows.filter((row) => row.system === system && row.workload === workload);
  const candidates = [...new Set(own.map(({ codec }) => codec))].flatMap((codec): Best[] => {
    const ofCodec = own.filter((row) => row.codec === codec);
    const found = spread(ofCodec, figure);
    return found === undefined ? [] : [{ ...found, codec, rounds: ofCodec.length }];
  });
  const sign = better === 'more' ? -1 : 1;
  return candidates.sort((one, other) => sign * (one.median - other.median))[0];
}

/** How many times as good the first is: above 1 it is the better one. */
export function timesAsGood(one: number, other: number, better: 'more' | 'less'): number {
  return better === 'more' ? one / other : other / one;
}
