import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asLsn, asSeq } from '../../src/base/ids.js';
import { isLogboomError } from '../../src/base/errors.js';
import { CompressionError } from '../../src/base/ports/compressor.js';
import { defaultStreamsLimits } from '../../src/streams/limits.js';
import { parseRecordBatch, verifyBatch } from '../../src/streams/record-batch.js';
import type { Page, PageSlice, StreamView } from '../../src/streams/types.js';
import {
  decodeAppendRequest,
  decodeAppendSessionRequest,
  decodeGetContextRequest,
  decodeReadRequest,
  decodeTailRequest,
} from '../../src/server/wire/requests.js';
import {
  encodeAppendResponse,
  encodeAppendSessionOk,
  encodeGetContextResponse,
  encodeReadResponse,
  encodeTailResponse,
} from '../../src/server/wire/responses.js';
import { streamCodecs } from './support/proto-codecs.js';
import type { Message } from './support/proto-codecs.js';

const uint53 = fc.maxSafeNat();
const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const optional = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(value, { nil: undefined });
/** Without the fields that are undefined, which proto-loader would set. */
const compact = (message: object): object =>
  Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined));
const numberOrNone = (value: unknown): number | undefined => (value === undefined ? undefined : Number(value));

const record = fc.record({
  value: fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  attributes: fc.array(fc.record({ key: text, value: text }), { maxLength: 2 }),
});
const batch = fc.oneof(
  fc.record({ records: fc.record({ records: fc.array(record, { maxLength: 3 }) }), recordCount: uint32 }),
  fc.record({
    codec: fc.constant(1),
    compressed: fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    uncompressedBytes: uint32,
  }),
);
const append = fc.record({
  stream: text,
  batch: optional(batch),
  producer: optional(fc.record({ id: text, epoch: uint53, firstRecordNumber: uint53 })),
  expectedNextSeq: optional(uint53),
  fencingToken: optional(text),
  expectedEpoch: optional(uint53),
});
const start = fc.oneof(
  fc.constant({}),
  fc.record({ fromSeq: uint53 }),
  fc.record({ sinceUnixMs: fc.maxSafeInteger() }),
  fc.record({ last: uint53 }),
  fc.record({ pageToken: text }),
);
const codecs = fc.uniqueArray(fc.integer({ min: -5, max: 5 }), { maxLength: 5 });
const read = fc
  .record({
    stream: text,
    direction: fc.constantFrom(0, 1),
    limit: optional(uint32),
    maxBytes: optional(uint32),
    acceptCodecs: codecs,
    expectedEpoch: optional(uint53),
    start,
  })
  .map(({ start: chosen, ...rest }) => compact({ ...rest, ...chosen }));
const context = fc
  .record({
    stream: text,
    seq: uint53,
    before: uint32,
    after: uint32,
    scope: fc.constantFrom(0, 1),
    maxBytes: optional(uint32),
    acceptCodecs: codecs,
    expectedEpoch: optional(uint53),
  })
  .map(compact);

/** Fields that no version of the schema knows, well-formed, at the end of a message. */
const unknownFields = fc
  .array(
    fc.oneof(
      fc.constant(Buffer.from([0xf8, 0x07, 0xff, 0x01])),
      fc.constant(Buffer.from([0xf9, 0x07, 1, 2, 3, 4, 5, 6, 7, 8])),
      fc.constant(Buffer.from([0xfa, 0x07, 3, 1, 2, 3])),
      fc.constant(Buffer.from([0xfd, 0x07, 1, 2, 3, 4])),
    ),
    { maxLength: 3 },
  )
  .map((parts) => Buffer.concat(parts));

function startOf(message: Message, none: string): unknown {
  switch (message['start']) {
    case 'fromSeq':
      return { type: 'seq', seq: Number(message['fromSeq']) };
    case 'sinceUnixMs':
      return { type: 'since', timeMs: Number(message['sinceUnixMs']) };
    case 'last':
      return { type: 'last', count: Number(message['last']) };
    case 'pageToken':
      return { type: 'token', token: message['pageToken'] };
    default:
      return { type: none };
  }
}

