/** Formats on disk and in the log, byte for byte. A golden file changes only together with a version. */
import { readFileSync, writeFileSync } from 'node:fs';
import { pack } from 'msgpackr';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { isLogboomError } from '../../src/base/errors.js';
import type { Seq } from '../../src/base/ids.js';
import { decodeCommand } from '../../src/streams/commands/codec.js';
import { encodeCommand } from '../../src/streams/index.js';
import type { StreamsCommand } from '../../src/streams/index.js';
import * as values from '../../src/streams/index-values.js';
import * as keys from '../../src/streams/keys.js';
import { encodePageToken } from '../../src/streams/page-token.js';
import { decodeStoredRecords, encodeStoredHead } from '../../src/streams/stored-records.js';
import type { StoredRecords } from '../../src/streams/stored-records.js';
import type { ReadPosition } from '../../src/streams/index.js';
import { crc, encodeRecordSet, textRecord } from './support/records.js';

const encodeStoredRecords = (records: StoredRecords): Uint8Array =>
  Uint8Array.from(Buffer.concat([encodeStoredHead(records, records.firstSeq, records.appendTimeMs), records.payload]));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const large = 0x1f_ffff_ffff_fffe;

const payload = encodeRecordSet([
  textRecord('golden'),
  { value: Buffer.from([0, 255]), timestamp: 1, attributes: [['k', 'ü']] },
]);
const append: StreamsCommand = {
  type: 'append',
  streamId: 3,
  codec: 0,
  recordCount: 2,
  uncompressedBytes: payload.length,
  contentCrc: crc(payload),
  producersMax: 10_000,
  expectedNextSeq: 5,
  fencingToken: 'fence',
  expectedEpoch: large,
  producer: { id: 'producer-ü', epoch: 7, firstRecordNumber: 2 ** 40 },
  payload,
};
const bare: StreamsCommand = {
  ...append,
  expectedNextSeq: undefined,
  fencingToken: undefined,
  expectedEpoch: undefined,
  producer: undefined,
  codec: 1,
};
const commands: Record<string, StreamsCommand> = {
  'create-stream': {
    type: 'create-stream',
    name: 'a/b',
    epoch: large,
    config: { retentionAgeMs: 1, retentionBytes: 2 },
    fencingToken: '',
    ifNotExists: true,
    streamsMax: 20_000,
  },
  'update-stream': {
    type: 'update-stream',
    streamId: 3,
    retentionAgeMs: 0,
    retentionBytes: undefined,
    fencingToken: 'f',
    expectedFencingToken: '',
  },
  'delete-stream': { type: 'delete-stream', streamId: 3, expectedEpoch: undefined },
  append,
  'append bare': bare,
  'set-first-seq': { type: 'set-first-seq', streamId: 3, firstSeq: 2 ** 33 },
  'drop-producers': { type: 'drop-producers', streamId: 3, producerIds: ['p', 'q'], idleMs: 604_800_000 },
};
const stored: StoredRecords = {
  codec: 0,
  recordCount: 2,
  uncompressedBytes: payload.length,
  contentCrc: crc(payload),
  streamId: 3,
  firstSeq: 2 ** 35,
  appendTimeMs: 1_700_000_000_123,
  producer: { id: 'producer-ü', epoch: 7, firstRecordNumber: 2 ** 40 },
  payload,
};
const batch: values.BatchValue = {
  lsn: 9,
  recordCount: 2,
  storedBytes: 25,
  appendTimeMs: 1_700_000_000_123,
  bytesThrough: 2 ** 40,
  producer: { lsn: 8, firstNumber: 2 ** 40 },
};
const producer: values.ProducerValue = {
  lsn: 8,
  epoch: large,
  nextNumber: 2 ** 40,
  lastSeq: 3,
  lastAppendMs: 1_700_000_000_123,
};
const producerBatch: values.ProducerBatchValue = {
  firstSeq: 2 ** 35,
  recordCount: 2,
  contentCrc: 0xdeadbeef,
  uncompressedBytes: 25,
  epoch: 7,
  lsn: 9,
};
const stream: values.StreamValue = {
  name: 'a/ü',
  epoch: large,
  createdMs: 1_700_000_000_000,
  config: { retentionAgeMs: 1, retentionBytes: 2 },
  fencingToken: 'fence',
  firstSeq: 3,
  nextSeq: 4,
  bytesBefore: 5,
  bytesThrough: 6,
  lastAppendMs: 7,
  producerCount: 8,
  forks: [],
};
const forked: values.StreamValue = {
  ...stream,
  forks: [
    { epoch: large, seq: 3 as Seq },
    { epoch: 5, seq: (2 ** 35) as Seq },
  ],
};
const position = { direction: 'backward', seq: 2 ** 35, boundSeq: 3 } as ReadPosition;

