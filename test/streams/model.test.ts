/** Random appends, reads, contexts, retention, deletion and restarts against the naive model. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { Codec } from '../../src/base/ports/compressor.js';
import { OracleStream, pageBytes, pageRecords, walk } from './support/oracle.js';
import { TestPartition } from './support/partition.js';
import { sliceValues } from './support/records.js';

interface World {
  readonly partition: TestPartition;
  readonly oracles: Map<string, OracleStream>;
  /** Next number of each stream's producers. */
  readonly numbers: Map<string, number>;
  values: number;
}

type Step = (world: World) => Promise<void>;

const names = ['a', 'b', 'b/c'];
const streamName = fc.constantFrom(...names);
const codec = fc.constantFrom<Codec>(Codec.none, Codec.zstd);
const accept = fc.constantFrom<readonly number[]>([], [Codec.zstd]);
const direction = fc.constantFrom<'forward' | 'backward'>('forward', 'backward');
const bounds = fc.record({
  limit: fc.integer({ min: 1, max: 40 }),
  maxBytes: fc.integer({ min: 1024, max: 5000 }),
  acceptCodecs: accept,
});

const append = fc
  .tuple(
    streamName,
    fc.array(fc.nat({ max: 700 }), { minLength: 1, maxLength: 12 }),
    fc.constantFrom('', 'p', 'q', 'r'),
    codec,
    fc.nat({ max: 50 }),
  )
  .map(([name, sizes, producerId, batchCodec, elapsedMs]): Step => async (world) => {
    const { partition, oracles, numbers } = world;
    const oracle = oracles.get(name);
    if (oracle === undefined) return;
    partition.timeMs += elapsedMs - 10;
    const values = sizes.map((size) => `${world.values++}:`.padEnd(size, 'x'));
    const key = `${name} ${producerId}`;
    const producer =
      producerId === '' ? undefined : { id: producerId, epoch: 1, firstRecordNumber: numbers.get(key) ?? 0 };
    const command = await partition.appendCommand(name, values, { producer }, batchCodec);
    const result = partition.run(command);
    expect(result).toMatchObject({ type: 'appended', repeated: false, firstSeq: oracle.nextSeq });
    if (result.type !== 'appended') return;
    oracle.append(values, result.appendTimeMs, producer);
    oracle.storedBytes.push(...values.map((_, index) => (index === 0 ? command.payload.length : 0)));
    if (producer !== undefined) numbers.set(key, producer.firstRecordNumber + values.length);
  });

const retain = fc.tuple(streamName, fc.nat()).map(([name, choice]): Step => async ({ partition, oracles }) => {
  const oracle = oracles.get(name);
  if (oracle === undefined) return;
  const choices = oracle.boundaries().filter((seq) => seq >= oracle.firstSeq);
  const firstSeq = choices[Math.floor((choice % choices.length) / 2)]!;
  partition.run({ type: 'set-first-seq', streamId: partition.view(name).id, firstSeq });
  oracle.firstSeq = firstSeq;
});

const recreate = streamName.map((name): Step => async ({ partition, oracles, numbers }) => {
  if (oracles.delete(name)) {
    partition.run({ type: 'delete-stream', streamId: partition.view(name).id, expectedEpoch: undefined });
    for (const key of numbers.keys()) if (key.startsWith(`${name} `)) numbers.delete(key);
  }
  partition.create(name);
  oracles.set(name, new OracleStream());
});

const restart = fc.constant<Step>(({ partition }) => partition.restart());
const clear = fc.constant<Step>(async ({ partition }) => {
  await partition.clear(3);
});

const readAll = fc
  .tuple(streamName, direction, fc.array(bounds, { minLength: 1 }))
  .map(([name, way, pages]): Step => async ({ partition, oracles }) => {
    const oracle = oracles.get(name);
    if (oracle === undefined) return;
    let index = 0;
    const records = await walk(partition, name, { direction: way, next: () => pages[index++ % pages.length]! });
    const expected = oracle.records.map(({ value }, seq) => ({ seq, value })).slice(oracle.firstSeq);
    expect(records).toEqual(way === 'forward' ? expected : expected.toReversed());
  });

