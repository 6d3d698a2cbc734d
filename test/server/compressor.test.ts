import { randomBytes } from 'node:crypto';
import { readFileSync, existsSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { Codec, CompressionError } from '../../src/base/ports/compressor.js';
import { ZstdCompressor } from '../../src/server/adapters/zstd-compressor.js';
import { zstdContentBytes } from '../../src/base/zstd-frame.js';

const compressor = new ZstdCompressor();
afterAll(() => compressor.stop());

const mib = 2 ** 20;
const compress = (bytes: Uint8Array): Promise<Uint8Array> => compressor.compress(Codec.zstd, bytes);
const decompress = (bytes: Uint8Array, maxBytes = 64 * mib): Promise<Uint8Array> =>
  compressor.decompress(Codec.zstd, bytes, maxBytes);

describe('what is compressed comes back', () => {
  const text = Buffer.from('2026-11-20 22:33:44 INFO block received from 10.250.1.1\n'.repeat(40_000));
  test.each([0, 1, 100, 8 * 1024, 8 * 1024 + 1, 64 * 1024, 64 * 1024 + 1, mib, 2 * mib])(
    '%d bytes of text and of noise',
    async (size) => {
      for (const bytes of [text.subarray(0, size), randomBytes(size)]) {
        const frame = await compress(bytes);
        expect(zstdContentBytes(frame)).toBe(bytes.length);
        expect(Buffer.compare(await decompress(frame, bytes.length), bytes)).toBe(0);
      }
    },
  );

  test('also as a part of a larger buffer, which stays as it is', async () => {
    const frame = await compress(text.subarray(0, mib));
    const padded = Buffer.concat([Buffer.from('head'), frame, Buffer.from('tail')]);
    const view = padded.subarray(4, 4 + frame.length);
    expect((await decompress(view)).length).toBe(mib);
    expect(padded.toString('latin1', 0, 4)).toBe('head');
    expect(view.length).toBe(frame.length);
  });

  test('many at once', async () => {
    const frame = await compress(text.subarray(0, mib));
    const results = await Promise.all(Array.from({ length: 20 }, () => decompress(frame)));
    expect(results.every((result) => result.length === mib)).toBe(true);
  });

  test('codec none passes bytes through, within the limit', async () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(await compressor.compress(Codec.none, bytes)).toBe(bytes);
    expect(await compressor.decompress(Codec.none, bytes, 3)).toBe(bytes);
    await expect(compressor.decompress(Codec.none, bytes, 2)).rejects.toThrow(CompressionError);
  });

  const log = path.resolve(import.meta.dirname, '../../../shared/data/loghub/HDFS_2k.log');
  test.skipIf(!existsSync(log))('real log text shrinks', async () => {
    const bytes = readFileSync(log);
    expect((await compress(bytes)).length).toBeLessThan(bytes.length / 4);
  });
});

describe('the JavaScript thread stays free', () => {
  test('while a large frame is decompressed', async () => {
    const frame = await compress(Buffer.alloc(48 * mib, 'abcdefg '));
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const startedMs = performance.now();
    await decompress(frame);
    const tookMs = performance.now() - startedMs;
    clearInterval(timer);
    // A synchronous call of this length would let no timer fire at all.
    if (tookMs > 20) expect(turns).toBeGreaterThan(3);
  });
});

/** A frame of one RLE block after another: 4 bytes each for 128 KiB. */
function bomb(blocks: number, declaredBytes: number): Buffer {
  const header = Buffer.alloc(4 + 1 + 1 + 8);
  header.writeUInt32LE(0xfd2fb528, 0);
  header[4] = 0xc0;
  header[5] = 0x70;
  header.writeBigUInt64LE(BigInt(declaredBytes), 6);
  const body = Buffer.alloc(4 * blocks);
  for (let index = 0; index < blocks; index++) {
    const last = index === blocks - 1 ? 1 : 0;
    body.writeUIntLE(last | (1 << 1) | ((128 * 1024) << 3), index * 4, 3);
    body[index * 4 + 3] = 0x61;
  }
  return Buffer.concat([header, body]);
}

