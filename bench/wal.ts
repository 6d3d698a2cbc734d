/**
 * The write-ahead log against the raw file system: `npx tsx bench/wal.ts [directory]`. Prints ratios; absolute figures
 * are the disk's. Raw is the same disk port writing the same bytes to a preallocated file, one write and one fdatasync
 * at a time.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { asLsn, asPartitionId, asReplicaId, asTerm } from '../src/base/ids.js';
import type { Environment } from '../src/base/ports/environment.js';
import { noLogger } from '../src/base/ports/logger.js';
import { noMetrics } from '../src/base/ports/metrics.js';
import type { ConfState } from '../src/raft/types.js';
import { nodeEnvironmentParts } from '../src/server/adapters/node-environment.js';
import { Wal, type PartitionLog } from '../src/wal/index.js';

const unused = (): Promise<never> => Promise.reject(new Error('not used here'));
const environment: Environment = {
  ...nodeEnvironmentParts,
  compressor: { compress: unused, decompress: unused },
  logger: noLogger,
  metrics: noMetrics,
};
const confState: ConfState = {
  voters: [asReplicaId(1)],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};
const mebibyte = 1024 * 1024;
const segmentBytes = 64 * mebibyte;

/** Random bytes: some disks and file systems treat zeros better. */
function payload(bytes: number): Uint8Array {
  const data = new Uint32Array(Math.ceil(bytes / 4));
  for (let at = 0; at < data.length; at++) data[at] = environment.random.nextUint32();
  return new Uint8Array(data.buffer, 0, bytes);
}

interface Load {
  readonly name: string;
  readonly bytes: number;
  readonly inFlight: number;
  readonly partitions: number;
}

