/**
 * Seeds that found a real bug, one line each of what it was; they run with every test. A later change of the simulator
 * may lead such a seed past its bug: it stays all the same, and a bug that matters has a test of its own beside.
 */
import type { Profile } from '../plan.js';

export interface StoredSeed {
  readonly seed: number;
  readonly profile: Profile;
  readonly durationMs: number;
  readonly found: string;
}

export const storedSeeds: readonly StoredSeed[] = [
  {
    seed: 10,
    profile: 'swarm',
    durationMs: 60_000,
    found:
      'a follower behind the memory of the log was never sent entries: nobody loaded what the core asked for (loading-log.ts)',
  },
  {
    seed: 7,
    profile: 'swarm',
    durationMs: 60_000,
    found: 'a follower, or a leader just elected, answered STREAM_NOT_FOUND for a stream that it had not applied yet',
  },
  {
    seed: 33,
    profile: 'swarm',
    durationMs: 60_000,
    found: 'a group of applied entries was larger than what the index takes in one write, and stopped the partition',
  },
  {
    seed: 1046,
    profile: 'swarm',
    durationMs: 120_000,
    found:
      'in the simulator: a cut that was healed at the end of a run took back a later one when its time was over (network.ts)',
  },
  {
    seed: 130,
    profile: 'swarm',
    durationMs: 600_000,
    found:
      'in the simulator: a node with a misdirected write was replaced twice at once, and its first replica stayed a voter (replacement.ts)',
  },
  {
    seed: 58,
    profile: 'swarm',
    durationMs: 600_000,
    found:
      'a process died between making the directory of a store and syncing its name; later ones never synced it, and a power loss took the store (leveldb-store.ts)',
  },
  {
    seed: 32,
    profile: 'bootstrap',
    durationMs: 120_000,
    found:
      'in the simulator: imports waited two seconds for a flush every 2 KiB, and went slower than the log grew (draw-snapshots.ts)',
  },
  {
    seed: 187,
    profile: 'swarm',
    durationMs: 600_000,
    found:
      'one write that failed, after the core had agreed to a snapshot, stopped the replica: it is written before that (installation.ts)',
  },
  {
    seed: 2,
    profile: 'cluster',
    durationMs: 120_000,
    found:
      "a node that asked a removed member to be let in was told of that one's removal, took it for its own, and ended (join-desk.ts)",
  },
  {
    seed: 14,
    profile: 'bootstrap',
    durationMs: 60_000,
    found:
      'the leader of a group that could commit nothing waited for a checkpoint, and the replica that it lacked for its state (replica-snapshots.ts)',
  },
];
