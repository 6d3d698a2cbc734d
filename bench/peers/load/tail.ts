import { setTimeout as delay } from 'node:timers/promises';
import { latencies } from '../../support/statistics.js';
import type { Figures } from '../../support/workload.js';
import type { PeerStream } from '../systems/system.js';
import { checkStored } from './append.js';
import type { LoadContext } from './context.js';
import { DiskWrites } from './disk.js';
import { Consumption } from './servers.js';

const sendEveryMs = 1;
/** A system that is slower than the rate is held back here; its latency counts from when each record was due. */
const pendingRecordsMax = 20_000;
const indexBytes = 6;
const settleMs = 30_000;

/** Appends at a steady rate, and follows: from when a record is due to its arrival, in one process and so on one clock. */
export async function runTail(context: LoadContext): Promise<Figures> {
  const { client, job, payloads } = context;
  const { sizes, workload } = job;
  const rate = sizes.tailRecordsPerSecond;
  const warmUp = Math.floor(rate * sizes.warmUpSeconds);
  const total = warmUp + Math.floor(rate * sizes.seconds);
  const [stream] = (await client.openStreams(workload)) as readonly [PeerStream];
  const samplesMs: number[] = [];
  const seen = new Uint8Array(total);
  const consumption = new Consumption(job.pids);
  const disk = new DiskWrites(job.dataDirectory);
  let arrived = 0;
  let startedMs = 0;
  const dueMs = (index: number): number => startedMs + (index * 1000) / rate;
  await client.tail((value) => {
    const index = Buffer.from(value.buffer, value.byteOffset, indexBytes).readUIntLE(0, indexBytes);
    // A client that tries again may store a record twice.
    if (index >= total || seen[index] === 1) return;
    seen[index] = 1;
    arrived += 1;
    if (index >= warmUp) samplesMs.push(performance.now() - dueMs(index));
  });
  let pending = 0;
  let failure: Error | undefined;
  const append = (index: number): void => {
    const value = Buffer.from(payloads.next(workload.payload, workload.recordBytes));
    value.writeUIntLE(index, 0, indexBytes);
    pending += 1;
    stream
      .append(value)
      .catch((error: unknown) => (failure ??= error instanceof Error ? error : new Error(String(error))))
      .finally(() => (pending -= 1));
  };
  startedMs = performance.now();
  // Not for ever: one that cannot keep up ends with what it has.
  const untilMs = startedMs + (sizes.warmUpSeconds + 2 * sizes.seconds) * 1000;
  let sent = 0;
  let isMeasuring = false;
  while (sent < total && performance.now() < untilMs && failure === undefined) {
    const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1000) * rate));
    for (; sent < due && pending < pendingRecordsMax; sent += 1) append(sent);
    if (!isMeasuring && sent >= warmUp) {
      isMeasuring = true;
      consumption.begin();
    }
    await delay(sendEveryMs);
  }
  const sendingSeconds = (performance.now() - startedMs) / 1000;
  for (const giveUpMs = performance.now() + settleMs; arrived < sent || pending > 0;) {
    if (failure !== undefined) throw failure;
    if (performance.now() > giveUpMs) throw new Error(`${arrived} of ${sent} records arrived, ${pending} are pending`);
    await delay(sendEveryMs);
  }
  if (samplesMs.length === 0) throw new Error(`only ${sent} records could be sent in ${sendingSeconds.toFixed(1)} s`);
  const taken = consumption.end(samplesMs.length * workload.recordBytes);
  await checkStored(context, sent);
  return {
    recordsPerSecond: sent / sendingSeconds,
    wantedRecordsPerSecond: rate,
    ...latencies(samplesMs),
    ...taken,
    ...disk.perByte(sent * workload.recordBytes),
  };
}
