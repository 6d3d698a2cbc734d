import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { withShortCrc32 } from '../../src/base/short-crc32.js';

test('the sum is that of zlib, for every length and seed, and what is long is left to it', () => {
  let native = 0;
  const sum = withShortCrc32((bytes, seed) => {
    native += 1;
    return crc32(bytes, seed);
  });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 0xffff_ffff }), (bytes, seed) => {
      const before = native;
      expect(sum(bytes, seed)).toBe(crc32(bytes, seed));
      expect(sum(bytes)).toBe(crc32(bytes));
      expect(native - before).toBe(bytes.length > 128 ? 2 : 0);
    }),
    { numRuns: 500 },
  );
  for (const bytes of [Buffer.from('123456789'), Buffer.alloc(0)]) expect(sum(bytes)).toBe(crc32(bytes));
  expect(sum(Buffer.from('123456789'))).toBe(0xcbf43926);
});
