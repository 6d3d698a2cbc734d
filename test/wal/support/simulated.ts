/** A write-ahead log on a simulated disk. */
import { crc32 } from 'node:zlib';
import { RandomStream } from '../../../cluster-sim/engine/random.js';
import { World } from '../../../cluster-sim/engine/world.js';
import { SimulatedClock } from '../../../cluster-sim/simulated-clock.js';
import { SimulatedDisk, type SimulatedDiskOptions } from '../../../cluster-sim/simulated-disk.js';
import { asLsn, asPartitionId, asReplicaId, asTerm, type Lsn } from '../../../src/base/ids.js';
import type { Disk } from '../../../src/base/ports/disk.js';
import type { Environment } from '../../../src/base/ports/environment.js';
import { noLogger } from '../../../src/base/ports/logger.js';
import { noMetrics } from '../../../src/base/ports/metrics.js';
import type { ConfState, Entry, HardState, Persist } from '../../../src/raft/types.js';
import type { WalOptions } from '../../../src/wal/options.js';
import type { PartitionLog } from '../../../src/wal/types.js';

export const directory = '/data/wal';

/** Small enough that a few hundred entries roll many segments. */
export const smallOptions: Partial<WalOptions> = {
  segmentBytes: 32 * 1024,
  maxGroupBytes: 8 * 1024,
  maxPendingBytes: 16 * 1024,
  recentEntriesCacheBytes: 8 * 1024,
  loadedEntriesCacheBytes: 8 * 1024,
  positionBytesMax: 400,
  spareSegments: 1,
  minFreeBytes: 0,
  lazySyncDelayMs: 5,
  spaceRetryMs: 100,
  openFilesMax: 4,
};

export interface Simulation {
  readonly world: World;
  readonly clock: SimulatedClock;
  readonly random: RandomStream;
  readonly disk: SimulatedDisk;
  /** Of a process started now. */
  environment(): Environment;
}

export function simulation(seed: number, options: Partial<SimulatedDiskOptions> = {}): Simulation {
  const world = new World();
  const clock = new SimulatedClock(world);
  const disk = new SimulatedDisk(clock, new RandomStream(seed, 'disk'), options);
  disk.putFile(`${directory}/placeholder`, new Uint8Array());
  const random = new RandomStream(seed, 'environment');
  return {
    world,
    clock,
    random: new RandomStream(seed, 'test'),
    disk,
    environment: () => environmentOf(clock, random, disk.mount()),
  };
}

export function environmentOf(clock: SimulatedClock, random: RandomStream, disk: Disk): Environment {
  const compressor = {
    compress: () => Promise.reject(new Error('not in these tests')),
    decompress: () => Promise.reject(new Error('not in these tests')),
  };
  return {
    clock,
    random,
    disk,
    compressor,
    crc32: (bytes, seed) => crc32(bytes, seed),
    logger: noLogger,
    metrics: noMetrics,
  };
}

export const lsn = asLsn;
export const partitionId = asPartitionId;
export const replicaId = asReplicaId;

export function confState(...voters: number[]): ConfState {
  return {
    voters: voters.map(asReplicaId),
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
}

export function hardState(term: number, vote: number, commit: number): HardState {
  return { term: asTerm(term), vote: asReplicaId(vote), commit: asLsn(commit) };
}

export function entry(at: number, term: number, data: string | Uint8Array): Entry {
  const bytes = typeof data === 'string' ? Uint8Array.from(Buffer.from(data)) : data;
  return { lsn: asLsn(at), term: asTerm(term), kind: 0, data: bytes };
}

export function entries(from: number, to: number, term: number, dataBytes = 20): Entry[] {
  const list: Entry[] = [];
  for (let at = from; at <= to; at++)
    list.push(entry(at, term, Uint8Array.from(Buffer.alloc(dataBytes, `${at}/${term} `))));
  return list;
}

let nextToken = 1;
export function persist(list: readonly Entry[], state?: HardState, mustSync = true): Persist {
  return { token: nextToken++, hardState: state, entries: list, mustSync };
}

/** Resolves when it is durable. */
export function appended(log: PartitionLog, list: readonly Entry[], state?: HardState): Promise<void> {
  return new Promise((resolve) => log.append(persist(list, state), resolve));
}

/** Everything that can be read, in as many calls as it takes. */
export async function readAll(log: PartitionLog, from: Lsn = log.oldestLsn, maxBytes = 3000): Promise<Entry[]> {
  const list: Entry[] = [];
  for (let at = from; at <= log.lastLsn;) {
    const page = await log.read(at, asLsn(log.lastLsn + 1), maxBytes);
    if (page.length === 0) throw new Error(`nothing at ${at} of [${log.oldestLsn}, ${log.lastLsn}]`);
    list.push(...page);
    at = asLsn(at + page.length);
  }
  return list;
}
