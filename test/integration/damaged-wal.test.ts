/** The write-ahead log of a real node, damaged after kill -9. test/wal goes through every offset; these go through the node. */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { decodeEntryHead } from '../../src/wal/frame.js';
import { readStream } from './support/contents.js';
import { copyOf, startLocalNode } from './support/local-node.js';
import { turnoverOf } from './support/metrics.js';
import { SeededRandom, testSeed } from './support/random.js';
import { restlessSettings, ServerHost } from './support/server-process.js';
import { findSegments } from './support/wal-file.js';
import type { FoundSegment } from './support/wal-file.js';

/** Nothing is flushed: all that a start has is the log. */
const unflushedSettings = {
  ...restlessSettings,
  partitions: 2,
  stateStore: { flushBytes: '64MiB', dirtyBudgetBytes: '96MiB', flushAgeMs: 86_400_000 },
  wal: { segmentBytes: '1MiB', cacheBytes: '1MiB', spareSegments: 2 },
};

const streams = ['left', 'middle', 'right'];

/** What is in the streams after a kill -9, one batch of several records each append. */
async function killedNode(
  host: ServerHost,
  appends: number,
  valueBytes: number,
): Promise<{
  readonly expected: ReadonlyMap<string, readonly string[]>;
  readonly lastStream: string;
  /** By partition, when the node was killed. */
  readonly persistedLsn: ReadonlyMap<number, number>;
}> {
  await host.start();
  const client = host.client({ codec: 'none' });
  for (const stream of streams) await client.streams.create(stream);
  const expected = new Map<string, string[]>(streams.map((stream) => [stream, []]));
  let lastStream = '';
  for (let append = 0; append < appends; append++) {
    lastStream = streams[append % streams.length] as string;
    const values = Array.from({ length: 4 }, (_, index) => `${lastStream} ${append}/${index} `.padEnd(valueBytes, '.'));
    await client.append(lastStream, values);
    expected.get(lastStream)?.push(...values);
  }
  // Flushes that keep the log short have come to rest.
  await new Promise((resolve) => setTimeout(resolve, 500));
  const persistedLsn = new Map(
    (await client.cluster.partitions()).map(({ id, replicas }) => [id, replicas[0]?.persistedLsn ?? 0]),
  );
  await host.process.kill();
  return { expected, lastStream, persistedLsn };
}

const lastOf = (segments: readonly FoundSegment[]): FoundSegment => {
  const last = segments.at(-1);
  if (!last) throw new Error('the log has no segment in use');
  return last;
};

test('a torn tail is cut, at whatever byte: the node starts and has all that was acknowledged before the torn group', async () => {
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make(unflushedSettings);
  const { expected, lastStream } = await killedNode(host, 30, 300);
  const segment = lastOf(findSegments(host.dataDirectory));
  // The last group with an entry; a group of commit LSNs only may follow it, and goes with it.
  const torn = segment.groups.findLast(({ frames }) => frames.some(({ type }) => type === 3));
  const end = segment.groups.at(-1)?.endOffset ?? 0;
  if (!torn) throw new Error('no group with an entry');
  const file = path.relative(host.dataDirectory, segment.path);

  const boundaries = [torn.offset, ...torn.frames.flatMap(({ endOffset }) => [endOffset - 1, endOffset])];
  const offsets = new Set([
    ...boundaries,
    torn.endOffset - 1,
    ...Array.from({ length: 4 }, () => random.between(torn.offset, torn.endOffset - 1)),
  ]);
  let starts = 0;
  for (const offset of offsets) {
    // What the disk had not written yet is what the preallocated file held, or anything.
    const rest = starts % 2 === 0 ? 'zeros' : 'noise';
    const copy = copyOf(host.dataDirectory);
    const bytes = readFileSync(path.join(copy, file));
    bytes.fill(0, offset, end);
    if (rest === 'noise')
      for (let at = offset; at < torn.endOffset; at++) bytes[at] = (bytes[at] ?? 0) ^ (1 + random.below(255));
    writeFileSync(path.join(copy, file), bytes);
    // The last bytes of a group are zeros anyway.
    const isTorn = !bytes
      .subarray(torn.offset, torn.endOffset)
      .equals(segment.bytes.subarray(torn.offset, torn.endOffset));
    const { client, stop } = await startLocalNode(copy, unflushedSettings);
    for (const stream of streams) {
      const all = expected.get(stream) ?? [];
      const kept = isTorn && stream === lastStream ? all.slice(0, -4) : all;
      const { values } = await readStream(client, stream);
      expect(values.map(String), `${stream} after a cut at ${offset} with ${rest}`).toEqual(kept);
      expect((await client.append(stream, ['after'])).firstSeq).toBe(kept.length);
    }
    await stop();
    starts++;
  }
  console.log(
    `torn tail: ${starts} starts, the last group of ${torn.endOffset - torn.offset} bytes torn at ${offsets.size} places, seed ${random.seed}`,
  );
});

