import fc from 'fast-check';
import { readFile, writeFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { asLsn, asPartitionId, asReplicaId, asTerm } from '../../src/base/ids.js';
import type { ConfState, Entry } from '../../src/raft/types.js';
import {
  decodeCreated,
  decodeEntryHead,
  decodeHardState,
  decodePartitionState,
  decodeReset,
  decodeSegmentStart,
  decodeTrimPoint,
  frameBytes,
  FrameType,
  readFrame,
  type RawFrame,
  type SegmentId,
} from '../../src/wal/frame.js';
import { GroupEncoder } from '../../src/wal/group-encoder.js';
import { findLaterGroup, scanGroup } from '../../src/wal/group-scan.js';
import {
  decodeHeaderBlock,
  decodeSections,
  decodeTrailer,
  encodeFooter,
  encodeHeaderBlock,
  trailerBytes,
} from '../../src/wal/segment-format.js';
import { sectionOf, type SegmentIndex } from '../../src/wal/segment-index.js';
import { entry } from './support/simulated.js';

const safeInteger = fc.maxSafeNat();
const replicaIds = fc.array(safeInteger.map(asReplicaId), { maxLength: 5 });
const confStates: fc.Arbitrary<ConfState> = fc.record({
  voters: replicaIds,
  votersOutgoing: replicaIds,
  learners: replicaIds,
  learnersNext: replicaIds,
  autoLeave: fc.boolean(),
});
const hardStates = fc.record({
  term: safeInteger.map(asTerm),
  vote: safeInteger.map(asReplicaId),
  commit: safeInteger.map(asLsn),
});
const segmentIds = fc.record({
  seed: fc.integer({ min: 0, max: 0xffff_ffff }),
  tag: fc.integer({ min: 1, max: 0xffff_ffff }),
});
const logStarts = fc.record({ lsn: safeInteger.map(asLsn), term: safeInteger.map(asTerm), confState: confStates });
const entryList: fc.Arbitrary<Entry[]> = fc.array(
  fc.record({
    lsn: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).map(asLsn),
    term: safeInteger.map(asTerm),
    kind: fc.constantFrom(0, 1, 2),
    data: fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ minLength: 9000, maxLength: 9100, size: 'max' })),
  }),
  { maxLength: 6 },
);

const partition = asPartitionId(7);
const id: SegmentId = { seed: 0x1234_5678, tag: 0x9abc_def0 };

function encode(build: (encoder: GroupEncoder) => void, segment = id, group = 1): Buffer {
  const encoder = new GroupEncoder(crc32, segment, group, Buffer.alloc(256 * 1024, 0xee));
  build(encoder);
  const { parts, bytes } = encoder.end();
  const encoded = Buffer.concat(parts);
  expect(encoded.length).toBe(bytes);
  expect(encoded.length % 8).toBe(0);
  return encoded;
}

function framesOf(bytes: Buffer, segment = id, group = 1): readonly RawFrame[] {
  const scanned = scanGroup(bytes, 0, group, segment, crc32);
  if ('damagedAt' in scanned) throw new Error(`damaged at ${scanned.damagedAt}`);
  expect(scanned.endOffset).toBe(bytes.length);
  return scanned.frames;
}

