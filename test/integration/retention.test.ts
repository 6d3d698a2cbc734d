/** Retention and deletion in the background, while appends go on. */
import { expect, test } from 'vitest';
import { isLogboomError } from '../../src/client/index.js';
import type { LogboomClient } from '../../src/client/index.js';
import { readStream } from './support/contents.js';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { originOf, valueOf, Writer } from './support/writers.js';
import type { WriterOptions } from './support/writers.js';

const settings = { ...restlessSettings, partitions: 2 };
const mib = 2 ** 20;
const writerOptions: readonly Omit<WriterOptions, 'index'>[] = [
  { stream: 'by bytes', kind: 'producer', codec: 'none', valueBytesMax: 20_000 },
  { stream: 'by age', kind: 'producer', codec: 'none', valueBytesMax: 10_000 },
  { stream: 'for ever', kind: 'producer', codec: 'zstd', valueBytesMax: 2000 },
].map((options) => ({ ...options, stream: options.stream.replaceAll(' ', '-') }) as Omit<WriterOptions, 'index'>);

const storeBytes = async (client: LogboomClient): Promise<number> =>
  (await client.cluster.partitions()).reduce((sum, { replicas }) => sum + (replicas[0]?.storeBytes ?? 0), 0);

/** What is left of a stream is dense up to its end, byte for byte what the writer appended, and nothing below is served. */
async function checkRest(client: LogboomClient, writer: Writer): Promise<{ firstSeq: number; nextSeq: number }> {
  const { stream } = writer.options;
  const { firstSeq, nextSeq } = await client.streams.get(stream);
  for await (const page of client.readPages(stream)) {
    for (const { seq, value } of page) {
      // The only producer of its stream: its numbers are the positions.
      if (originOf(value)?.number !== seq || !valueOf(writer.options, seq).equals(value))
        throw new Error(`${stream}: other bytes at seq ${seq}`);
    }
  }
  if (firstSeq > 0) {
    const below = client.readPage(stream, { fromSeq: firstSeq - 1 });
    await expect(below).rejects.toSatisfy((error) => isLogboomError(error, 'RECORD_TRIMMED'));
  }
  return { firstSeq, nextSeq };
}

test('retention by age and by bytes while appends go on', async () => {
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make(settings);
  await host.start();
  const client = host.client();
  const retentionBytes = mib;
  const retentionAgeMs = 1500;
  await client.streams.create('by-bytes', { retentionBytes });
  await client.streams.create('by-age', { retentionAgeMs });
  await client.streams.create('for-ever');
  const writers = writerOptions.map((options, index) => new Writer(host.client(), { ...options, index }, random.seed));
  const failed = Promise.race(writers.map((writer) => (writer.run(), writer.failure)));
  failed.catch(() => {});
  const [byBytes, byAge, forEver] = writers as [Writer, Writer, Writer];

  // Many times what may stay has gone through, and was let go.
  const positions = async (stream: string): Promise<{ firstSeq: number; nextSeq: number; storedBytes: number }> =>
    client.streams.get(stream);
  await Promise.race([
    failed,
    expect
      .poll(async () => (await positions('by-bytes')).firstSeq, { timeout: 90_000, interval: 200 })
      .toBeGreaterThan(1500),
  ]);
  await Promise.race([
    failed,
    expect
      .poll(async () => (await positions('by-age')).firstSeq, { timeout: 90_000, interval: 200 })
      .toBeGreaterThan(1000),
  ]);
  // Under load reads see a consistent rest; RECORD_TRIMMED when retention overtakes them.
  for (const writer of [byBytes, byAge]) {
    await checkRest(client, writer).catch((error: unknown) => {
      if (!isLogboomError(error, 'RECORD_TRIMMED')) throw error;
    });
  }
  await Promise.all(writers.map((writer) => writer.stop()));
  // The bytes limit holds, give or take a batch; by age everything goes in the end, and positions stay.
  await expect
    .poll(async () => (await positions('by-bytes')).storedBytes, { timeout: 20_000 })
    .toBeLessThan(retentionBytes + 400 * 1024);
  await expect
    .poll(
      async () => {
        const { firstSeq, nextSeq } = await positions('by-age');
        return nextSeq - firstSeq;
      },
      { timeout: 20_000 },
    )
    .toBe(0);
  const bytesRest = await checkRest(client, byBytes);
  const ageRest = await checkRest(client, byAge);
  expect(bytesRest.nextSeq).toBe(byBytes.acknowledged.size);
  expect(ageRest).toEqual({ firstSeq: byAge.acknowledged.size, nextSeq: byAge.acknowledged.size });
  expect((await checkRest(client, forEver)).firstSeq).toBe(0);
  expect((await client.append('by-age', ['next'])).firstSeq).toBe(ageRest.nextSeq);
  // The disk space comes back as well.
  const keptBytes = bytesRest.nextSeq - bytesRest.firstSeq;
  await expect
    .poll(async () => (await host.metrics()).sum('logboom_state_store_physical_deletions_total'), { timeout: 30_000 })
    .toBeGreaterThan(0);
  // And it is no different after a kill.
  await host.process.kill();
  await host.start();
  expect(await checkRest(client, byBytes)).toEqual(bytesRest);
  expect((await checkRest(client, forEver)).nextSeq).toBe(forEver.acknowledged.size);
  console.log(
    `retention: ${byBytes.acknowledged.size} records by bytes (${keptBytes} kept), ${byAge.acknowledged.size} by age (0 kept), ` +
      `${forEver.acknowledged.size} for ever, seed ${random.seed}`,
  );
});

test('a large stream is deleted in the background, without stopping appends', async () => {
  const host = await ServerHost.make(settings);
  await host.start();
  const client = host.client({ codec: 'none' });
  await client.streams.create('large');
  const appender = await client.appender('large');
  const value = Buffer.alloc(20_000, 'large ');
  for (let index = 0; index < 2000; index++) {
    await appender.ready();
    appender.enqueue(value);
  }
  await appender.close();
  await expect.poll(() => storeBytes(client), { timeout: 30_000 }).toBeGreaterThan(30 * mib);
  const before = await client.streams.get('large');
  await client.streams.create('beside');
  const writer = new Writer(
    host.client(),
    { index: 0, stream: 'beside', kind: 'producer', codec: 'none', valueBytesMax: 500, pauseMs: 50 },
    1,
  );
  writer.run();
  await expect.poll(() => writer.acknowledged.size, { timeout: 30_000 }).toBeGreaterThan(100);
  const atDeletion = writer.acknowledged.size;
  expect(await client.streams.delete('large')).toEqual({ firstSeq: 0, nextSeq: 2000 });
  await expect(client.readPage('large')).rejects.toSatisfy((error) => isLogboomError(error, 'STREAM_NOT_FOUND'));
  // Made again at once, while the old one is being cleared.
  const again = await client.streams.create('large');
  expect(again).toMatchObject({ firstSeq: 0, nextSeq: 0 });
  expect(again.epoch).not.toBe(before.epoch);
  expect((await client.append('large', ['new'])).firstSeq).toBe(0);
  await expect.poll(() => storeBytes(client), { timeout: 60_000, interval: 200 }).toBeLessThan(10 * mib);
  expect(writer.acknowledged.size).toBeGreaterThan(atDeletion);
  await writer.stop();
  await host.process.kill();
  await host.start();
  expect((await readStream(client, 'large')).values.map(String)).toEqual(['new']);
  expect((await readStream(client, 'beside')).values).toHaveLength(writer.acknowledged.size);
  console.log(
    `deletion: 40 MB gone from disk while ${writer.acknowledged.size - atDeletion} appends were acknowledged`,
  );
});
