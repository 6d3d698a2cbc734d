/** The records around a record: by position, over batches, interleaved producers, and restarts of both ends. */
import { expect, test } from 'vitest';
import type { ContextRecords, LogboomClient } from '../../src/client/index.js';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';

const producers = ['web', 'worker', 'cron'] as const;

/** What the stream holds, by seq. */
interface Stored {
  readonly producer: string;
  readonly number: number;
  readonly value: string;
}

test('context within the stream and within one producer, across batches, takeovers and kill -9', async () => {
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make({ ...restlessSettings, partitions: 2 });
  await host.start();
  const client = host.client({ retry: { attemptsMax: 100, delayMsMax: 100 } });
  await client.streams.create('logs');
  const stored: Stored[] = [];
  const next = new Map<string, number>(producers.map((id) => [id, 0]));

  for (let life = 0; life < 3; life++) {
    // Each life has producers that start anew, and go on where the server has them.
    for (const id of producers) {
      const state = await client.producer('logs', id);
      expect(state?.nextRecordNumber ?? 0, `${id} in life ${life}`).toBe(next.get(id));
    }
    for (let batch = 0; batch < 60; batch++) {
      const id = random.pick(producers);
      const first = next.get(id) ?? 0;
      const count = random.pick([1, 1, 2, 7, 30]);
      // Unlike each other in size and time, and most with a time of its own that says nothing about the order.
      const records = Array.from({ length: count }, (_, index) => ({
        value: `${id} ${first + index} `.padEnd(random.between(0, 600), '.'),
        timestampNanos: BigInt(random.uint32()),
      }));
      const result = await client.append('logs', records, {
        producer: { id, epoch: life, firstRecordNumber: first },
        codec: random.pick(['zstd', 'none']),
      });
      expect(result.firstSeq).toBe(stored.length);
      records.forEach(({ value }, index) => stored.push({ producer: id, number: first + index, value }));
      next.set(id, first + count);
    }
    await host.process.kill();
    await host.start();
    for (let asked = 0; asked < 40; asked++) await checkContext(client, random, stored);
  }
  // The edges: nothing before the first, nothing after the last.
  const first = await client.context('logs', 0, { before: 5, after: 0 });
  expect([first.beforeCount, first.moreBefore, first.moreAfter]).toEqual([0, false, true]);
  const last = await client.context('logs', stored.length - 1, { before: 0, after: 5 });
  expect([last.afterCount, last.moreBefore, last.moreAfter]).toEqual([0, true, false]);
  console.log(`context: ${stored.length} records of ${producers.length} producers, 3 lives, seed ${random.seed}`);
});

async function checkContext(client: LogboomClient, random: SeededRandom, stored: readonly Stored[]): Promise<void> {
  const seq = random.below(stored.length);
  const sameProducer = random.below(2) === 0;
  const [before, after] = [random.pick([0, 1, 10, 200]), random.pick([0, 1, 10, 200])];
  const seqs = stored
    .map((_, index) => index)
    .filter((index) => !sameProducer || stored[index]?.producer === stored[seq]?.producer);
  const place = seqs.indexOf(seq);
  const expected = seqs.slice(Math.max(0, place - before), place + after + 1);
  const context: ContextRecords = await client.context('logs', seq, { before, after, sameProducer });
  const what = `around ${seq}, ${before} before, ${after} after, same producer: ${sameProducer}, seed ${random.seed}`;
  expect(
    context.records.map((record) => record.seq),
    what,
  ).toEqual(expected);
  for (const { seq: at, text, producer } of context.records) {
    const { value, number, producer: id } = stored[at] as Stored;
    expect([text, producer?.id, producer?.recordNumber], what).toEqual([value, id, number]);
  }
  expect([context.beforeCount, context.afterCount], what).toEqual([
    Math.min(before, place),
    Math.min(after, seqs.length - 1 - place),
  ]);
  expect([context.moreBefore, context.moreAfter], what).toEqual([place > before, place + after < seqs.length - 1]);
}