describe('frames round trip', () => {
  test('entries', () => {
    fc.assert(
      fc.property(entryList, segmentIds, fc.integer({ min: 1, max: 0xffff_ffff }), (list, segment, group) => {
        const offsets: number[] = [];
        const bytes = encode(
          (encoder) => {
            for (const one of list) offsets.push(encoder.entry(partition, one, asLsn(one.lsn - 1)));
          },
          segment,
          group,
        );
        const frames = framesOf(bytes, segment, group);
        expect(frames.map(({ offset }) => offset)).toEqual(offsets);
        frames.forEach((frame, index) => {
          const head = decodeEntryHead(frame);
          const { lsn, term, kind, data } = list[index] as Entry;
          expect(head).toMatchObject({ lsn, term, kind, commit: lsn - 1, dataBytes: data.length });
          const stored = bytes.subarray(head?.dataOffset, (head?.dataOffset ?? 0) + data.length);
          expect(Buffer.compare(stored, data)).toBe(0);
        });
      }),
    );
  });

  test('everything else', () => {
    const everything = fc.tuple(hardStates, logStarts, confStates, safeInteger.map(asReplicaId));
    fc.assert(
      fc.property(everything, ([hardState, start, confState, replicaId]) => {
        const state = {
          replicaId,
          hardState,
          trimPoint: start.lsn,
          trimTerm: start.term,
          confState,
          lastLsn: start.lsn,
          lastTerm: start.term,
        };
        const segmentStart = { sequence: start.lsn, previous: { id, lastGroup: 5, endOffset: 4096 }, partitions: 1 };
        const frames = framesOf(
          encode((encoder) => {
            encoder.segmentStart(segmentStart);
            encoder.partitionState(partition, state);
            encoder.hardState(partition, hardState);
            encoder.trimPoint(partition, start);
            encoder.created(partition, replicaId, confState);
            encoder.removed(partition);
            encoder.reset(partition, start, hardState);
          }),
        );
        const [a, b, c, d, e, f, g] = frames as [RawFrame, RawFrame, RawFrame, RawFrame, RawFrame, RawFrame, RawFrame];
        expect(decodeSegmentStart(a)).toEqual(segmentStart);
        expect(decodePartitionState(b)).toEqual(state);
        expect(decodeHardState(c)).toEqual(hardState);
        expect(decodeTrimPoint(d)).toEqual(start);
        expect(decodeCreated(e)).toEqual({ replicaId, confState });
        expect([f.type, f.partition, f.bodyLength]).toEqual([FrameType.removed, partition, 0]);
        expect(decodeReset(g)).toEqual({ ...start, hardState });
      }),
    );
  });

  test('header blocks', () => {
    fc.assert(
      fc.property(segmentIds, safeInteger, safeInteger, safeInteger, (segment, segmentBytes, sequence, madeAtMs) => {
        const header = { segmentBytes, sequence, madeAtMs, id: segment };
        const block = encodeHeaderBlock(header, crc32);
        expect(decodeHeaderBlock(block, crc32)).toEqual({ version: 1, ...header });
        block[sequence % 4096] = (block[sequence % 4096] as number) ^ 0x10;
        expect(decodeHeaderBlock(block, crc32)).toBeUndefined();
      }),
    );
  });

  test('footers', () => {
    const sections = fc.array(
      fc.record({
        partition: fc.integer({ min: 0, max: 1000 }).map(asPartitionId),
        forgets: fc.boolean(),
        first: fc.integer({ min: 1, max: 2 ** 50 }),
        terms: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 40 }),
      }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(sections, segmentIds, (list, segment) => {
        const index: SegmentIndex = new Map();
        for (const { partition: of, forgets, first, terms } of list) {
          const section = sectionOf(index, of);
          if (forgets) section.forget();
          if (section.count > 0) continue;
          let term = 0;
          terms.forEach((step, at) => section.append(asLsn(first + at), asTerm((term += step)), 4096 + 64 * at, at));
        }
        const footer = encodeFooter(index, { lastGroup: 3, endOffset: 5000 }, segment, crc32);
        const trailer = decodeTrailer(footer.subarray(-trailerBytes), segment, crc32);
        expect(trailer).toMatchObject({ lastGroup: 3, endOffset: 5000, sections: index.size });
        if (trailer === undefined) return;
        const decoded = decodeSections(footer.subarray(0, -trailerBytes), trailer, segment, crc32);
        expect([...(decoded?.keys() ?? [])]).toEqual([...index.keys()]);
        for (const [of, section] of index) {
          const other = sectionOf(decoded as SegmentIndex, of);
          expect([other.first, other.count, other.forgets, other.termRuns]).toEqual([
            section.first,
            section.count,
            section.forgets,
            section.termRuns,
          ]);
          for (let lsn = section.first; lsn <= section.last; lsn++) {
            expect([other.offsetOf(lsn), other.dataBytesOf(lsn)]).toEqual([
              section.offsetOf(lsn),
              section.dataBytesOf(lsn),
            ]);
          }
        }
      }),
    );
  });
});

