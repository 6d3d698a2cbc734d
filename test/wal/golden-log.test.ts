/** A log directory written by format version 1 stays readable. UPDATE_GOLDEN=1 writes it again, which only a new version may need. */
import { readFile, writeFile } from 'node:fs/promises';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { RandomStream } from '../../cluster-sim/engine/random.js';
import { World } from '../../cluster-sim/engine/world.js';
import { SimulatedClock } from '../../cluster-sim/simulated-clock.js';
import { SimulatedDisk } from '../../cluster-sim/simulated-disk.js';
import { asTerm } from '../../src/base/ids.js';
import { describeLog, openCopy, writeImage } from './support/image.js';
import { appended, confState, entries, hardState, lsn, partitionId, replicaId } from './support/simulated.js';

interface GoldenLog {
  readonly description: string;
  /** Path to deflated content, base64. */
  readonly files: Record<string, string>;
}

const path = new URL('golden/log-v1.json', import.meta.url);

async function writeGolden(): Promise<void> {
  const image = await writeImage(async (wal) => {
    const a = await wal.createPartition(partitionId(0), replicaId(1), confState(1, 2, 3));
    const b = await wal.createPartition(partitionId(3), replicaId(2), confState(2));
    await wal.createPartition(partitionId(4), replicaId(4), confState(4));
    await appended(a, entries(1, 30, 1, 300), hardState(1, 1, 20));
    await appended(a, entries(25, 40, 2, 300), hardState(2, 2, 24));
    await appended(b, entries(1, 10, 7, 100), hardState(7, 0, 9));
    await wal.removePartition(partitionId(4));
    a.setTrimPoint(lsn(10), confState(1, 2));
    const start = { lsn: lsn(50), term: asTerm(8), confState: confState(2, 9), hardState: hardState(8, 2, 50) };
    await b.resetTo(start);
    await appended(b, entries(51, 55, 8, 1000));
    await wal.stop();
  });
  const files = Object.fromEntries(
    image.paths().map((file) => [file, deflateRawSync(image.contents(file)).toString('base64')]),
  );
  const description = await openCopy(image, () => {}, describeLog);
  await writeFile(path, `${JSON.stringify({ description, files } satisfies GoldenLog, null, 1)}\n`);
}

test('a log directory of format version 1 is read as it was written', async () => {
  if (process.env['UPDATE_GOLDEN'] === '1') await writeGolden();
  const golden = JSON.parse(await readFile(path, 'utf8')) as GoldenLog;
  const image = new SimulatedDisk(new SimulatedClock(new World()), new RandomStream(1, 'disk'));
  for (const [file, content] of Object.entries(golden.files)) {
    image.putFile(file, inflateRawSync(Buffer.from(content, 'base64')));
  }
  expect(Object.keys(golden.files).filter((file) => file.endsWith('.wal')).length).toBeGreaterThan(2);
  expect(await openCopy(image, () => {}, describeLog)).toBe(golden.description);
});