function codecNumbers(names: unknown): number[] {
  const numbers = (names as (string | number)[]).map((name) =>
    name === 'CODEC_NONE' ? 0 : name === 'CODEC_ZSTD' ? 1 : Number(name),
  );
  return [...new Set(numbers)];
}

/** A request as proto-loader decodes it, in the shape of the server's own decoders. */
const shapes: Readonly<Record<string, (message: Message) => unknown>> = {
  Append: (message) => {
    const producer = message['producer'] as Message | null;
    return {
      stream: message['stream'],
      producer: producer
        ? {
            id: producer['id'],
            epoch: Number(producer['epoch']),
            firstRecordNumber: Number(producer['firstRecordNumber']),
          }
        : undefined,
      expectedNextSeq: numberOrNone(message['expectedNextSeq']),
      fencingToken: message['fencingToken'],
      expectedEpoch: numberOrNone(message['expectedEpoch']),
    };
  },
  Read: (message) => ({
    stream: message['stream'],
    start: startOf(message, 'edge'),
    direction: message['direction'] === 'DIRECTION_BACKWARD' ? 'backward' : 'forward',
    limit: message['limit'],
    maxBytes: message['maxBytes'],
    acceptCodecs: codecNumbers(message['acceptCodecs']),
    expectedEpoch: numberOrNone(message['expectedEpoch']),
  }),
  Tail: (message) => ({
    stream: message['stream'],
    start: startOf(message, 'end'),
    maxBytes: message['maxBytes'],
    acceptCodecs: codecNumbers(message['acceptCodecs']),
    expectedEpoch: numberOrNone(message['expectedEpoch']),
  }),
  GetContext: (message) => ({
    stream: message['stream'],
    seq: Number(message['seq']),
    before: message['before'],
    after: message['after'],
    scope: message['scope'] === 'CONTEXT_SCOPE_PRODUCER' ? 'producer' : 'stream',
    maxBytes: message['maxBytes'],
    acceptCodecs: codecNumbers(message['acceptCodecs']),
    expectedEpoch: numberOrNone(message['expectedEpoch']),
  }),
};

const startFields = ['fromSeq', 'sinceUnixMs', 'last', 'pageToken'];
const refusals = /^(INVALID_ARGUMENT|BATCH_\w+|CODEC_NOT_SUPPORTED)$/;
const withoutBatch = ({ batch: _batch, ...rest }: ReturnType<typeof decodeAppendRequest>): object => rest;

/** Of an append, what is proposed: request and batch. Without a compressor, compressed batches are all refused. */
async function verifiedAppend(bytes: Uint8Array): Promise<object> {
  const request = decodeAppendRequest(bytes);
  const compressor = {
    compress: () => Promise.reject(new Error('unused')),
    decompress: () => Promise.reject(new CompressionError('none')),
  };
  if (request.batch)
    await verifyBatch(parseRecordBatch(request.batch), { compressor, crc32, limits: defaultStreamsLimits });
  return withoutBatch(request);
}

const decoders: Readonly<Record<string, readonly [fc.Arbitrary<object>, (bytes: Uint8Array) => object]>> = {
  Append: [append.map(compact), (bytes) => withoutBatch(decodeAppendRequest(bytes))],
  Read: [read, decodeReadRequest],
  Tail: [
    read.map((message) => ({ ...message, direction: undefined, limit: undefined })).map(compact),
    decodeTailRequest,
  ],
  GetContext: [context, decodeGetContextRequest],
};

