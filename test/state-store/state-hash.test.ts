import { expect, test } from 'vitest';

import { asLsn } from '../../src/base/ids.js';
import type { IndexWrite } from '../../src/base/state-machine.js';
import {
  ApplyTransaction,
  formatStateHash,
  hashEffects,
  initialStateHash,
  type RecordsWrite,
  type StateHash,
} from '../../src/state-store/index.js';
import { bytes, crc32, seededRandom } from './support.js';

const hash = (previous: StateHash, lsn: number, values: string[], index: IndexWrite[]): StateHash =>
  hashEffects(
    previous,
    asLsn(lsn),
    values.map((value) => ({ lsn: asLsn(lsn), pieces: [bytes(value)] })),
    index,
    crc32,
  );
const put = (key: string, value: string): IndexWrite => ({ key: bytes(key), value: bytes(value) });
const del = (key: string): IndexWrite => ({ key: bytes(key), value: undefined });

/** These numbers are compared between replicas, also of different versions of the server: they never change. */
test('test vectors', () => {
  const vectors = [
    hash(initialStateHash, 1, [], []),
    hash(initialStateHash, 1, ['records'], []),
    hash(initialStateHash, 1, [], [put('key', 'value')]),
    hash(initialStateHash, 1, [], [del('key')]),
    hash(initialStateHash, 2 ** 40 + 7, ['r'], [put('a', ''), del('b'), put('long', 'x'.repeat(257))]),
    hash(hash(initialStateHash, 1, ['one'], []), 2, ['two'], [put('k'.repeat(100), 'v'.repeat(256))]),
    hash(
      initialStateHash,
      3,
      [],
      Array.from({ length: 500 }, (_, at) => put(`key ${at}`, 'v'.repeat(at % 300))),
    ),
  ];
  expect(vectors.map(formatStateHash)).toMatchInlineSnapshot(`
    [
      "92228d1b42d3dac4",
      "1a0baeb90fe1eb7a",
      "0b45c7a7dc0eb77c",
      "d7402fcf9e285275",
      "2432b7b4174c0bf9",
      "84e01559a7792f3e",
      "5345e014f55e8c96",
    ]
  `);
});

test('it tells apart what differs in any part', () => {
  const variants = [
    hash(initialStateHash, 1, [], []),
    hash(initialStateHash, 2, [], []),
    hash(initialStateHash, 2 ** 32 + 1, [], []),
    hash({ low: 1, high: 0 }, 1, [], []),
    hash({ low: 0, high: 1 }, 1, [], []),
    hash(initialStateHash, 1, ['a'], []),
    hash(initialStateHash, 1, ['b'], []),
    hash(initialStateHash, 1, [], [put('a', 'b')]),
    hash(initialStateHash, 1, [], [put('ab', '')]),
    hash(initialStateHash, 1, [], [put('a', '')]),
    hash(initialStateHash, 1, [], [del('a')]),
    hash(initialStateHash, 1, [], [put('a', 'b\0')]),
    hash(initialStateHash, 1, [], [put('a\0', 'b')]),
    hash(initialStateHash, 1, [], [put('a', 'b'), put('c', 'd')]),
    hash(initialStateHash, 1, [], [put('c', 'd'), put('a', 'b')]),
    hash(initialStateHash, 1, [], [put('a', 'x'.repeat(300))]),
    hash(initialStateHash, 1, [], [put('a', 'y'.repeat(300))]),
  ].map(formatStateHash);
  expect(new Set(variants).size).toBe(variants.length);
});

test('a single flipped bit changes both lanes, every time', () => {
  const random = seededRandom(5);
  const value = Buffer.alloc(200);
  for (let at = 0; at < value.length; at++) value[at] = random.nextUint32();
  const whole = hashEffects(initialStateHash, asLsn(9), [], [{ key: bytes('key'), value }], crc32);
  for (let bit = 0; bit < value.length * 8; bit++) {
    const flipped = Buffer.from(value);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const other = hashEffects(initialStateHash, asLsn(9), [], [{ key: bytes('key'), value: flipped }], crc32);
    expect(other.low).not.toBe(whole.low);
    expect(other.high).not.toBe(whole.high);
  }
});

