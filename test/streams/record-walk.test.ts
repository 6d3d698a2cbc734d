import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLogboomError, LogboomError } from '../../src/base/errors.js';
import { ProtobufWriter } from '../../src/base/protobuf.js';
import { defaultStreamsLimits } from '../../src/streams/index.js';
import { checkRecordSet, recordOffsets, sliceRecords } from '../../src/streams/record-walk.js';
import { decodeValues, encodeRecordSet, RecordSetType, textRecord } from './support/records.js';
import type { TestRecord } from './support/records.js';

const limits = defaultStreamsLimits;

const records: fc.Arbitrary<TestRecord[]> = fc.array(
  fc.record(
    {
      value: fc.uint8Array({ maxLength: 300 }),
      timestamp: fc.maxSafeInteger(),
      attributes: fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' })), { maxLength: 4 }),
    },
    { requiredKeys: ['value'] },
  ),
  { maxLength: 20 },
);

describe('checkRecordSet', () => {
  test('counts what protobufjs encodes', () => {
    fc.assert(
      fc.property(records, (list) => {
        const message = list.map((record) => ({
          value: Buffer.from(record.value),
          attributes: (record.attributes ?? []).map(([key, value]) => ({ key, value })),
          ...(record.timestamp === undefined ? {} : { timestampUnixNanos: record.timestamp }),
        }));
        const bytes = RecordSetType.serialize({ records: message });
        expect(checkRecordSet(bytes, limits)).toBe(list.length);
        expect([...encodeRecordSet(list)]).toHaveLength(encodeRecordSet(list).length);
        expect(checkRecordSet(encodeRecordSet(list), limits)).toBe(list.length);
      }),
    );
  });

  test('accepts only what protobufjs accepts, with the same number of records, whatever is altered', () => {
    let accepted = 0;
    let refused = 0;
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(records, changes, fc.nat(), (list, mutations, cut) => {
        const whole = encodeRecordSet(list);
        const bytes = cut % 3 === 0 ? whole.slice(0, cut % (whole.length + 1)) : whole.slice();
        for (const [at, value] of mutations) if (bytes.length > 0) bytes[at % bytes.length] = value;
        const count = countOrReason(bytes);
        if (typeof count === 'number') {
          accepted += 1;
          expect(RecordSetType.deserialize(Buffer.from(bytes)).records?.length ?? 0).toBe(count);
          expect(recordOffsets(bytes, count)).toHaveLength(count + 1);
        } else {
          refused += 1;
          expect(['BATCH_MALFORMED', 'RECORD_TOO_LARGE']).toContain(count);
        }
      }),
      { numRuns: 20_000 },
    );
    expect(Math.min(accepted, refused)).toBeGreaterThan(1000);
  });

  test('only LogboomError comes out of random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        countOrReason(bytes);
      }),
      { numRuns: 20_000 },
    );
  });

  const record = (...bytes: number[]): number[] => [0x0a, bytes.length, ...bytes];
  const varint = (length: number, last: number): number[] => [...Array<number>(length - 1).fill(0x80), last];

  test.each<[string, number[], number]>([
    ['nothing', [], 0],
    ['an empty record', record(), 1],
    ['a value of one byte', record(0x0a, 1, 7), 1],
    ['a value twice, the last one counts', record(0x0a, 1, 7, 0x0a, 0), 1],
    ['a timestamp of ten bytes', record(0x10, ...Array<number>(9).fill(0xff), 1), 1],
    ['an attribute', record(0x1a, 6, 0x0a, 1, 0x61, 0x12, 1, 0x62), 1],
    ['an empty attribute', record(0x1a, 0), 1],
    [
      'unknown fields of every wire type in a record',
      record(0x20, 1, 0x22, 1, 9, 0x25, 1, 2, 3, 4, 0x29, 1, 2, 3, 4, 5, 6, 7, 8),
      1,
    ],
    ['unknown fields between records', [0x10, 1, ...record(), 0x12, 1, 9, ...record()], 2],
    ['an unknown field in an attribute', record(0x1a, 2, 0x18, 1), 1],
    ['a tag and a length in two bytes', [0x8a, 0x00, 0x80, 0x00], 1],
    ['a length in five bytes', [0x0a, ...varint(5, 0)], 1],
    ['a length in ten bytes', [0x0a, ...varint(10, 0)], 1],
  ])('accepts %s', (_what, bytes, count) => {
    expect(checkRecordSet(Uint8Array.from(bytes), limits)).toBe(count);
    expect(RecordSetType.deserialize(Buffer.from(bytes)).records?.length ?? 0).toBe(count);
  });

  test.each<[string, number[]]>([
    ['a tag alone', [0x0a]],
    ['a tag that is cut', [0x8a]],
    ['a length beyond the end', [0x0a, 1]],
    ['a length that is cut', [0x0a, 0x80]],
    ['a length of 2^32', [0x0a, 0x80, 0x80, 0x80, 0x80, 0x10]],
    ['a length of eleven bytes', [0x0a, ...varint(11, 0)]],
    ['a record as varint', [0x08, 1]],
    ['a record as fixed32', [0x0d, 1, 2, 3, 4]],
    ['field number 0', [0x00, 1]],
    ['field number 0 in a record', record(0x02, 0)],
    ['a group', [0x13, 0x14]],
    ['the end of a group', [0x14]],
    ['wire type 6', [0x16, 0]],
    ['wire type 7', [0x17, 0]],
    ['a value as varint', record(0x08, 1)],
    ['a value beyond its record', record(0x0a, 1)],
    ['a timestamp as bytes', record(0x12, 0)],
    ['a timestamp of eleven bytes', record(0x10, ...varint(11, 1))],
    ['a timestamp of more than 64 bits', record(0x10, ...varint(10, 2))],
    ['a timestamp that its record cuts', record(0x10, 0x80)],
    ['an attribute beyond its record', record(0x1a, 1)],
    ['a key that is not UTF-8', record(0x1a, 3, 0x0a, 1, 0xff)],
    ['a value of an attribute that is not UTF-8', record(0x1a, 4, 0x12, 2, 0xc0, 0x80)],
    ['a surrogate in a key', record(0x1a, 5, 0x0a, 3, 0xed, 0xa0, 0x80)],
    ['a key as varint', record(0x1a, 2, 0x08, 1)],
    ['an unknown fixed64 that is cut', record(0x29, 1, 2, 3)],
    ['a tag of more than 32 bits', [0x80, 0x80, 0x80, 0x80, 0x10, 0]],
  ])('refuses %s', (_what, bytes) => {
    expect(countOrReason(Uint8Array.from(bytes))).toBe('BATCH_MALFORMED');
  });

  test('names the limit, the record and the bytes', () => {
    const small = {
      ...limits,
      recordBytesMax: 100,
      batchRecordsMax: 3,
      attributesPerRecordMax: 2,
      attributeBytesPerRecordMax: 10,
    };
    const errorOf = (list: readonly TestRecord[]): LogboomError => {
      try {
        checkRecordSet(encodeRecordSet(list), small);
      } catch (error) {
        if (error instanceof LogboomError) return error;
      }
      throw new Error('accepted');
    };
    expect(checkRecordSet(encodeRecordSet([{ value: new Uint8Array(98) }]), small)).toBe(1);
    const tooLarge = errorOf([textRecord('x'), { value: new Uint8Array(99) }]);
    expect(tooLarge.reason).toBe('RECORD_TOO_LARGE');
    expect(tooLarge.facts).toEqual({ record: 1, bytes: 101, bytes_max: 100 });
    const tooMany = errorOf(Array<TestRecord>(4).fill(textRecord('x')));
    expect(tooMany.reason).toBe('BATCH_TOO_LARGE');
    expect(tooMany.facts).toEqual({ records_max: 3 });
    const attribute: readonly [string, string] = ['key', 'ab'];
    expect(
      checkRecordSet(encodeRecordSet([{ value: new Uint8Array(0), attributes: [attribute, attribute] }]), small),
    ).toBe(1);
    const manyAttributes = errorOf([{ value: new Uint8Array(0), attributes: [attribute, attribute, attribute] }]);
    expect(manyAttributes.reason).toBe('ATTRIBUTES_TOO_LARGE');
    expect(manyAttributes.facts).toEqual({ record: 0, attributes: 3, attributes_max: 2 });
    const largeAttributes = errorOf([{ value: new Uint8Array(0), attributes: [['kéy', 'abcdefg']] }]);
    expect(largeAttributes.reason).toBe('ATTRIBUTES_TOO_LARGE');
    expect(largeAttributes.facts).toEqual({ record: 0, bytes: 11, bytes_max: 10 });
  });
});

