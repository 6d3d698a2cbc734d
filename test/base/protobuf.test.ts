import { loadSync } from '@grpc/proto-loader';
import type { MessageTypeDefinition } from '@grpc/proto-loader';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isUtf8, ProtobufError, ProtobufReader, ProtobufWriter, varintBytes } from '../../src/base/protobuf.js';

const proto = loadSync('proto/logboom/v1/streams.proto', { longs: Number, enums: Number });
interface Tested {
  firstSeq?: number;
  appendTimeUnixMs?: number;
  producer?: { id: string; epoch: number };
}
const BatchSlice = proto['logboom.v1.BatchSlice'] as MessageTypeDefinition<Tested, Tested>;
const AppendError = proto['logboom.v1.AppendError'] as MessageTypeDefinition<object, object>;

const only = (...bytes: number[]): ProtobufReader => {
  const reader = new ProtobufReader(Uint8Array.from(bytes));
  expect(reader.next()).toBe(true);
  return reader;
};

describe('ProtobufWriter and ProtobufReader', () => {
  test('agree with protobufjs on numbers, texts and nested messages', () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.maxSafeInteger(),
        fc.string({ unit: 'grapheme', maxLength: 400 }),
        fc.boolean(),
        (seq, time, id, retryable) => {
          const bytes = new ProtobufWriter()
            .uint64(1, seq)
            .int64(2, time)
            .message(7, new ProtobufWriter().string(1, id).uint64(2, seq))
            .finish();
          const decoded = BatchSlice.deserialize(Buffer.from(bytes));
          expect(decoded).toMatchObject({ firstSeq: seq, appendTimeUnixMs: time, producer: { id, epoch: seq } });
          expect(bytes).toHaveLength(BatchSlice.serialize(decoded).length);

          const reader = new ProtobufReader(BatchSlice.serialize(decoded));
          reader.next();
          expect(reader.uint64()).toBe(seq);
          reader.next();
          expect(reader.int64()).toBe(time);
          reader.next();
          const nested = reader.message();
          nested.next();
          expect(nested.string()).toBe(id);
          nested.next();
          nested.skip();
          expect(nested.next()).toBe(false);
          expect(reader.next()).toBe(false);

          const error = new ProtobufReader(AppendError.serialize({ code: -5, message: id, retryable }));
          error.next();
          expect(error.int32()).toBe(-5);
          error.next();
          expect(error.string()).toBe(id);
          error.next();
          expect(error.bool()).toBe(retryable);
        },
      ),
    );
  });

  test('nested writers and raw parts are put together in order, whatever their size', () => {
    const part = new Uint8Array(1000).fill(7);
    const inner = new ProtobufWriter().uint64(1, 1).bytes(2, part).uint64(3, 3);
    const other = new ProtobufWriter();
    for (let index = 0; index < 500; index++) other.uint64(4, index);
    const bytes = new ProtobufWriter().bool(1, true).message(2, inner).raw(other).finish();
    const reader = new ProtobufReader(bytes);
    const seen: number[] = [];
    while (reader.next()) {
      if (reader.field === 4) seen.push(reader.uint64());
      else if (reader.field === 2) expect(reader.bytes()).toEqual(inner.finish());
      else expect(reader.bool()).toBe(true);
    }
    expect(seen).toEqual(Array.from({ length: 500 }, (_, index) => index));
  });

  test.each<[string, number[], (reader: ProtobufReader) => unknown]>([
    ['a varint that is cut', [0x08, 0x80], (reader) => reader.uint64()],
    ['a varint of eleven bytes', [0x08, ...Array<number>(10).fill(0x80), 0], (reader) => reader.uint64()],
    ['a varint of more than 64 bits', [0x08, ...Array<number>(9).fill(0x80), 2], (reader) => reader.uint64()],
    ['a uint64 beyond 2^53', [0x08, ...Array<number>(7).fill(0x80), 0x10], (reader) => reader.uint64()],
    ['a uint32 of 33 bits', [0x08, 0x80, 0x80, 0x80, 0x80, 0x10], (reader) => reader.uint32()],
    ['an int32 of 33 bits', [0x08, 0x80, 0x80, 0x80, 0x80, 0x08], (reader) => reader.int32()],
    ['another wire type', [0x0d, 1, 2, 3, 4], (reader) => reader.uint64()],
    ['bytes that are cut', [0x0a, 2, 1], (reader) => reader.bytes()],
    ['a text that is not UTF-8', [0x0a, 1, 0x80], (reader) => reader.string()],
    ['a message that is cut', [0x0a, 2, 1], (reader) => reader.message()],
    ['a group', [0x0b, 0x0c], (reader) => reader.skip()],
    ['wire type 7', [0x0f], (reader) => reader.skip()],
    ['a fixed64 that is cut', [0x09, 1], (reader) => reader.skip()],
    ['skipped bytes that are cut', [0x0a, 5], (reader) => reader.skip()],
  ])('refuses %s', (_what, bytes, read) => {
    const reader = only(...bytes);
    expect(() => read(reader)).toThrow(ProtobufError);
  });

  test('refuses field number 0 and a cut tag', () => {
    expect(() => new ProtobufReader(Uint8Array.from([0x00])).next()).toThrow(ProtobufError);
    expect(() => new ProtobufReader(Uint8Array.from([0x80])).next()).toThrow(ProtobufError);
  });

  test('the writer refuses what is no unsigned integer', () => {
    for (const value of [-1, 0.5, 2 ** 53, Number.NaN])
      expect(() => new ProtobufWriter().uint64(1, value)).toThrow(ProtobufError);
  });

  test('only ProtobufError comes out of random bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 30 }),
        fc.array(fc.nat({ max: 7 }), { minLength: 10, maxLength: 10 }),
        (bytes, calls) => {
          const reader = new ProtobufReader(bytes);
          try {
            for (const call of calls) {
              if (!reader.next()) return;
              [
                () => reader.uint32(),
                () => reader.int32(),
                () => reader.uint64(),
                () => reader.int64(),
                () => reader.bool(),
                () => reader.bytes(),
                () => reader.string(),
                () => reader.skip(),
              ][call]?.();
            }
          } catch (error) {
            expect(error).toBeInstanceOf(ProtobufError);
          }
        },
      ),
      { numRuns: 20_000 },
    );
  });
});

test('isUtf8 agrees with the strict decoder of the platform', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const agrees = (bytes: Uint8Array): void => {
    let valid = true;
    try {
      decoder.decode(bytes);
    } catch {
      valid = false;
    }
    expect(isUtf8(bytes, 0, bytes.length)).toBe(valid);
  };
  const edges = [
    0x00, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf4,
    0xf5, 0xff,
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...edges), { maxLength: 6 }), (bytes) => agrees(Uint8Array.from(bytes))),
    { numRuns: 20_000 },
  );
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => agrees(new TextEncoder().encode(text))));
});

test('varintBytes is the length that the writer needs', () => {
  for (const value of [0, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 35 - 1, 2 ** 35, Number.MAX_SAFE_INTEGER]) {
    expect(new ProtobufWriter().uint64(1, value).finish()).toHaveLength(1 + varintBytes(value));
  }
});
