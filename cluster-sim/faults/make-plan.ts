/** Draws the plan of a run from its seed: which nodes, which weather, which clients, and what is done to them when. */
import { RandomStream } from '../engine/random.js';
import { fairWeather } from '../network/network.js';
import type { ClientPlan, DiskWeather, Plan, Profile } from '../plan.js';
import { noStoreFaults } from '../simulated-ordered-store.js';
import { clusterPlan } from './cluster-plan.js';
import { drawActions } from './draw-actions.js';
import { calmSnapshots, drawSnapshots } from './draw-snapshots.js';
import { drawClients, drawClock, drawDisk, drawLulls, drawNetwork, drawStreams, streamPlan } from './draw-weather.js';

const kibibyte = 1024;

export const calmDisk: DiskWeather = {
  operationMsMax: 0.1,
  syncMsMax: 1,
  tornSectorsPerMille: 100,
  crashPerMillion: 0,
  powerLossPerMille: 0,
};

export function makePlan(seed: number, profile: Profile, durationMs: number): Plan {
  switch (profile) {
    case 'cluster':
      return clusterPlan(seed, durationMs);
    case 'calm':
      return calmPlan(seed, durationMs);
    case 'swarm':
      return swarmPlan(seed, durationMs, 'swarm');
    case 'bootstrap':
    case 'churn':
    case 'lease':
    case 'single':
      return swarmPlan(seed, durationMs, profile);
  }
}

/** Three nodes, three partitions, ten appends a second, a snapshot now and then, and nothing goes wrong. */
function calmPlan(seed: number, durationMs: number): Plan {
  return {
    seed,
    profile: 'calm',
    durationMs,
    nodes: 3,
    initialVoters: [1, 2, 3],
    partitions: 3,
    tickMs: 1000,
    electionTicks: 5,
    segmentBytes: 1024 * kibibyte,
    flushAgeMs: 10_000,
    lazySyncMs: 2000,
    maintenanceMs: 10_000,
    readMode: 'read-index',
    network: fairWeather,
    // Writes to the page cache and to a memtable take no time that is worth an event.
    disk: { ...calmDisk, operationMsMax: 0 },
    stores: { ...noStoreFaults, writeMsMax: 0, readMsMax: 0 },
    clocks: [],
    streams: [1, 2, 3].map((partition) => streamPlan(`calm-${partition}`, partition)),
    clients: {
      appendsPerSecond: 10,
      producers: 6,
      conditionalAppenders: 0,
      readers: 1,
      walkers: 1,
      loss: 0,
      recordsMax: 1,
      recordBytesMax: 20,
      lullMs: 0,
      lullEveryMs: 0,
    },
    snapshots: calmSnapshots,
    actions: [],
  };
}

/**
 * Swarm testing (Groce and others, 2012): each seed leaves many kinds of faults out altogether, and is hard on the rest.
 * Runs in which everything goes wrong at once find less, for one fault hides the other.
 */
function swarmPlan(seed: number, durationMs: number, profile: Exclude<Profile, 'calm' | 'cluster'>): Plan {
  const random = new RandomStream(seed, 'plan');
  const hasSpares = profile === 'churn' || profile === 'bootstrap';
  const nodes = nodesOf(random, profile);
  const spares = nodes >= 4 && (hasSpares || random.chance(0.5)) ? nodes - 3 : 0;
  const partitions = random.integer(1, 3);
  const lulls = drawLulls(new RandomStream(seed, 'lulls'));
  const all = Array.from({ length: nodes }, (_, index) => index + 1);
  const drawn = {
    seed,
    profile,
    durationMs,
    nodes,
    initialVoters: random
      .shuffled(all)
      .slice(0, nodes - spares)
      .sort((a, b) => a - b),
    partitions,
    tickMs: 100,
    electionTicks: random.pick([5, 10, 10, 20]),
    segmentBytes: random.pick([64, 128, 256]) * kibibyte,
    flushAgeMs: Math.min(flushAgeOf(random.pick([1000, 5000, 20_000]), profile), lulls.lullMs > 0 ? 1000 : Infinity),
    lazySyncMs: new RandomStream(seed, 'lazy sync').pick([100, 500, 2000]),
    maintenanceMs: random.pick([2000, 5000]),
    readMode: profile === 'lease' || random.chance(0.2) ? 'lease' : 'read-index',
    network: { ...drawNetwork(random), bytesPerMs: drawBandwidth(seed) },
    disk: drawDisk(random),
    stores: {
      ...noStoreFaults,
      writeMsMax: random.pick([0.2, 2]),
      flushMsMax: random.pick([50, 400, 2000]),
    },
    clocks: all.map(() =>
      profile === 'lease' ? { skewMs: 0, drift: random.pick([-0.3, 0, 0.3]) } : drawClock(random),
    ),
    streams: drawStreams(random, partitions),
    clients: busierFor(profile, { ...drawClients(random), ...lulls }),
  } as const;
  const snapshots = drawSnapshots(seed, profile, { nodes, durationMs, flushMsMax: drawn.stores.flushMsMax });
  const base = { ...drawn, ...(snapshots === undefined ? {} : { snapshots }) };
  // A lease counts the leader's own ticks: a process that stands still stretches it, which is stated, not tested.
  const actions = drawActions(new RandomStream(seed, 'actions'), base).filter(
    ({ kind }) => base.readMode !== 'lease' || kind !== 'pause',
  );
  return { ...base, actions };
}

function nodesOf(random: RandomStream, profile: Profile): number {
  if (profile === 'single') return 1;
  if (profile === 'lease') return random.pick([3, 5]);
  if (profile === 'bootstrap') return random.pick([3, 4, 4, 5]);
  return random.pick(profile === 'churn' ? [4, 5] : [1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5]);
}

/** What is to be trimmed must have been flushed. */
function flushAgeOf(drawn: number, profile: Profile): number {
  return profile === 'bootstrap' ? drawn / 4 : drawn;
}

/** Logs grow fast enough that a node which is away for a while finds its entries gone. */
function busierFor(profile: Profile, clients: ClientPlan): ClientPlan {
  return profile === 'bootstrap' ? { ...clients, appendsPerSecond: 10 + clients.appendsPerSecond / 2 } : clients;
}

function drawBandwidth(seed: number): number {
  const random = new RandomStream(seed, 'bandwidth');
  return random.chance(0.2) ? random.pick([10, 50, 250]) : 0;
}
