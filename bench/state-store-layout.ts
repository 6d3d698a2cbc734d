/**
 * What a replica's state costs by its layout: bytes that reach the disk and processor time for each byte appended, and
 * how long writes take while flushes run. The figures of docs/decisions/0001-two-databases-a-replica.md are from here.
 *
 *     npx tsx bench/state-store-layout.ts [megabytes] [value kilobytes] [directory]
 */
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

import { asLsn } from '../src/base/ids.js';
import type { Crc32 } from '../src/base/ports/environment.js';
import type { IndexWrite } from '../src/base/state-machine.js';
import { nodeClock } from '../src/server/adapters/node-environment.js';
import { nodeDisk } from '../src/server/adapters/node-disk.js';
import {
  ApplyTransaction,
  defaultStateStoreSizes,
  LevelDbProvider,
  openStateStore,
  type StoreOperation,
} from '../src/state-store/index.js';

const megabyte = 1e6;
const flushEveryBytes = 32 << 20;
const entriesPerGroup = 16;
const streams = 200;
const sum: Crc32 = (bytes, seed) => crc32(bytes, seed);

interface Layout {
  apply(from: number, to: number): Promise<void>;
  flush(): Promise<unknown>;
  /** Records up to this LSN are retained no longer. */
  retain(lsn: number): Promise<void>;
  close(): Promise<void>;
}

interface Workload {
  readonly entries: number;
  readonly value: (lsn: number) => Uint8Array;
}

/** Incompressible, different for each entry, and cheap to make. */
function makeWorkload(totalBytes: number, valueBytes: number): Workload {
  const noise = Buffer.alloc(valueBytes + 4096);
  let state = 1;
  for (let at = 0; at < noise.length; at += 4)
    noise.writeUInt32LE((state = Math.imul(state, 1664525) + 1013904223) >>> 0, at);
  return {
    entries: Math.floor(totalBytes / valueBytes),
    value: (lsn) => noise.subarray(lsn % 4096, (lsn % 4096) + valueBytes),
  };
}

/** What a stream state machine writes for an append: stream and seq, time, producer, and the counters that it overwrites. */
function indexWrites(lsn: number): IndexWrite[] {
  const stream = (lsn * 7919) % streams;
  const put = (key: string, bytes: number): IndexWrite => ({ key: Buffer.from(key), value: Buffer.alloc(bytes, lsn) });
  return [
    put(`stream/${stream}/seq/${String(lsn).padStart(12, '0')}`, 12),
    put(`stream/${stream}/time/${String(lsn).padStart(12, '0')}`, 8),
    put(`stream/${stream}/producer/${lsn % 16}/${String(lsn).padStart(12, '0')}`, 12),
    put(`stream/${stream}/state`, 60),
  ];
}

async function twoDatabases(directory: string, workload: Workload): Promise<Layout> {
  const provider = new LevelDbProvider(nodeDisk);
  const store = await openStateStore({ directory, provider, clock: nodeClock, crc32: sum });
  let deleted = 0;
  return {
    async apply(from, to) {
      const transaction = new ApplyTransaction(store, sum);
      for (let lsn = from; lsn <= to; lsn++) {
        transaction.begin(asLsn(lsn));
        transaction.putRecords(workload.value(lsn));
        for (const { key, value } of indexWrites(lsn)) if (value !== undefined) transaction.putIndex(key, value);
        transaction.end();
      }
      await store.write(transaction.finish());
    },
    flush: () => store.flush(),
    async retain(lsn) {
      const lsns = Array.from({ length: Math.max(0, lsn - deleted) }, (_, at) => asLsn(deleted + at + 1));
      deleted = Math.max(deleted, lsn);
      await store.deletePhysically({ recordLsns: lsns, index: [] });
    },
    close: () => store.close(),
  };
}

/** The same in one database: records, index and the applied mark under prefixes. */
async function oneDatabase(directory: string, workload: Workload): Promise<Layout> {
  const store = await new LevelDbProvider(nodeDisk).open(join(directory, 'all'), defaultStateStoreSizes.records);
  const put = (prefix: string, key: string, value: Uint8Array): StoreOperation => {
    const sealed = Buffer.allocUnsafe(value.length + 4);
    sealed.writeUInt32BE(sum(value), 0);
    sealed.set(value, 4);
    return { type: 'put', key: Buffer.from(prefix + key), value: sealed };
  };
  const recordsKey = (lsn: number): string => String(lsn).padStart(12, '0');
  let deleted = 0;
  return {
    async apply(from, to) {
      const operations: StoreOperation[] = [put('a', 'applied', Buffer.from(String(to)))];
      for (let lsn = from; lsn <= to; lsn++) {
        operations.push(put('r', recordsKey(lsn), workload.value(lsn)));
        for (const { key, value } of indexWrites(lsn))
          operations.push(put('s', key.toString(), value ?? Buffer.alloc(0)));
      }
      await store.write(operations);
    },
    flush: () => store.flush(),
    async retain(lsn) {
      const from = deleted + 1;
      if (lsn < from) return;
      const operations: StoreOperation[] = [];
      for (; deleted < lsn; deleted++)
        operations.push({ type: 'del', key: Buffer.from(`r${recordsKey(deleted + 1)}`) });
      await store.write(operations);
      await store.compactRange(Buffer.from(`r${recordsKey(from)}`), Buffer.from(`r${recordsKey(lsn)}`));
    },
    async close() {
      await store.flush();
      await store.close();
    },
  };
}

