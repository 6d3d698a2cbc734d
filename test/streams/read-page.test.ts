import { beforeEach, describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { Codec } from '../../src/base/ports/compressor.js';
import type { Page, ReadPageRequest } from '../../src/streams/index.js';
import { pageBytes, pageRecords } from './support/oracle.js';
import { TestPartition } from './support/partition.js';
import { crc } from './support/records.js';

let partition: TestPartition;
const read = (request: Partial<ReadPageRequest>): Promise<Page> =>
  partition.pages.readPage(partition.store, 's', { start: { type: 'edge' }, direction: 'forward', ...request });
const values = async (page: Page, direction: 'forward' | 'backward' = 'forward'): Promise<string> =>
  (await pageRecords(page, direction)).map(({ value }) => value).join(' ');
const reason = async (request: Partial<ReadPageRequest>): Promise<string> => {
  const answer: unknown = await read(request).catch((error: unknown) => error);
  return isLogboomError(answer) ? `${answer.reason} ${answer.facts['first_seq'] ?? answer.facts['field']}` : 'accepted';
};

beforeEach(async () => {
  partition = new TestPartition();
  partition.create('s');
  for (const batch of [['a', 'b', 'c'], ['d'], ['e', 'f']]) {
    await partition.mustAppend('s', batch);
    partition.timeMs += 10;
  }
});

describe('where a page begins and ends', () => {
  test.each<[string, Partial<ReadPageRequest>, string, string]>([
    ['the whole stream', {}, 'a b c d e f', 'stream'],
    ['the whole stream backward', { direction: 'backward' }, 'f e d c b a', 'stream'],
    ['a limit of 1', { limit: 1 }, 'a', 'limit'],
    ['a limit inside of a batch', { limit: 5 }, 'a b c d e', 'limit'],
    ['a limit inside of a batch backward', { limit: 4, direction: 'backward' }, 'f e d c', 'limit'],
    ['a limit of exactly the count', { limit: 6 }, 'a b c d e f', 'stream'],
    ['the greatest limit', { limit: 10_000 }, 'a b c d e f', 'stream'],
    ['from inside of a batch', { start: { type: 'seq', seq: 1 }, limit: 3 }, 'b c d', 'limit'],
    ['from inside of a batch backward', { start: { type: 'seq', seq: 1 }, direction: 'backward' }, 'b a', 'stream'],
    ['from the next position to come', { start: { type: 'seq', seq: 6 } }, '', 'stream'],
    [
      'backward from the next position to come',
      { start: { type: 'seq', seq: 6 }, direction: 'backward', limit: 1 },
      'f',
      'limit',
    ],
    ['the last 0', { start: { type: 'last', count: 0 } }, '', 'stream'],
    ['the last 2', { start: { type: 'last', count: 2 } }, 'e f', 'stream'],
    ['the last 2 backward', { start: { type: 'last', count: 2 }, direction: 'backward' }, 'f e', 'stream'],
    ['the last 0 backward', { start: { type: 'last', count: 0 }, direction: 'backward' }, '', 'stream'],
    ['the last of more than there are', { start: { type: 'last', count: 99 } }, 'a b c d e f', 'stream'],
    ['since before the first', { start: { type: 'since', timeMs: -5 } }, 'a b c d e f', 'stream'],
    ['since the time of a batch', { start: { type: 'since', timeMs: 1_000_010 } }, 'd e f', 'stream'],
    ['since between batches', { start: { type: 'since', timeMs: 1_000_011 } }, 'e f', 'stream'],
    ['since after the last', { start: { type: 'since', timeMs: 1_000_021 } }, '', 'stream'],
    [
      'backward down to a time',
      { start: { type: 'since', timeMs: 1_000_010 }, direction: 'backward' },
      'f e d',
      'stream',
    ],
    ['from the end', { start: { type: 'end' } }, '', 'stream'],
    ['backward from the end', { start: { type: 'end' }, direction: 'backward' }, '', 'stream'],
  ])('%s', async (_what, request, expected, end) => {
    const page = await read(request);
    expect(await values(page, request.direction)).toBe(expected);
    expect(page.end).toBe(end);
    expect(page.nextPageToken).not.toBe('');
    expect(page.stream).toMatchObject({ firstSeq: 0, nextSeq: 6 });
  });

  test('an empty stream', async () => {
    partition.create('empty');
    for (const direction of ['forward', 'backward'] as const) {
      const page = await partition.pages.readPage(partition.store, 'empty', { start: { type: 'edge' }, direction });
      expect(page).toMatchObject({ slices: [], recordCount: 0, end: 'stream', next: { seq: 0 } });
    }
    const page = await partition.pages.readPage(partition.store, 'empty', {
      start: { type: 'edge' },
      direction: 'forward',
    });
    await partition.mustAppend('empty', ['x']);
    const later = await partition.pages.readPage(partition.store, 'empty', {
      start: { type: 'token', token: page.nextPageToken },
      direction: 'forward',
    });
    expect(await values(later)).toBe('x');
  });

  test.each<[string, Partial<ReadPageRequest>, string]>([
    ['a limit of 0', { limit: 0 }, 'INVALID_ARGUMENT limit'],
    ['a limit above the maximum', { limit: 10_001 }, 'INVALID_ARGUMENT limit'],
    ['a limit that is no integer', { limit: 1.5 }, 'INVALID_ARGUMENT limit'],
    ['too few bytes', { maxBytes: 1023 }, 'INVALID_ARGUMENT max_bytes'],
    ['too many bytes', { maxBytes: 64 * 1024 * 1024 + 1 }, 'INVALID_ARGUMENT max_bytes'],
    ['beyond the end', { start: { type: 'seq', seq: 7 } }, 'SEQ_BEYOND_END 0'],
    ['beyond the end backward', { start: { type: 'seq', seq: 7 }, direction: 'backward' }, 'SEQ_BEYOND_END 0'],
    ['another epoch', { expectedEpoch: 1 }, 'STREAM_EPOCH_MISMATCH 0'],
    ['a token that is none', { start: { type: 'token', token: 'x' } }, 'PAGE_TOKEN_INVALID undefined'],
  ])('refuses %s', async (_what, request, expected) => {
    expect(await reason(request)).toBe(expected);
  });

  test('below retention', async () => {
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 3 });
    expect(await reason({ start: { type: 'seq', seq: 2 } })).toBe('RECORD_TRIMMED 3');
    expect(await reason({ start: { type: 'seq', seq: 2 }, direction: 'backward' })).toBe('RECORD_TRIMMED 3');
    expect(await values(await read({}))).toBe('d e f');
    expect(await values(await read({ direction: 'backward' }), 'backward')).toBe('f e d');
    expect(await values(await read({ start: { type: 'last', count: 5 } }))).toBe('d e f');
    expect(await values(await read({ start: { type: 'since', timeMs: 0 } }))).toBe('d e f');
  });

  test('an unknown stream', async () => {
    await expect(
      partition.pages.readPage(partition.store, 'x', { start: { type: 'edge' }, direction: 'forward' }),
    ).rejects.toMatchObject({ reason: 'STREAM_NOT_FOUND' });
  });

  test('a tail resolves its start once and goes on from page to page', async () => {
    const { stream, position } = await partition.pages.resolveStart(partition.store, 's', { type: 'end' }, 'forward');
    await partition.mustAppend('s', ['g', 'h']);
    const page = await partition.pages.readPageAt(partition.store, stream.id, position, {});
    expect(await values(page)).toBe('g h');
    await partition.mustAppend('s', ['i']);
    const next = await partition.pages.readPageAt(partition.store, stream.id, page.next, {});
    expect(await values(next)).toBe('i');
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 9 });
    await expect(partition.pages.readPageAt(partition.store, stream.id, page.next, {})).rejects.toMatchObject({
      reason: 'RECORD_TRIMMED',
    });
    partition.run({ type: 'delete-stream', streamId: 1, expectedEpoch: undefined });
    await expect(partition.pages.readPageAt(partition.store, stream.id, next.next, {})).rejects.toMatchObject({
      reason: 'STREAM_NOT_FOUND',
    });
  });

  test('slices tell LSN, time and producer of their first record', async () => {
    await partition.append('s', ['x', 'y', 'z'], { producer: { id: 'p', epoch: 4, firstRecordNumber: 0 } });
    const page = await read({ start: { type: 'seq', seq: 7 } });
    expect(page.slices).toMatchObject([
      {
        firstSeq: 7,
        lsn: 5,
        appendTimeMs: 1_000_030,
        recordCount: 2,
        windowOffset: 0,
        windowCount: 2,
        producer: { id: 'p', epoch: 4, firstRecordNumber: 1 },
      },
    ]);
  });
});