const formats: Record<string, string> = {
  ...Object.fromEntries(
    Object.entries(commands).map(([name, command]) => [
      `entry ${name}`,
      hex(encodeCommand(command, { timeMs: 1_700_000_000_123.5 })),
    ]),
  ),
  'records value': hex(encodeStoredRecords(stored)),
  'records value without producer, compressed': hex(
    encodeStoredRecords({ ...stored, codec: 1, producer: undefined, payload: Uint8Array.from([1, 2]) }),
  ),
  'key entry time': hex(keys.entryTimeKey),
  'key stream': hex(keys.streamKey(2 ** 33)),
  'key batch': hex(keys.batchKey(3, large)),
  'key producer': hex(keys.producerKey(3, 'ü')),
  'key producer batch': hex(keys.producerBatchKey(3, 8, 2 ** 40)),
  'key deleted stream': hex(keys.deletedStreamKey(3)),
  'key cleared': hex(keys.clearedKey(3)),
  'value batch': hex(values.encodeBatchValue(batch)),
  'value batch without producer': hex(values.encodeBatchValue({ ...batch, producer: undefined })),
  'value producer': hex(values.encodeProducerValue(producer)),
  'value producer batch': hex(values.encodeProducerBatchValue(producerBatch)),
  'value stream': hex(values.encodeStreamValue(stream)),
  'value stream, restored': hex(values.encodeStreamValue(forked)),
  'value number': hex(values.encodeNumberValue(large)),
  'page token': encodePageToken({ name: 'a/ü', epoch: large }, position, crc),
};

test('golden file', () => {
  const path = new URL('./golden/formats-v1.json', import.meta.url);
  if (process.env['LOGBOOM_UPDATE_GOLDEN'] === '1') writeFileSync(path, `${JSON.stringify(formats, undefined, 2)}\n`);
  expect(formats).toEqual(JSON.parse(readFileSync(path, 'utf8')));
});

describe('what is encoded is decoded', () => {
  test.each(Object.entries(commands))('%s', (_name, command) => {
    expect(decodeCommand(encodeCommand(command, { timeMs: 12.9 }))).toEqual({ timeMs: 12, command });
  });

  test('an append keeps its payload in place', () => {
    const entry = encodeCommand(append, { timeMs: 1 });
    const decoded = decodeCommand(entry).command;
    expect(decoded.type === 'append' && decoded.payload.buffer === entry.buffer).toBe(true);
  });

  test('values', () => {
    expect(values.decodeBatchValue(values.encodeBatchValue(batch))).toEqual(batch);
    expect(values.decodeBatchValue(values.encodeBatchValue({ ...batch, producer: undefined }))).toEqual({
      ...batch,
      producer: undefined,
    });
    expect(values.decodeProducerValue(values.encodeProducerValue(producer))).toEqual(producer);
    expect(values.decodeProducerBatchValue(values.encodeProducerBatchValue(producerBatch))).toEqual(producerBatch);
    expect(values.decodeStreamValue(values.encodeStreamValue(stream))).toEqual(stream);
    expect(values.decodeStreamValue(values.encodeStreamValue(forked))).toEqual(forked);
    expect(values.decodeNumberValue(values.encodeNumberValue(large))).toBe(large);
    expect(decodeStoredRecords(encodeStoredRecords(stored))).toEqual(stored);
  });

  test('keys', () => {
    const key = keys.producerBatchKey(3, 8, 2 ** 40);
    expect([keys.keyStreamId(key), keys.keyFirstNumber(key)]).toEqual([3, 2 ** 40]);
    expect(keys.keyFirstSeq(keys.batchKey(3, large))).toBe(large);
    expect(keys.keyProducerId(keys.producerKey(3, 'ü'))).toBe('ü');
  });

  test('the order of keys is the order of numbers', () => {
    const order = (a: number, b: number): number => Buffer.compare(keys.batchKey(1, a), keys.batchKey(1, b));
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(order(a, b)).toBe(Math.sign(a - b));
      }),
    );
  });
});

