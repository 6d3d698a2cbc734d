/** 200,000 records of one and the same moment, walked both ways while appends go on. */
import { expect, test } from 'vitest';
import type { LogboomClient, Page } from '../../src/client/index.js';
import { SeededRandom, testSeed } from './support/random.js';
import { ServerHost } from './support/server-process.js';

const records = 200_000;
const timestampNanos = 1_700_000_000_000_000_000n;

const record = (number: number): { value: string; timestampNanos: bigint } => ({
  value: `record ${number}`,
  timestampNanos,
});

test('200,000 records with one timestamp at over 10,000 a second: both ways each exactly once, in order', async () => {
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make({ partitions: 2, disk: { lowWaterMarkBytes: 0 } });
  await host.start();
  const client = host.client();
  await client.streams.create('moment');
  const appender = await client.appender('moment', { producer: { id: 'the one' } });
  const startedMs = performance.now();
  for (let number = 0; number < records; number++) {
    if (appender.full) await appender.ready();
    appender.enqueue(record(number));
  }
  await appender.flush();
  const perSecond = (1000 * records) / (performance.now() - startedMs);

  // Appends go on until both walks are through.
  let walking = true;
  let appended = records;
  const appending = (async () => {
    while (walking) {
      for (let index = 0; index < 50; index++) appender.enqueue(record(appended++));
      await appender.flush();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const [forward, backward] = await Promise.all([
    walk(client, random, false, records + 1000),
    walk(host.client(), new SeededRandom(random.seed + 1), true, 0),
  ]);
  walking = false;
  await appending;
  expect(forward.next).toBeGreaterThanOrEqual(records + 1000);
  expect(backward.next).toBe(-1);
  expect(backward.from).toBeGreaterThanOrEqual(records - 1);

  // A page at the tail gives a token that continues later.
  const rest = await client.readPage('moment', { fromSeq: appended - 1 });
  expect([rest.end, rest.recordCount]).toEqual(['stream', 1]);
  await appender.append(record(appended));
  const later = await client.readPage('moment', { pageToken: rest.nextPageToken });
  expect([...later].map(({ text }) => text)).toEqual([`record ${appended}`]);
  await appender.close();
  console.log(
    `one timestamp: ${records} records at ${Math.round(perSecond)}/s; forward ${forward.pages} pages to seq ${forward.next}, backward ` +
      `${backward.pages} pages from ${backward.from}, ${appended - records} appended meanwhile, seed ${random.seed}`,
  );
  expect(perSecond).toBeGreaterThan(10_000);
});

/** Page after page of random sizes: forward until at least `until` was read, backward to the first record. */
async function walk(
  client: LogboomClient,
  random: SeededRandom,
  reverse: boolean,
  until: number,
): Promise<{ pages: number; next: number; from: number }> {
  let pages = 0;
  let next: number | undefined = reverse ? undefined : 0;
  let from = 0;
  let pageToken: string | undefined;
  for (;;) {
    const limit = random.pick([1, 2, 17, random.between(1, 500), random.between(1, 3000), 10_000]);
    const page: Page = await client.readPage('moment', {
      reverse,
      limit,
      pageToken,
      maxBytes: random.pick([undefined, 10_000, 300_000]),
    });
    pages++;
    for (const { seq, text, timestampNanos: stamp } of page) {
      if (next === undefined) next = from = seq;
      if (seq !== next || text !== `record ${seq}` || stamp !== timestampNanos)
        throw new Error(`${reverse ? 'backward' : 'forward'}, expected ${next}, got ${seq}: ${text}`);
      next += reverse ? -1 : 1;
    }
    if (page.recordCount > limit) throw new Error(`${page.recordCount} records, limit ${limit}`);
    if (reverse && page.end === 'stream') return { pages, next: next ?? Number.NaN, from };
    if (!reverse && (next ?? 0) >= until) return { pages, next: next ?? 0, from };
    pageToken = page.nextPageToken;
  }
}
