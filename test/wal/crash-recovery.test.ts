/**
 * Random histories of several partitions, cut off by crashes at any operation of the disk. After each crash the log must
 * hold a prefix of what was handed over, with all that was reported durable; then the history goes on from there.
 */
import { expect, test } from 'vitest';
import type { RandomStream } from '../../cluster-sim/engine/random.js';
import { settleLater } from '../../cluster-sim/simulated-clock.js';
import { isLogboomError } from '../../src/base/errors.js';
import { asLsn, asTerm, type PartitionId, type ReplicaId } from '../../src/base/ids.js';
import { sleep } from '../../src/base/ports/clock.js';
import type { Entry } from '../../src/raft/types.js';
import type { WalOptions } from '../../src/wal/options.js';
import { Wal } from '../../src/wal/wal.js';
import {
  applyOperation,
  cloneState,
  matchPrefix,
  observe,
  termAt,
  type ModelOperation,
  type ModelPartition,
  type ModelState,
} from './support/model.js';
import {
  confState,
  directory,
  hardState,
  partitionId,
  persist,
  replicaId,
  simulation,
  smallOptions,
  type Simulation,
} from './support/simulated.js';

/** WAL_SEEDS=FROM..TO runs others; a failure names its seed. */
const [seedFrom, seedTo] = (process.env['WAL_SEEDS'] ?? '1..300').split('..').map(Number) as [number, number];
const livesPerSeed = 6;

interface Totals {
  crashes: number;
  cleanStops: number;
  operations: number;
  segmentsMax: number;
  renames: { new: number; recycled: number; dropped: number };
  fullDisks: number;
  truncations: number;
  resets: number;
  lostOperations: number;
}

class History {
  readonly sim: Simulation;
  readonly random: RandomStream;
  readonly totals: Totals;
  /** What the last start found. */
  base: ModelState = new Map();
  /** Handed over since. */
  operations: ModelOperation[] = [];
  /** With all of `operations`. */
  latest: ModelState = new Map();
  /** What the replica's state store has persisted. */
  persistedLsns = new Map<ReplicaId, number>();
  nextReplica = 1;
  /** Grows with every crash; what the process of an earlier life still does counts for nothing. */
  lives = 0;
  readonly options: Partial<WalOptions>;

  constructor(seed: number, totals: Totals) {
    this.sim = simulation(seed, { tornSectorsPerMille: seed % 3 === 0 ? 0 : 100 });
    this.random = this.sim.random;
    this.totals = totals;
    this.options = {
      ...smallOptions,
      segmentBytes: this.random.pick([16, 16, 32]) * 1024,
      maxPendingBytes: 8 * 1024,
      maxGroupBytes: this.random.pick([1000, 4000, 8000]),
      spareSegments: this.random.integer(0, 2),
    };
    // Some run into a full disk, where what does not fit stays undone.
    if (seed % 5 === 0) this.sim.disk.capacityBytes = 6.5 * (this.options.segmentBytes ?? 0);
  }

  /** From a start to the crash or clean stop that ends it. */
  async life(): Promise<void> {
    const { sim, random } = this;
    const crashed = this.planCrash();
    const running = this.run();
    // What hangs after the crash is left behind.
    const cleanly = await Promise.race([running.then(() => true), crashed.then(() => false)]);
    sim.disk.intercept = undefined;
    if (cleanly) this.totals.cleanStops++;
    else this.totals.crashes++;
    if (cleanly && random.chance(0.5)) sim.disk.powerLoss();
  }

  private planCrash(): Promise<void> {
    const { sim, random } = this;
    const at = sim.disk.operations + random.integer(1, random.pick([20, 100, 600]));
    const power = random.chance(0.75);
    return new Promise((resolve) => {
      sim.disk.intercept = ({ number, kind, path }) => {
        if (kind === 'rename')
          this.totals.renames[path.includes('spare-') ? 'recycled' : path.includes('filling-') ? 'new' : 'dropped']++;
        if (number < at) return undefined;
        if (power) sim.disk.powerLoss();
        else sim.disk.processCrash();
        this.lives++;
        sim.disk.intercept = undefined;
        resolve();
        return undefined;
      };
    });
  }

