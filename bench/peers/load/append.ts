import { latencies } from '../../support/statistics.js';
import type { Figures } from '../../support/workload.js';
import type { PeerStream } from '../systems/system.js';
import type { LoadContext } from './context.js';
import { DiskWrites } from './disk.js';
import { Consumption } from './servers.js';

/** Keeps so many appends in flight, over all streams in turn; each is counted when it is acknowledged. */
export async function runAppend(context: LoadContext): Promise<Figures> {
  const { client, job, payloads } = context;
  const { workload, sizes } = job;
  const streams = await client.openStreams(workload);
  const consumption = new Consumption(job.pids);
  const disk = new DiskWrites(job.dataDirectory);
  const latenciesMs: number[] = [];
  let acknowledged = 0;
  let records = 0;
  let turn = 0;
  const warmUntilMs = performance.now() + sizes.warmUpSeconds * 1000;
  const untilMs = warmUntilMs + sizes.seconds * 1000;
  let isMeasuring = false;
  const lane = async (): Promise<void> => {
    for (let startedMs = performance.now(); startedMs < untilMs;) {
      const stream = streams[turn] as PeerStream;
      turn = (turn + 1) % streams.length;
      await stream.append(payloads.next(workload.payload, workload.recordBytes));
      acknowledged += 1;
      const endedMs = performance.now();
      if (isMeasuring) {
        records += 1;
        latenciesMs.push(endedMs - startedMs);
      }
      startedMs = endedMs;
    }
  };
  const lanes = Promise.all(Array.from({ length: workload.inFlight }, lane));
  await Promise.race([sleepUntil(warmUntilMs), lanes]);
  consumption.begin();
  isMeasuring = true;
  const fromMs = performance.now();
  await Promise.race([sleepUntil(untilMs), lanes]);
  // One that answers nothing in the time is measured until it does: lanes end with their last answer.
  if (records === 0) await lanes;
  isMeasuring = false;
  const seconds = (performance.now() - fromMs) / 1000;
  const bytes = records * workload.recordBytes;
  const taken = consumption.end(bytes);
  await lanes;
  await checkStored(context, acknowledged);
  if (records === 0) throw new Error(`nothing was acknowledged in ${seconds.toFixed(1)} s`);
  return {
    recordsPerSecond: records / seconds,
    mbPerSecond: bytes / 1e6 / seconds,
    ...latencies(latenciesMs),
    ...taken,
    ...disk.perByte(acknowledged * workload.recordBytes),
  };
}

/** What was acknowledged must be there: a system that acknowledges more than it stores is not measured. */
export async function checkStored({ client }: LoadContext, acknowledged: number): Promise<void> {
  const stored = await client.storedRecords();
  if (stored < acknowledged) throw new Error(`${acknowledged} records were acknowledged, and ${stored} are stored`);
}

const sleepUntil = (atMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - performance.now())));