describe('recordOffsets and sliceRecords', () => {
  test('every window decodes to the records of the window, and all windows together are the bytes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 20 }),
        fc.nat(),
        fc.nat(),
        (texts, a, b) => {
          const bytes = encodeRecordSet(texts.map(textRecord));
          const offsets = recordOffsets(bytes, texts.length);
          const from = a % (texts.length + 1);
          const count = b % (texts.length - from + 1);
          expect(decodeValues(sliceRecords(bytes, offsets, from, count))).toEqual(texts.slice(from, from + count));
          expect(offsets[texts.length]).toBe(bytes.length);
        },
      ),
    );
  });

  test('keeps unknown fields with the record before them', () => {
    const bytes = Uint8Array.from([0x10, 1, 0x0a, 0, 0x10, 2, 0x0a, 0, 0x10, 3]);
    const offsets = recordOffsets(bytes, 2);
    expect([...offsets]).toEqual([0, 6, 10]);
  });

  test('a stored batch that does not hold what its header says is corrupt', () => {
    const bytes = encodeRecordSet([textRecord('a'), textRecord('b')]);
    for (const count of [0, 1, 3]) expect(() => recordOffsets(bytes, count)).toThrow(LogboomError);
    expect(() => recordOffsets(bytes.subarray(1), 2)).toThrow(LogboomError);
  });
});

function countOrReason(bytes: Uint8Array): number | string {
  try {
    return checkRecordSet(bytes, limits);
  } catch (error) {
    if (isLogboomError(error)) return error.reason;
    throw error;
  }
}

test('the wire writer and protobufjs read each other', () => {
  const bytes = new ProtobufWriter()
    .message(1, new ProtobufWriter().bytes(1, Uint8Array.from([1, 2])).int64(2, -5))
    .finish();
  expect(RecordSetType.deserialize(Buffer.from(bytes))).toMatchObject({
    records: [{ value: Buffer.from([1, 2]), timestampUnixNanos: -5 }],
  });
});