describe('bytes', () => {
  const large = (letter: string, bytes: number): string => letter.repeat(bytes);

  test('a page holds at least one record, however large', async () => {
    await partition.mustAppend('s', [large('x', 5000), 'y']);
    for (const direction of ['forward', 'backward'] as const) {
      const page = await read({ start: { type: 'seq', seq: 6 }, maxBytes: 1024, limit: 10, direction });
      expect(page.recordCount).toBe(1);
      expect(page.slices[0]!.payload.length).toBeGreaterThan(5000);
    }
  });

  test('a page is filled up to its bytes', async () => {
    partition.create('t');
    for (let batch = 0; batch < 20; batch++)
      await partition.mustAppend(
        't',
        Array.from({ length: 10 }, () => large('x', 100)),
      );
    const page = await partition.pages.readPage(partition.store, 't', {
      start: { type: 'edge' },
      direction: 'forward',
      maxBytes: 8000,
    });
    expect(pageBytes(page)).toBeLessThanOrEqual(8000);
    // What one more record with a slice of its own would have taken.
    expect(pageBytes(page)).toBeGreaterThan(8000 - 8 * 96 - 110);
  });

  describe('compressed batches', () => {
    const lines = (count: number, random = false): string[] =>
      Array.from({ length: count }, (_, index) =>
        random ? `${crc(Buffer.from(`${index}`))}`.repeat(9) : large('z', 100),
      );

    test('go out as they are with their window, to those that accept them', async () => {
      await partition.append('s', lines(50), {}, Codec.zstd);
      const page = await read({ start: { type: 'seq', seq: 10 }, limit: 7, acceptCodecs: [Codec.zstd] });
      expect(page.slices).toMatchObject([
        { codec: Codec.zstd, firstSeq: 6, recordCount: 50, windowOffset: 4, windowCount: 7 },
      ]);
      expect(page.next.seq).toBe(17);
    });

    test('are cut uncompressed for those that do not', async () => {
      await partition.append('s', lines(50), {}, Codec.zstd);
      for (const acceptCodecs of [undefined, [], [Codec.none, 7]]) {
        const page = await read({ start: { type: 'seq', seq: 10 }, limit: 7, acceptCodecs });
        expect(page.slices).toMatchObject([
          { codec: Codec.none, firstSeq: 10, recordCount: 7, windowOffset: 0, windowCount: 7 },
        ]);
      }
    });

    test('that no page of this size could take are cut uncompressed', async () => {
      await partition.append('s', lines(200, true), {}, Codec.zstd);
      const page = await read({ start: { type: 'seq', seq: 6 }, maxBytes: 1024, acceptCodecs: [Codec.zstd] });
      expect(page.slices[0]!.codec).toBe(Codec.none);
      expect(pageBytes(page)).toBeLessThanOrEqual(1024);
      expect(page.recordCount).toBeGreaterThan(3);
    });

    test('wait for the next page when only this one is too full', async () => {
      partition.create('t');
      await partition.mustAppend('t', [large('x', 3000)]);
      await partition.append('t', lines(100, true), {}, Codec.zstd);
      const request = { direction: 'forward', maxBytes: 3300, acceptCodecs: [Codec.zstd] } as const;
      const first = await partition.pages.readPage(partition.store, 't', { start: { type: 'edge' }, ...request });
      expect(first).toMatchObject({ recordCount: 1, end: 'limit' });
      const second = await partition.pages.readPage(partition.store, 't', {
        start: { type: 'token', token: first.nextPageToken },
        ...request,
      });
      expect(second).toMatchObject({ recordCount: 100, end: 'stream', slices: [{ codec: Codec.zstd }] });
    });
  });
});