interface Io {
  readonly written: number;
  readonly cancelled: number;
}
function io(): Io {
  const text = readFileSync('/proc/self/io', 'utf8');
  const figure = (name: string): number => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1]);
  return { written: figure('write_bytes'), cancelled: figure('cancelled_write_bytes') };
}

interface Result {
  readonly appendedBytes: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly io: Io;
  readonly writeMs: readonly number[];
}

async function measure(layout: Layout, workload: Workload, valueBytes: number, retainBytes: number): Promise<Result> {
  const before = io();
  const cpu = process.cpuUsage();
  const startedMs = performance.now();
  const writeMs: number[] = [];
  let flush: Promise<unknown> = Promise.resolve();
  let background: Promise<void> = Promise.resolve();
  let dirty = 0;
  const retained = Math.floor(retainBytes / valueBytes);
  let deletedTo = 0;
  for (let lsn = 1; lsn <= workload.entries; lsn += entriesPerGroup) {
    const to = Math.min(workload.entries, lsn + entriesPerGroup - 1);
    const writeStartedMs = performance.now();
    await layout.apply(lsn, to);
    writeMs.push(performance.now() - writeStartedMs);
    dirty += (to - lsn + 1) * valueBytes;
    if (dirty < flushEveryBytes) continue;
    dirty = 0;
    await flush;
    flush = layout.flush();
    // Retention goes in steps of an eighth of what is retained.
    if (retained > 0 && to - retained > deletedTo + retained / 8) {
      deletedTo = to - retained;
      await background;
      background = layout.retain(deletedTo);
    }
  }
  await flush;
  await background;
  await layout.close();
  const { user, system } = process.cpuUsage(cpu);
  const after = io();
  return {
    appendedBytes: workload.entries * valueBytes,
    seconds: (performance.now() - startedMs) / 1000,
    cpuSeconds: (user + system) / 1e6,
    io: { written: after.written - before.written, cancelled: after.cancelled - before.cancelled },
    writeMs: writeMs.sort((a, b) => a - b),
  };
}

function report(
  name: string,
  { appendedBytes, seconds, cpuSeconds, io: { written, cancelled }, writeMs }: Result,
): void {
  const ms = (part: number): string =>
    (writeMs[Math.min(writeMs.length - 1, Math.floor(writeMs.length * part))] ?? 0).toFixed(1);
  const times = (bytes: number): string => (bytes / appendedBytes).toFixed(2);
  console.log(
    `${name.padEnd(28)} ${times(written - cancelled)}x to disk (${times(written)}x with logs that were deleted in time)  ` +
      `${(appendedBytes / megabyte / seconds).toFixed(0)} MB/s  ${((cpuSeconds * 1000) / (appendedBytes / megabyte)).toFixed(1)} ms CPU a MB  ` +
      `group write p50 ${ms(0.5)} p99 ${ms(0.99)} max ${ms(1)} ms`,
  );
}

const [megabytes = '768', valueKilobytes = '64', root = '/tmp/logboom-bench-layout'] = process.argv.slice(2);
const valueBytes = Number(valueKilobytes) * 1024;
const workload = makeWorkload(Number(megabytes) * megabyte, valueBytes);
const layouts = { 'one database': oneDatabase, 'two databases': twoDatabases };
console.log(
  `${megabytes} MB in values of ${valueKilobytes} KiB, groups of ${entriesPerGroup}, a flush every 32 MiB; Node ${process.version}`,
);
for (const [retention, part] of [
  ['', 0],
  [', retention', 0.25],
] as const) {
  for (const [name, make] of Object.entries(layouts)) {
    await rm(root, { recursive: true, force: true });
    const layout = await make(root, workload);
    report(name + retention, await measure(layout, workload, valueBytes, workload.entries * valueBytes * part));
    await rm(root, { recursive: true, force: true });
  }
}
