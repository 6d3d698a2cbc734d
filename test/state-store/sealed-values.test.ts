import fc from 'fast-check';
import { expect, test } from 'vitest';

import { InvariantViolation } from '../../src/base/assert.js';
import { isLogboomError } from '../../src/base/errors.js';
import { asLsn } from '../../src/base/ids.js';
import {
  decodeMark,
  deletionKey,
  encodeMark,
  indexKey,
  lsnOfDeletionKey,
  lsnOfRecordsKey,
  markKey,
  recordsKey,
  seal,
  sealAll,
  unsealed,
} from '../../src/state-store/sealed-values.js';
import { bytes, crc32 } from './support.js';

const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const large = asLsn(2 ** 40 + 0xabcdef);

/** docs/formats/state-store.md draws these bytes. A store that was written by an older version holds them: they stay. */
test('golden bytes of keys, values and the applied mark', () => {
  expect(hex(recordsKey(asLsn(1)))).toBe('010000000000000001');
  expect(hex(recordsKey(large))).toBe('010000010000abcdef');
  expect(hex(deletionKey(large))).toBe('030000010000abcdef');
  expect(hex(indexKey(bytes('key')))).toBe('026b6579');
  expect(hex(markKey)).toBe('016170706c696564');
  expect(hex(seal(crc32, bytes('key'), bytes('value')))).toBe('15f1d53b76616c7565');
  const mark = { appliedLsn: large, stateHash: { low: 0xdeadbeef, high: 0x01020304 }, lastRecordsLsn: asLsn(7) };
  const encoded = encodeMark(mark);
  expect(hex(encoded)).toBe('01' + '0000010000abcdef' + 'deadbeef' + '01020304' + '0000000000000007');
  expect(decodeMark(encoded)).toEqual(mark);
});

test('keys go back to their LSN, and other keys to none', () => {
  expect(lsnOfRecordsKey(recordsKey(large))).toBe(large);
  expect(lsnOfDeletionKey(deletionKey(large))).toBe(large);
  expect(lsnOfRecordsKey(deletionKey(large))).toBeUndefined();
  expect(lsnOfRecordsKey(markKey)).toBeUndefined();
});

test('a value opens only whole, and only under its own key', () => {
  const key = bytes('key');
  const sealed = seal(crc32, key, bytes('value'));
  expect(unsealed(crc32, key, sealed)).toEqual(bytes('value'));
  expect(unsealed(crc32, bytes('kez'), sealed)).toBeUndefined();
  expect(unsealed(crc32, key, sealed.subarray(0, 8))).toBeUndefined();
  expect(unsealed(crc32, key, sealed.subarray(0, 3))).toBeUndefined();
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = Buffer.from(sealed);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(unsealed(crc32, key, flipped)).toBeUndefined();
  }
});

test('a value in pieces is sealed as in one', () => {
  const key = recordsKey(asLsn(7));
  const sum = crc32(bytes('value'));
  for (const pieces of [['value'], ['', 'val', 'ue'], ['v', 'a', 'l', 'u', 'e', '']]) {
    expect(sealAll(crc32, key, pieces.map(bytes), sum)).toEqual(seal(crc32, key, bytes('value')));
  }
  expect(sealAll(crc32, key, [], 0)).toEqual(seal(crc32, key, bytes('')));
});

test('a mark of a newer format is refused, not guessed at', () => {
  const encoded = Buffer.from(encodeMark({ appliedLsn: large, stateHash: { low: 1, high: 2 }, lastRecordsLsn: large }));
  encoded[0] = 2;
  expect(() => decodeMark(encoded)).toThrow(/format 2/);
  try {
    decodeMark(encoded);
  } catch (error) {
    expect(isLogboomError(error, 'DATA_DIRECTORY_MISMATCH')).toBe(true);
  }
});

const anyBytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });

test('whatever bytes lie under whatever key: the value that was sealed there, or none', () => {
  fc.assert(
    fc.property(anyBytes(20), anyBytes(60), anyBytes(60), (key, value, other) => {
      const sealed = seal(crc32, key, value);
      expect(Buffer.from(unsealed(crc32, key, sealed) ?? []).equals(value)).toBe(true);
      const found = unsealed(crc32, key, other);
      expect(found === undefined || Buffer.from(seal(crc32, key, found)).equals(other)).toBe(true);
    }),
  );
});

test('cut, grown, exchanged and overwritten values do not open', () => {
  const damage = fc.oneof(
    fc.record({ at: fc.nat(), bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }) }),
    fc.record({ cut: fc.nat() }),
    fc.record({ more: fc.uint8Array({ minLength: 1, maxLength: 20 }) }),
  );
  fc.assert(
    fc.property(anyBytes(20), anyBytes(200), damage, (key, value, how) => {
      const sealed = Buffer.from(seal(crc32, key, value));
      let damaged = Buffer.from(sealed);
      if ('more' in how) damaged = Buffer.concat([sealed, how.more]);
      else if ('cut' in how) damaged = sealed.subarray(0, how.cut % sealed.length);
      // At most 32 bits in a row: a CRC-32 finds each of them for certain.
      else damaged.set(how.bytes.subarray(0, sealed.length - (how.at % sealed.length)), how.at % sealed.length);
      fc.pre(!damaged.equals(sealed));
      // A longer or shorter value can have the right checksum by chance, once in four thousand million.
      expect(unsealed(crc32, key, damaged)).toBeUndefined();
    }),
    { numRuns: 2000 },
  );
});

test('marks and keys of any bytes are decoded, none, or refused in words', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        anyBytes(40),
        fc.uint8Array({ minLength: 24, maxLength: 24 }).map((rest) => Uint8Array.of(1, ...rest)),
      ),
      (raw) => {
        try {
          expect(Buffer.from(encodeMark(decodeMark(raw))).equals(raw)).toBe(true);
        } catch (error) {
          if (!(error instanceof InvariantViolation) && !isLogboomError(error)) throw error;
        }
      },
    ),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(
      fc.oneof(
        anyBytes(12),
        fc.uint8Array({ minLength: 8, maxLength: 8 }).map((rest) => Uint8Array.of(1, ...rest)),
      ),
      (raw) => {
        const lsn = lsnOfRecordsKey(raw);
        if (lsn !== undefined) expect(Buffer.from(recordsKey(lsn)).equals(raw)).toBe(true);
      },
    ),
    { numRuns: 2000 },
  );
});
