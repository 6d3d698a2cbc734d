import { setTimeout as delay } from 'node:timers/promises';
import { startNodeProcess } from '../support/node-process.js';
import type { Figures, Workload, WorkloadContext } from '../support/workload.js';
import path from 'node:path';

const partitionsMore = 128;

/** What one more idle partition costs, from two fresh nodes that differ in nothing else. */
async function idlePartition({ node, seconds }: WorkloadContext): Promise<Figures> {
  const large = await startNodeProcess({
    parentDirectory: path.dirname(node.dataDirectory),
    flags: [`--partitions=${8 + partitionsMore}`],
  });
  try {
    const cpuBefore = large.cpuSeconds();
    await delay(seconds * 1000);
    const perPartition = (large.anonymousBytes() - node.anonymousBytes()) / partitionsMore;
    return {
      anonymousKbPerPartition: perPartition / 1e3,
      anonymousMbOfEight: node.anonymousBytes() / 1e6,
      idleCoresOfAll: (large.cpuSeconds() - cpuBefore) / seconds,
    };
  } finally {
    await large.stop();
  }
}

export const idleWorkloads: readonly Workload[] = [
  {
    name: 'idle-partition',
    description: `memory of an idle partition: a node of ${8 + partitionsMore} against one of 8`,
    targets: [{ figure: 'anonymousKbPerPartition', at: 'most', value: 1000 }],
    seconds: 10,
    run: idlePartition,
  },
];