test('a flipped bit before the tail: the node refuses to start, and names file, offset and what to do', async () => {
  const random = new SeededRandom(testSeed());
  const host = await ServerHost.make(unflushedSettings);
  const { expected, persistedLsn } = await killedNode(host, 60, 12_000);
  const segments = findSegments(host.dataDirectory);
  // What is persisted is not read from the log any more, and will be dropped.
  const needed = segments.flatMap((segment) =>
    segment.groups.flatMap((group) =>
      group.frames
        .filter(
          (frame) =>
            (decodeEntryHead(frame)?.lsn ?? 0) > (persistedLsn.get(frame.partition) ?? 0) && frame.bodyLength > 1000,
        )
        .map((frame) => ({ segment, group, frame })),
    ),
  );
  const last = lastOf(segments);
  const places = [
    { what: 'the segment in use', place: needed.find(({ segment }) => segment === last) },
    { what: 'a sealed segment', place: needed.findLast(({ segment }) => segment !== last) },
    {
      what: 'a group of the last segment behind others',
      place: needed.filter(({ segment, group }) => segment === last && group !== last.groups.at(-1)).at(-1),
    },
  ];
  for (const { what, place } of places) {
    if (!place) throw new Error(`the log has no entry that is needed in ${what}`);
    const { segment, group, frame } = place;
    const offset = frame.bodyOffset + random.below(frame.bodyLength);
    const bytes = readFileSync(segment.path);
    bytes[offset] = (bytes[offset] ?? 0) ^ (1 << random.below(8));
    writeFileSync(segment.path, bytes);
    const refused = host.spawn();
    const served = refused.started().then(
      () => refused.kill(),
      () => {},
    );
    const exit = await refused.exited;
    await served;
    expect(exit.code, `${what}, flipped at ${offset}: ${refused.log}`).toBe(1);
    expect(refused.log).toContain(segment.path);
    const named = Number(/offset (\d+)/.exec(refused.log)?.[1]);
    expect(named, `${what}, flipped at ${offset}`).toBeLessThanOrEqual(offset);
    expect(named).toBeGreaterThanOrEqual(group.offset);
    expect(refused.log).toMatch(/replace this node|rebuild this replica/);
    // The log is left as it was found: the operator may still have a better copy of it.
    expect(readFileSync(segment.path).equals(bytes)).toBe(true);
    // Only the damage is undone: partitions whose part of the log is sound may have written behind it until the node ended.
    bytes[offset] = segment.bytes[offset] ?? 0;
    writeFileSync(segment.path, bytes);
  }
  await host.start();
  const client = host.client();
  for (const stream of streams)
    expect((await readStream(client, stream)).values.map(String)).toEqual(expected.get(stream));
  console.log(
    `flipped bit: refused in ${places.map(({ what }) => what).join(', ')} of ${segments.length}; healed, the node starts with everything`,
  );
});

test('stale frames in recycled segments are never taken for records', async () => {
  const host = await ServerHost.make({ ...restlessSettings, partitions: 2 });
  await host.start();
  const client = host.client({ codec: 'none' });
  await client.streams.create('recycled');
  const expected: string[] = [];
  // Until a file is in use for the third time: then what lies behind its end is of a former use.
  let recycled = 0;
  for (let append = 0; recycled < 6 && append < 5000; append++) {
    const value = `${append} `.padEnd(60_000, String.fromCharCode(97 + (append % 26)));
    await client.append('recycled', [value]);
    expected.push(value);
    if (append % 20 === 19) recycled = turnoverOf(await host.metrics()).recycledSegments;
  }
  expect(recycled).toBeGreaterThanOrEqual(6);
  // Short ones: the segment in use must not be full, so that stale frames follow right behind its end.
  for (let append = 0; append < 3; append++) {
    await client.append('recycled', [`short ${append}`]);
    expected.push(`short ${append}`);
  }
  await host.process.kill();
  const { bytes, groups } = lastOf(findSegments(host.dataDirectory));
  const stale = bytes.subarray(groups.at(-1)?.endOffset ?? 0).some((byte) => byte !== 0);
  expect(stale, 'behind the last group lie frames of the former use').toBe(true);
  await host.start();
  expect((await readStream(client, 'recycled')).values.map(String)).toEqual(expected);
  console.log(
    `recycled segments: ${recycled} recycled, ${expected.length} records, stale frames behind the tail are not replayed`,
  );
});