test('a CRC that the caller knows gives the same hash as none, and pieces the same as the whole', () => {
  const value = bytes('value');
  const lsn = asLsn(4);
  const hashOf = (write: Omit<RecordsWrite, 'lsn'>): StateHash =>
    hashEffects(initialStateHash, lsn, [{ lsn, ...write }], [], crc32);
  const whole = hashOf({ pieces: [value] });
  expect(hashOf({ pieces: [value], crc32: crc32(value) })).toEqual(whole);
  expect(hashOf({ pieces: [value.subarray(0, 2), value.subarray(2)] })).toEqual(whole);
  expect(hashOf({ pieces: [value.subarray(0, 2)] })).not.toEqual(whole);
});

test('the grouping of entries does not matter; what they do to one key does, in its order', () => {
  const reader = { appliedLsn: asLsn(0), stateHash: initialStateHash, getIndex: () => undefined };
  const apply = (transaction: ApplyTransaction, lsn: number): void => {
    transaction.begin(asLsn(lsn));
    transaction.putIndex(bytes('shared'), bytes(String(lsn)));
    transaction.putRecords(bytes(`records ${lsn}`));
    transaction.end();
  };
  const together = new ApplyTransaction(reader, crc32);
  for (const lsn of [1, 2, 3]) apply(together, lsn);
  const group = together.finish();
  expect(group.index).toHaveLength(1);
  expect(group.records.map(({ lsn }) => lsn)).toEqual([1, 2, 3]);
  let state: { appliedLsn: ReturnType<typeof asLsn>; stateHash: StateHash } = reader;
  for (const lsn of [1, 2, 3]) {
    const alone = new ApplyTransaction({ ...reader, ...state }, crc32);
    apply(alone, lsn);
    state = alone.finish();
  }
  expect(state.stateHash).toEqual(group.stateHash);
  expect(state.appliedLsn).toBe(3);
});

test('a transaction reads its own writes, and the store where it has none', () => {
  const reader = {
    appliedLsn: asLsn(5),
    stateHash: initialStateHash,
    getIndex: (key: Uint8Array) => (key[0] === 115 ? bytes('stored') : undefined),
  };
  const transaction = new ApplyTransaction(reader, crc32);
  transaction.begin(asLsn(6));
  expect(transaction.getIndex(bytes('s'))).toEqual(bytes('stored'));
  transaction.deleteIndex(bytes('s'));
  expect(transaction.getIndex(bytes('s'))).toBeUndefined();
  transaction.end();
  transaction.begin(asLsn(7));
  expect(transaction.getIndex(bytes('s'))).toBeUndefined();
  transaction.putIndex(bytes('s'), bytes('new'));
  expect(transaction.getIndex(bytes('s'))).toEqual(bytes('new'));
  transaction.end();
  expect(transaction.finish()).toMatchObject({ appliedLsn: 7, index: [{ key: bytes('s'), value: bytes('new') }] });
});

test('effects without an entry, entries out of order and a second records value are bugs of the caller', () => {
  const transaction = new ApplyTransaction(
    { appliedLsn: asLsn(5), stateHash: initialStateHash, getIndex: () => undefined },
    crc32,
  );
  expect(() => transaction.putIndex(bytes('a'), bytes('b'))).toThrow(/belong to an entry/);
  expect(() => transaction.begin(asLsn(5))).toThrow(/after entry 5/);
  expect(() => transaction.finish()).toThrow(/no entry/);
  transaction.begin(asLsn(6));
  expect(() => transaction.begin(asLsn(7))).toThrow(/has not ended/);
  expect(() => transaction.finish()).toThrow(/has not ended/);
  transaction.putRecords(bytes('r'));
  expect(() => transaction.putRecords(bytes('r'))).toThrow(/second records value/);
  expect(() => transaction.putIndex(new Uint8Array(0), bytes('v')) ?? transaction.end()).toThrow(/0 bytes/);
});
