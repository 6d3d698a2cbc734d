/** The process that makes the load: a new one for each measurement, so that none inherits another's heap. */
import { setFlagsFromString } from 'node:v8';
import { makePayloads } from '../../support/payloads.js';
import { connectTo } from '../systems/catalogue.js';
import { inFlightBytesMax } from '../workloads.js';
import type { Figures } from '../../support/workload.js';
import type { PeerClient } from '../systems/system.js';
import { runAppend } from './append.js';
import type { LoadContext } from './context.js';
import type { Answer, Ask, FromLoad, Job } from './job.js';
import { runFailover, runRestart } from './outage.js';
import { runRead } from './read.js';
import { runTail } from './tail.js';

// What the documentation of Logboom recommends for such loads; it serves the buffers of every client.
setFlagsFromString('--heap-growing-percent=300');

const run = { append: runAppend, tail: runTail, read: runRead, failover: runFailover, restart: runRestart };

const tell = (message: FromLoad): Promise<void> =>
  new Promise((resolve) => process.send?.(message, undefined, undefined, () => resolve()));

const nextMessage = <T>(): Promise<T> =>
  new Promise((resolve) => process.once('message', (message) => resolve(message as T)));

async function ask(what: Ask): Promise<Answer> {
  const answer = nextMessage<Answer>();
  await tell(what);
  return answer;
}

async function runJob(job: Job): Promise<Figures> {
  const { system, endpoints, codec, workload } = job;
  const connect = (): Promise<PeerClient> =>
    connectTo[system]({
      system,
      endpoints,
      codec,
      prefix: `${workload.name}-${codec}`,
      survivesNodes: workload.kind === 'failover' || workload.kind === 'restart',
      inFlightRecordsMax: workload.inFlight,
      inFlightBytesMax,
    });
  const context: LoadContext = { job, payloads: makePayloads(), connect, ask, client: await connect() };
  return run[workload.kind](context);
}

// What a client leaves unhandled, after a server was killed under it for example, is no failure of the load.
process.on('unhandledRejection', () => {});

// Whoever would hear of it is gone.
process.on('disconnect', () => process.exit(1));

try {
  await tell({ figures: await runJob(await nextMessage<Job>()) });
} catch (error) {
  await tell({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
// Clients may hold on to their connections; nothing of them is needed any more.
process.exit(0);