describe('the frame decoder takes nothing that was not written', () => {
  const valid = encode((encoder) => {
    encoder.entry(partition, entry(1, 1, 'some data'), asLsn(0));
    encoder.hardState(partition, { term: asTerm(1), vote: asReplicaId(1), commit: asLsn(1) });
  });

  test('random bytes, also behind a right tag, are no frame and no crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 0, max: 100 }), (bytes, offset) => {
        const source = Buffer.from(bytes);
        if (source.length >= offset + 24) source.writeUInt32LE(id.tag, offset + 20);
        expect(readFrame(source, offset, id, crc32)).toBeUndefined();
        expect(scanGroup(source, 0, 1, id, crc32)).toHaveProperty('damagedAt');
        expect(findLaterGroup(source, 0, 0, id, crc32)).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });

  test('bodies of every type with a right checksum and any content decode or are undefined', () => {
    const decoders = [
      decodeEntryHead,
      decodeHardState,
      decodeTrimPoint,
      decodeCreated,
      decodeReset,
      decodePartitionState,
      decodeSegmentStart,
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 255 }), (body, kind) => {
        const source = Buffer.alloc(frameBytes(body.length));
        source.writeUInt32LE(body.length, 4);
        source.writeUInt8(kind, 9);
        source.writeUInt32LE(id.tag, 20);
        source.set(body, 24);
        source.writeUInt32LE(crc32(source.subarray(4, 24 + body.length), id.seed), 0);
        const frame = readFrame(source, 0, id, crc32);
        expect(frame).toBeDefined();
        for (const decode of decoders) expect(() => decode(frame as RawFrame)).not.toThrow();
      }),
      { numRuns: 2000 },
    );
  });

  test('the same bytes under any other segment id are not intact', () => {
    fc.assert(
      fc.property(segmentIds, (other) => {
        fc.pre(other.seed !== id.seed || other.tag !== id.tag);
        expect(readFrame(valid, 0, other, crc32)).toBeUndefined();
        // Even if the tag were the same.
        if (other.seed !== id.seed) expect(readFrame(valid, 0, { ...other, tag: id.tag }, crc32)).toBeUndefined();
        expect(findLaterGroup(valid, 0, 0, other, crc32)).toBeUndefined();
      }),
    );
  });

  test('every cut and every flipped bit of a group is noticed', () => {
    for (let length = 0; length < valid.length; length++) {
      expect(scanGroup(valid.subarray(0, length), 0, 1, id, crc32)).toHaveProperty('damagedAt');
    }
    for (let bit = 0; bit < 8 * valid.length; bit++) {
      const bytes = Buffer.from(valid);
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(scanGroup(bytes, 0, 1, id, crc32), `bit ${bit}`).toHaveProperty('damagedAt');
    }
  });

  test('a group is taken under its own number only, and found as evidence of an earlier one', () => {
    const second = encode((encoder) => encoder.removed(partition), id, 2);
    expect(scanGroup(second, 0, 1, id, crc32)).toEqual({ damagedAt: 0 });
    const source = Buffer.concat([Buffer.alloc(136, 0x55), second]);
    expect(findLaterGroup(source, 0, 1, id, crc32)).toMatchObject({ group: 2, offset: 136 });
    expect(findLaterGroup(source, 0, 2, id, crc32)).toBeUndefined();
    // One frame of it is enough: the group before was synced when it was written.
    expect(findLaterGroup(source.subarray(0, 160), 0, 1, id, crc32)).toMatchObject({ group: 2 });
  });
});

describe('golden files', () => {
  const updating = process.env['UPDATE_GOLDEN'] === '1';

  async function expectGolden(name: string, bytes: Uint8Array): Promise<void> {
    const path = new URL(`golden/${name}`, import.meta.url);
    const hex = Buffer.from(bytes).toString('hex').replace(/.{64}/g, '$&\n');
    if (updating) await writeFile(path, `${hex}\n`);
    expect(await readFile(path, 'utf8')).toBe(`${hex}\n`);
  }

  const confState: ConfState = {
    voters: [1, 2].map(asReplicaId),
    votersOutgoing: [3].map(asReplicaId),
    learners: [4].map(asReplicaId),
    learnersNext: [5].map(asReplicaId),
    autoLeave: true,
  };
  const hardState = { term: asTerm(2 ** 40 + 3), vote: asReplicaId(2), commit: asLsn(2 ** 33 + 1) };
  const start = { lsn: asLsn(2 ** 33), term: asTerm(9), confState };

  test('a group with every kind of frame', () =>
    expectGolden(
      'group-v1.hex',
      encode((encoder) => {
        const previous = { id: { seed: 1, tag: 2 }, lastGroup: 3, endOffset: 4 };
        encoder.segmentStart({ sequence: 5, previous, partitions: 1 });
        encoder.partitionState(partition, {
          replicaId: asReplicaId(6),
          hardState,
          trimPoint: start.lsn,
          trimTerm: start.term,
          confState,
          lastLsn: asLsn(2 ** 33 + 2),
          lastTerm: asTerm(10),
        });
        encoder.entry(partition, { ...entry(2 ** 33 + 3, 11, 'data'), kind: 1 }, asLsn(2 ** 33 + 2));
        encoder.hardState(partition, hardState);
        encoder.trimPoint(partition, start);
        encoder.created(asPartitionId(8), asReplicaId(9), confState);
        encoder.removed(asPartitionId(8));
        encoder.reset(partition, start, hardState);
      }),
    ));

  test('a header block', () =>
    expectGolden(
      'header-v1.hex',
      encodeHeaderBlock({ segmentBytes: 2 ** 26, sequence: 5, id, madeAtMs: 1.7e12 }, crc32),
    ));

  test('a footer', () => {
    const index: SegmentIndex = new Map();
    sectionOf(index, partition).append(asLsn(5), asTerm(1), 4096, 10);
    sectionOf(index, partition).append(asLsn(6), asTerm(2), 4160, 0);
    sectionOf(index, asPartitionId(8)).forget();
    return expectGolden('footer-v1.hex', encodeFooter(index, { lastGroup: 2, endOffset: 4288 }, id, crc32));
  });
});
