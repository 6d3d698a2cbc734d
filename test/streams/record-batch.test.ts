import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLogboomError, LogboomError } from '../../src/base/errors.js';
import { Codec } from '../../src/base/ports/compressor.js';
import { ProtobufWriter } from '../../src/base/protobuf.js';
import { defaultStreamsLimits, parseRecordBatch, verifyBatch } from '../../src/streams/index.js';
import { crc, encodeRecordSet, RecordBatchType, testCompressor, textRecord, tools } from './support/records.js';

const recordSet = encodeRecordSet(['one', 'two', 'three'].map(textRecord));
const plain = (): ProtobufWriter => new ProtobufWriter().bytes(4, recordSet);

async function zstd(fields: { count?: number; bytes?: number; payload?: Uint8Array } = {}): Promise<Uint8Array> {
  const payload = fields.payload ?? (await testCompressor.compress(Codec.zstd, recordSet));
  return new ProtobufWriter()
    .uint64(1, Codec.zstd)
    .uint64(2, fields.count ?? 3)
    .uint64(3, fields.bytes ?? recordSet.length)
    .bytes(5, payload)
    .finish();
}

const reasonOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (isLogboomError(error)) return error.reason;
    throw error;
  }
  return 'accepted';
};

async function verifyReason(bytes: Uint8Array, limits = defaultStreamsLimits): Promise<string> {
  try {
    await verifyBatch(parseRecordBatch(bytes), { ...tools, limits });
    return 'accepted';
  } catch (error) {
    if (isLogboomError(error)) return error.reason;
    throw error;
  }
}

describe('parseRecordBatch', () => {
  test('reads what protobufjs writes, in place', () => {
    const message = RecordBatchType.serialize({ records: { records: [{ value: Buffer.from('a') }] }, recordCount: 1 });
    const batch = parseRecordBatch(message);
    expect(batch).toMatchObject({ codec: Codec.none, recordCount: 1, uncompressedBytes: 0 });
    expect(batch.payload.buffer).toBe(message.buffer);
    const compressed = RecordBatchType.serialize({
      codec: 1,
      recordCount: 7,
      uncompressedBytes: 70,
      compressed: Buffer.from('xyz'),
    });
    expect(parseRecordBatch(compressed)).toMatchObject({ codec: Codec.zstd, recordCount: 7, uncompressedBytes: 70 });
  });

  test.each<[string, Uint8Array]>([
    ['a field that occurs twice', plain().bytes(4, recordSet).finish()],
    ['records and compressed', plain().bytes(5, recordSet).finish()],
    ['records with a codec', plain().uint64(1, 1).finish()],
    ['compressed without codec', new ProtobufWriter().bytes(5, recordSet).finish()],
    ['a truncated payload', plain().finish().subarray(0, 10)],
    [
      'a count of 33 bits',
      plain()
        .uint64(2, 2 ** 32)
        .finish(),
    ],
    [
      'a codec that is no int32',
      plain()
        .uint64(1, 2 ** 40)
        .finish(),
    ],
    ['a payload as varint', new ProtobufWriter().uint64(4, 1).finish()],
    ['field number 0', Uint8Array.from([0, 0])],
    ['a group', Uint8Array.from([0x33, 0x34])],
  ])('refuses %s', (_what, bytes) => {
    expect(reasonOf(() => parseRecordBatch(bytes))).toBe('BATCH_MALFORMED');
  });

  test('an unknown codec is named', () => {
    expect(reasonOf(() => parseRecordBatch(new ProtobufWriter().uint64(1, 7).bytes(5, recordSet).finish()))).toBe(
      'CODEC_NOT_SUPPORTED',
    );
    expect(reasonOf(() => parseRecordBatch(new ProtobufWriter().int64(1, -1).bytes(5, recordSet).finish()))).toBe(
      'CODEC_NOT_SUPPORTED',
    );
  });

  test.each<[string, Uint8Array]>([
    ['no bytes', new Uint8Array(0)],
    ['no payload', new ProtobufWriter().uint64(2, 1).finish()],
    ['an empty payload', new ProtobufWriter().bytes(4, new Uint8Array(0)).finish()],
    ['an empty compressed payload', new ProtobufWriter().uint64(1, 1).bytes(5, new Uint8Array(0)).finish()],
  ])('%s is empty', (_what, bytes) => {
    expect(reasonOf(() => parseRecordBatch(bytes))).toBe('BATCH_EMPTY');
  });

  test('unknown fields are skipped, and only LogboomError comes out of random bytes', () => {
    expect(parseRecordBatch(plain().string(9, 'later').uint64(9, 1).finish()).payload).toEqual(recordSet);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        reasonOf(() => parseRecordBatch(bytes));
      }),
      { numRuns: 20_000 },
    );
  });
});

