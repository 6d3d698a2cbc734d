import { setTimeout as delay } from 'node:timers/promises';
import { latencies, spreadOf } from '../support/statistics.js';
import type { Figures, Workload, WorkloadContext } from '../support/workload.js';

/** Not counted: both processes compile their code. */
const warmUpSeconds = 2;

/** Appends at a steady rate of bytes; answers the latency of each after the warm-up. */
async function appendSteadily(
  { client, payloads }: WorkloadContext,
  options: { stream: string; seconds: number; mbPerSecond: number; recordBytes: number },
): Promise<number[]> {
  const appender = await client.appender(options.stream, { codec: 'none' });
  const samplesMs: number[] = [];
  const appends: Promise<unknown>[] = [];
  const perSecond = (options.mbPerSecond * 1e6) / options.recordBytes;
  const warmUp = perSecond * warmUpSeconds;
  const total = warmUp + perSecond * options.seconds;
  const startedMs = performance.now();
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, ((performance.now() - startedMs) / 1000) * perSecond);
    for (; sent < due; sent += 1) {
      const sentMs = performance.now();
      const isCounted = sent >= warmUp;
      const append = appender.append({ value: payloads.next('random', options.recordBytes) });
      appends.push(append.then(() => isCounted && samplesMs.push(performance.now() - sentMs)));
    }
    if (appends.length > 10_000) await Promise.all(appends.splice(0));
    await delay(1);
  }
  await Promise.all(appends);
  await appender.close();
  return samplesMs;
}

async function flushStall(context: WorkloadContext): Promise<Figures> {
  await context.client.streams.create('steady');
  const samplesMs = await appendSteadily(context, {
    stream: 'steady',
    seconds: context.seconds,
    mbPerSecond: 40,
    recordBytes: 16 * 1024,
  });
  const metrics = await context.node.metrics();
  const flushes = Number(/^logboom_state_store_flush_seconds_count.* (\d+)$/m.exec(metrics)?.[1] ?? Number.NaN);
  return { mbPerSecond: 40, flushesOfBusiestStore: flushes, ...latencies(samplesMs) };
}

/** Appends and reads for as long as it is told; samples anonymous memory once a second. */
async function soak(context: WorkloadContext): Promise<Figures> {
  const { client, node, seconds } = context;
  const streams = ['soak-0', 'soak-1', 'soak-2', 'soak-3'];
  for (const stream of streams) await client.streams.create(stream, { retentionBytes: 512 << 20 });
  const mbPerSecond = 5_000 / 600;
  const samples: number[] = [];
  const stop = new AbortController();
  let readBytes = 0;
  const sampling = (async () => {
    while (!stop.signal.aborted) {
      samples.push(node.anonymousBytes() / 1e6);
      await delay(1000);
    }
  })();
  const reading = (async () => {
    while (!stop.signal.aborted) {
      for (const stream of streams) {
        for await (const page of client.readPages(stream, { last: 2_000 })) {
          for (const record of page) readBytes += record.value.length;
          if (stop.signal.aborted) break;
        }
      }
      await delay(100);
    }
  })();
  await Promise.all(
    streams.map((stream) =>
      appendSteadily(context, { stream, seconds, mbPerSecond: mbPerSecond / streams.length, recordBytes: 4096 }),
    ),
  );
  stop.abort();
  await Promise.all([sampling, reading]);
  const half = Math.floor(samples.length / 2);
  return {
    appendedMb: mbPerSecond * seconds,
    readMb: readBytes / 1e6,
    anonymousMbMax: spreadOf(samples).max,
    anonymousMbMedianFirstHalf: spreadOf(samples.slice(0, half)).median,
    anonymousMbMedianSecondHalf: spreadOf(samples.slice(half)).median,
  };
}

export const steadyWorkloads: readonly Workload[] = [
  {
    name: 'flush-stall',
    description: 'latency of 16 KiB appends at a steady 40 MB/s, while state stores flush',
    targets: [{ figure: 'p999Ms', at: 'most', value: 50 }],
    seconds: 30,
    run: flushStall,
  },
  {
    name: 'soak',
    description: 'appends and reads at a steady rate; 600 s make 5 GB',
    targets: [{ figure: 'anonymousMbMax', at: 'most', value: 400 }],
    seconds: 60,
    run: soak,
  },
];