describe('races and damage', () => {
  test('retention that overtakes a read from a seq, before the index or the records are read', async () => {
    for (const reads of [1, 2]) {
      const { store } = partition;
      let left = reads;
      store.beforeRead = () => {
        left -= 1;
        if (left !== 0) return;
        partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: reads === 1 ? 3 : 4 });
        store.beforeRead = undefined;
        for (const lsn of reads === 1 ? [2] : [3]) store.records.delete(lsn);
      };
      expect(await reason({ start: { type: 'seq', seq: reads === 1 ? 0 : 3 } })).toBe(
        `RECORD_TRIMMED ${reads === 1 ? 3 : 4}`,
      );
    }
  });

  test('retention that overtakes a read of the oldest is followed', async () => {
    const { store } = partition;
    store.beforeRead = () => {
      store.beforeRead = undefined;
      partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 4 });
      store.records.delete(2);
      store.records.delete(3);
    };
    expect(await values(await read({}))).toBe('e f');
  });

  test('a stream deleted under a read', async () => {
    const { store } = partition;
    store.beforeRead = () => {
      store.beforeRead = undefined;
      partition.run({ type: 'delete-stream', streamId: 1, expectedEpoch: undefined });
      store.records.clear();
    };
    await expect(read({})).rejects.toMatchObject({ reason: 'STREAM_NOT_FOUND' });
  });

  test('records that are missing, or are not those of the index, are damage', async () => {
    const { records } = partition.store;
    const other = records.get(3)!;
    records.delete(3);
    expect(await reason({ start: { type: 'seq', seq: 3 } })).toBe('DATA_CORRUPT 0');
    records.set(3, records.get(2)!);
    expect(await reason({})).toMatch(/^DATA_CORRUPT/);
    records.set(3, other.subarray(0, 20));
    expect(await reason({})).toMatch(/^DATA_CORRUPT/);
  });

  test('a compressed batch that cannot be decompressed is damage', async () => {
    await partition.append('s', ['x', 'y'], {}, Codec.zstd);
    const value = partition.store.records.get(5)!.slice();
    value.fill(0xff, value.length - 3);
    partition.store.records.set(5, value);
    expect(await reason({ start: { type: 'seq', seq: 6 } })).toMatch(/^DATA_CORRUPT/);
  });
});
