/** Clocks, random numbers and directories for the tests of the state store. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 as zlibCrc32 } from 'node:zlib';

import { expect, onTestFinished } from 'vitest';

import { asLsn, type Lsn } from '../../src/base/ids.js';
import type { Clock, Timer } from '../../src/base/ports/clock.js';
import type { Crc32 } from '../../src/base/ports/environment.js';
import type { Random } from '../../src/base/ports/random.js';
import type { IndexWrite } from '../../src/base/state-machine.js';
import {
  type AppliedBatch,
  hashEffects,
  initialStateHash,
  type RecordsWrite,
  type StateHash,
  type StateStore,
} from '../../src/state-store/index.js';

export const crc32: Crc32 = (bytes, seed) => zlibCrc32(bytes, seed);

export const realClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Time that passes only in `run`, in the order of the timers. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #number = 0;
  readonly #timers = new Map<number, { atMs: number; callback: () => void }>();

  wallMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  setTimer(delayMs: number, callback: () => void): Timer {
    const number = ++this.#number;
    this.#timers.set(number, { atMs: this.#nowMs + delayMs, callback });
    return { cancel: () => this.#timers.delete(number) };
  }

  /** Fires timers until `until` settles, or there are none left, or the time is up. */
  async run(until: Promise<unknown>, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    let settled = false;
    const settle = (): void => {
      settled = true;
    };
    until.then(settle, settle);
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      if (settled) return;
      let next: { number: number; atMs: number; callback: () => void } | undefined;
      for (const [number, timer] of this.#timers) {
        if (next === undefined || timer.atMs < next.atMs) next = { number, ...timer };
      }
      if (next === undefined || next.atMs > untilMs) {
        if (untilMs !== Number.POSITIVE_INFINITY) this.#nowMs = Math.max(this.#nowMs, untilMs);
        return;
      }
      this.#timers.delete(next.number);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
    }
  }
}

/** Mulberry32. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    nextUint32() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return (mixed ^ (mixed >>> 14)) >>> 0;
    },
  };
}

/** A directory that goes with the test. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'logboom-state-store-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export const bytes = (text: string): Uint8Array => Buffer.from(text);
export const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString();

/**
 * The effects of the entry at `lsn` in a made-up state machine, a function of the LSN alone: a records value for two of
 * three entries, an index entry that points to it, a counter that every entry overwrites; and every 17th entry is a
 * retention that takes the pointers to old records away.
 */
export function effectsOf(lsn: number, previous: StateHash, valueBytes = 40): AppliedBatch {
  const records = hasRecords(lsn) ? [{ lsn: asLsn(lsn), pieces: [recordsOf(lsn, valueBytes)] }] : [];
  const index: IndexWrite[] = [{ key: bytes('counter'), value: bytes(String(lsn)) }];
  if (hasRecords(lsn)) index.push({ key: pointerKey(lsn), value: bytes(String(lsn)) });
  if (lsn % retentionEvery === 0) {
    for (let old = Math.max(1, lsn - kept - retentionEvery + 1); old <= lsn - kept; old++) {
      if (hasRecords(old)) index.push({ key: pointerKey(old), value: undefined });
    }
  }
  return {
    records,
    index,
    appliedLsn: asLsn(lsn),
    stateHash: hashEffects(previous, asLsn(lsn), records, index, crc32),
  };
}

const retentionEvery = 17;
const kept = 20;

/** The highest LSN whose pointer retention has taken away at this applied LSN; 0 when none. */
export const floorAt = (appliedLsn: number): number =>
  Math.max(0, Math.floor(appliedLsn / retentionEvery) * retentionEvery - kept);

export const hasRecords = (lsn: number): boolean => lsn % 3 !== 0;
export const pointerKey = (lsn: number): Uint8Array => bytes(`pointer/${String(lsn).padStart(8, '0')}`);

/** LSNs with records that are pointed to at this applied LSN, ascending. */
export function pointedAt(appliedLsn: number): number[] {
  const lsns: number[] = [];
  for (let lsn = floorAt(appliedLsn) + 1; lsn <= appliedLsn; lsn++) if (hasRecords(lsn)) lsns.push(lsn);
  return lsns;
}

const recordsMemo = new Map<string, Uint8Array>();
export function recordsOf(lsn: number, valueBytes = 40): Uint8Array {
  const name = `${lsn}/${valueBytes}`;
  const known = recordsMemo.get(name);
  if (known !== undefined) return known;
  const random = seededRandom(lsn);
  const value = Buffer.allocUnsafe(valueBytes);
  for (let at = 0; at < valueBytes; at++) value[at] = random.nextUint32();
  if (valueBytes < 1000) recordsMemo.set(name, value);
  return value;
}

const hashes = new Map<number, StateHash[]>();
/** The hash after the entries up to `lsn`. */
export function hashUpTo(lsn: Lsn | number, valueBytes = 40): StateHash {
  let known = hashes.get(valueBytes);
  if (known === undefined) hashes.set(valueBytes, (known = [initialStateHash]));
  while (known.length <= lsn) {
    known.push(effectsOf(known.length, known.at(-1) ?? initialStateHash, valueBytes).stateHash);
  }
  return known[lsn] ?? initialStateHash;
}

/** The entries of (from, to] as one group. */
export function groupOf(from: number, to: number, valueBytes = 40): AppliedBatch {
  const records: RecordsWrite[] = [];
  const index = new Map<string, IndexWrite>();
  for (let lsn = from + 1; lsn <= to; lsn++) {
    const effects = effectsOf(lsn, hashUpTo(lsn - 1, valueBytes), valueBytes);
    records.push(...effects.records);
    for (const write of effects.index) index.set(String(text(write.key)), write);
  }
  return { records, index: [...index.values()], appliedLsn: asLsn(to), stateHash: hashUpTo(to, valueBytes) };
}

const endOfKeys = Uint8Array.of(0xff);

/** Expects a store to be exactly the state after the entries up to its applied LSN. */
export async function expectExactState(store: StateStore, valueBytes = 40): Promise<void> {
  const applied = store.appliedLsn;
  expect(store.stateHash).toEqual(hashUpTo(applied, valueBytes));
  expect(text(store.getIndex(bytes('counter')))).toBe(applied === 0 ? undefined : String(applied));
  const entries = await store.scanIndex({ from: bytes('pointer/'), to: endOfKeys, limit: 1_000_000 });
  expect(store.appliedLsn).toBe(applied);
  const pointed = pointedAt(applied);
  expect(entries.map(({ value }) => Number(text(value)))).toEqual(pointed);
  for (let at = 0; at < pointed.length; at += 256) {
    const lsns = pointed.slice(at, at + 256);
    const values = await store.getRecords(lsns.map(asLsn));
    for (const [item, lsn] of lsns.entries()) {
      const value = values[item];
      if (value === undefined || Buffer.compare(value, recordsOf(lsn, valueBytes)) !== 0) {
        throw new Error(
          `records of LSN ${lsn} are ${value === undefined ? 'missing' : 'wrong'} at applied LSN ${applied}`,
        );
      }
    }
  }
}