describe('damage', () => {
  const decoders: [string, string, (bytes: Uint8Array) => unknown][] = [
    ['records value', formats['records value']!, decodeStoredRecords],
    ['batch', formats['value batch']!, values.decodeBatchValue],
    ['producer', formats['value producer']!, values.decodeProducerValue],
    ['producer batch', formats['value producer batch']!, values.decodeProducerBatchValue],
    ['stream', formats['value stream']!, values.decodeStreamValue],
    ['number', formats['value number']!, values.decodeNumberValue],
  ];

  test.each(decoders)(
    'only DATA_CORRUPT comes out of the decoder of a %s, and every truncation is found',
    (_what, golden, decode) => {
      const bytes = Buffer.from(golden, 'hex');
      for (let length = 0; length < bytes.length; length++) expectCorrupt(() => decode(bytes.subarray(0, length)));
      expectCorrupt(() => decode(Uint8Array.from([2, ...bytes.subarray(1)])));
      fc.assert(
        fc.property(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }), (at, value) => {
          const altered = Uint8Array.from(bytes);
          altered[at] = value;
          corruptOrNot(() => decode(altered));
        }),
        { numRuns: 2000 },
      );
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 120 }), (random) => corruptOrNot(() => decode(random))),
        { numRuns: 2000 },
      );
    },
  );

  test('only InvariantViolation comes out of the decoder of entries', () => {
    const violationOrNot = (bytes: Uint8Array): void => {
      try {
        decodeCommand(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(InvariantViolation);
      }
    };
    for (const command of Object.values(commands)) {
      const entry = encodeCommand(command, { timeMs: 1_700_000_000_123 });
      for (let length = 0; length < entry.length; length++) violationOrNot(entry.slice(0, length));
      fc.assert(
        fc.property(fc.nat({ max: entry.length - 1 }), fc.nat({ max: 255 }), (at, value) => {
          const altered = entry.slice();
          altered[at] = value;
          violationOrNot(altered);
        }),
        { numRuns: 3000 },
      );
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), violationOrNot), { numRuns: 5000 });
    const behindHeader = fc
      .uint8Array({ maxLength: 60 })
      .map((bytes) => Uint8Array.from([1, 4, 0, 0, 0, bytes.length, ...bytes]));
    fc.assert(fc.property(behindHeader, violationOrNot), { numRuns: 20_000 });
  });

  test('an entry of a newer version says so', () => {
    const entry = encodeCommand(append, { timeMs: 1 });
    const altered = (at: number, value: number): Uint8Array => {
      const copy = entry.slice();
      copy[at] = value;
      return copy;
    };
    expect(() => decodeCommand(altered(0, 2))).toThrow(/envelope version 2, this node knows 1/);
    expect(() => decodeCommand(altered(1, 99))).toThrow(/newer version: command type 99 is not known/);
    const header = pack([2, 1]);
    const newer = Uint8Array.from([1, 4, 0, 0, 0, header.length, ...header]);
    expect(() => decodeCommand(newer)).toThrow(/newer version: command type 4 has version 2, this node knows 1/);
    expect(() => decodeCommand(altered(5, 200))).toThrow(/cannot be decoded: its header ends at/);
    const bareHeader = pack('text');
    expect(() => decodeCommand(Uint8Array.from([1, 4, 0, 0, 0, bareHeader.length, ...bareHeader]))).toThrow(
      /not an array/,
    );
    expect(() => decodeCommand(encodeCommand({ ...append, payload: new Uint8Array(0) }, { timeMs: 1 }))).toThrow(
      /without records/,
    );
    expect(() =>
      decodeCommand(Uint8Array.from([...encodeCommand(commands['set-first-seq']!, { timeMs: 1 }), 0])),
    ).toThrow(/without payload/);
  });
});

function corruptOrNot(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    expect(isLogboomError(error, 'DATA_CORRUPT')).toBe(true);
  }
}

function expectCorrupt(decode: () => unknown): void {
  let reason = 'accepted';
  try {
    decode();
  } catch (error) {
    reason = isLogboomError(error) ? error.reason : String(error);
  }
  expect(reason).toBe('DATA_CORRUPT');
}
