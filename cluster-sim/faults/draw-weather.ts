/** What a seed draws of the world around the nodes: network, disks, clocks, streams and clients. */
import type { RandomStream } from '../engine/random.js';
import type { ClientPlan, ClockWeather, DiskWeather, Plan, StreamPlan } from '../plan.js';

const kibibyte = 1024;

export function streamPlan(name: string, partition: number): StreamPlan {
  return { name, partition, retentionBytes: 0, retentionAgeMs: 0, mayBeDeleted: false };
}

export function drawNetwork(random: RandomStream): Omit<Plan['network'], 'bytesPerMs'> {
  const some = <Value>(odds: number, value: () => Value, otherwise: Value): Value =>
    random.chance(odds) ? value() : otherwise;
  return {
    latencyMsMin: 0.2,
    latencyMsMax: some(0.3, () => random.pick([5, 20, 80]), 1.5),
    loss: some(0.4, () => random.pick([0.001, 0.01, 0.1]), 0),
    duplicate: some(0.4, () => random.pick([0.001, 0.02, 0.1]), 0),
    reorder: some(0.4, () => random.pick([0.01, 0.1, 0.3]), 0),
    reorderMsMax: random.pick([2, 20, 300]),
    replayOld: some(0.3, () => random.pick([0.001, 0.02]), 0),
  };
}

export function drawDisk(random: RandomStream): DiskWeather {
  return {
    operationMsMax: random.pick([0.1, 0.1, 1]),
    syncMsMax: random.pick([1, 1, 5, 20]),
    tornSectorsPerMille: random.pick([0, 100, 500]),
    crashPerMillion: random.chance(0.5) ? random.pick([5, 20, 60]) : 0,
    powerLossPerMille: random.pick([0, 300, 700]),
  };
}

export function drawClock(random: RandomStream): ClockWeather {
  return {
    skewMs: random.chance(0.3) ? Math.floor(random.between(-60_000, 60_000)) : 0,
    drift: random.chance(0.3) ? random.between(-0.1, 0.1) : 0,
  };
}

export function drawStreams(random: RandomStream, partitions: number): StreamPlan[] {
  const streams: StreamPlan[] = [];
  for (let partition = 1; partition <= partitions; partition += 1) {
    streams.push(streamPlan(`main-${partition}`, partition));
    if (random.chance(0.5))
      streams.push({ ...streamPlan(`kept-${partition}`, partition), retentionBytes: random.pick([2, 10]) * kibibyte });
    if (random.chance(0.3))
      streams.push({ ...streamPlan(`aged-${partition}`, partition), retentionAgeMs: random.pick([20_000, 60_000]) });
    if (random.chance(0.5)) streams.push({ ...streamPlan(`gone-${partition}`, partition), mayBeDeleted: true });
  }
  return streams;
}

/** Groups fall quiet in them: with lulls, stores are soon flushed for their age. */
export function drawLulls(random: RandomStream): Pick<ClientPlan, 'lullMs' | 'lullEveryMs'> {
  return random.chance(0.5)
    ? { lullMs: 0, lullEveryMs: 0 }
    : { lullMs: random.pick([6000, 12_000]), lullEveryMs: 20_000 };
}

export function drawClients(random: RandomStream): Omit<ClientPlan, 'lullMs' | 'lullEveryMs'> {
  return {
    appendsPerSecond: random.pick([3, 8, 20]),
    producers: random.integer(2, 6),
    conditionalAppenders: random.integer(0, 3),
    readers: random.integer(1, 3),
    walkers: random.integer(0, 2),
    loss: random.chance(0.5) ? random.pick([0.001, 0.01, 0.05]) : 0,
    recordsMax: random.pick([1, 4]),
    recordBytesMax: random.pick([0, 100, 2000]),
  };
}
