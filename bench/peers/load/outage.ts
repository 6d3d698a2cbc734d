import { setTimeout as delay } from 'node:timers/promises';
import type { Figures } from '../../support/workload.js';
import type { PeerStream } from '../systems/system.js';
import { checkStored } from './append.js';
import type { LoadContext } from './context.js';
import { fill } from './fill.js';
import { nowMs } from './job.js';

const sendEveryMs = 5;
/** Beyond it the system counts as not recovered. */
const outageMsMax = 120_000;
const acknowledgedAfterwards = 100;

/**
 * Appends every 5 ms, whatever becomes of the ones before, while the leader is killed: the gap is over with the first
 * acknowledgement of an append that was sent after the kill. So no time-out of a client counts, only its way to the next leader.
 */
export async function runFailover(context: LoadContext): Promise<Figures> {
  const { client, job, payloads } = context;
  const [stream] = (await client.openStreams(job.workload)) as readonly [PeerStream];
  let acknowledged = 0;
  let killedAtMs = Infinity;
  let recoveredAtMs = Infinity;
  let after = 0;
  let isDone = false;
  const append = async (): Promise<void> => {
    const sentAtMs = nowMs();
    try {
      await stream.append(payloads.next(job.workload.payload, job.workload.recordBytes));
    } catch {
      // Its outcome is open; what counts is the next one that goes through.
      return;
    }
    acknowledged += 1;
    if (sentAtMs <= killedAtMs) return;
    after += 1;
    recoveredAtMs = Math.min(recoveredAtMs, nowMs());
  };
  const sending = (async () => {
    while (!isDone) {
      void append();
      await delay(sendEveryMs);
    }
  })();
  await delay(job.sizes.warmUpSeconds * 1000);
  if (acknowledged === 0) throw new Error('nothing was acknowledged before the kill');
  killedAtMs = (await context.ask({ ask: 'kill', node: await client.leaderIndex() })).atMs;
  while (after < acknowledgedAfterwards) {
    if (nowMs() - killedAtMs > outageMsMax) throw new Error(`no append was acknowledged for ${outageMsMax / 1000} s`);
    await delay(sendEveryMs);
  }
  isDone = true;
  await sending;
  await checkStored(context, acknowledged);
  return { gapMs: recoveredAtMs - killedAtMs };
}

/** Fills a stream, has all servers killed and started, and appends with a new client until it is acknowledged. */
export async function runRestart(context: LoadContext): Promise<Figures> {
  const { job, payloads } = context;
  const { payload, recordBytes } = job.workload;
  const [stream] = (await context.client.openStreams(job.workload)) as readonly [PeerStream];
  const filled = await fill(context, stream, job.sizes.restartBytes);
  await context.client.close().catch(() => {});
  const { atMs } = await context.ask({ ask: 'restart' });
  let lastError: unknown;
  while (nowMs() - atMs < outageMsMax) {
    try {
      const client = await context.connect();
      const [again] = (await client.openStreams({ ...job.workload, existing: true })) as readonly [PeerStream];
      await again.append(payloads.next(payload, recordBytes));
      const restartSeconds = (nowMs() - atMs) / 1000;
      await checkStored({ ...context, client }, filled + 1);
      await client.close();
      return { restartSeconds, filledMb: (filled * recordBytes) / 1e6 };
    } catch (error) {
      lastError = error;
      await delay(20);
    }
  }
  throw new Error(`no append was acknowledged for ${outageMsMax / 1000} s: ${String(lastError)}`);
}
