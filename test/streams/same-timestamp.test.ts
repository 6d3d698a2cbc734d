/** 200,000 records with one and the same timestamp, walked both ways with random page sizes while appends go on. */
import { expect, test } from 'vitest';
import { appendCommand } from '../../src/streams/index.js';
import { Codec } from '../../src/base/ports/compressor.js';
import { TestPartition } from './support/partition.js';
import { decodeValues, testCompressor, textBatch } from './support/records.js';
import type { PageSlice } from '../../src/streams/index.js';

const total = 200_000;
const whileReading = 20_000;

/** A small reproducible generator (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('each record exactly once, in order', async () => {
  const partition = new TestPartition();
  partition.create('s');
  const random = generator(7);
  let appended = 0;
  const append = async (upTo: number): Promise<void> => {
    while (appended < upTo) {
      const count = Math.min(upTo - appended, 1 + Math.floor(random() * 300));
      const texts = Array.from({ length: count }, (_, index) => `${appended + index}`);
      const batch = await textBatch(texts, random() < 0.3 ? Codec.zstd : Codec.none);
      partition.run(appendCommand(partition.view('s'), batch, {}, partition.limits));
      appended += count;
    }
  };
  await append(total);

  const valuesOf = async (slice: PageSlice): Promise<string[]> => {
    const isPlain = slice.codec === Codec.none;
    const recordSet = isPlain
      ? slice.payload
      : await testCompressor.decompress(slice.codec, slice.payload, slice.uncompressedBytes);
    return decodeValues(recordSet).slice(slice.windowOffset, slice.windowOffset + slice.windowCount);
  };
  for (const direction of ['forward', 'backward'] as const) {
    const end = partition.view('s').nextSeq;
    /** Backward begins at what is the newest then; forward goes on into what is appended meanwhile. */
    let expected = direction === 'forward' ? 0 : end - 1;
    let start: Parameters<typeof partition.pages.readPage>[2]['start'] = { type: 'edge' };
    for (;;) {
      const limit = 1 + Math.floor(random() ** 4 * 9_999);
      const maxBytes = 1024 + Math.floor(random() * 100_000);
      const acceptCodecs = random() < 0.5 ? [Codec.zstd] : [];
      const page = await partition.pages.readPage(partition.store, 's', {
        start,
        direction,
        limit,
        maxBytes,
        acceptCodecs,
      });
      for (const slice of page.slices) {
        expect(slice.appendTimeMs).toBe(1_000_000);
        const values = await valuesOf(slice);
        if (direction === 'backward') values.reverse();
        for (const value of values) {
          if (value !== `${expected}`) throw new Error(`read ${value}, expected ${expected}`);
          expected += direction === 'forward' ? 1 : -1;
        }
      }
      if (page.end === 'stream') break;
      start = { type: 'token', token: page.nextPageToken };
      await append(Math.min(total + whileReading * (direction === 'forward' ? 1 : 2), appended + 200));
    }
    expect(expected).toBe(direction === 'forward' ? partition.view('s').nextSeq : -1);
  }
  expect(appended).toBeGreaterThan(total + whileReading);
}, 120_000);
