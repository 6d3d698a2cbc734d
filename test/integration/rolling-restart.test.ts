/** Every node stopped and started again, one after another, under load: no call of a client fails, with or without a producer id. */
import { expect, test } from 'vitest';
import { ClusterHosts, pause } from './support/cluster-hosts.js';
import type { LogboomClient } from '../../src/client/index.js';
import type { Settings } from './support/server-process.js';

const settings: Settings = {
  partitions: 4,
  limits: { recordBytes: '256KiB', batchBytes: '384KiB' },
  wal: { segmentBytes: '4MiB', cacheBytes: '4MiB', spareSegments: 1 },
  stateStore: { flushBytes: '128KiB', dirtyBudgetBytes: '2MiB', flushAgeMs: 500 },
  disk: { lowWaterMarkBytes: 0 },
  shutdown: { drainMs: '10s' },
  // So that only a leadership that was not handed over needs an election, also on a machine with much other work.
  cluster: { electionTimeoutMs: 6000, heartbeatMs: 300 },
};
const streams = ['a', 'b', 'c', 'd', 'e', 'f'];

/** Calls again and again until it is stopped, and keeps what failed. */
class Caller {
  readonly failures: string[] = [];
  calls = 0;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(what: string, call: (number: number) => Promise<unknown>) {
    this.#running = this.#run(what, call);
  }

  async #run(what: string, call: (number: number) => Promise<unknown>): Promise<void> {
    for (let number = 0; !this.#isOver; number += 1) {
      await call(number).then(
        () => (this.calls += 1),
        (error: unknown) => this.failures.push(`${what}: ${String(error)}`),
      );
      await pause(15);
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

function callers(cluster: ClusterHosts): Caller[] {
  const all: Caller[] = [];
  for (const [index, stream] of streams.entries()) {
    const client = (): LogboomClient => cluster.client({}, 1 + (index % 3));
    const unary = client();
    all.push(new Caller(`append to ${stream}`, (number) => unary.append(stream, [Buffer.from(`unary ${number}`)])));
    const reader = client();
    all.push(new Caller(`read of ${stream}`, () => reader.readPage(stream, { last: 5 })));
    all.push(new Caller(`look at ${stream}`, () => reader.streams.get(stream)));
    const session = client();
    const appender = session.appender(stream, { producer: index % 2 === 0 ? { id: `p-${stream}` } : false });
    all.push(
      new Caller(`session to ${stream}`, async (number) => (await appender).append(Buffer.from(`session ${number}`))),
    );
  }
  const keeper = cluster.client();
  all.push(new Caller('create', (number) => keeper.streams.create(`made-${number}`, { ifNotExists: true })));
  return all;
}

test('no call fails while all nodes are restarted one after another', { timeout: 400_000 }, async () => {
  const cluster = await ClusterHosts.make(settings);
  await cluster.start();
  const client = cluster.client();
  for (const stream of streams) await client.streams.create(stream);
  const running = callers(cluster);
  const seen: number[] = [];
  const tail = (async () => {
    const records = cluster.client({}, 2).tail('a', { fromSeq: 0, signal: AbortSignal.timeout(390_000) });
    for await (const { seq, text } of records) {
      seen.push(seq);
      if (text === 'the end') return;
    }
  })();
  // Awaited at the end; what fails before that is told first.
  tail.catch(() => {});
  await pause(1000);
  for (const id of [1, 2, 3]) {
    const { process } = cluster.node(id);
    expect((await process.stop()).code).toBe(0);
    await pause(500);
    await cluster.node(id).start();
    await cluster.ready(undefined, 90_000);
    await pause(500);
  }
  await Promise.all(running.map((caller) => caller.stop()));
  expect(running.flatMap(({ failures }) => failures)).toEqual([]);
  const calls = running.reduce((sum, caller) => sum + caller.calls, 0);
  for (const { calls: own } of running) expect(own).toBeGreaterThan(20);
  await client.append('a', [Buffer.from('the end')]);
  await tail;
  expect(seen).toEqual(seen.map((_, index) => index));
  console.log(`rolling restart: ${calls} calls, none failed`);
});
