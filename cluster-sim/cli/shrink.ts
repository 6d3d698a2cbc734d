/**
 * `shrink`: leaves out of a plan what a failure does not need. A run without one of its faults goes another way from
 * there on; but a failure that comes about easily comes about again, and what is left shows what it takes.
 */
import { calmObjects } from '../faults/draw-snapshots.js';
import { calmDisk } from '../faults/make-plan.js';
import { fairWeather } from '../network/network.js';
import type { Plan } from '../plan.js';
import { noStoreFaults } from '../simulated-ordered-store.js';

export interface ShrinkOptions {
  /** Whether the failure is still there; runs the plan. */
  readonly fails: (plan: Plan) => boolean;
  readonly print: (line: string) => void;
  readonly runsMax: number;
}

/** Answers the smallest plan found. */
export function shrinkPlan(plan: Plan, options: ShrinkOptions): Plan {
  let runs = 0;
  let smallest = plan;
  const attempt = (candidate: Plan, what: string): boolean => {
    if (runs >= options.runsMax) return false;
    runs += 1;
    if (!options.fails(candidate)) return false;
    smallest = candidate;
    options.print(
      `${what}: still fails (run ${runs}, ${candidate.actions.length} actions, ${(candidate.durationMs / 1000).toFixed(0)} s)`,
    );
    return true;
  };
  for (let before = ''; before !== JSON.stringify(smallest) && runs < options.runsMax;) {
    before = JSON.stringify(smallest);
    dropActions(() => smallest, attempt);
    for (const [what, change] of simplifications) {
      const candidate = change(smallest);
      if (candidate !== undefined && JSON.stringify(candidate) !== JSON.stringify(smallest)) attempt(candidate, what);
    }
  }
  return smallest;
}

/** Delta debugging (Zeller and Hildebrandt, 2002): ever smaller parts of the list are left out. */
function dropActions(current: () => Plan, attempt: (candidate: Plan, what: string) => boolean): void {
  for (let parts = 1; parts <= current().actions.length;) {
    const { actions } = current();
    const size = Math.ceil(actions.length / parts);
    let dropped = false;
    for (let from = 0; from < current().actions.length;) {
      const plan = current();
      const rest = [...plan.actions.slice(0, from), ...plan.actions.slice(from + size)];
      if (attempt({ ...plan, actions: rest }, `without ${plan.actions.length - rest.length} actions`)) dropped = true;
      else from += size;
    }
    if (!dropped || current().actions.length === 0) parts *= 2;
    if (size === 1) break;
  }
}

type Simplification = readonly [what: string, change: (plan: Plan) => Plan | undefined];

const simplifications: readonly Simplification[] = [
  ['half the time', (plan) => ({ ...plan, durationMs: Math.ceil(plan.durationMs / 2000) * 1000 })],
  ['fair network', (plan) => ({ ...plan, network: fairWeather })],
  ['no bandwidth limit', (plan) => ({ ...plan, network: { ...plan.network, bytesPerMs: 0 } })],
  ['no loss', (plan) => ({ ...plan, network: { ...plan.network, loss: 0 } })],
  ['no duplicates', (plan) => ({ ...plan, network: { ...plan.network, duplicate: 0 } })],
  ['no reordering', (plan) => ({ ...plan, network: { ...plan.network, reorder: 0 } })],
  ['no replays', (plan) => ({ ...plan, network: { ...plan.network, replayOld: 0 } })],
  ['calm disks', (plan) => ({ ...plan, disk: calmDisk })],
  ['no crashes at I/O boundaries', (plan) => ({ ...plan, disk: { ...plan.disk, crashPerMillion: 0 } })],
  ['calm stores', (plan) => ({ ...plan, stores: { ...noStoreFaults } })],
  ['exact clocks', (plan) => ({ ...plan, clocks: [] })],
  ['no snapshots', withoutSnapshots],
  ['a faithful object store', withFaithfulObjects],
  [
    'everyone sees the repository',
    (plan) => plan.snapshots && { ...plan, snapshots: { ...plan.snapshots, blind: [] } },
  ],
  ['no client losses', (plan) => ({ ...plan, clients: { ...plan.clients, loss: 0 } })],
  ['no walkers', (plan) => ({ ...plan, clients: { ...plan.clients, walkers: 0 } })],
  ['no readers', (plan) => ({ ...plan, clients: { ...plan.clients, readers: 0 } })],
  ['no conditional appenders', (plan) => ({ ...plan, clients: { ...plan.clients, conditionalAppenders: 0 } })],
  ['no lulls', (plan) => ({ ...plan, clients: { ...plan.clients, lullMs: 0, lullEveryMs: 0 } })],
  ['one producer', (plan) => ({ ...plan, clients: { ...plan.clients, producers: 1 } })],
  ['one record an append', (plan) => ({ ...plan, clients: { ...plan.clients, recordsMax: 1, recordBytesMax: 0 } })],
  ['first stream only', (plan) => ({ ...plan, streams: plan.streams.slice(0, 1) })],
  ['one partition', onePartition],
  ['one node less', oneNodeLess],
];

function withoutSnapshots(plan: Plan): Plan {
  const { snapshots: _none, ...rest } = plan;
  return rest;
}

function withFaithfulObjects(plan: Plan): Plan | undefined {
  return plan.snapshots && { ...plan, snapshots: { ...plan.snapshots, objects: calmObjects } };
}

function onePartition(plan: Plan): Plan | undefined {
  const streams = plan.streams.filter(({ partition }) => partition === 1);
  return streams.length === 0 ? undefined : { ...plan, partitions: 1, streams };
}

function oneNodeLess(plan: Plan): Plan | undefined {
  if (plan.nodes <= 1) return undefined;
  const nodes = plan.nodes - 1;
  const initialVoters = plan.initialVoters.filter((voter) => voter <= nodes);
  return initialVoters.length === 0 ? undefined : { ...plan, nodes, initialVoters };
}
