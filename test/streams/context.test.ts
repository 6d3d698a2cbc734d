import { beforeEach, describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { Codec } from '../../src/base/ports/compressor.js';
import type { ContextPage, ContextRequest } from '../../src/streams/index.js';
import { pageBytes } from './support/oracle.js';
import { TestPartition } from './support/partition.js';
import { sliceValues } from './support/records.js';

let partition: TestPartition;
const context = (request: Partial<ContextRequest>): Promise<ContextPage> =>
  partition.pages.getContext(partition.store, 's', { seq: 0, before: 0, after: 0, scope: 'stream', ...request });
const values = async (page: ContextPage): Promise<string> =>
  (await Promise.all(page.slices.map(sliceValues))).flat().join(' ');
const reason = async (request: Partial<ContextRequest>): Promise<string> => {
  const answer: unknown = await context(request).catch((error: unknown) => error);
  return isLogboomError(answer) ? answer.reason : 'accepted';
};

beforeEach(async () => {
  partition = new TestPartition();
  partition.create('s');
  const numbers = new Map<string, number>();
  // Two producers in turns and some records without: p0 p1 | q0 | - | p2 p3 p4 | q1 q2 | p5
  for (const [id, count] of [
    ['p', 2],
    ['q', 1],
    ['', 1],
    ['p', 3],
    ['q', 2],
    ['p', 1],
  ] as const) {
    const first = numbers.get(id) ?? 0;
    numbers.set(id, first + count);
    const texts = Array.from({ length: count }, (_, index) => (id === '' ? '-' : `${id}${first + index}`));
    await partition.mustAppend('s', texts, id === '' ? {} : { producer: { id, epoch: 1, firstRecordNumber: first } });
  }
});

describe('context', () => {
  test.each<[string, Partial<ContextRequest>, string, number, number, boolean, boolean]>([
    ['the record alone', { seq: 4 }, 'p2', 0, 0, true, true],
    ['of the stream', { seq: 4, before: 2, after: 2 }, 'q0 - p2 p3 p4', 2, 2, true, true],
    ['of the stream from inside of a batch', { seq: 5, before: 3, after: 3 }, 'q0 - p2 p3 p4 q1 q2', 3, 3, true, true],
    ['of the whole stream', { seq: 5, before: 99, after: 99 }, 'p0 p1 q0 - p2 p3 p4 q1 q2 p5', 5, 4, false, false],
    ['exactly the whole stream', { seq: 5, before: 5, after: 4 }, 'p0 p1 q0 - p2 p3 p4 q1 q2 p5', 5, 4, false, false],
    ['at the beginning', { seq: 0, before: 3, after: 1 }, 'p0 p1', 0, 1, false, true],
    ['at the end', { seq: 9, before: 1, after: 3 }, 'q2 p5', 1, 0, true, false],
    ['of a producer', { seq: 5, before: 2, after: 2, scope: 'producer' }, 'p1 p2 p3 p4 p5', 2, 2, true, false],
    [
      'of a producer over batches',
      { seq: 4, before: 9, after: 9, scope: 'producer' },
      'p0 p1 p2 p3 p4 p5',
      2,
      3,
      false,
      false,
    ],
    ['of another producer', { seq: 2, before: 9, after: 1, scope: 'producer' }, 'q0 q1', 0, 1, false, true],
    ['of its last', { seq: 8, before: 1, after: 1, scope: 'producer' }, 'q1 q2', 1, 0, true, false],
  ])('%s', async (_what, request, expected, beforeCount, afterCount, moreBefore, moreAfter) => {
    for (const again of [false, true]) {
      if (again) await partition.restart();
      const page = await context(request);
      expect(await values(page)).toBe(expected);
      expect(page).toMatchObject({ beforeCount, afterCount, moreBefore, moreAfter });
    }
  });

  test('retention bounds it, cleared or not', async () => {
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 3 });
    for (const cleared of [false, true]) {
      if (cleared) await partition.clear();
      expect(await values(await context({ seq: 4, before: 9, after: 0 }))).toBe('- p2');
      const page = await context({ seq: 4, before: 9, after: 9, scope: 'producer' });
      expect(await values(page)).toBe('p2 p3 p4 p5');
      expect(page).toMatchObject({ moreBefore: false, moreAfter: false });
    }
  });

  test.each<[string, Partial<ContextRequest>, string]>([
    ['a record that is gone', { seq: 2 }, 'RECORD_TRIMMED'],
    ['a record that is not there yet', { seq: 10 }, 'SEQ_BEYOND_END'],
    ['the producer of a record that has none', { seq: 3, scope: 'producer' }, 'PRODUCER_NOT_FOUND'],
    ['too many before', { seq: 4, before: 5001 }, 'INVALID_ARGUMENT'],
    ['too many after', { seq: 4, after: 5001 }, 'INVALID_ARGUMENT'],
    ['less than nothing', { seq: 4, before: -1 }, 'INVALID_ARGUMENT'],
    ['too few bytes', { seq: 4, maxBytes: 10 }, 'INVALID_ARGUMENT'],
  ])('refuses %s', async (_what, request, expected) => {
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 3 });
    expect(await reason(request)).toBe(expected);
  });

  test('refuses another epoch and an unknown stream', async () => {
    const request = { seq: 0, before: 0, after: 0, scope: 'stream', expectedEpoch: 1 } as const;
    await expect(partition.pages.getContext(partition.store, 's', request)).rejects.toMatchObject({
      reason: 'STREAM_EPOCH_MISMATCH',
    });
    await expect(partition.pages.getContext(partition.store, 'x', request)).rejects.toMatchObject({
      reason: 'STREAM_NOT_FOUND',
    });
  });

  test('damage is told from retention', async () => {
    partition.store.records.delete(3);
    expect(await reason({ seq: 4, before: 9 })).toBe('DATA_CORRUPT');
    expect(await reason({ seq: 2 })).toBe('DATA_CORRUPT');
  });
});

