import type { Figures } from '../../support/workload.js';
import type { PeerStream } from '../systems/system.js';
import type { LoadContext } from './context.js';
import { fill } from './fill.js';
import { Consumption } from './servers.js';

/** Reads all of a stream that was appended before; it is in the page cache, as far as the system leaves it there. */
export async function runRead(context: LoadContext): Promise<Figures> {
  const { client, job } = context;
  const { recordBytes } = job.workload;
  const [stream] = await client.openStreams(job.workload);
  const filled = await fill(context, stream as PeerStream, job.sizes.readBytes);
  const consumption = new Consumption(job.pids);
  consumption.begin();
  const startedMs = performance.now();
  let records = 0;
  let bytes = 0;
  await client.read((value) => {
    records += 1;
    bytes += value.length;
    return records >= filled;
  });
  const seconds = (performance.now() - startedMs) / 1000;
  if (records < filled || bytes !== records * recordBytes)
    throw new Error(`${records} records with ${bytes} bytes were read of ${filled} with ${filled * recordBytes}`);
  return {
    recordsPerSecond: records / seconds,
    mbPerSecond: bytes / 1e6 / seconds,
    readMb: bytes / 1e6,
    ...consumption.end(bytes),
  };
}
