/** What is measured in which order, and how long it takes: no I/O. */
import type { Sizes } from './load/job.js';
import type { System } from './systems/system.js';
import type { Workload } from './workloads.js';

export interface Step {
  readonly round: number;
  readonly system: System;
  readonly workload: Workload;
  readonly codec: string;
}

/** Steps that share one start of the servers. */
export type Turn = readonly [Step, ...Step[]];

export interface PlanOptions {
  readonly systems: readonly System[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  /** One start of the servers for all steps of a round that they can serve, instead of fresh servers for each. */
  readonly together: boolean;
  /** Every codec, or only the one to recommend. */
  readonly everyCodec: boolean;
}

/** Systems take turns at each workload, and rounds repeat it all, so that a slow minute of the machine is nobody's alone. */
export function plan(options: PlanOptions): readonly Turn[] {
  const turns: Turn[] = [];
  for (let round = 1; round <= options.rounds; round += 1) {
    const steps = options.workloads.flatMap((workload) => stepsOf(round, workload, options));
    turns.push(...(options.together ? gather(steps) : steps.map((step): Turn => [step])));
  }
  return turns;
}

function stepsOf(round: number, workload: Workload, { systems, everyCodec }: PlanOptions): readonly Step[] {
  const codecs = new Map(systems.map((system) => [system, codecsOf(system, workload, everyCodec)]));
  const most = Math.max(0, ...[...codecs.values()].map(({ length }) => length));
  return Array.from({ length: most }, (_, index) => index).flatMap((index) =>
    systems.flatMap((system): Step[] => {
      const codec = codecs.get(system)?.[index];
      return codec === undefined ? [] : [{ round, system, workload, codec }];
    }),
  );
}

function codecsOf(system: System, workload: Workload, everyCodec: boolean): readonly string[] {
  if (workload.without[system.name] !== undefined) return [];
  if (workload.codecs === 'none') return ['none'];
  return workload.codecs === 'each' && everyCodec ? system.codecs : [system.recommendedCodec];
}

/** Those that kill servers last: what follows would find them just started. */
const disruption = ({ workload: { kind } }: Step): number => (kind === 'restart' ? 2 : kind === 'failover' ? 1 : 0);

function gather(steps: readonly Step[]): readonly Turn[] {
  const groups = new Map<string, Step[]>();
  for (const step of steps) {
    const key = `${step.workload.partitions} ${step.system.name}`;
    const group = groups.get(key);
    if (group) group.push(step);
    else groups.set(key, [step]);
  }
  return [...groups.values()].map((group) => group.sort((a, b) => disruption(a) - disruption(b)) as unknown as Turn);
}

const startSeconds: Readonly<Record<string, number>> = { logboom: 5, kafka: 9, 'kafka-sync': 9 };
const otherStartSeconds = 4;
/** Of a load process, and of what is not measured in it. */
const loadSeconds = 1.5;
/** Of a machine like the one it was made on; corrected by what is seen. */
const fillBytesPerSecond = 50e6;
const failoverSeconds = 10;

/** A first guess. */
export function expectedSeconds(turn: Turn, sizes: Sizes): number {
  const start = startSeconds[turn[0].system.name] ?? otherStartSeconds;
  return turn.reduce((total, { workload }) => total + loadSeconds + stepSeconds(workload, sizes), start);
}

function stepSeconds({ kind }: Workload, sizes: Sizes): number {
  switch (kind) {
    case 'append':
    case 'tail':
      return sizes.seconds + sizes.warmUpSeconds;
    case 'read':
      return Math.min(sizes.fillSecondsMax, (sizes.readBytes * 1.3) / fillBytesPerSecond);
    case 'restart':
      return Math.min(sizes.fillSecondsMax, (sizes.restartBytes * 1.3) / fillBytesPerSecond);
    case 'failover':
      return failoverSeconds;
  }
}

const isTimed = ({ workload: { kind } }: Step): boolean => kind === 'append' || kind === 'tail';

const secondsMin = 2;
const secondsMax = 30;

/** How long each timed step may measure, for the whole to take about so long; never below what means anything. */
export function secondsWithin(minutes: number, turns: readonly Turn[], sizes: Sizes): number {
  const withoutMeasuring = turns.reduce((total, turn) => total + expectedSeconds(turn, { ...sizes, seconds: 0 }), 0);
  const timed = turns.flat().filter(isTimed).length;
  if (timed === 0) return sizes.seconds;
  const seconds = (minutes * 60 - withoutMeasuring) / timed;
  return Math.min(secondsMax, Math.max(secondsMin, Math.round(seconds * 10) / 10));
}

/** @param done turns with how long each took */
export function secondsLeft(
  done: readonly { readonly expected: number; readonly taken: number }[],
  left: readonly number[],
): number {
  const expected = left.reduce((total, each) => total + each, 0);
  const guessed = done.reduce((total, each) => total + each.expected, 0);
  const taken = done.reduce((total, each) => total + each.taken, 0);
  return guessed === 0 ? expected : (expected * taken) / guessed;
}
