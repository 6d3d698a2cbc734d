/** Leaderships handed over while clients append: how long the longest append takes, and whether any fails. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterProcesses } from '../support/cluster-process.js';
import type { LogboomClient } from '../../src/client/index.js';

export interface TransferSample {
  readonly transferMs: number;
  /** From the request for the transfer to the first append that was begun after it and acknowledged. */
  readonly firstAppendMs: number;
  /** The longest of all appends that were under way or begun while it lasted. */
  readonly longestAppendMs: number;
  readonly failures: number;
}

const writersPerNode = 2;
const pauseMs = 2;

interface Append {
  readonly begunMs: number;
  readonly endedMs: number;
}

/** Appends one after another through one node, without retries: whatever fails is counted. */
class Prober {
  readonly done: Append[] = [];
  failures: string[] = [];
  isOver = false;
  readonly #running: Promise<void>;

  constructor(client: LogboomClient, stream: string, name: string) {
    this.#running = this.#run(client, stream, name);
  }

  async #run(client: LogboomClient, stream: string, name: string): Promise<void> {
    for (let number = 0; !this.isOver; number += 1) {
      const begunMs = performance.now();
      try {
        await client.append(stream, [Buffer.from(`${name} ${number}`)], { deadlineMs: 10_000 });
        this.done.push({ begunMs, endedMs: performance.now() });
      } catch (error) {
        this.failures.push(String(error));
      }
      await delay(pauseMs);
    }
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.#running;
  }
}

export async function measureTransfers(cluster: ClusterProcesses, count: number): Promise<TransferSample[]> {
  const client = cluster.client();
  const { partition } = await client.streams.create('transfers', { ifNotExists: true });
  const probers = cluster.nodes.flatMap(({ id }) =>
    Array.from({ length: writersPerNode }, (_, writer) => {
      const own = cluster.client({ only: id, retry: { attemptsMax: 1 } });
      return new Prober(own, 'transfers', `${id}-${writer}`);
    }),
  );
  await delay(1000);
  const samples: TransferSample[] = [];
  for (let transfer = 0; transfer < count; transfer += 1) {
    const failedBefore = probers.reduce((sum, { failures }) => sum + failures.length, 0);
    for (const prober of probers) prober.done.length = 0;
    const begunMs = performance.now();
    await client.cluster.transferLeadership(partition);
    const transferMs = performance.now() - begunMs;
    await delay(300);
    const appends = probers.flatMap(({ done }) => done);
    const after = appends.filter((append) => append.begunMs >= begunMs);
    samples.push({
      transferMs,
      firstAppendMs: Math.min(...after.map(({ endedMs }) => endedMs)) - begunMs,
      longestAppendMs: Math.max(
        ...appends
          .filter((append) => append.begunMs <= begunMs + transferMs + 50)
          .map((append) => append.endedMs - append.begunMs),
      ),
      failures: probers.reduce((sum, { failures }) => sum + failures.length, 0) - failedBefore,
    });
  }
  await Promise.all(probers.map((prober) => prober.stop()));
  for (const failure of probers.flatMap(({ failures }) => failures)) process.stderr.write(`failed: ${failure}\n`);
  return samples;
}
