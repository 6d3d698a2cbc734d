/** Which nodes have a repository for snapshots, what it does to them, and how often the log is archived and trimmed. */
import { RandomStream } from '../engine/random.js';
import type { ObjectWeather, Profile, SnapshotPlan } from '../plan.js';

const kibibyte = 1024;

export const calmObjects: ObjectWeather = {
  networkMsMax: 20,
  unavailableMsMax: 2000,
  failPerMillion: 0,
  loseAnswerPerMillion: 0,
  happenLaterPerMillion: 0,
  happenLaterMsMax: 0,
  delayPerMillion: 0,
  delayMsMax: 0,
  misreadPerMillion: 0,
};

/** A few snapshots in ten minutes: that of an idle server. */
export const calmSnapshots: SnapshotPlan = {
  logBytes: 1024 * kibibyte,
  ageMs: 150_000,
  marginEntries: 0,
  delayMs: 0,
  bootstrapHoldMs: 60_000,
  manifestsKept: 2,
  graceMs: 200_000,
  collectEveryMs: 90_000,
  checkEveryMs: 60_000,
  recordsChunkBytes: 64 * kibibyte,
  indexChunkBytes: 8 * kibibyte,
  checkpointBytes: 64 * kibibyte,
  objects: calmObjects,
  blind: [],
};

/** A flush is waited for at each checkpoint of an import, which must go faster than the log of a minute or two grows. */
const importBytesPerMsMin = 32;

/** A snapshot has half the grace period for all its requests: with a slow store and small chunks, none would ever be complete. */
const requestsInGraceMin = 400;

const oddsOf: Readonly<Record<Profile, number>> = {
  calm: 0,
  swarm: 0.5,
  churn: 0.6,
  bootstrap: 1,
  single: 0,
  cluster: 0.5,
  lease: 0,
};

/** Drawn from a stream of its own: seeds from before there were snapshots keep the rest of their course. */
export function drawSnapshots(
  seed: number,
  profile: Profile,
  {
    nodes,
    durationMs,
    flushMsMax,
  }: { readonly nodes: number; readonly durationMs: number; readonly flushMsMax: number },
): SnapshotPlan | undefined {
  // In a longer run there is more to import, one chunk after another, and it has to be done before the log is trimmed again.
  // The profile that is about it is run for a minute or two, and looks for what many small chunks bring about.
  const scale = Math.max(1, Math.ceil(durationMs / (profile === 'bootstrap' ? 120_000 : 60_000))) ** 2;
  const random = new RandomStream(seed, 'snapshots');
  if (!random.chance(oddsOf[profile])) return undefined;
  const graceMs = random.pick([6000, 10_000, 20_000]);
  const drawn: SnapshotPlan = {
    logBytes: random.pick([1, 3, 8]) * kibibyte,
    ageMs: random.pick([3000, 8000]),
    marginEntries: random.pick([0, 0, 0, 5, 40]),
    delayMs: random.pick([0, 0, 0, 1000, 5000]),
    bootstrapHoldMs: random.pick([2000, 10_000, 40_000]),
    manifestsKept: random.pick([1, 2, 3]),
    graceMs,
    collectEveryMs: graceMs / random.pick([3, 4]),
    checkEveryMs: random.pick([1000, 5000]),
    recordsChunkBytes: scale * random.pick([512, 2 * kibibyte, 8 * kibibyte]),
    indexChunkBytes: scale * random.pick([256, kibibyte]),
    checkpointBytes: Math.max(
      scale * random.pick([2 * kibibyte, 8 * kibibyte, 64 * kibibyte]),
      importBytesPerMsMin * flushMsMax,
    ),
    objects: drawObjects(random),
    // Alone, a node may well have a repository of its own.
    blind:
      random.chance(0.2) && nodes > 1
        ? [{ node: random.integer(1, nodes), untilMs: random.pick([45_000, 80_000]) }]
        : [],
  };
  return { ...drawn, graceMs: Math.max(graceMs, requestsInGraceMin * drawn.objects.networkMsMax) };
}

function drawObjects(random: RandomStream): ObjectWeather {
  const some = (): number => (random.chance(0.4) ? random.pick([500, 3000, 15_000]) : 0);
  return {
    networkMsMax: random.pick([2, 10, 60]),
    unavailableMsMax: random.pick([200, 2000]),
    failPerMillion: some(),
    loseAnswerPerMillion: some(),
    happenLaterPerMillion: some(),
    happenLaterMsMax: random.pick([500, 8000, 30_000]),
    delayPerMillion: some(),
    delayMsMax: random.pick([500, 4000, 15_000]),
    misreadPerMillion: some(),
  };
}