  private async run(): Promise<void> {
    const { sim, random, lives: life } = this;
    const wal = await Wal.open(sim.environment(), this.options, directory);
    const observed = await observe(wal);
    const before = this.operations.length;
    this.base = matchPrefix(this.base, this.operations, observed, this.persistedLsns);
    this.totals.lostOperations += before - this.operations.filter(({ durable }) => durable).length;
    this.latest = cloneState(this.base);
    this.operations = [];
    // The state stores report what they have persisted, as after a real start.
    for (const [id, { replicaId: replica }] of this.base) {
      wal.partition(id)?.setPersistedLsn(asLsn(this.persistedLsns.get(replica) ?? 0));
    }
    const steps = random.integer(5, 150);
    for (let step = 0; step < steps; step++) {
      if (life !== this.lives) return new Promise(() => {});
      this.step(wal);
      this.totals.segmentsMax = Math.max(this.totals.segmentsMax, wal.stats.segments);
      if (random.chance(0.4)) await sleep(sim.clock, random.between(0, 3));
      if (random.chance(0.05)) await this.checkRead(wal);
    }
    await wal.stop();
    if (life !== this.lives) return new Promise(() => {});
    // A stop on a full disk gives up what does not fit.
    const mayBeFull = Number.isFinite(sim.disk.capacityBytes);
    if (mayBeFull && this.operations.some(({ durable }) => !durable)) this.totals.fullDisks++;
    for (const operation of mayBeFull ? [] : this.operations) {
      if (!operation.durable && operation.kind !== 'trim') throw new Error(`not durable after stop: ${operation.kind}`);
      operation.durable = true;
    }
  }

  private step(wal: Wal): void {
    const { random } = this;
    this.totals.operations++;
    const ids = [...this.latest.keys()].filter((id) => wal.partition(id) !== undefined);
    if (ids.length === 0 || (ids.length < 4 && random.chance(0.03))) return this.create(wal);
    const id = random.pick(ids);
    const model = this.latest.get(id) as ModelPartition;
    const log = wal.partition(id);
    if (log === undefined) return;
    const choice = random.integer(0, 99);
    if (choice < 60) this.append(wal, id, model);
    else if (choice < 70) this.commitOnly(wal, id, model);
    else if (choice < 80) {
      const lsn = asLsn(random.integer(model.trimPoint, model.hardState.commit));
      if (lsn <= model.trimPoint) return;
      const conf = confState(1, random.integer(2, 9));
      log.setTrimPoint(lsn, conf);
      this.record({ kind: 'trim', partition: id, lsn, confState: conf, durable: false });
    } else if (choice < 95) {
      const before = this.persistedLsns.get(model.replicaId) ?? 0;
      const persisted = random.integer(Math.min(before, model.hardState.commit), model.hardState.commit);
      if (persisted <= before) return;
      // Only what is applied is persisted, and only what is durable is applied (rule 1).
      if (persisted > log.durableLsn) return;
      this.persistedLsns.set(model.replicaId, persisted);
      log.setPersistedLsn(asLsn(persisted));
    } else if (choice < 98) this.reset(wal, id, model);
    else {
      const operation: ModelOperation = { kind: 'remove', partition: id, durable: false };
      this.record(operation);
      wal.removePartition(id).then(() => (operation.durable = true), ignoreStop);
    }
  }

  private record(operation: ModelOperation): void {
    applyOperation(this.latest, operation);
    this.operations.push(operation);
  }

  private create(wal: Wal): void {
    const { random } = this;
    const id = partitionId(random.integer(0, 5));
    if (wal.partitionIds.includes(id)) return;
    const replica = replicaId(this.nextReplica++);
    const conf = confState(replica);
    const operation: ModelOperation = {
      kind: 'create',
      partition: id,
      replicaId: replica,
      confState: conf,
      durable: false,
    };
    this.record(operation);
    wal.createPartition(id, replica, conf).then(() => (operation.durable = true), ignoreStop);
  }

  private append(wal: Wal, id: PartitionId, model: ModelPartition): void {
    const { random } = this;
    const floor = Math.max(model.trimPoint, model.hardState.commit) + 1;
    const truncates = random.chance(0.15) && floor <= model.lastLsn;
    const first = truncates ? random.integer(floor, model.lastLsn) : model.lastLsn + 1;
    if (truncates) this.totals.truncations++;
    const newTerm = truncates || random.chance(0.1);
    const lastTerm = Math.max(termAt(model, model.lastLsn) ?? 0, model.hardState.term);
    const term = newTerm ? lastTerm + 1 : Math.max(1, lastTerm);
    const count = random.pick([1, 1, 1, 2, 5, 12]);
    const list: Entry[] = [];
    for (let at = first; at < first + count; at++) {
      const size = random.pick([0, 1, 7, 8, 60, 300, 300, 1500, random.integer(0, 5000)]);
      const data = new Uint8Array(size).fill(random.integer(0, 255));
      list.push({ lsn: asLsn(at), term: asTerm(term), kind: random.integer(0, 2) as Entry['kind'], data });
    }
    const last = first + count - 1;
    const commit = random.integer(
      model.hardState.commit,
      random.chance(0.5) ? last : Math.max(first - 1, model.hardState.commit),
    );
    const state =
      term > model.hardState.term || random.chance(0.5) ? hardState(term, random.integer(0, 3), commit) : undefined;
    this.persist(wal, id, list, state, true);
  }