describe('bytes of a context', () => {
  const line = 'x'.repeat(100);
  const fill = async (batches: number, records: number, codec: Codec = Codec.none): Promise<void> => {
    partition.create('t');
    for (let batch = 0; batch < batches; batch++)
      await partition.append(
        't',
        Array.from({ length: records }, () => line),
        {},
        codec,
      );
  };
  const around = (seq: number, request: Partial<ContextRequest>): Promise<ContextPage> =>
    partition.pages.getContext(partition.store, 't', { seq, before: 5000, after: 5000, scope: 'stream', ...request });

  test.each<[string, number, number]>([
    ['in one large batch', 1, 1000],
    ['over small batches', 200, 5],
    ['over single records', 1000, 1],
  ])('are shared between both sides %s', async (_what, batches, records) => {
    await fill(batches, records);
    const page = await around(500, { maxBytes: 20_000 });
    expect(pageBytes(page)).toBeLessThanOrEqual(20_000);
    expect(Math.abs(page.beforeCount - page.afterCount)).toBeLessThanOrEqual(5);
    expect(page.beforeCount).toBeGreaterThan(40);
    expect(page).toMatchObject({ moreBefore: true, moreAfter: true });
  });

  test('what one side does not need is the other one’s', async () => {
    await fill(200, 5);
    const all = await around(500, { maxBytes: 20_000 });
    for (const request of [{ before: 1 }, { after: 1 }]) {
      const page = await around(500, { maxBytes: 20_000, ...request });
      expect(pageBytes(page)).toBeLessThanOrEqual(20_000);
      expect(page.beforeCount + page.afterCount).toBeGreaterThan(0.9 * (all.beforeCount + all.afterCount));
    }
    const page = await around(3, { maxBytes: 20_000 });
    expect(page.beforeCount).toBe(3);
    expect(page.afterCount).toBeGreaterThan(0.9 * (all.beforeCount + all.afterCount));
  });

  test('records larger than the average of their batch were left out although there was room', async () => {
    for (const [codec, acceptCodecs] of [
      [Codec.none, undefined],
      [Codec.zstd, undefined],
      [Codec.zstd, [Codec.zstd]],
    ] as const) {
      const stream = `unequal-${codec}-${acceptCodecs?.length ?? 0}`;
      partition.create(stream);
      const [large, small] = ['x'.repeat(500), 'y'];
      for (const batch of [[small, small, small, large, large], ['own'], [large, large, small, small, small]])
        await partition.append(stream, batch, {}, codec);
      const request = { seq: 5, before: 2, after: 2, scope: 'stream', acceptCodecs } as const;
      const page = await partition.pages.getContext(partition.store, stream, request);
      expect(page).toMatchObject({ beforeCount: 2, afterCount: 2, moreBefore: true, moreAfter: true });
    }
  });

  test('the record itself is always there, however large, and compressed batches are cut when they are too large', async () => {
    await partition.mustAppend('s', ['y'.repeat(5000)]);
    const own = await context({ seq: 10, before: 3, maxBytes: 1024 });
    expect(own).toMatchObject({ beforeCount: 0, afterCount: 0, moreBefore: true, moreAfter: false });
    await fill(3, 100, Codec.zstd);
    const whole = await around(150, { acceptCodecs: [Codec.zstd] });
    expect(whole.slices.map(({ codec, windowCount }) => [codec, windowCount])).toEqual(
      Array(3).fill([Codec.zstd, 100]),
    );
    const cut = await around(150, { maxBytes: 1500 });
    expect(cut.slices.every(({ codec }) => codec === Codec.none)).toBe(true);
    expect(cut.beforeCount + cut.afterCount).toBeGreaterThan(8);
  });
});