interface Result {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Short, and many: other users of the disk disturb both alike. */
const roundMs = 250;
const rounds = 15;
/** A snapshot's distance, in bytes of entries. */
const trimEveryBytes = 16 * mebibyte;

function result(latencies: number[], elapsedMs: number): Result {
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { perSecond: (1000 * latencies.length) / elapsedMs, p50Ms: at(0.5), p99Ms: at(0.99) };
}

async function rawFile(directory: string): Promise<Awaited<ReturnType<Environment['disk']['open']>>> {
  const file = await environment.disk.open(`${directory}/raw`, 'create');
  for (let at = 0; at < segmentBytes; at += mebibyte) await file.write([new Uint8Array(mebibyte)], at);
  await file.datasync();
  return file;
}

async function rawRound(file: Awaited<ReturnType<typeof rawFile>>, data: Uint8Array): Promise<Result> {
  const latencies: number[] = [];
  const startMs = performance.now();
  let at = 0;
  while (performance.now() - startMs < roundMs) {
    const beginMs = performance.now();
    await file.write([data], at);
    await file.datasync();
    latencies.push(performance.now() - beginMs);
    at += Math.ceil(data.length / 8) * 8 + 96;
    if (at + data.length > segmentBytes) at = 0;
  }
  return result(latencies, performance.now() - startMs);
}

/** Appends to the partitions in turn, and lets go of what is durable, as a node that snapshots does. */
async function walRound(logs: readonly PartitionLog[], data: Uint8Array, inFlight: number): Promise<Result> {
  const latencies: number[] = [];
  const startMs = performance.now();
  let token = 0;
  const trimEvery = Math.ceil(trimEveryBytes / logs.length / data.length);
  await new Promise<void>((resolve) => {
    let running = inFlight;
    const next = (log: PartitionLog): void => {
      const beginMs = performance.now();
      if (beginMs - startMs >= roundMs) {
        if (--running === 0) resolve();
        return;
      }
      const lsn = asLsn(log.lastLsn + 1);
      const entry = { lsn, term: asTerm(1), kind: 0, data } as const;
      log.append({ token: ++token, hardState: undefined, entries: [entry], mustSync: true }, () => {
        latencies.push(performance.now() - beginMs);
        if (lsn % trimEvery === 0) {
          log.setPersistedLsn(lsn);
          log.setTrimPoint(lsn, confState);
        }
        next(log);
      });
    };
    for (let started = 0; started < inFlight; started++) next(logs[started % logs.length] as PartitionLog);
  });
  return result(latencies, performance.now() - startMs);
}

function medians(results: readonly Result[]): Result {
  const median = (of: (result: Result) => number): number =>
    results.map(of).sort((a, b) => a - b)[Math.floor(results.length / 2)] ?? Number.NaN;
  return { perSecond: median((r) => r.perSecond), p50Ms: median((r) => r.p50Ms), p99Ms: median((r) => r.p99Ms) };
}

function show({ perSecond, p50Ms, p99Ms }: Result, bytes: number): string {
  const megabytes = (perSecond * bytes) / 1e6;
  return `${perSecond.toFixed(0)}/s ${megabytes.toFixed(1)} MB/s p50 ${p50Ms.toFixed(3)} p99 ${p99Ms.toFixed(3)} ms`;
}

async function compare(directory: string, load: Load): Promise<void> {
  const data = payload(load.bytes);
  await mkdir(`${directory}/wal`, { recursive: true });
  const wal = await Wal.open(environment, { segmentBytes }, `${directory}/wal`);
  const file = await rawFile(directory);
  const logs: PartitionLog[] = [];
  for (let id = 1; id <= load.partitions; id++) {
    logs.push(await wal.createPartition(asPartitionId(id), asReplicaId(id), confState));
  }
  await walRound(logs, data, load.inFlight);
  const [raws, owns]: [Result[], Result[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    raws.push(await rawRound(file, data));
    owns.push(await walRound(logs, data, load.inFlight));
  }
  const [raw, own] = [medians(raws), medians(owns)];
  console.log(
    `${load.name}: raw ${show(raw, load.bytes)}; wal ${show(own, load.bytes)}; ` +
      `ratio of rates ${(own.perSecond / raw.perSecond).toFixed(2)}, of p50 ${(raw.p50Ms / own.p50Ms).toFixed(2)}`,
  );
  await wal.stop();
  await file.close();
  await rm(`${directory}/wal`, { recursive: true });
  await rm(`${directory}/raw`);
}

async function measureOpen(directory: string, entryBytes: number): Promise<void> {
  const path = `${directory}/open`;
  await mkdir(path);
  const wal = await Wal.open(environment, { segmentBytes }, path);
  const logs = await Promise.all(
    [1, 2, 3, 4].map((id) => wal.createPartition(asPartitionId(id), asReplicaId(id), confState)),
  );
  const data = payload(entryBytes);
  const batch = Math.max(1, Math.floor(mebibyte / entryBytes));
  const bytesToWrite = 1024 * mebibyte;
  let written = 0;
  for (let turn = 0; written < bytesToWrite; turn++) {
    const log = logs[turn % logs.length] as PartitionLog;
    const first = log.lastLsn + 1;
    const entries = Array.from({ length: batch }, (_, index) => {
      return { lsn: asLsn(first + index), term: asTerm(1), kind: 0, data } as const;
    });
    await new Promise<void>((resolve) =>
      log.append({ token: turn, hardState: undefined, entries, mustSync: true }, resolve),
    );
    written += batch * entryBytes;
  }
  await wal.stop();
  const before = process.memoryUsage();
  const startMs = performance.now();
  const again = await Wal.open(environment, { segmentBytes }, path);
  const openMs = performance.now() - startMs;
  const after = process.memoryUsage();
  const grownBytes = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
  const { segments } = again.stats;
  const count = again.partitionIds.reduce((sum, id) => sum + (again.partition(id)?.lastLsn ?? 0), 0);
  console.log(
    `open: 1 GiB in ${segments} segments, ${count} entries of ${entryBytes} bytes: ${openMs.toFixed(0)} ms, ` +
      `${(grownBytes / 1e6).toFixed(0)} MB more memory`,
  );
  await again.stop();
  await rm(path, { recursive: true });
}

// Timers of the clock port keep no process alive.
const alive = setInterval(() => {}, 1000);
const directory = await mkdtemp(`${process.argv[2] ?? tmpdir()}/logboom-wal-bench-`);
try {
  await compare(directory, { name: '4 KiB, 1 in flight', bytes: 4096, inFlight: 1, partitions: 1 });
  await compare(directory, { name: '4 KiB, 64 in flight, 8 partitions', bytes: 4096, inFlight: 64, partitions: 8 });
  await compare(directory, { name: '100 B, 512 in flight, 8 partitions', bytes: 100, inFlight: 512, partitions: 8 });
  await compare(directory, { name: '256 KiB, 1 in flight', bytes: 262_144, inFlight: 1, partitions: 1 });
  await compare(directory, { name: '256 KiB, 8 in flight', bytes: 262_144, inFlight: 8, partitions: 4 });
  await measureOpen(directory, 4096);
  await measureOpen(directory, 100);
} finally {
  clearInterval(alive);
  await rm(directory, { recursive: true });
}
