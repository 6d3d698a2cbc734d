/**
 * The store of a replica of a new group that begins where a snapshot of a lost one ends.
 *
 * What comes back is the state at the snapshot, and behind it a fork: effects that no entry of a log has, at the next LSNs, in
 * which the group gets its own configuration, forgets what was archived of the old one, and every stream a new epoch. They
 * depend on the snapshot and the plan alone, so all replicas of the new group make the same state of it, with the same
 * hash, wherever they restore it. Their logs begin behind the fork.
 *
 * ```
 *   partitions/7.staging    being imported; resumable
 *   partitions/7.restored   imported; the fork may be under way
 *   partitions/7            done
 * ```
 */
import { assert } from '../base/assert.js';
import { asLsn, noReplica, type Lsn, type PartitionId, type ReplicaId } from '../base/ids.js';
import type { Disk } from '../base/ports/disk.js';
import type { Crc32, Environment } from '../base/ports/environment.js';
import type { StateReader, StateTransaction } from '../base/state-machine.js';
import type { ConfState } from '../raft/types.js';
import type { Manifest } from '../snapshot/index.js';
import { ApplyTransaction, type StateStore } from '../state-store/index.js';
import { Wal, type WalOptions } from '../wal/index.js';
import { archiveKey, checkpointsKey } from './archive-state.js';
import { confStateKey, encodeConfState, highestReplicaKey } from './conf-state.js';
import { stagingDirectory, type ImportedStart } from './installation.js';

/** Streams that get a new epoch at one LSN: what one write of a store holds. */
const streamsAtOnce = 1000;

export interface ForkedMachine {
  load(reader: StateReader): Promise<void>;
  streams(): Iterable<{ readonly id: number }>;
  fork(lsn: Lsn, streamIds: readonly number[], salt: number, transaction: StateTransaction): void;
}

export interface RestoredReplicaParts {
  readonly disk: Disk;
  readonly crc32: Crc32;
  readonly manifest: Manifest;
  /** Where the store is to be, absolute. Nothing else uses it. */
  readonly directory: string;
  /** Of the new group. */
  readonly confState: ConfState;
  /** Of the restore, the same for all replicas of a group: [1, 2^53). */
  readonly salt: number;
  readonly createMachine: () => ForkedMachine;
  readonly openStore: (directory: string) => Promise<StateStore>;
  /** Builds a complete, closed, durable store of the snapshot, going on where it was interrupted. */
  readonly restore: (directory: string) => Promise<void>;
}

export interface RestoredReplica {
  readonly start: ImportedStart;
  readonly streams: number;
}

/**
 * Resolves when the store is there, durable and closed. Interrupted at any moment, it is called again.
 *
 * @throws LogboomError as `restoreSnapshot` does; DiskError
 */
export async function restoreReplica(parts: RestoredReplicaParts): Promise<RestoredReplica> {
  const { disk, directory, manifest, confState } = parts;
  const { parent, restored } = pathsOf(directory);
  if (!(await disk.exists(directory))) {
    if (!(await disk.exists(restored)) || !(await fork(parts, restored))) {
      await disk.removeTree(restored);
      await parts.restore(stagingDirectory(directory));
      await disk.rename(stagingDirectory(directory), restored);
      await disk.syncDirectory(parent);
      const isForked = await fork(parts, restored);
      assert(isForked, () => `the store of partition ${manifest.partitionId} is not at LSN ${manifest.lsn}`);
    }
    await disk.rename(restored, directory);
  }
  // Also when it was there: a process that renamed it may have ended before this.
  await disk.syncDirectory(parent);
  return withStore(parts, directory, (store, ids) =>
    Promise.resolve({
      start: { lsn: store.appliedLsn, term: manifest.term, confState },
      streams: ids.length,
    }),
  );
}

/** False when the store holds a part of a fork that was interrupted: it cannot be gone on from. */
function fork(parts: RestoredReplicaParts, directory: string): Promise<boolean> {
  const { manifest, confState, salt, crc32 } = parts;
  return withStore(parts, directory, async (store, ids, machine) => {
    const steps = Math.max(1, Math.ceil(ids.length / streamsAtOnce));
    if (store.appliedLsn === manifest.lsn + steps) return true;
    if (store.appliedLsn !== manifest.lsn) return false;
    for (let step = 0; step < steps; step += 1) {
      const transaction = new ApplyTransaction(store, crc32);
      const lsn = asLsn(store.appliedLsn + 1);
      transaction.begin(lsn);
      if (step === 0) {
        transaction.putIndex(confStateKey, encodeConfState(confState));
        // New ids begin from 1: what the old group had spent does not count here.
        for (const key of [checkpointsKey, archiveKey, highestReplicaKey]) {
          if (transaction.getIndex(key) !== undefined) transaction.deleteIndex(key);
        }
      }
      machine.fork(lsn, ids.slice(step * streamsAtOnce, (step + 1) * streamsAtOnce), salt, transaction);
      transaction.end();
      await store.write(transaction.finish());
    }
    await store.flush();
    return true;
  });
}

async function withStore<Result>(
  parts: RestoredReplicaParts,
  directory: string,
  use: (store: StateStore, streamIds: readonly number[], machine: ForkedMachine) => Promise<Result>,
): Promise<Result> {
  const store = await parts.openStore(directory);
  try {
    const machine = parts.createMachine();
    await machine.load(store);
    const ids = [...machine.streams()].map(({ id }) => id).sort((one, other) => one - other);
    return await use(store, ids, machine);
  } finally {
    await store.close({ flush: false });
  }
}

function pathsOf(directory: string): { readonly parent: string; readonly restored: string } {
  return { parent: directory.slice(0, directory.lastIndexOf('/')), restored: `${directory}.restored` };
}

export interface RestoredLog {
  readonly partitionId: PartitionId;
  readonly replicaId: ReplicaId;
  readonly start: ImportedStart;
}

/**
 * Makes the write-ahead log of a node whose replicas were restored: empty, each partition's beginning behind its store.
 * What an earlier attempt has left is replaced, for nothing was ever written to it.
 *
 * @param directory of the log; its parent is there
 * @throws LogboomError DISK_FULL, WAL_FAILED
 */
export async function beginLogs(
  environment: Environment,
  options: Partial<WalOptions>,
  directory: string,
  logs: readonly RestoredLog[],
): Promise<void> {
  const { disk } = environment;
  await disk.removeTree(directory);
  await disk.makeDirectory(directory);
  await disk.syncDirectory(directory.slice(0, directory.lastIndexOf('/')));
  const wal = await Wal.open(environment, options, directory);
  try {
    for (const { partitionId, replicaId, start } of logs) {
      const log = await wal.createPartition(partitionId, replicaId, start.confState);
      const hardState = { term: start.term, vote: noReplica, commit: start.lsn };
      await log.resetTo({ ...start, hardState });
    }
  } finally {
    await wal.stop();
  }
}
