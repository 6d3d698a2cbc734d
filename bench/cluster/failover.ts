/** Leaders killed with SIGKILL: how long until an append to their partition succeeds again. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterProcesses } from '../support/cluster-process.js';

export interface FailoverSample {
  /** From the kill to the first append that was begun after it and acknowledged, through a node that is left. */
  readonly recoveredMs: number;
  /** Appends that failed meanwhile. */
  readonly failures: number;
}

const giveUpMs = 30_000;
const pauseMs = 10;

export async function measureFailovers(cluster: ClusterProcesses, count: number): Promise<FailoverSample[]> {
  const client = cluster.client();
  const { partition } = await client.streams.create('failover', { ifNotExists: true });
  const samples: FailoverSample[] = [];
  for (let kill = 0; kill < count; kill += 1) {
    const leader = await cluster.leaderOf(partition, client);
    const survivor = 1 + ((leader + (kill % 2)) % 3);
    const probe = cluster.client({ only: survivor, retry: { attemptsMax: 1 } });
    await probe.append('failover', [Buffer.from(`before kill ${kill}`)]);
    // The kill falls anywhere between two heartbeats.
    await delay(200 + Math.random() * 100);
    const begunMs = performance.now();
    const gone = cluster.node(leader).end('SIGKILL');
    let failures = 0;
    for (;;) {
      const isDone = await probe.append('failover', [Buffer.from(`after kill ${kill}`)], { deadlineMs: 10_000 }).then(
        () => true,
        () => false,
      );
      if (isDone) break;
      failures += 1;
      if (performance.now() - begunMs > giveUpMs) throw new Error('no append succeeds any more');
      await delay(pauseMs);
    }
    samples.push({ recoveredMs: performance.now() - begunMs, failures });
    await probe.close();
    await gone;
    cluster.node(leader).start();
    await cluster.ready();
  }
  return samples;
}
