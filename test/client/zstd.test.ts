import { compress, decompress } from '@cloudpss/zstd';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Codec } from '../../src/base/ports/compressor.js';
import { ZstdCompressor } from '../../src/client/zstd.js';
import { declareContentBytes, zstdContentBytes } from '../../src/base/zstd-frame.js';

const compressor = new ZstdCompressor();
const log = (count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, (_, index) => `line ${index * 7919} of a log that is alike\n`).join(''));
const noise = (bytes: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, () => Math.floor(Math.random() * 256)));

describe('frames', () => {
  test('declare their content size, and any decoder takes them', async () => {
    for (const content of [log(1), log(10), log(300), log(50_000), noise(5), noise(300_000), Buffer.alloc(1_000_000)]) {
      const frame = await compressor.compress(Codec.zstd, content);
      expect(zstdContentBytes(frame)).toBe(content.length);
      expect(Buffer.from(decompress(frame)).equals(content)).toBe(true);
      expect(content.equals(await compressor.decompress(Codec.zstd, frame, content.length))).toBe(true);
    }
  });

  test('of other encoders are read', async () => {
    for (const size of [0, 1, 255, 256, 257, 65_791, 65_792, 65_793, 131_071, 131_072, 131_073, 262_144, 400_000]) {
      const content = Buffer.concat([log(20_000)]).subarray(0, size);
      const frame = compress(content);
      expect(zstdContentBytes(frame)).toBe(size);
      expect(content.equals(await compressor.decompress(Codec.zstd, frame, size))).toBe(true);
    }
  });

  test('in shared memory are compressed in place', async () => {
    const content = log(10_000);
    const shared = Buffer.from(new SharedArrayBuffer(content.length + 10));
    shared.set(content, 5);
    const frame = await compressor.compress(Codec.zstd, shared.subarray(5, 5 + content.length));
    expect(Buffer.from(decompress(frame)).equals(content)).toBe(true);
  });
});

/** The frame with another content size in its header. */
function declaring(frame: Buffer, contentBytes: number): Buffer {
  const lying = Buffer.from(frame);
  const descriptor = frame.readUInt8(4);
  const at = (descriptor & 0x20) === 0 ? 6 : 5;
  if (descriptor >> 6 === 1) lying.writeUInt16LE(contentBytes - 256, at);
  else lying.writeUInt32LE(contentBytes, at);
  return lying;
}

describe('damage', () => {
  // One size for each of the two decoders.
  test.each([1000, 5000])(
    'of a frame of %i lines is refused, and the next frame is read all the same',
    async (lines) => {
      const content = log(lines);
      const frame = Buffer.from(await compressor.compress(Codec.zstd, content));
      const refuse = async (bytes: Buffer, maxBytes = content.length): Promise<void> => {
        await expect(compressor.decompress(Codec.zstd, bytes, maxBytes)).rejects.toThrow(/zstd|declares/);
        expect(content.equals(await compressor.decompress(Codec.zstd, frame, content.length))).toBe(true);
      };
      await refuse(frame, content.length - 1);
      for (const length of [0, 4, 9, 11, frame.length - 1]) await refuse(frame.subarray(0, length));
      for (const declared of [content.length - 1, content.length + 1, 256]) {
        const lying = declaring(frame, declared);
        expect(zstdContentBytes(lying)).toBe(declared);
        await refuse(lying, 2 * content.length);
      }
      await refuse(Buffer.concat([frame, frame]), 2 * content.length);
    },
  );

  test.each([200, 5000])('never crashes, wherever it is in a frame of %i lines', async (lines) => {
    const content = log(lines);
    const frame = Buffer.from(await compressor.compress(Codec.zstd, content));
    await fc.assert(
      fc.asyncProperty(fc.nat(frame.length - 1), fc.integer({ min: 1, max: 255 }), async (at, bits) => {
        const damaged = Buffer.from(frame);
        damaged[at] = (damaged[at] as number) ^ bits;
        const outcome = await compressor.decompress(Codec.zstd, damaged, 1 << 20).catch((error: unknown) => error);
        expect(outcome instanceof Uint8Array || (outcome as Error).name === 'CompressionError').toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('a size is put only into a header without one', () => {
    const declared = compress(log(3));
    expect(declareContentBytes(Buffer.from(declared), 7)).toEqual(Buffer.from(declared));
  });
});

// The plain functions of the package share one context between all threads of the process, and crash there.
test('threads that compress at the same time do not damage each other’s frames', async () => {
  const several = [new ZstdCompressor(), new ZstdCompressor(), new ZstdCompressor()];
  const large = log(8000);
  const small = log(100);
  for (const one of several) await one.compress(Codec.zstd, large);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const check = async (one: ZstdCompressor, content: Buffer): Promise<void> => {
    const frame = await one.compress(Codec.zstd, content);
    expect(content.equals(await one.decompress(Codec.zstd, frame, content.length))).toBe(true);
  };
  for (let round = 0; round < 100; round += 1)
    await Promise.all(several.flatMap((one) => [check(one, large), check(one, large), check(one, small)]));
  for (const one of several) one.close();
  await expect(
    compressor.decompress(Codec.zstd, await several[0]!.compress(Codec.zstd, large), 1 << 24),
  ).resolves.toBeDefined();
});