describe('bombs', () => {
  test('that declare their size are refused before anything is allocated', async () => {
    const frame = bomb(8192, 8192 * 128 * 1024);
    expect(zstdContentBytes(frame)).toBe(1024 * mib);
    const before = process.memoryUsage().arrayBuffers;
    await expect(decompress(frame, 8 * mib)).rejects.toThrow('declares 1073741824 bytes');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(mib);
  });

  test('that declare less than they hold are cut off at what they declare', async () => {
    for (const declared of [10, 1000, 100_000, mib]) {
      await expect(decompress(bomb(8192, declared), 8 * mib)).rejects.toThrow(CompressionError);
    }
  });

  test('that declare more than they hold', async () => {
    await expect(decompress(bomb(1, 8 * mib), 8 * mib)).rejects.toThrow(CompressionError);
  });

  test('an honest frame of the same make passes', async () => {
    expect((await decompress(bomb(16, 2 * mib), 2 * mib)).every((byte) => byte === 0x61)).toBe(true);
  });
});

describe('frames of another make', () => {
  const frame = (): Promise<Uint8Array> => compress(Buffer.from('hello hello hello hello hello hello'));
  test('two frames, or anything behind one', async () => {
    const one = await frame();
    for (const more of [one, Buffer.from([0]), Buffer.from('rest')]) {
      await expect(decompress(Buffer.concat([one, more]))).rejects.toThrow('exactly one frame');
    }
  });

  test('a skippable frame, no frame, nothing', async () => {
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9]);
    for (const bytes of [
      skippable,
      Buffer.from('no frame at all'),
      Buffer.alloc(0),
      Buffer.from([0x28, 0xb5, 0x2f, 0xfd]),
    ]) {
      await expect(decompress(bytes)).rejects.toThrow(CompressionError);
    }
  });

  test('without a declared size, with a dictionary, with the reserved bit', async () => {
    const one = Buffer.from(await frame());
    const patched = (descriptor: number): Buffer => {
      const copy = Buffer.from(one);
      copy[4] = descriptor;
      return copy;
    };
    await expect(decompress(patched(0x00))).rejects.toThrow('does not declare');
    await expect(decompress(patched((one[4] ?? 0) | 0x01))).rejects.toThrow('dictionary');
    await expect(decompress(patched((one[4] ?? 0) | 0x08))).rejects.toThrow('reserved bit');
  });

  test('every truncation', async () => {
    const one = await compress(Buffer.from('some words, some words, and other words '.repeat(50)));
    for (let length = 0; length < one.length; length++) {
      await expect(decompress(one.subarray(0, length)), `${length} bytes`).rejects.toThrow(CompressionError);
    }
  });

  test('mutated bytes give what they declare, within the limit, or CompressionError', async () => {
    const limit = 256 * 1024;
    const originals = [
      await compress(Buffer.from('word '.repeat(1000))),
      await compress(Buffer.from('long text '.repeat(20_000))),
    ];
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...originals), flips, async (original, changes) => {
        const bytes = Buffer.from(original);
        for (const [at, value] of changes) bytes[at % Math.min(bytes.length, 4096)] = value;
        try {
          const result = await decompress(bytes, limit);
          expect(result.length).toBe(zstdContentBytes(bytes));
          expect(result.length).toBeLessThanOrEqual(limit);
        } catch (error) {
          if (!(error instanceof CompressionError)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('arbitrary bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (tail) => {
        const bytes = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), tail]);
        await decompress(bytes, mib).catch((error: unknown) => {
          if (!(error instanceof CompressionError)) throw error;
        });
      }),
    );
  });
});

test('a stopped compressor rejects large jobs and leaves no thread', async () => {
  const own = new ZstdCompressor({ threads: 1 });
  const large = await own.compress(Codec.zstd, randomBytes(mib));
  const pending = own.decompress(Codec.zstd, large, mib);
  const settled = expect(pending).rejects.toThrow('stopped');
  await own.stop();
  await settled;
  await expect(own.compress(Codec.zstd, randomBytes(mib))).rejects.toThrow('stopped');
});

test('small jobs here and large ones on threads do not get into each other', async () => {
  // The native module crashed, or gave the one the bytes of the other: its contexts are the process's.
  const large = Buffer.from('2026-11-20 22:33:44 INFO a long text for a thread\n'.repeat(20_000));
  let running = true;
  const onThreads = (async () => {
    for (let round = 0; round < 60; round++) {
      const bytes = large.subarray(round * 7);
      expect(Buffer.compare(await decompress(await compress(bytes)), bytes)).toBe(0);
    }
    running = false;
  })();
  while (running) {
    for (let size = 1000; size < 8000; size += 500) {
      const bytes = randomBytes(size).fill('x', 0, size / 2);
      expect(Buffer.compare(await decompress(await compress(bytes)), bytes)).toBe(0);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  await onThreads;
});