  private commitOnly(wal: Wal, id: PartitionId, model: ModelPartition): void {
    const commit = asLsn(this.random.integer(model.hardState.commit, model.lastLsn));
    this.persist(wal, id, [], { ...model.hardState, commit }, false);
  }

  private persist(
    wal: Wal,
    id: PartitionId,
    list: readonly Entry[],
    state: ModelPartition['hardState'] | undefined,
    mustSync: boolean,
  ): void {
    const operation: ModelOperation = {
      kind: 'persist',
      partition: id,
      hardState: state,
      entries: list,
      durable: false,
    };
    const position = this.operations.length;
    const { operations } = this;
    wal.partition(id)?.append(persist(list, state, mustSync), () => {
      operation.durable = true;
      const early = operations.slice(0, position).find((other) => other.kind === 'persist' && !other.durable);
      if (early !== undefined) throw new Error('reported durable out of order');
    });
    this.record(operation);
  }

  private reset(wal: Wal, id: PartitionId, model: ModelPartition): void {
    this.totals.resets++;
    const lsn = asLsn(model.lastLsn + this.random.integer(0, 20));
    const term = asTerm(model.hardState.term + 1);
    const conf = confState(5, 6);
    const state = hardState(term, 0, lsn);
    const operation: ModelOperation = {
      kind: 'reset',
      partition: id,
      lsn,
      term,
      confState: conf,
      hardState: state,
      durable: false,
    };
    void wal
      .partition(id)
      ?.resetTo({ lsn, term, confState: conf, hardState: state })
      .then(
        () => (operation.durable = true),
        () => {},
      );
    this.record(operation);
  }

  private async checkRead(wal: Wal): Promise<void> {
    const id = this.random.pick([...this.latest.keys(), partitionId(99)]);
    const log = wal.partition(id);
    const model = this.latest.get(id);
    if (log === undefined || model === undefined || model.lastLsn === 0) return;
    const oldest = Math.max(log.oldestLsn, 1);
    if (oldest > model.lastLsn) return;
    const from = asLsn(this.random.integer(oldest, model.lastLsn));
    const page = await log.read(from, asLsn(model.lastLsn + 1), this.random.integer(1, 10_000));
    if (page.length === 0) throw new Error(`partition ${id}: nothing at ${from}`);
    page.forEach((entry, index) => {
      const expected = model.entries.get(from + index);
      if (
        entry.lsn !== from + index ||
        expected?.term !== entry.term ||
        Buffer.compare(entry.data, expected.data) !== 0
      ) {
        throw new Error(`partition ${id}: entry ${entry.lsn} read at ${from + index}`);
      }
    });
  }
}

function ignoreStop(error: unknown): void {
  if (!isLogboomError(error, 'SHUTTING_DOWN')) throw error;
}

test(`what was reported durable survives crashes at any disk operation, seeds ${seedFrom}..${seedTo}`, async () => {
  const totals: Totals = {
    crashes: 0,
    cleanStops: 0,
    operations: 0,
    segmentsMax: 0,
    renames: { new: 0, recycled: 0, dropped: 0 },
    fullDisks: 0,
    truncations: 0,
    resets: 0,
    lostOperations: 0,
  };
  for (let seed = seedFrom; seed <= seedTo; seed++) {
    const history = new History(seed, totals);
    try {
      await settleLater(history.sim.world, async () => {
        for (let life = 0; life < livesPerSeed; life++) await history.life();
      });
    } catch (error) {
      throw new Error(`WAL_SEEDS=${seed}..${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  if (process.env['WAL_SEEDS'] !== undefined) console.log(totals);
  // A run in which these did not happen proves nothing about them.
  const seeds = seedTo - seedFrom + 1;
  if (seeds < 100) return;
  expect(totals.crashes).toBeGreaterThan(2 * seeds);
  expect(totals.cleanStops).toBeGreaterThan(seeds / 2);
  expect(totals.truncations).toBeGreaterThan(5 * seeds);
  expect(totals.resets).toBeGreaterThan(seeds);
  expect(totals.lostOperations).toBeGreaterThan(seeds);
  expect(totals.renames.dropped).toBeGreaterThan(seeds);
  expect(totals.renames.recycled).toBeGreaterThan(seeds / 2);
  expect(totals.fullDisks).toBeGreaterThan(seeds / 50);
}, 600_000);
