import type { PeerStream } from '../systems/system.js';
import type { LoadContext } from './context.js';
import { inFlightBytesMax } from '../workloads.js';

const inFlightRecordsMax = 2048;

/** Appends so many bytes, or what can be done in the time for it. @returns records, all of them acknowledged */
export async function fill({ job, payloads }: LoadContext, stream: PeerStream, bytes: number): Promise<number> {
  const { payload, recordBytes } = job.workload;
  const untilMs = performance.now() + job.sizes.fillSecondsMax * 1000;
  const count = Math.ceil(bytes / recordBytes);
  let sent = 0;
  const lane = async (): Promise<void> => {
    while (sent < count && performance.now() < untilMs) {
      sent += 1;
      await stream.append(payloads.next(payload, recordBytes));
    }
  };
  const lanes = Math.min(inFlightRecordsMax, Math.floor(inFlightBytesMax / recordBytes));
  await Promise.all(Array.from({ length: lanes }, lane));
  return sent;
}
