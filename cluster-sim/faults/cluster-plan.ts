/** Plans of the profile `cluster`: the server's own cluster code, formed of some nodes, with others that join later. */
import { RandomStream } from '../engine/random.js';
import type { Action, ActionKind, Plan } from '../plan.js';
import { noStoreFaults } from '../simulated-ordered-store.js';
import { drawActions } from './draw-actions.js';
import { drawSnapshots } from './draw-snapshots.js';
import { drawClients, drawClock, drawDisk, drawLulls, drawNetwork, drawStreams } from './draw-weather.js';

const kibibyte = 1024;

/** Configurations change by placement alone, and what damages a disk here is its loss as a whole. */
const others: ReadonlySet<ActionKind> = new Set<ActionKind>([
  'bit-rot',
  'change-voters',
  'misdirected-write',
  'objects-damage',
  'rot-before-snapshot',
]);

const isOfProfile = (action: Action): boolean =>
  !others.has(action.kind) && !(action.kind === 'disk-error' && action.operation === 'read');

export function clusterPlan(seed: number, durationMs: number): Plan {
  const random = new RandomStream(seed, 'cluster plan');
  const nodes = random.pick([3, 4, 4, 5, 5, 6]);
  const founders = random.pick([3, 3, 4, 5].filter((count) => count <= nodes));
  const partitions = random.integer(2, 6);
  const all = Array.from({ length: nodes }, (_, index) => index + 1);
  const zones = random.pick([1, 2, 3]);
  const drawn: Omit<Plan, 'actions'> = {
    seed,
    profile: 'cluster',
    durationMs,
    nodes,
    initialVoters: random
      .shuffled(all)
      .slice(0, founders)
      .sort((a, b) => a - b),
    membership: { replicationFactor: 3, zones: all.map(() => `zone-${random.integer(1, zones)}`) },
    partitions,
    tickMs: 100,
    electionTicks: random.pick([10, 10, 20]),
    segmentBytes: random.pick([64, 128, 256]) * kibibyte,
    flushAgeMs: random.pick([1000, 5000, 20_000]),
    lazySyncMs: random.pick([100, 500, 2000]),
    maintenanceMs: random.pick([2000, 5000]),
    readMode: 'read-index',
    network: { ...drawNetwork(random), bytesPerMs: 0 },
    disk: drawDisk(random),
    stores: { ...noStoreFaults, writeMsMax: random.pick([0.2, 2]), flushMsMax: random.pick([50, 400]) },
    clocks: all.map(() => drawClock(random)),
    streams: drawStreams(random, partitions),
    clients: { ...drawClients(random), ...drawLulls(new RandomStream(seed, 'lulls')) },
  };
  const snapshots = drawSnapshots(seed, 'cluster', { nodes, durationMs, flushMsMax: drawn.stores.flushMsMax });
  // One that was alone trims its log by itself: others can join it only where there is a repository.
  const isAlone = snapshots !== undefined && new RandomStream(seed, 'begins alone').chance(0.2);
  const founded = isAlone ? { ...drawn, initialVoters: drawn.initialVoters.slice(0, 1) } : drawn;
  const base = snapshots === undefined ? founded : { ...founded, snapshots };
  const actions = drawActions(new RandomStream(seed, 'cluster actions'), base).filter(isOfProfile);
  return { ...base, actions };
}