describe.each(Object.keys(decoders))('request of %s', (method) => {
  const [messages, decode] = decoders[method]!;
  const { encodeRequest, decodeRequest } = streamCodecs(method);
  const shape = shapes[method]!;

  test('reads what protobufjs writes, also among unknown fields', () => {
    fc.assert(
      fc.property(messages, unknownFields, (message, unknown) => {
        const bytes = Buffer.concat([unknown, encodeRequest(message), unknown]);
        expect(decode(bytes)).toEqual(shape(decodeRequest(bytes)));
      }),
    );
  });

  test('of mutated bytes it refuses more than protobufjs, and never reads something else', async () => {
    const strict = method === 'Append' ? verifiedAppend : async (bytes: Uint8Array) => decode(bytes);
    await fc.assert(
      fc.asyncProperty(
        messages,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        async (message, flips, cut) => {
          let bytes = Buffer.from(encodeRequest(message));
          for (const [at, value] of flips) if (bytes.length > 0) bytes[at % bytes.length] = value;
          if (cut % 3 === 0) bytes = bytes.subarray(0, cut % (bytes.length + 1));
          let decoded: object;
          try {
            decoded = await strict(bytes);
          } catch (error) {
            if (!isLogboomError(error) || !refusals.test(error.reason)) throw error;
            return;
          }
          const agreed = decodeRequest(bytes);
          // Of a oneof the last field counts; protobufjs keeps all that came, and does not say which was the last.
          if (startFields.filter((field) => agreed[field] !== undefined).length > 1) return;
          expect(decoded).toEqual(shape(agreed));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('of arbitrary bytes it answers a message or INVALID_ARGUMENT', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decode(bytes);
        } catch (error) {
          if (!isLogboomError(error, 'INVALID_ARGUMENT')) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('append requests', () => {
  test('hand over the batch as its bytes came', () => {
    const { encodeRequest } = streamCodecs('Append');
    fc.assert(
      fc.property(append.map(compact), (message) => {
        const { batch: given } = message as { batch?: object };
        const decoded = decodeAppendRequest(encodeRequest(message)).batch;
        if (given === undefined) {
          expect(decoded).toBeUndefined();
          return;
        }
        // The batch alone, as the field of a message that holds nothing else.
        const alone = encodeRequest({ batch: given });
        const headerBytes = alone.length - (decoded?.length ?? 0);
        expect(Buffer.from(decoded!)).toEqual(alone.subarray(headerBytes));
      }),
    );
  });

  test('refuse a batch or a producer that comes twice, where decoders differ', () => {
    const { encodeRequest } = streamCodecs('Append');
    for (const message of [{ batch: { recordCount: 1 } }, { producer: { id: 'a' } }]) {
      const twice = Buffer.concat([encodeRequest(message), encodeRequest(message)]);
      expect(() => decodeAppendRequest(twice)).toThrow('twice');
    }
  });
});

describe('append sessions', () => {
  const session = streamCodecs('AppendSession');

  test('the request id goes back as it came, all 64 bits, and the append is its bytes', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), append.map(compact), (requestId, message) => {
        const request = decodeAppendSessionRequest(
          session.encodeRequest({ requestId: requestId.toString(), append: message }),
        );
        expect(Buffer.from(request.append!)).toEqual(streamCodecs('Append').encodeRequest(message));
        const ok = session.decodeResponse(encodeAppendSessionOk(request.requestId, appended));
        expect(ok['requestId']).toBe(requestId.toString());
        expect(ok['result']).toBe('ok');
        expect(ok['ok']).toEqual(streamCodecs('Append').decodeResponse(encodeAppendResponse(appended)));
      }),
    );
  });

  test('without fields there is no append, and the id is 0', () => {
    const request = decodeAppendSessionRequest(Buffer.alloc(0));
    expect(request.append).toBeUndefined();
    expect(session.decodeResponse(encodeAppendSessionOk(request.requestId, appended))['requestId']).toBe('0');
  });

  test('malformed messages are refused', () => {
    for (const bytes of [
      [0x0a, 0],
      [0x08],
      [0x12, 9, 1],
      [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ]) {
      expect(() => decodeAppendSessionRequest(Buffer.from(bytes))).toThrow('AppendSessionRequest');
    }
  });
});

const appended = {
  type: 'appended',
  streamEpoch: 2 ** 52 + 1,
  firstSeq: asSeq(7),
  lastSeq: asSeq(2 ** 53 - 1),
  lsn: asLsn(9),
  appendTimeMs: 1_763_678_000_123,
  repeated: true,
} as const;

test('append responses', () => {
  expect(streamCodecs('Append').decodeResponse(encodeAppendResponse(appended))).toEqual({
    firstSeq: '7',
    lastSeq: '9007199254740991',
    streamEpoch: '4503599627370497',
    lsn: '9',
    appendTimeUnixMs: '1763678000123',
    durability: 'DURABILITY_QUORUM_SYNCED',
    repeated: true,
  });
});

describe('pages', () => {
  const slice: fc.Arbitrary<PageSlice> = fc.record({
    firstSeq: uint53.map(asSeq),
    appendTimeMs: uint53,
    lsn: uint53.map(asLsn),
    codec: fc.constantFrom(0 as const, 1 as const),
    recordCount: uint32,
    uncompressedBytes: uint32,
    payload: fc.array(record, { maxLength: 3 }).map(
      // The encoded RecordSet: the batch's field without tag and length.
      (records) =>
        streamCodecs('Append')
          .encodeRequest({ batch: { records: { records } } })
          .subarray(4),
    ),
    windowOffset: uint32,
    windowCount: uint32,
    producer: optional(fc.record({ id: text, epoch: uint53, firstRecordNumber: uint53 })),
  });
  const stream = { firstSeq: asSeq(3), nextSeq: asSeq(12), epoch: 77 } as StreamView;

  const shown = (slices: readonly PageSlice[], batches: unknown): void => {
    const decoded = batches as Message[];
    expect(decoded).toHaveLength(slices.length);
    for (const [index, expected] of slices.entries()) {
      const actual = decoded[index]!;
      const inner = actual['batch'] as Message;
      expect(actual).toMatchObject({
        firstSeq: String(expected.firstSeq),
        appendTimeUnixMs: String(expected.appendTimeMs),
        lsn: String(expected.lsn),
        windowOffset: expected.windowOffset,
        windowCount: expected.windowCount,
        producer: expected.producer
          ? {
              id: expected.producer.id,
              epoch: String(expected.producer.epoch),
              firstRecordNumber: String(expected.producer.firstRecordNumber),
            }
          : null,
      });
      expect(inner).toMatchObject({ recordCount: expected.recordCount, uncompressedBytes: expected.uncompressedBytes });
      expect(inner['codec']).toBe(expected.codec === 0 ? 'CODEC_NONE' : 'CODEC_ZSTD');
      if (expected.codec === 1) expect(inner['compressed']).toEqual(Buffer.from(expected.payload));
      else expect(inner['payload']).toBe('records');
    }
  };

  test('of Read and Tail', () => {
    fc.assert(
      fc.property(
        fc.array(slice, { maxLength: 3 }),
        fc.constantFrom('limit' as const, 'stream' as const),
        (raw, end) => {
          // Payloads of uncompressed slices must be record sets for protobufjs to decode them.
          const slices = raw.map((item) =>
            item.payload.length === 0 ? { ...item, payload: new Uint8Array(0) } : item,
          );
          const page: Page = {
            slices: slices.map(safePayload),
            recordCount: 5,
            next: null as never,
            nextPageToken: 'tok',
            end,
            stream,
          };
          const position = { recordCount: 5, nextPageToken: 'tok', firstSeq: '3', nextSeq: '12', streamEpoch: '77' };
          const readResponse = streamCodecs('Read').decodeResponse(encodeReadResponse(page));
          expect(readResponse).toMatchObject({
            ...position,
            end: end === 'limit' ? 'PAGE_END_LIMIT' : 'PAGE_END_STREAM',
          });
          shown(page.slices, readResponse['batches']);
          const tailResponse = streamCodecs('Tail').decodeResponse(encodeTailResponse(page));
          expect(tailResponse).toMatchObject(position);
          shown(page.slices, tailResponse['batches']);
        },
      ),
    );
  });

  test('of GetContext', () => {
    fc.assert(
      fc.property(fc.array(slice, { maxLength: 3 }), fc.boolean(), fc.boolean(), (slices, moreBefore, moreAfter) => {
        const page = { slices: slices.map(safePayload), beforeCount: 1, afterCount: 2, moreBefore, moreAfter, stream };
        const response = streamCodecs('GetContext').decodeResponse(encodeGetContextResponse(page));
        expect(response).toMatchObject({
          beforeCount: 1,
          afterCount: 2,
          moreBefore,
          moreAfter,
          firstSeq: '3',
          nextSeq: '12',
          streamEpoch: '77',
        });
        shown(page.slices, response['batches']);
      }),
    );
  });

  /** An encoded RecordSet of one record for slices without codec. */
  function safePayload(item: PageSlice): PageSlice {
    return item.codec === 0 ? { ...item, payload: Uint8Array.of(0x0a, 3, 0x0a, 1, 0x61) } : item;
  }
});
