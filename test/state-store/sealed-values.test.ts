import { expect, test } from 'vitest';

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
  expect(unsealed(crc32, key, seal(crc32, key, bytes('value'), crc32(bytes('value'))))).toEqual(bytes('value'));
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
