/** The command line: no I/O. */
import { parseArgs } from 'node:util';
import type { Sizes } from './load/job.js';
import { defaultSystems, systems } from './systems/catalogue.js';
import type { System } from './systems/system.js';
import { workloads } from './workloads.js';
import type { Workload } from './workloads.js';

export interface Options {
  readonly systems: readonly System[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  /** Of the whole run; undefined: `sizes.seconds` is as it is. */
  readonly minutes: number | undefined;
  readonly sizes: Sizes;
  readonly together: boolean;
  readonly everyCodec: boolean;
  /** Where the data of the servers goes while they run. */
  readonly directory: string | undefined;
  /** Of everything that is started, all systems alike; undefined: as it is. */
  readonly niceness: number | undefined;
  /** Where results.json, peers.md and peers.svg go. */
  readonly out: string | undefined;
  /** Results files to report on, instead of measuring. */
  readonly report: readonly string[];
  readonly list: boolean;
  readonly installOnly: boolean;
}

export class UsageError extends Error {}

const mebibyte = 1 << 20;

const usual: Sizes = {
  seconds: 6,
  // Long enough for what compiles as it runs, on both sides.
  warmUpSeconds: 3,
  readBytes: 1024 * mebibyte,
  restartBytes: 1024 * mebibyte,
  fillSecondsMax: 60,
  tailRecordsPerSecond: 20_000,
};

const smoke: Sizes = {
  seconds: 0.6,
  warmUpSeconds: 0.3,
  readBytes: 4 * mebibyte,
  restartBytes: 4 * mebibyte,
  fillSecondsMax: 2,
  tailRecordsPerSecond: 1000,
};

/** Each kind of load once. */
const smokeWorkloads = [
  'append-100b-one',
  'append-4k-text',
  'tail',
  'read-text',
  'partitions-8',
  'failover',
  'restart',
];

export const usage = `npm run bench:peers -- [OPTION...]

  --systems A,B,...     ${systems.map(({ name }) => name).join(', ')}
                        (default: ${defaultSystems.join(',')})
  --workloads A,B,...   names or beginnings of names, see --list; all by default
  --rounds N            how often all of it is repeated, the systems in turn (3)
  --minutes M           about how long it is to take: sets --seconds
  --seconds S           measured part of each append (${usual.seconds})
  --read-mib N          of the catch-up read (1024)
  --restart-mib N       stored before the restart (1024)
  --tail-rate N         records a second of the tail (20000)
  --best-codec          only the codec to recommend of each system, not every one
  --together            servers are started once a round, not for every measurement
  --directory DIR       for the data of the servers; it decides which disk is measured
  --nice N              priority of everything that is started, -20 to 19, where other
                        work shares the machine; below 0 takes root
  --out DIR             where results.json, peers.md and peers.svg go
  --report A,B,...      no measuring: the report of these results files together
  --smoke               all systems, a minute or two, and figures that mean nothing
  --install             only install what is missing
  --list                workloads
`;

export function parseOptions(args: readonly string[]): Options {
  const { values } = parse(args);
  const isSmoke = values.smoke;
  const base = isSmoke ? smoke : usual;
  const number = (name: string, text: string | undefined, usually: number): number => {
    if (text === undefined) return usually;
    const value = Number(text);
    if (!Number.isFinite(value) || value <= 0) throw new UsageError(`--${name} is a number above 0, not "${text}"`);
    return value;
  };
  const systemNames = list(values.systems) ?? defaultSystems;
  const workloadNames = list(values.workloads) ?? (isSmoke ? smokeWorkloads : undefined);
  const rounds = number('rounds', values.rounds, isSmoke ? 1 : 3);
  if (!Number.isInteger(rounds)) throw new UsageError(`--rounds is a whole number, not "${values.rounds}"`);
  return {
    systems: systemNames.map((name) => {
      const found = systems.find((system) => system.name === name);
      if (found === undefined)
        throw new UsageError(`there is no system "${name}"; there are ${systems.map((each) => each.name).join(', ')}`);
      return found;
    }),
    workloads: workloadNames === undefined ? workloads : chosenWorkloads(workloadNames),
    rounds,
    minutes: values.minutes === undefined ? undefined : number('minutes', values.minutes, 0),
    sizes: {
      ...base,
      seconds: number('seconds', values.seconds, base.seconds),
      readBytes: number('read-mib', values['read-mib'], base.readBytes / mebibyte) * mebibyte,
      restartBytes: number('restart-mib', values['restart-mib'], base.restartBytes / mebibyte) * mebibyte,
      tailRecordsPerSecond: number('tail-rate', values['tail-rate'], base.tailRecordsPerSecond),
    },
    together: values.together || isSmoke,
    everyCodec: !values['best-codec'] && !isSmoke,
    directory: values.directory,
    niceness: values.nice === undefined ? undefined : nicenessOf(values.nice),
    out: values.out,
    report: list(values.report) ?? [],
    list: values.list,
    installOnly: values.install,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        systems: { type: 'string' },
        workloads: { type: 'string' },
        rounds: { type: 'string' },
        minutes: { type: 'string' },
        seconds: { type: 'string' },
        'read-mib': { type: 'string' },
        'restart-mib': { type: 'string' },
        'tail-rate': { type: 'string' },
        'best-codec': { type: 'boolean', default: false },
        together: { type: 'boolean', default: false },
        directory: { type: 'string' },
        nice: { type: 'string' },
        out: { type: 'string' },
        report: { type: 'string' },
        smoke: { type: 'boolean', default: false },
        install: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function nicenessOf(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < -20 || value > 19)
    throw new UsageError(`--nice is a whole number from -20 to 19, not "${text}"`);
  return value;
}

function list(text: string | undefined): readonly string[] | undefined {
  return text
    ?.split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** In the order of the catalogue; a name, or the beginning of several. */
function chosenWorkloads(names: readonly string[]): readonly Workload[] {
  for (const name of names)
    if (!workloads.some((workload) => workload.name.startsWith(name)))
      throw new UsageError(`there is no workload "${name}"; --list shows them`);
  const isMeant = (workload: Workload, name: string): boolean =>
    workloads.some((each) => each.name === name) ? workload.name === name : workload.name.startsWith(name);
  return workloads.filter((workload) => names.some((name) => isMeant(workload, name)));
}
