/** CPU time of a cluster that nobody uses, by node. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterProcesses } from '../support/cluster-process.js';

export interface IdleSample {
  /** Of one core, in percent. */
  readonly clusterPercent: number;
  readonly nodePercents: readonly number[];
  /** Written by all nodes to all others. */
  readonly framesPerSecond: number;
  readonly messagesPerSecond: number;
}

/** After the start: stores are flushed, caches are filled, code is compiled. */
const settleMs = 15_000;

export async function measureIdle(cluster: ClusterProcesses, seconds: number): Promise<IdleSample> {
  await delay(settleMs);
  const framesBefore = await sent(cluster, 'frames');
  const messagesBefore = await sent(cluster, 'messages');
  const cpuBefore = cluster.nodes.map((node) => node.cpuSeconds());
  const begunMs = performance.now();
  await delay(seconds * 1000);
  const tookSeconds = (performance.now() - begunMs) / 1000;
  const nodePercents = cluster.nodes.map(
    (node, index) => (100 * (node.cpuSeconds() - (cpuBefore[index] as number))) / tookSeconds,
  );
  return {
    clusterPercent: nodePercents.reduce((sum, percent) => sum + percent, 0),
    nodePercents,
    framesPerSecond: ((await sent(cluster, 'frames')) - framesBefore) / tookSeconds,
    messagesPerSecond: ((await sent(cluster, 'messages')) - messagesBefore) / tookSeconds,
  };
}

async function sent(cluster: ClusterProcesses, what: 'frames' | 'messages'): Promise<number> {
  let sum = 0;
  for (const node of cluster.nodes) {
    for (const line of (await node.metrics()).split('\n')) {
      if (line.startsWith(`logboom_link_sent_${what}_total`)) sum += Number(line.slice(line.lastIndexOf(' ') + 1));
    }
  }
  return sum;
}
