import { readFileSync } from 'node:fs';
import { crc32 as nodeCrc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asLsn, asPartitionId, asReplicaId, asTerm } from '../../src/base/ids.js';
import { messageBytes, type Message } from '../../src/raft/index.js';
import { encodeError } from '../../src/transport/error-codec.js';
import {
  decodeMessages,
  decodePresence,
  encodeFrame,
  encodeMessages,
  encodePresence,
  FrameAssembler,
  frameHeaderBytes,
  FrameKind,
  LinkFormatError,
  type Delivery,
  type EncodedFrame,
  type Frame,
} from '../../src/transport/frame.js';
import { LogboomError } from '../../src/base/errors.js';

const crc32 = (bytes: Uint8Array, seed?: number): number => nodeCrc32(bytes, seed);
const bytesMax = 1 << 20;

const number = fc.oneof(fc.nat(300), fc.maxSafeNat());
const base = {
  from: fc.integer({ min: 1, max: 9 }).map(asReplicaId),
  to: fc.integer({ min: 1, max: 9 }).map(asReplicaId),
  term: number.map(asTerm),
};
/** Both sides of the size from which data is not copied. */
const data = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 1020, maxLength: 1030 }));
const kind = fc.constantFrom<0 | 1 | 2>(0, 1, 2);
const append = fc
  .record({ ...base, at: fc.nat(1000), contents: fc.array(fc.record({ kind, data }), { maxLength: 4 }) })
  .map(({ at, contents, ...rest }): Message => {
    const entries = contents.map((entry, i) => ({ ...entry, term: asTerm(3), lsn: asLsn(at + i + 1) }));
    return { type: 'append', ...rest, previousLsn: asLsn(at), previousTerm: asTerm(2), commit: asLsn(at), entries };
  });
const message: fc.Arbitrary<Message> = fc.oneof(
  append,
  fc.record({ type: fc.constant('heartbeat' as const), ...base, commit: number.map(asLsn), round: number }),
  fc.record({ type: fc.constant('timeout-now' as const), ...base }),
  fc.record({
    type: fc.constant('propose' as const),
    ...base,
    proposals: fc.array(fc.record({ kind, data }), { maxLength: 3 }),
  }),
);
const delivery: fc.Arbitrary<Delivery> = fc.record({ partitionId: number.map(asPartitionId), message });
const deliveries = fc.array(delivery, { maxLength: 12 });

const encode = (list: readonly Delivery[]): EncodedFrame =>
  encodeMessages(
    crc32,
    list,
    list.map((each) => messageBytes(each.message)),
  );
const joined = ({ chunks }: EncodedFrame): Buffer => Buffer.concat(chunks);
const assemble = (bytes: Uint8Array): Frame[] => new FrameAssembler(crc32, bytesMax).push(bytes);

/** Cuts bytes into pieces at places that repeat the pattern of `cuts`. */
function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = cuts[turn % cuts.length] ?? 1;
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return parts;
}

const faultOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(LinkFormatError);
    return (error as LinkFormatError).fault;
  }
  return 'none';
};

