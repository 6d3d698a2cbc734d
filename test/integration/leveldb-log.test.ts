/**
 * LevelDB's own log is never synced and never trusted: whatever power loss makes of it, the state is the same. (That the
 * tables themselves survive power loss is the simulator's part; here the process was killed.)
 */
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { readStream, verifyAll } from './support/contents.js';
import { copyOf, startLocalNode } from './support/local-node.js';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { Writer } from './support/writers.js';

const settings = {
  ...restlessSettings,
  partitions: 2,
  stateStore: { flushBytes: '1MiB', dirtyBudgetBytes: '4MiB', flushAgeMs: 2000 },
};
const streams = ['one', 'two', 'three'];

/** Logs with something in them, of all databases of the node. */
function logsOf(dataDirectory: string): string[] {
  const partitions = path.join(dataDirectory, 'partitions');
  return readdirSync(partitions, { recursive: true })
    .map((name) => path.join(partitions, String(name)))
    .filter((file) => /\d+\.log$/.test(file) && statSync(file).size > 0);
}

type Damage = (file: string, random: SeededRandom) => void;

const damages: Readonly<Record<string, Damage>> = {
  deleted: (file) => rmSync(file),
  emptied: (file) => truncateSync(file, 0),
  cut: (file, random) => truncateSync(file, random.below(statSync(file).size)),
  holed: (file, random) =>
    edit(file, (bytes) => {
      // Pages that were not written yet, among pages that were.
      for (let page = 0; page < bytes.length; page += 4096)
        if (random.below(3) === 0) bytes.fill(0, page, Math.min(page + 4096, bytes.length));
    }),
  'its middle lost, its end there': (file) =>
    edit(file, (bytes) => bytes.fill(0, Math.floor(bytes.length / 3), Math.floor((2 * bytes.length) / 3))),
  'bytes flipped': (file, random) =>
    edit(file, (bytes) => {
      for (let flip = 0; flip < 20; flip++) {
        const at = random.below(bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      }
    }),
  'grown by noise': (file, random) =>
    writeFileSync(file, Buffer.from(Array.from({ length: 10_000 }, () => random.below(256))), { flag: 'a' }),
};

function edit(file: string, change: (bytes: Buffer) => void): void {
  const bytes = readFileSync(file);
  change(bytes);
  writeFileSync(file, bytes);
}

test("LevelDB's own logs damaged, cut or holed anywhere after kill -9: the state is the same", async () => {
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make(settings);
  await host.start();
  const client = host.client();
  for (const stream of streams) await client.streams.create(stream);
  const writers = streams.map(
    (stream, index) =>
      new Writer(host.client(), { index, stream, kind: 'producer', codec: 'none', valueBytesMax: 8000 }, random.seed),
  );
  for (const writer of writers) writer.run();
  // Until tables and logs both hold something worth damaging.
  const flushes = async (): Promise<number> => (await host.metrics()).sum('logboom_state_store_flushes_total');
  await expect.poll(flushes, { timeout: 60_000, interval: 100 }).toBeGreaterThan(4);
  await Promise.all(writers.map((writer) => writer.stop()));
  await client.append('one', ['the last one']);
  await host.process.kill();

  const stateOf = async (dataDirectory: string): Promise<object> => {
    const node = await startLocalNode(dataDirectory, settings);
    const digests: string[] = [];
    for (const stream of streams) digests.push((await readStream(node.client, stream)).digest);
    const verification = await verifyAll(node.client);
    const producers = await Promise.all(
      writers.map(({ options, producerId }) => node.client.producer(options.stream, producerId)),
    );
    await node.stop();
    return { digests, verification, producers };
  };
  const logs = logsOf(host.dataDirectory);
  expect(logs.length).toBeGreaterThan(1);
  const undamaged = await stateOf(copyOf(host.dataDirectory));
  expect(undamaged).toMatchObject({ verification: { damaged: 0 } });
  let damaged = 0;
  for (const [name, damage] of Object.entries(damages)) {
    const copy = copyOf(host.dataDirectory);
    for (const file of logsOf(copy)) {
      damage(file, random);
      damaged++;
    }
    expect(await stateOf(copy), `logs ${name}, seed ${random.seed}`).toEqual(undamaged);
  }
  const bytes = logs.reduce((sum, file) => sum + statSync(file).size, 0);
  console.log(
    `LevelDB's logs: ${damaged} damaged in ${Object.keys(damages).length} ways (${logs.length} logs, ${bytes} bytes), the state was the same each time, seed ${random.seed}`,
  );
});