const readFrom = fc
  .tuple(streamName, direction, fc.constantFrom('seq', 'since', 'last'), fc.nat(), bounds)
  .map(([name, way, kind, choice, page]): Step => async ({ partition, oracles }) => {
    const oracle = oracles.get(name);
    if (oracle === undefined) return;
    const { firstSeq, nextSeq } = oracle;
    const retained = nextSeq - firstSeq;
    const start =
      kind === 'seq'
        ? ({ type: 'seq', seq: firstSeq + (choice % (retained + 1)) } as const)
        : kind === 'last'
          ? ({ type: 'last', count: choice % (nextSeq + 2) } as const)
          : ({ type: 'since', timeMs: oracle.records[choice % Math.max(1, nextSeq)]?.appendTimeMs ?? choice } as const);
    let oldest = firstSeq;
    if (start.type === 'last') oldest = Math.max(firstSeq, nextSeq - start.count);
    if (start.type === 'since') {
      const found = oracle.records.findIndex((record, seq) => seq >= firstSeq && record.appendTimeMs >= start.timeMs);
      oldest = found < 0 ? nextSeq : found;
    }
    let from = oldest;
    let to = nextSeq;
    if (start.type === 'seq' && way === 'forward') from = start.seq;
    if (start.type === 'seq' && way === 'backward') to = Math.min(start.seq + 1, nextSeq);
    const values = way === 'forward' ? oracle.values(from, to) : oracle.values(from, to).toReversed();

    const answer = await partition.pages.readPage(partition.store, name, { start, direction: way, ...page });
    const read = (await pageRecords(answer, way)).map(({ value }) => value);
    expect(read).toEqual(values.slice(0, read.length));
    expect(answer.end).toBe(read.length === values.length ? 'stream' : 'limit');
    if (values.length > 0) expect(read.length).toBeGreaterThan(0);
    expect(answer.stream).toMatchObject({ firstSeq, nextSeq, storedBytes: oracle.retainedBytes });
  });

const context = fc
  .tuple(
    streamName,
    fc.nat(),
    fc.nat({ max: 30 }),
    fc.nat({ max: 30 }),
    fc.constantFrom<'stream' | 'producer'>('stream', 'producer'),
    fc.integer({ min: 1024, max: 30_000 }),
    accept,
  )
  .map(([name, choice, before, after, scope, maxBytes, acceptCodecs]): Step => async ({ partition, oracles }) => {
    const oracle = oracles.get(name);
    if (oracle === undefined || oracle.firstSeq === oracle.nextSeq) return;
    const seq = oracle.firstSeq + (choice % (oracle.nextSeq - oracle.firstSeq));
    const request = { seq, before, after, scope, maxBytes, acceptCodecs };
    const answer = await partition.pages.getContext(partition.store, name, request).catch((error: unknown) => error);
    if (scope === 'producer' && oracle.records[seq]!.producerId === undefined) {
      expect(isLogboomError(answer, 'PRODUCER_NOT_FOUND')).toBe(true);
      return;
    }
    const page = answer as Awaited<ReturnType<typeof partition.pages.getContext>>;
    const seqs: number[] = [];
    const values: string[] = [];
    for (const slice of page.slices) {
      for (const [index, value] of (await sliceValues(slice)).entries()) {
        seqs.push(slice.firstSeq + slice.windowOffset + index);
        values.push(value);
        if (slice.producer !== undefined) {
          expect(slice.producer.firstRecordNumber + slice.windowOffset + index).toBe(
            oracle.records[seqs.at(-1)!]!.number,
          );
        }
      }
    }
    const all = oracle.context(seq, oracle.nextSeq, oracle.nextSeq, scope);
    const wanted = oracle.context(seq, before, after, scope);
    const { beforeCount, afterCount } = page;
    expect(seqs).toEqual([
      ...wanted.before.slice(wanted.before.length - beforeCount),
      seq,
      ...wanted.after.slice(0, afterCount),
    ]);
    expect(values).toEqual(seqs.map((one) => oracle.records[one]!.value));
    expect(page.moreBefore).toBe(beforeCount < all.before.length);
    expect(page.moreAfter).toBe(afterCount < all.after.length);
    if (beforeCount + afterCount > 0) expect(pageBytes(page)).toBeLessThanOrEqual(maxBytes);
  });

const step = fc.oneof(
  { weight: 8, arbitrary: append },
  { weight: 2, arbitrary: retain },
  { weight: 1, arbitrary: recreate },
  { weight: 1, arbitrary: restart },
  { weight: 1, arbitrary: clear },
  { weight: 3, arbitrary: readAll },
  { weight: 4, arbitrary: readFrom },
  { weight: 4, arbitrary: context },
);

test('everything that is read is what the naive model has', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, producersCachedMax) => {
        const partition = new TestPartition({ producersCachedMax });
        const world: World = { partition, oracles: new Map(), numbers: new Map(), values: 0 };
        for (const name of names) {
          partition.create(name);
          world.oracles.set(name, new OracleStream());
        }
        for (const run of steps) await run(world);
        for (const [name, oracle] of world.oracles)
          expect(partition.view(name)).toMatchObject({
            firstSeq: oracle.firstSeq,
            nextSeq: oracle.nextSeq,
            storedBytes: oracle.retainedBytes,
          });
      },
    ),
    { numRuns: 300 },
  );
});
