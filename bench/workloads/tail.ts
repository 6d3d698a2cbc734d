import { setTimeout as delay } from 'node:timers/promises';
import { latencies } from '../support/statistics.js';
import type { Figures, Workload, WorkloadContext } from '../support/workload.js';

const recordsPerSecond = 5_000;
const recordBytes = 100;
const sendEveryMs = 1;

/** From the call of append to the record's arrival at a tail of the same process, so that one clock measures both. */
async function tailLatency({ client, payloads, seconds }: WorkloadContext): Promise<Figures> {
  await client.streams.create('tail');
  const appender = await client.appender('tail');
  const sentMs: number[] = [];
  const samplesMs: number[] = [];
  const warmUpRecords = recordsPerSecond;
  const total = recordsPerSecond * seconds + warmUpRecords;
  const stop = new AbortController();
  const tailing = (async () => {
    for await (const page of client.tailPages('tail', { fromSeq: 0, signal: stop.signal })) {
      const nowMs = performance.now();
      for (const record of page)
        if (record.seq >= warmUpRecords) samplesMs.push(nowMs - (sentMs[record.seq] ?? Number.NaN));
      if (samplesMs.length >= total - warmUpRecords) return;
    }
  })();
  const appends: Promise<unknown>[] = [];
  const startedMs = performance.now();
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, Math.floor(((performance.now() - startedMs) / 1000) * recordsPerSecond));
    for (; sent < due; sent += 1) {
      sentMs.push(performance.now());
      appends.push(appender.append({ value: payloads.next('text', recordBytes) }));
    }
    await delay(sendEveryMs);
  }
  await Promise.all(appends);
  await tailing;
  stop.abort();
  await appender.close();
  return { recordsPerSecond, ...latencies(samplesMs) };
}

export const tailWorkloads: readonly Workload[] = [
  {
    name: 'tail-latency',
    description: `append to tail, end to end, at ${recordsPerSecond.toLocaleString('en')} records of ${recordBytes} B a second`,
    targets: [{ figure: 'p99Ms', at: 'most', value: 10 }],
    seconds: 10,
    run: tailLatency,
  },
];
