import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import type { LogboomError } from '../../src/base/errors.js';
import { decodePageToken, encodePageToken } from '../../src/streams/page-token.js';
import type { Direction, ReadPosition } from '../../src/streams/index.js';
import { TestPartition } from './support/partition.js';
import { crc } from './support/records.js';

const stream = { name: 'orders/eu', epoch: 0x1f_1234_5678_9abc, firstSeq: 10, nextSeq: 2 ** 40, forks: [] } as const;
type TokenStream = Parameters<typeof decodePageToken>[1];
const asStream = stream as unknown as TokenStream;
const position = (seq: number, boundSeq = 0, direction: Direction = 'forward'): ReadPosition =>
  ({ direction, seq, boundSeq }) as ReadPosition;

const decode = (token: string, direction: Direction = 'forward', of: TokenStream = asStream): ReadPosition =>
  decodePageToken(token, of, direction, crc);
function errorOf(act: () => unknown): LogboomError {
  try {
    act();
  } catch (error) {
    if (isLogboomError(error)) return error;
    throw error;
  }
  throw new Error('accepted');
}

describe('page tokens', () => {
  test('carry the position', () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat(),
        fc.maxSafeNat(),
        fc.constantFrom<Direction>('forward', 'backward'),
        (seq, bound, direction) => {
          const token = encodePageToken(stream, position(seq, bound, direction), crc);
          expect(token).toMatch(/^[A-Za-z0-9_-]{48}$/);
          expect(decode(token, direction)).toEqual({ direction, seq, boundSeq: bound });
        },
      ),
    );
  });

  test('every truncation and every extension is refused', () => {
    const token = encodePageToken(stream, position(12), crc);
    for (let length = 0; length < token.length; length++) {
      expect(errorOf(() => decode(token.slice(0, length))).reason).toBe('PAGE_TOKEN_INVALID');
      expect(errorOf(() => decode(token.slice(length + 1))).reason).toBe('PAGE_TOKEN_INVALID');
    }
    for (const more of ['A', '=', '\n', 'AAAA'])
      expect(errorOf(() => decode(token + more)).reason).toBe('PAGE_TOKEN_INVALID');
  });

  test('every single bit that is altered, in the text and in the bytes', () => {
    for (const direction of ['forward', 'backward'] as const) {
      const token = encodePageToken(stream, position(123_456, 7, direction), crc);
      const text = Buffer.from(token, 'latin1');
      for (let bit = 0; bit < text.length * 8; bit++) {
        const altered = Buffer.from(text);
        altered[bit >>> 3]! ^= 1 << (bit & 7);
        expect(errorOf(() => decode(altered.toString('latin1'), direction)).reason).toBe('PAGE_TOKEN_INVALID');
      }
      const bytes = Buffer.from(token, 'base64url');
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const altered = Buffer.from(bytes);
        altered[bit >>> 3]! ^= 1 << (bit & 7);
        expect(errorOf(() => decode(altered.toString('base64url'), direction)).reason).toBe('PAGE_TOKEN_INVALID');
      }
    }
  });

  test('only LogboomError comes out of random texts', () => {
    const reasons = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.stringMatching(/^[A-Za-z0-9_-]{48}$/));
    fc.assert(
      fc.property(reasons, (text) => void expect(errorOf(() => decode(text)).reason).toBe('PAGE_TOKEN_INVALID')),
      { numRuns: 1000 },
    );
  });

  test('another version', () => {
    const bytes = Buffer.from(encodePageToken(stream, position(12), crc), 'base64url');
    bytes[0] = 2;
    bytes.writeUInt32BE(crc(bytes.subarray(0, 32)), 32);
    expect(errorOf(() => decode(bytes.toString('base64url'))).message).toContain('version 2');
    bytes[0] = 1;
    bytes[1] = 2;
    bytes.writeUInt32BE(crc(bytes.subarray(0, 32)), 32);
    expect(errorOf(() => decode(bytes.toString('base64url'))).reason).toBe('PAGE_TOKEN_INVALID');
  });

  test('another stream, another epoch, another direction; in this order', () => {
    const token = encodePageToken(stream, position(12), crc);
    expect(errorOf(() => decode(token, 'backward', { ...asStream, name: 'orders/us', epoch: 1 })).reason).toBe(
      'PAGE_TOKEN_WRONG_STREAM',
    );
    const mismatch = errorOf(() => decode(token, 'backward', { ...asStream, epoch: 1 }));
    expect(mismatch.reason).toBe('STREAM_EPOCH_MISMATCH');
    expect(mismatch.facts).toEqual({ stream_epoch: 1, first_seq: 10, next_seq: 2 ** 40 });
    const wrong = errorOf(() => decode(token, 'backward'));
    expect(wrong.reason).toBe('PAGE_TOKEN_WRONG_DIRECTION');
    expect(wrong.facts).toEqual({ token_direction: 'forward' });
  });
});