describe('verifyBatch', () => {
  test('counts, and hashes what is uncompressed: equal content has equal hashes under any codec', async () => {
    const verified = await verifyBatch(parseRecordBatch(plain().finish()), tools);
    expect(verified).toEqual({
      codec: 0,
      recordCount: 3,
      uncompressedBytes: recordSet.length,
      contentCrc: crc(recordSet),
      payload: recordSet,
    });
    const compressed = await verifyBatch(parseRecordBatch(await zstd()), tools);
    expect(compressed).toMatchObject({
      codec: 1,
      recordCount: 3,
      uncompressedBytes: recordSet.length,
      contentCrc: crc(recordSet),
    });
    expect(compressed.payload.length).not.toBe(recordSet.length);
  });

  test('declared counts and sizes must be right', async () => {
    expect(await verifyReason(plain().uint64(2, 3).uint64(3, recordSet.length).finish())).toBe('accepted');
    expect(await verifyReason(plain().uint64(2, 2).finish())).toBe('BATCH_MALFORMED');
    expect(await verifyReason(plain().uint64(3, 2).finish())).toBe('BATCH_MALFORMED');
    expect(await verifyReason(await zstd({ count: 0 }))).toBe('BATCH_MALFORMED');
    expect(await verifyReason(await zstd({ count: 4 }))).toBe('BATCH_MALFORMED');
    expect(await verifyReason(await zstd({ bytes: 0 }))).toBe('BATCH_MALFORMED');
    expect(await verifyReason(await zstd({ bytes: recordSet.length + 1 }))).toBe('BATCH_MALFORMED');
    expect(await verifyReason(await zstd({ bytes: recordSet.length - 1 }))).toBe('BATCH_MALFORMED');
  });

  test('damaged compression, and malformed records inside of it', async () => {
    expect(await verifyReason(await zstd({ payload: Uint8Array.from([0, 0, 0, 5, 1, 2, 3]) }))).toBe('BATCH_MALFORMED');
    const inside = Uint8Array.from([0x0a, 9]);
    const payload = await testCompressor.compress(Codec.zstd, inside);
    expect(await verifyReason(await zstd({ payload, bytes: 2, count: 1 }))).toBe('BATCH_MALFORMED');
    const nothing = Uint8Array.from([0x10, 1]);
    const unknownOnly = await testCompressor.compress(Codec.zstd, nothing);
    expect(await verifyReason(await zstd({ payload: unknownOnly, bytes: 2, count: 1 }))).toBe('BATCH_EMPTY');
    expect(await verifyReason(new ProtobufWriter().bytes(4, nothing).finish())).toBe('BATCH_EMPTY');
  });

  test('sizes are checked before anything is decompressed', async () => {
    const limits = { ...defaultStreamsLimits, batchBytesMax: 1000, batchRecordsMax: 10 };
    const compressor = { ...testCompressor, decompress: () => Promise.reject(new Error('decompressed')) };
    const reason = async (bytes: Uint8Array): Promise<string> => {
      const error: unknown = await verifyBatch(parseRecordBatch(bytes), { ...tools, compressor, limits }).catch(
        (e: unknown) => e,
      );
      return error instanceof LogboomError ? `${error.reason} ${JSON.stringify(error.facts)}` : String(error);
    };
    expect(await reason(await zstd({ bytes: 1001 }))).toBe('BATCH_TOO_LARGE {"bytes":1001,"bytes_max":1000}');
    expect(await reason(await zstd({ count: 11 }))).toBe('BATCH_TOO_LARGE {"records":11,"records_max":10}');
    expect(await reason(await zstd({ payload: new Uint8Array(1001) }))).toBe(
      'BATCH_TOO_LARGE {"bytes":1001,"bytes_max":1000}',
    );
    expect(await reason(await zstd())).toBe('Error: decompressed');
    const large = new ProtobufWriter().bytes(4, encodeRecordSet([textRecord('x'.repeat(1000))])).finish();
    expect(await verifyReason(large, limits)).toBe('BATCH_TOO_LARGE');
  });

  test('the default limits are those of the API: a record of 1 MiB, a batch of 8 MiB and 10,000 records', async () => {
    const record = (bytes: number): Uint8Array => encodeRecordSet([{ value: new Uint8Array(bytes) }]);
    const mebi = 1024 * 1024;
    expect(await verifyReason(new ProtobufWriter().bytes(4, record(mebi - 4)).finish())).toBe('accepted');
    expect(await verifyReason(new ProtobufWriter().bytes(4, record(mebi - 3)).finish())).toBe('RECORD_TOO_LARGE');
    const many = (count: number): Uint8Array =>
      new ProtobufWriter().bytes(4, encodeRecordSet(Array.from({ length: count }, () => textRecord('')))).finish();
    expect(await verifyReason(many(10_000))).toBe('accepted');
    expect(await verifyReason(many(10_001))).toBe('BATCH_TOO_LARGE');
    const eight = new ProtobufWriter();
    for (let index = 0; index < 9; index++) eight.message(1, new ProtobufWriter().bytes(1, new Uint8Array(mebi - 4)));
    expect(await verifyReason(new ProtobufWriter().bytes(4, eight.finish()).finish())).toBe('BATCH_TOO_LARGE');
  });
});