describe('frames of messages', () => {
  it('give back what was put in, however they arrive', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(deliveries, { minLength: 1, maxLength: 4 }), cuts, (lists, lengths) => {
        const encoded = lists.map(encode);
        const bytes = Buffer.concat(encoded.map(joined));
        expect(bytes.length).toBe(encoded.reduce((sum, frame) => sum + frame.bytes, 0));
        const assembler = new FrameAssembler(crc32, bytesMax);
        const frames = pieces(bytes, lengths).flatMap((piece) => assembler.push(piece));
        assembler.end();
        const plain = frames.map((frame) => decodeMessages(frame));
        expect(plain).toEqual(lists);
      }),
      { numRuns: 300 },
    );
  });

  it('do not copy large data of entries when they are made, nor when a whole frame is taken apart', () => {
    const large = new Uint8Array(5000).fill(7);
    const entry = { term: asTerm(1), lsn: asLsn(1), kind: 0, data: large } as const;
    const [from, to] = [asReplicaId(1), asReplicaId(2)];
    const start = { term: asTerm(1), previousLsn: asLsn(0), previousTerm: asTerm(0), commit: asLsn(0) };
    const append: Message = { type: 'append', from, to, ...start, entries: [entry] };
    const frame = encode([{ partitionId: asPartitionId(1), message: append }]);
    expect(frame.chunks).toContain(large);
    const bytes = joined(frame);
    const [delivery] = decodeMessages(assemble(bytes)[0]!);
    const back = delivery!.message.type === 'append' ? delivery!.message.entries[0]!.data : undefined;
    expect(back).toEqual(large);
    expect(back?.buffer).toBe(bytes.buffer);
  });

  it('answer damage and garbage with their own error only', () => {
    fc.assert(
      fc.property(deliveries, fc.nat(), fc.integer({ min: 1, max: 255 }), (list, at, flip) => {
        const bytes = joined(encode(list));
        bytes[at % bytes.length]! ^= flip;
        const fault = faultOf(() => {
          const assembler = new FrameAssembler(crc32, bytesMax);
          assembler.push(bytes).forEach((frame) => decodeMessages(frame));
          assembler.end();
        });
        expect(fault).not.toBe('none');
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(20), (body, count) => {
        faultOf(() => decodeMessages({ kind: FrameKind.messages, count, body }));
        faultOf(() => assemble(body));
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['length', (frame: Buffer) => frame.writeUInt32LE(frameHeaderBytes - 1, 4)],
    ['length', (frame: Buffer) => frame.writeUInt32LE(bytesMax + 1, 4)],
    ['checksum', (frame: Buffer) => (frame[20]! ^= 1)],
    ['version', (frame: Buffer) => (frame[8] = 2)],
    ['kind', (frame: Buffer) => (frame[9] = 9)],
    ['header', (frame: Buffer) => (frame[10] = 1)],
    ['header', (frame: Buffer) => (frame[9] = FrameKind.payload)],
    ['header', (frame: Buffer) => ((frame[9] = FrameKind.end), frame.writeUInt32LE(0, 12))],
    ['message', (frame: Buffer) => frame.writeUInt32LE(2, 12)],
    ['message', (frame: Buffer) => frame.writeUInt32LE(0, 12)],
  ])('are refused for their %s', (fault, damage) => {
    const message: Message = { type: 'timeout-now', from: asReplicaId(1), to: asReplicaId(2), term: asTerm(300) };
    const bytes = joined(encode([{ partitionId: asPartitionId(300), message }]));
    damage(bytes);
    if (fault !== 'checksum') bytes.writeUInt32LE(crc32(bytes.subarray(4)), 0);
    expect(faultOf(() => assemble(bytes).forEach((frame) => decodeMessages(frame)))).toBe(fault);
  });

  it('are refused when a sign of life has more than its epoch, or less', () => {
    const [frame] = assemble(joined(encodePresence(crc32, 300)));
    expect(decodePresence(frame!)).toBe(300);
    expect(faultOf(() => decodePresence({ ...frame!, body: Buffer.from([1, 2]) }))).toBe('message');
    expect(faultOf(() => decodePresence({ ...frame!, body: Buffer.from([0x80]) }))).toBe('message');
  });

  it('are refused when the stream ends within one', () => {
    const bytes = joined(encodeFrame(crc32, FrameKind.payload, new Uint8Array(50)));
    for (let length = 1; length < bytes.length; length++) {
      const assembler = new FrameAssembler(crc32, bytesMax);
      expect(assembler.push(bytes.subarray(0, length))).toEqual([]);
      expect(faultOf(() => assembler.end())).toBe('truncated');
    }
  });
});

describe('golden files', () => {
  const error = new LogboomError('QUEUE_FULL', 'full', { facts: { limit: 12 }, retryAfterMs: 50 });
  const two: Delivery[] = [
    {
      partitionId: asPartitionId(300),
      message: {
        type: 'append',
        from: asReplicaId(1),
        to: asReplicaId(2),
        term: asTerm(9),
        previousLsn: asLsn(128),
        previousTerm: asTerm(8),
        commit: asLsn(127),
        entries: [{ term: asTerm(9), lsn: asLsn(129), kind: 0, data: new TextEncoder().encode('logboom') }],
      },
    },
    {
      partitionId: asPartitionId(1),
      message: { type: 'heartbeat-response', from: asReplicaId(2), to: asReplicaId(1), term: asTerm(9), round: 4 },
    },
  ];
  it.each([
    ['messages-v1.hex', () => encode(two)],
    ['payload-v1.hex', () => encodeFrame(crc32, FrameKind.payload, Buffer.from('a request'))],
    ['presence-v1.hex', () => encodePresence(crc32, 5_000_000_000)],
    ['end-v1.hex', () => encodeFrame(crc32, FrameKind.end, new Uint8Array(0))],
    ['error-v1.hex', () => encodeFrame(crc32, FrameKind.error, encodeError(error))],
  ])('%s is what this version writes, and reads', (name, make) => {
    const golden = Buffer.from(readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8').trim(), 'hex');
    expect(joined(make()).toString('hex')).toBe(golden.toString('hex'));
    const [frame] = assemble(golden);
    if (frame!.kind === FrameKind.messages) expect(decodeMessages(frame!)).toEqual(two);
    if (frame!.kind === FrameKind.presence) expect(decodePresence(frame!)).toBe(5_000_000_000);
  });
});