describe('tokens of a stream that has changed since', () => {
  let partition: TestPartition;
  const read = async (
    token: string,
    direction: Direction = 'forward',
    limit = 10,
  ): Promise<{ values: number; token: string; end: string }> => {
    const page = await partition.pages.readPage(partition.store, 's', {
      start: { type: 'token', token },
      direction,
      limit,
    });
    return { values: page.recordCount, token: page.nextPageToken, end: page.end };
  };
  const tokenAt = (seq: number, direction: Direction = 'forward', boundSeq = 0): string =>
    encodePageToken(partition.view('s'), position(seq, boundSeq, direction), crc);
  const reason = async (token: string, direction: Direction = 'forward'): Promise<string> => {
    const answer: unknown = await read(token, direction).catch((error: unknown) => error);
    return isLogboomError(answer) ? `${answer.reason} ${answer.facts['first_seq']}` : JSON.stringify(answer);
  };

  beforeEach(async () => {
    partition = new TestPartition();
    partition.create('s');
    for (let batch = 0; batch < 3; batch++) await partition.mustAppend('s', ['a', 'b', 'c']);
  });

  test('continue after a restart, and with what is appended later', async () => {
    const page = await read(tokenAt(7));
    expect(page).toMatchObject({ values: 2, end: 'stream' });
    await partition.restart();
    expect(await read(page.token)).toMatchObject({ values: 0, end: 'stream', token: page.token });
    await partition.mustAppend('s', ['d']);
    expect(await read(page.token)).toMatchObject({ values: 1, end: 'stream' });
  });

  test('below retention', async () => {
    partition.run({ type: 'set-first-seq', streamId: 1, firstSeq: 6 });
    expect(await reason(tokenAt(5))).toBe('RECORD_TRIMMED 6');
    expect(await read(tokenAt(6))).toMatchObject({ values: 3 });
    expect(await reason(tokenAt(5, 'backward'), 'backward')).toBe('RECORD_TRIMMED 6');
    expect(await read(tokenAt(6, 'backward'), 'backward')).toMatchObject({ values: 0, end: 'stream' });
    expect(await read(tokenAt(4, 'backward', 4), 'backward')).toMatchObject({ values: 0, end: 'stream' });
  });

  test('beyond the end', async () => {
    expect(await reason(tokenAt(10))).toBe('SEQ_BEYOND_END 0');
    expect(await reason(tokenAt(10, 'backward'), 'backward')).toBe('SEQ_BEYOND_END 0');
    expect(await read(tokenAt(9))).toMatchObject({ values: 0, end: 'stream' });
  });

  test('of a deleted and recreated stream', async () => {
    const token = tokenAt(3);
    partition.run({ type: 'delete-stream', streamId: 1, expectedEpoch: undefined });
    await expect(read(token)).rejects.toMatchObject({ reason: 'STREAM_NOT_FOUND' });
    partition.create('s');
    expect(await reason(token)).toBe('STREAM_EPOCH_MISMATCH 0');
  });
});
