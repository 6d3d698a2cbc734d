/** A partition of streams on a real state store over simulated databases, and an archive for its snapshots. */
import { expect } from 'vitest';
import { NodeStores } from '../../cluster-sim/nodes/node-stores.js';
import { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import { noStoreFaults, SimulatedStoreProvider } from '../../cluster-sim/simulated-ordered-store.js';
import { asLsn, asNodeId, asPartitionId, asReplicaId, asTerm } from '../../src/base/ids.js';
import type { LogboomError } from '../../src/base/errors.js';
import type { Clock, Timer } from '../../src/base/ports/clock.js';
import type { Disk } from '../../src/base/ports/disk.js';
import type { LogicalView, StateScan } from '../../src/base/state-machine.js';
import { confStateKey, encodeConfState } from '../../src/partition/conf-state.js';
import type { ConfState } from '../../src/raft/types.js';
import {
  CollectionMemory,
  type Manifest,
  type PartitionArchive,
  restoreSnapshot,
  type RestoreSnapshotParts,
  type SnapshotFacts,
  type SnapshotOptions,
  SnapshotRepository,
  type WriteSnapshotParts,
  type WrittenSnapshot,
} from '../../src/snapshot/index.js';
import { ApplyTransaction, openStateStore, type StateSnapshot, type StateStore } from '../../src/state-store/index.js';
import { nextPhysicalDeletion, StreamsStateMachine } from '../../src/streams/index.js';
import { crc32, realClock, seededRandom } from '../state-store/support.js';
import { smallSizes } from '../state-store/small-sizes.js';
import { TestPartition } from '../streams/support/partition.js';
import { testCompressor } from '../streams/support/records.js';
import { MemoryObjectStore } from '../support/memory-object-store.js';

export const clusterId = 'c1';
export const partitionId = asPartitionId(3);
export const confState: ConfState = {
  voters: [1, 2, 3].map(asReplicaId),
  votersOutgoing: [1, 2, 4].map(asReplicaId),
  learners: [asReplicaId(9)],
  learnersNext: [],
  autoLeave: true,
};

/** Real timers, and a time that can be moved on. */
export class MovableClock implements Clock {
  aheadMs = 0;
  wallMs(): number {
    return 1_700_000_000_000 + this.aheadMs;
  }
  monotonicMs(): number {
    return this.aheadMs;
  }
  setTimer(delayMs: number, callback: () => void): Timer {
    return realClock.setTimer(delayMs, callback);
  }
}

/** Everything that one node has: disk, databases; nothing takes time. */
export class TestHost {
  readonly simulatedDisk: SimulatedDisk;
  disk: Disk;
  readonly databases: SimulatedStoreProvider;
  stores: NodeStores;

  constructor(seed = 1) {
    const random = seededRandom(seed);
    this.simulatedDisk = new SimulatedDisk(realClock, random, { operationMsMax: 0, syncMsMax: 0 });
    const faults = { ...noStoreFaults, writeMsMax: 0, readMsMax: 0, flushMsMin: 0, flushMsMax: 0 };
    this.databases = new SimulatedStoreProvider({ clock: realClock, random, faults });
    this.disk = this.simulatedDisk.mount();
    this.stores = new NodeStores({ provider: this.databases, disk: this.disk, mutant: undefined });
  }

  /** Power loss, and the next process. */
  restart(): void {
    this.databases.crash();
    this.simulatedDisk.powerLoss();
    this.disk = this.simulatedDisk.mount();
    this.stores = new NodeStores({ provider: this.databases, disk: this.disk, mutant: undefined });
  }

  async openState(directory: string): Promise<StateStore> {
    return openStateStore({ directory, provider: this.stores, clock: realClock, crc32, sizes: smallSizes });
  }
}

/** Applies a log to a state store, as a replica does. */
export class StoredPartition {
  readonly store: StateStore;
  readonly machine = new StreamsStateMachine({ producersCachedMax: 1000 });
  #applied: Promise<void> = Promise.resolve();

  private constructor(store: StateStore) {
    this.store = store;
  }

  static async on(store: StateStore): Promise<StoredPartition> {
    const partition = new StoredPartition(store);
    await partition.machine.load(store);
    return partition;
  }

  static async create(host = new TestHost()): Promise<StoredPartition> {
    return StoredPartition.on(await host.openState('/source'));
  }

  /** What of the log was not applied before. Its first entry sets the configuration. */
  apply(log: readonly Uint8Array[]): Promise<void> {
    return (this.#applied = this.#applied.then(() => this.#apply(log)));
  }

  async #apply(log: readonly Uint8Array[]): Promise<void> {
    const from = this.store.appliedLsn;
    if (log.length === from) return;
    const transaction = new ApplyTransaction(this.store, crc32);
    for (let lsn = from + 1; lsn <= log.length; lsn++) {
      transaction.begin(asLsn(lsn));
      if (lsn === 1) transaction.putIndex(confStateKey, encodeConfState(confState));
      this.machine.apply(asLsn(lsn), log[lsn - 1]!, transaction);
      transaction.end();
    }
    await this.store.write(transaction.finish());
    for (const _topic of this.machine.publish());
  }

  /** All of physical deletion that is due. */
  async clear(): Promise<void> {
    await this.store.flush();
    for (;;) {
      const budget = { persistedLsn: this.store.persistedLsn, batchesMax: 7 };
      const step = await nextPhysicalDeletion(this.machine, this.store, budget);
      if (step === undefined) break;
      await this.store.deletePhysically(step.deletion);
      step.done();
    }
    await this.store.flush();
  }

  facts(term = 5): SnapshotFacts {
    const { appliedLsn, stateHash } = this.store;
    return {
      lsn: appliedLsn,
      term: asTerm(term),
      confState,
      stateHash,
      replicaId: asReplicaId(2),
      nodeId: asNodeId(1),
      softwareVersion: '0.1.0',
    };
  }

  /** Takes a state snapshot, hands it to the archive, and confirms it. */
  async write(archive: PartitionArchive, options: Partial<WriteSnapshotParts> = {}): Promise<WrittenSnapshot> {
    const written = await this.writeUnconfirmed(archive, options);
    await archive.confirm(written.manifest, written.name, options);
    return written;
  }

  async writeUnconfirmed(
    archive: PartitionArchive,
    options: Partial<WriteSnapshotParts> = {},
  ): Promise<WrittenSnapshot> {
    const facts = this.facts();
    return withSnapshot(this, (state, view) => archive.write({ state, view, facts, ...options }));
  }

  async digest(): Promise<string> {
    const verification = await withSnapshot(this, (_state, view) => this.store.verify(undefined, undefined, view));
    expect(verification.damaged).toEqual([]);
    return verification.digest;
  }
}

/** A partition with so many appends of 100 to 200 bytes. */
export async function filled(
  appends: number,
  host = new TestHost(),
): Promise<{ log: TestPartition; stored: StoredPartition }> {
  const log = new TestPartition();
  log.create('a');
  const stored = await StoredPartition.create(host);
  await append(log, stored, appends);
  return { log, stored };
}

export async function append(log: TestPartition, stored: StoredPartition, appends: number): Promise<void> {
  for (let at = 0; at < appends; at++) {
    await log.append('a', [`${log.log.length} `.padEnd(100 + ((at * 37) % 100), 'x')]);
  }
  await stored.apply(log.log);
}

export async function withSnapshot<Value>(
  partition: StoredPartition,
  use: (state: StateSnapshot, view: LogicalView) => Promise<Value>,
): Promise<Value> {
  const state = await partition.store.snapshot();
  try {
    return await use(state, await partition.machine.logicalView(state));
  } finally {
    await state.close();
  }
}

/** Small chunks, so that small partitions have many. */
export const smallSnapshots = {
  recordsChunkBytes: 400,
  indexChunkBytes: 300,
  chunksInFlightMax: 3,
  bytesInFlightMax: 1500,
  checkpointBytes: 600,
};
export const graceMs = 1000;

export class TestRepository {
  readonly store = new MemoryObjectStore();
  readonly clock = new MovableClock();

  async open(seed: number, options: Partial<SnapshotOptions> = {}): Promise<SnapshotRepository> {
    const { store, clock } = this;
    const random = seededRandom(seed);
    return SnapshotRepository.open({
      store,
      clock,
      crc32,
      compressor: testCompressor,
      random,
      sizes: smallSnapshots,
      graceMs,
      ...options,
    });
  }

  /** As another process has it, with random names of its own. */
  async archive(seed = 1, options: Partial<SnapshotOptions> = {}): Promise<PartitionArchive> {
    return (await this.open(seed, options)).partition(clusterId, partitionId);
  }

  /** Runs of one collector, until it has deleted what it can. */
  async collectAll(archive: PartitionArchive, keep: number): Promise<void> {
    const memory = new CollectionMemory();
    for (let run = 0; run < 8; run++) {
      await archive.collect(memory, { keep, graceMs });
      this.clock.aheadMs += graceMs / 2;
    }
  }
}

export function logicalView(state: StateScan): Promise<LogicalView> {
  return new StreamsStateMachine({ producersCachedMax: 1 }).logicalView(state);
}

export function restoreParts(
  host: TestHost,
  archive: PartitionArchive,
  manifest: Manifest,
  directory = '/target',
): RestoreSnapshotParts {
  return {
    source: archive,
    manifest,
    directory,
    disk: host.disk,
    storeProvider: host.stores,
    sizes: smallSizes,
    crc32,
    logicalView,
  };
}

/** Restores into `/target` and opens what came of it. */
export async function restored(
  archive: PartitionArchive,
  manifest: Manifest,
  host = new TestHost(2),
): Promise<StoredPartition> {
  await restoreSnapshot(restoreParts(host, archive, manifest));
  expect(await host.disk.list('/target')).toEqual(['index', 'records']);
  const partition = await StoredPartition.on(await host.openState('/target'));
  expect(partition.store.appliedLsn).toBe(manifest.lsn);
  expect(partition.store.stateHash).toEqual(manifest.stateHash);
  expect(partition.store.persistedLsn).toBe(manifest.lsn);
  return partition;
}

export const reasonOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => (error as LogboomError).reason ?? String(error),
  );
