/**
 * Crashes at random moments on the simulated store: what a state store opens with is always exactly the state of one
 * LSN, at or above the last persisted LSN that it reported, with every record that its index points to.
 *
 * LOGBOOM_SCHEDULES sets the number of schedules, LOGBOOM_SEED the first seed.
 */
import { expect, test } from 'vitest';

import { noStoreFaults, SimulatedStoreProvider } from '../../cluster-sim/simulated-ordered-store.js';
import { isLogboomError } from '../../src/base/errors.js';
import { asLsn } from '../../src/base/ids.js';
import { sleep } from '../../src/base/ports/clock.js';
import { nextInteger, type Random } from '../../src/base/ports/random.js';
import { openStateStore, type StateStore, type StateStoreSizes } from '../../src/state-store/index.js';
import {
  bytes,
  crc32,
  expectExactState,
  floorAt,
  groupOf,
  hasRecords,
  pointedAt,
  seededRandom,
  text,
  VirtualClock,
} from './support.js';

const schedules = Number(process.env['LOGBOOM_SCHEDULES'] ?? 800);
const firstSeed = Number(process.env['LOGBOOM_SEED'] ?? 1);

class Schedule {
  readonly #random: Random;
  readonly #clock = new VirtualClock();
  readonly #provider: SimulatedStoreProvider;
  readonly #sizes: StateStoreSizes;
  /** Highest LSN that any incarnation reported as persisted. */
  #reportedLsn = 0;
  #incarnation = 0;
  /** LSNs whose deletion was requested, and those whose request a flush has covered. */
  readonly #requested = new Set<number>();
  readonly #durablyRequested = new Set<number>();
  flushes = 0;
  sweptAway = 0;
  crashes = 0;
  heldReads = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const faulty = this.#below(3) === 0;
    this.#provider = new SimulatedStoreProvider({
      clock: this.#clock,
      random: this.#random,
      faults: {
        ...noStoreFaults,
        writeFailuresPerMille: faulty ? 10 : 0,
        flushFailuresPerMille: faulty ? 100 : 0,
        flushMsMin: 1,
        flushMsMax: 1 + this.#below(30),
        writeMsMax: this.#below(3),
      },
    });
    const indexBuffer = 16_384 << this.#below(3);
    const unit = { writeBufferBytes: indexBuffer, tableBytes: indexBuffer, blockCacheBytes: 0 };
    this.#sizes = {
      records: { ...unit, writeBufferBytes: 1024 << this.#below(6) },
      index: unit,
      // An oversized batch is a bug of the caller: room for the largest one of this schedule.
      indexMemtableBytesMax: Math.max(13_000, Math.floor((indexBuffer * (60 + this.#below(39))) / 100)),
      heldBytesMax: 1000 << this.#below(5),
      sweepDeletionsMin: 1 + this.#below(40),
    };
  }

  #below(bound: number): number {
    return nextInteger(this.#random, bound);
  }

  async run(): Promise<void> {
    const rounds = 1 + this.#below(4);
    for (let round = 0; round < rounds; round++) {
      const incarnation = ++this.#incarnation;
      const store = await this.#within(this.#open(incarnation));
      expect(
        store.appliedLsn,
        'the applied LSN after a start is at or above the persisted LSN reported before',
      ).toBeGreaterThanOrEqual(this.#reportedLsn);
      expect(store.persistedLsn).toBe(store.appliedLsn);
      this.#reportedLsn = store.persistedLsn;
      // Requests that a crash took with it are made anew by the state machine, or not at all.
      this.#requested.clear();
      await this.#within(expectExactState(store));
      let fault: unknown;
      const work = Promise.all([this.#write(store), this.#flush(store), this.#read(store), this.#delete(store)]);
      const ended = work.catch((error: unknown) => {
        // Faults that were injected; anything else is what this test looks for.
        if (!isLogboomError(error, 'STATE_STORE_FAILED')) fault = error;
      });
      await this.#clock.run(ended, this.#clock.monotonicMs() + this.#below(300));
      if (fault !== undefined) throw fault as Error;
      if (this.#below(4) === 0) {
        await this.#within(store.close({ flush: this.#below(2) === 0 }).catch(() => {}));
      } else {
        this.#incarnation++;
        this.#provider.crash();
        this.crashes++;
      }
      this.#incarnation++;
    }
    await this.#expectNoLeak();
  }

  /** What was durably requested to be deleted is gone when all is quiet, however often it was interrupted. */
  async #expectNoLeak(): Promise<void> {
    Object.assign(this.#provider.faults, noStoreFaults);
    const store = await this.#within(this.#open(++this.#incarnation));
    await this.#within(store.write(groupOf(store.appliedLsn, store.appliedLsn + 1)));
    await this.#within(store.flush());
    await this.#clock.run(new Promise(() => {}), this.#clock.monotonicMs() + 5000);
    const snapshot = await this.#within(store.snapshot());
    const scan = snapshot.scanRecords({ from: asLsn(0), to: asLsn(1e6), limit: 1e6, maxBytes: 1e9 });
    const left = (await this.#within(scan)).map(({ lsn }) => lsn);
    expect(left.filter((lsn) => this.#durablyRequested.has(lsn))).toEqual([]);
    this.sweptAway += this.#durablyRequested.size;
    await this.#within(store.close());
  }

  #open(incarnation: number): Promise<StateStore> {
    return openStateStore({
      directory: '/store',
      provider: this.#provider,
      clock: this.#clock,
      crc32,
      sizes: this.#sizes,
      onPersisted: (lsn) => {
        this.flushes++;
        if (incarnation === this.#incarnation) this.#reportedLsn = Math.max(this.#reportedLsn, lsn);
      },
    });
  }

  async #within<Value>(work: Promise<Value>): Promise<Value> {
    await this.#clock.run(work);
    return work;
  }

  #pause(msMax: number): Promise<void> {
    return sleep(this.#clock, this.#below(msMax * 8 + 1) / 8);
  }

  async #write(store: StateStore): Promise<void> {
    for (let groups = this.#below(120); groups > 0; groups--) {
      await store.write(groupOf(store.appliedLsn, store.appliedLsn + 1 + this.#below(6)));
      if (this.#below(3) === 0) await this.#pause(8);
    }
  }

  async #flush(store: StateStore): Promise<void> {
    const incarnation = this.#incarnation;
    for (let flushes = this.#below(8); flushes > 0; flushes--) {
      await this.#pause(30);
      const before = store.appliedLsn;
      const requested = [...this.#requested];
      const lsn = await store.flush();
      expect(lsn, 'a flush covers what was applied before it').toBeGreaterThanOrEqual(before);
      expect(store.persistedLsn).toBeGreaterThanOrEqual(lsn);
      if (incarnation !== this.#incarnation) return;
      for (const each of requested) this.#durablyRequested.add(each);
    }
  }

  async #read(store: StateStore): Promise<void> {
    for (let reads = this.#below(20); reads > 0; reads--) {
      await this.#pause(10);
      const applied = store.appliedLsn;
      if (store.stats.heldBytes > 0) this.heldReads++;
      const limit = 1 + this.#below(30);
      const reverse = this.#below(2) === 0;
      const snapshot = await store.snapshot();
      const at = snapshot.appliedLsn;
      expect(at).toBeGreaterThanOrEqual(applied);
      const entries = await snapshot.scanIndex({ from: bytes('pointer/'), to: bytes('pointer0'), limit, reverse });
      const expected = reverse ? pointedAt(at).reverse() : pointedAt(at);
      expect(entries.map(({ value }) => Number(text(value)))).toEqual(expected.slice(0, limit));
      const counter = store.getIndex(bytes('counter'));
      expect(Number(text(counter) ?? 0)).toBeGreaterThanOrEqual(at);
      await snapshot.close();
    }
  }

  /** What the state machine's owner does after a retention was applied. */
  async #delete(store: StateStore): Promise<void> {
    const incarnation = this.#incarnation;
    for (let deletions = this.#below(12); deletions > 0; deletions--) {
      await this.#pause(25);
      const floor = floorAt(store.appliedLsn);
      const from = Math.max(1, floor - this.#below(60));
      const lsns = [];
      for (let lsn = from; lsn <= floor; lsn++) if (hasRecords(lsn)) lsns.push(asLsn(lsn));
      await store.deletePhysically({ recordLsns: lsns, index: [] });
      // After a crash, what needs no disk still resolves here.
      if (incarnation !== this.#incarnation) return;
      for (const lsn of lsns) this.#requested.add(lsn);
    }
  }
}

test(`${schedules} schedules with crashes leave exact prefixes`, { timeout: 60_000 + schedules * 100 }, async () => {
  let flushes = 0;
  let crashes = 0;
  let heldReads = 0;
  let sweptAway = 0;
  for (let seed = firstSeed; seed < firstSeed + schedules; seed++) {
    const schedule = new Schedule(seed);
    try {
      await schedule.run();
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
    flushes += schedule.flushes;
    crashes += schedule.crashes;
    heldReads += schedule.heldReads;
    sweptAway += schedule.sweptAway;
  }
  // The schedules reach what they are there for.
  if (schedules >= 500) {
    expect(flushes).toBeGreaterThan(schedules);
    expect(crashes).toBeGreaterThan(schedules / 2);
    expect(heldReads).toBeGreaterThan(schedules / 2);
    expect(sweptAway).toBeGreaterThan(schedules);
  }
});
