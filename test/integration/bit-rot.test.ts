/** Bit rot in stored values: found on read and by `partition verify`, never served, and nothing else is held up by it. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';
import { expect, test } from 'vitest';
import { isLogboomError } from '../../src/client/index.js';
import { readStream } from './support/contents.js';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';

const settings = { ...restlessSettings, partitions: 1 };
const batches = 40;
const recordsOfBatch = 10;

/** Two streams of one partition, each batch an own value; stopped, so that all of it lies in tables. */
async function storedNode(): Promise<ServerHost> {
  const host = await ServerHost.make(settings);
  await host.start();
  const client = host.client({ codec: 'none' });
  for (const stream of ['damaged', 'sound']) {
    await client.streams.create(stream);
    for (let batch = 0; batch < batches; batch++) await client.append(stream, valuesOf(stream, batch));
  }
  expect((await host.process.stop()).code).toBe(0);
  return host;
}

const valuesOf = (stream: string, batch: number): string[] =>
  Array.from({ length: recordsOfBatch }, (_, index) => `${stream} ${batch}/${index}: ${'payload '.repeat(20)}`);

interface Place {
  readonly file: string;
  readonly offset: number;
}

/** Where bytes lie in the tables of a database: they are not compressed. */
function placesOf(host: ServerHost, database: string, bytes: Buffer): Place[] {
  const directory = path.join(host.dataDirectory, 'partitions', '1', database);
  const tables = readdirSync(directory).filter((name) => /\.(ldb|sst)$/.test(name));
  return tables.flatMap((name) => {
    const file = path.join(directory, name);
    const offset = readFileSync(file).indexOf(bytes);
    return offset < 0 ? [] : [{ file, offset }];
  });
}

function flipBit({ file, offset }: Place, random: SeededRandom): void {
  const bytes = readFileSync(file);
  bytes[offset] = (bytes[offset] ?? 0) ^ (1 << random.below(8));
  writeFileSync(file, bytes);
}

function verifyByCommand(host: ServerHost): { status: number | null; stdout: string } {
  const { status, stdout } = spawnSync(
    process.execPath,
    ['bin/logboom.cjs', 'partition', 'verify', '1', '--output', 'json', '--address', host.address],
    {
      cwd: path.resolve(import.meta.dirname, '../..'),
      encoding: 'utf8',
    },
  );
  return { status, stdout };
}

const corrupt = (error: unknown): boolean => isLogboomError(error, 'DATA_CORRUPT');

test('a flipped bit in a records value: the batch is not served, everything else is, and verification names it', async () => {
  const random = new SeededRandom(testSeed());
  const host = await storedNode();
  const batch = random.between(5, batches - 5);
  const needle = Buffer.from(`damaged ${batch}/${random.below(recordsOfBatch)}: `);
  const places = placesOf(host, 'records', needle);
  expect(places.length).toBeGreaterThan(0);
  const within = random.below(needle.length + 100);
  for (const { file, offset } of places) flipBit({ file, offset: offset + within }, random);

  await host.start();
  const client = host.client({ codec: 'none', retry: { attemptsMax: 1 } });
  const firstSeq = batch * recordsOfBatch;
  // Never served, however it is asked for; what lies before and behind it is.
  await expect(readStream(client, 'damaged')).rejects.toSatisfy(corrupt);
  await expect(client.readPage('damaged', { fromSeq: firstSeq, limit: 1 })).rejects.toSatisfy(corrupt);
  await expect(client.readPage('damaged', { fromSeq: firstSeq + 3, limit: 1, reverse: true })).rejects.toSatisfy(
    corrupt,
  );
  await expect(client.context('damaged', firstSeq + 2, { before: 1, after: 1 })).rejects.toSatisfy(corrupt);
  const before = await client.readPage('damaged', { limit: firstSeq });
  expect([...before].map(({ text }) => text)).toEqual(
    Array.from({ length: batch }, (_, index) => valuesOf('damaged', index)).flat(),
  );
  const behind = await readStream(client, 'damaged', firstSeq + recordsOfBatch);
  expect(behind.values).toHaveLength((batches - batch - 1) * recordsOfBatch);
  expect((await readStream(client, 'sound')).values).toHaveLength(batches * recordsOfBatch);

  const verification = await client.cluster.verifyPartition(1);
  expect(verification.damaged.map(({ database }) => database)).toEqual(['records']);
  const byCommand = verifyByCommand(host);
  expect(byCommand.status).toBe(1);
  expect(byCommand.stdout).toContain(verification.damaged[0]?.keyHex);
  // The node goes on.
  expect((await client.append('damaged', ['more'])).firstSeq).toBe(batches * recordsOfBatch);
  expect((await client.append('sound', ['more'])).firstSeq).toBe(batches * recordsOfBatch);
  expect((await host.metrics()).sum('logboom_state_store_corrupt_values_total')).toBeGreaterThan(0);
  expect(host.process.hasExited).toBe(false);
  console.log(
    `bit rot in records: batch ${batch} at LSN key ${verification.damaged[0]?.keyHex}, byte ${within}; reads refused, the rest served, seed ${random.seed}`,
  );
});

test('a flipped bit in an index value: found on read and by verification, other streams are served', async () => {
  const random = new SeededRandom(testSeed());
  const host = await storedNode();
  // The index entry of a batch of the stream made first: 02 | 12 stream id, first seq.
  const database = new ClassicLevel<Buffer, Buffer>(path.join(host.dataDirectory, 'partitions', '1', 'index'), {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
  });
  const entries = await database.iterator({ gte: Buffer.from([0x02, 0x12]), lt: Buffer.from([0x02, 0x13]) }).all();
  await database.close();
  const streamId = (key: Buffer): string => key.toString('hex', 2, 10);
  const ofStream = entries.filter(([key]) => streamId(key) === streamId(entries[0]?.[0] as Buffer));
  const entry = ofStream[random.between(5, 20)];
  if (!entry) throw new Error(`the index has ${ofStream.length} batches of the stream`);
  const [key, value] = entry;
  const places = placesOf(host, 'index', value);
  expect(places.length).toBeGreaterThan(0);
  for (const { file, offset } of places) flipBit({ file, offset: offset + 4 + random.below(value.length - 4) }, random);

  await host.start();
  const client = host.client({ codec: 'none', retry: { attemptsMax: 1 } });
  await expect(readStream(client, 'damaged')).rejects.toSatisfy(corrupt);
  expect((await readStream(client, 'sound')).values).toHaveLength(batches * recordsOfBatch);
  const verification = await client.cluster.verifyPartition(1);
  expect(verification.damaged).toMatchObject([{ database: 'index', keyHex: key.toString('hex') }]);
  expect((await client.append('sound', ['more'])).firstSeq).toBe(batches * recordsOfBatch);
  expect(host.process.hasExited).toBe(false);
  console.log(
    `bit rot in the index: key ${key.toString('hex')}; reads refused, the other stream served, seed ${random.seed}`,
  );
});
