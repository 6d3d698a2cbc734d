import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { asLsn, asNodeId, asPartitionId, asReplicaId, asTerm } from '../../src/base/ids.js';
import { ChunkBuilder, decodeIndexChunk, decodeRecordsChunk } from '../../src/snapshot/chunk.js';
import type { Manifest, ManifestChunk } from '../../src/snapshot/index.js';
import { confirmationOf, encodeConfirmation, requireConfirmation } from '../../src/snapshot/confirmation.js';
import { encodeManifest, manifestChecksum, parseManifest } from '../../src/snapshot/manifest.js';
import { chunkName, hashOfChunkName, manifestName, parseManifestName } from '../../src/snapshot/names.js';
import { encodeRepository, parseRepository } from '../../src/snapshot/repository.js';
import { encodeProgress, parseProgress } from '../../src/snapshot/restore-progress.js';
import { crc32, seededRandom } from '../state-store/support.js';
import { clusterId, confState, partitionId } from './support.js';

const golden = (name: string): string => readFileSync(path.join(import.meta.dirname, 'golden', name), 'utf8');
const hash = (digit: string): string => digit.repeat(64);

const manifest: Manifest = {
  clusterId,
  partitionId,
  lsn: asLsn(4711),
  term: asTerm(5),
  confState,
  stateHash: { low: 0x89ab_cdef, high: 0x0123_4567 },
  digest: hash('d'),
  createdUnixMs: 1_764_414_473_000,
  softwareVersion: '0.1.0',
  nodeId: asNodeId(1),
  replicaId: asReplicaId(2),
  chunks: [
    {
      kind: 'index',
      name: `${hash('a')}-0123456789abcdef`,
      bytes: 300,
      storedBytes: 120,
      entries: 4,
      firstKeyHex: '08',
      lastKeyHex: '11000000000000000a',
    },
    {
      kind: 'records',
      name: `${hash('b')}-fedcba9876543210`,
      bytes: 8_388_608,
      storedBytes: 1_000_000,
      entries: 128,
      firstLsn: asLsn(17),
      lastLsn: asLsn(4700),
    },
  ],
};

const refusal = (parse: () => unknown): string => {
  try {
    parse();
  } catch (error) {
    if (isLogboomError(error)) return error.reason;
    throw error;
  }
  return 'none';
};

/** A sound encoding, damaged in one place or cut. */
const damagedBytes = (sound: Uint8Array): fc.Arbitrary<Uint8Array> =>
  fc.oneof(
    fc.nat(sound.length - 1).map((length) => sound.slice(0, length)),
    fc.tuple(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
      const bytes = Uint8Array.from(sound);
      bytes[at]! ^= change;
      return bytes;
    }),
    fc.uint8Array({ minLength: 1, maxLength: 40 }).map((more) => new Uint8Array([...sound, ...more])),
    fc.uint8Array({ maxLength: 200 }),
  );

describe('the manifest', () => {
  test('has not changed its format', () => {
    expect(Buffer.from(encodeManifest(manifest)).toString()).toBe(golden('manifest-v1.json'));
    expect(parseManifest('m', Buffer.from(golden('manifest-v1.json')))).toEqual(manifest);
  });

  test('comes back as it was written', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 1000 }).map(asReplicaId), { maxLength: 5 });
    const integer = (min: number): fc.Arbitrary<number> => fc.integer({ min, max: Number.MAX_SAFE_INTEGER });
    const hex = (length: number): fc.Arbitrary<string> =>
      fc.array(fc.constantFrom(...'0123456789abcdef'), { minLength: length, maxLength: length }).map((d) => d.join(''));
    const facts = fc.record({
      sha: hex(64),
      unique: hex(16),
      bytes: integer(1),
      storedBytes: integer(1),
      entries: integer(1),
    });
    const chunk = ({
      sha,
      unique,
      ...rest
    }: {
      sha: string;
      unique: string;
      bytes: number;
      storedBytes: number;
      entries: number;
    }) => ({
      name: `${sha}-${unique}`,
      ...rest,
    });
    const arbitrary: fc.Arbitrary<Manifest> = fc.record({
      clusterId: fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/),
      partitionId: integer(0).map(asPartitionId),
      lsn: fc.constant(asLsn(Number.MAX_SAFE_INTEGER)),
      term: integer(0).map(asTerm),
      confState: fc.record({
        voters: ids,
        votersOutgoing: ids,
        learners: ids,
        learnersNext: ids,
        autoLeave: fc.boolean(),
      }),
      stateHash: fc.record({ low: fc.nat(0xffff_ffff), high: fc.nat(0xffff_ffff) }),
      digest: hex(64),
      createdUnixMs: integer(0),
      softwareVersion: fc.stringMatching(/^[ -~é]{1,20}$/),
      nodeId: integer(1).map(asNodeId),
      replicaId: integer(1).map(asReplicaId),
      chunks: fc
        .tuple(fc.array(facts, { maxLength: 4 }), fc.array(facts, { maxLength: 4 }))
        .map(([index, records]): ManifestChunk[] => [
          ...index.map((one, at): ManifestChunk => {
            const key = String(10 + 2 * at);
            return { kind: 'index', ...chunk(one), firstKeyHex: key, lastKeyHex: `${key}ff` };
          }),
          ...records.map((one, at): ManifestChunk => {
            const first = 1 + 10 * at;
            return { kind: 'records', ...chunk(one), firstLsn: asLsn(first), lastLsn: asLsn(first + (at % 10)) };
          }),
        ]),
    });
    fc.assert(
      fc.property(arbitrary, (one) => {
        expect(parseManifest('m', encodeManifest(one))).toEqual(one);
      }),
    );
  });

  test('is refused with any damage', () => {
    const sound = encodeManifest(manifest);
    fc.assert(
      fc.property(damagedBytes(sound), (bytes) => {
        const reason = refusal(() => parseManifest('m', bytes));
        if (reason !== 'none') expect(reason).toMatch(/^SNAPSHOT_(CORRUPT|VERSION_UNSUPPORTED)$/);
        // White space is not part of it.
        else expect(parseManifest('m', bytes)).toEqual(manifest);
      }),
      { numRuns: 3000 },
    );
  });

  test('names the field that is wrong', () => {
    const wrong: readonly (readonly [string, string, RegExp])[] = [
      ['"lsn": 4711', '"lsn": -1', /lsn is no integer/],
      ['"lsn": 4711', '"lsn": "4711"', /lsn is no integer/],
      ['  "term": 5,\n', '', /no field term/],
      ['"term": 5', '"term": 5, "extra": 1', /unknown field extra/],
      ['"voters":[1,2,3]', '"voters":[1,2,2]', /configuration.voters is no list/],
      ['"autoLeave":true', '"autoLeave":1', /configuration.autoLeave is neither/],
      ['"kind":"records"', '"kind":"other"', /chunks\[1\].kind is no text/],
      ['"firstLsn":17', '"firstLsn":4701', /chunks\[1\].lastLsn is no integer/],
      ['"entries":4', '"entries":0', /chunks\[0\].entries is no integer/],
      ['"term": 5', '"term": 6', /checksum does not fit/],
      [`${hash('b')}-fedc`, `${hash('b')}-fed`, /chunks\[1\].name is no text/],
    ];
    const text = golden('manifest-v1.json');
    for (const [from, to, message] of wrong) {
      expect(text).toContain(from);
      expect(() => parseManifest('m', Buffer.from(text.replace(from, to)))).toThrow(message);
    }
    expect(
      refusal(() => parseManifest('m', Buffer.from(text.replace('"formatVersion": 1', '"formatVersion": 2')))),
    ).toBe('SNAPSHOT_VERSION_UNSUPPORTED');
  });

  test('is refused when its chunks do not fit together', () => {
    const [index, records] = manifest.chunks as [ManifestChunk, ManifestChunk];
    const other = { ...records, name: `${hash('c')}-0000000000000000` };
    const wrong: readonly (readonly ManifestChunk[])[] = [
      [records, index],
      [index, index],
      [index, records, other],
      [index, { ...records, lastLsn: asLsn(4712) } as ManifestChunk],
      [index, { ...records, name: index.name }],
      [{ ...index, firstKeyHex: '12' } as ManifestChunk],
    ];
    for (const chunks of wrong) {
      expect(refusal(() => parseManifest('m', encodeManifest({ ...manifest, chunks })))).toBe('SNAPSHOT_CORRUPT');
    }
  });

  test('with other content has another checksum', () => {
    expect(manifestChecksum({ ...manifest, term: asTerm(6) })).not.toBe(manifestChecksum(manifest));
    expect(manifestChecksum({ ...manifest, chunks: manifest.chunks.slice(0, 1) })).not.toBe(manifestChecksum(manifest));
  });
});

describe('names', () => {
  const random = seededRandom(5);

  test('of manifests sort newest first, and say LSN and term', () => {
    const name = (lsn: number, term: number): string =>
      manifestName({ lsn: asLsn(lsn), term: asTerm(term), replicaId: asReplicaId(7) }, random);
    const sorted = [name(9, 3), name(9, 1), name(10, 1), name(Number.MAX_SAFE_INTEGER, 1), name(0, 0)].toSorted();
    expect(sorted.map(parseManifestName).map((entry) => [entry?.lsn, entry?.term])).toEqual([
      [Number.MAX_SAFE_INTEGER, 1],
      [10, 1],
      [9, 3],
      [9, 1],
      [0, 0],
    ]);
    expect(name(9, 3)).not.toBe(name(9, 3));
    for (const other of [
      '',
      'x',
      name(1, 1).slice(1),
      `${name(1, 1)}x`,
      name(1, 1).toUpperCase(),
      `f${name(0, 0).slice(1)}`,
    ])
      expect(parseManifestName(other)).toBeUndefined();
  });

  test('of chunks begin with the hash of their content', () => {
    expect(hashOfChunkName(chunkName(hash('e'), random))).toBe(hash('e'));
    expect(chunkName(hash('e'), random)).not.toBe(chunkName(hash('e'), random));
    for (const other of ['', hash('e'), `${hash('e')}-`, `x${chunkName(hash('e'), random)}`])
      expect(hashOfChunkName(other)).toBeUndefined();
  });
});

describe('chunks', () => {
  const records = [
    { lsn: asLsn(3), value: Buffer.from('three') },
    { lsn: asLsn(0x1_0000_0001), value: Buffer.from('') },
  ];
  const index = [
    { key: Buffer.from([0x08]), value: Buffer.from('{}') },
    { key: Buffer.from([0x11, 1]), value: Buffer.from('') },
  ];
  const recordsChunk = (entries: typeof records): ReturnType<ChunkBuilder['seal']> => {
    const builder = new ChunkBuilder('records');
    for (const entry of entries) builder.addRecords(entry);
    return builder.seal();
  };
  const indexChunk = (entries: typeof index): ReturnType<ChunkBuilder['seal']> => {
    const builder = new ChunkBuilder('index');
    for (const entry of entries) builder.addIndex(entry);
    return builder.seal();
  };
  const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

  test('have not changed their format', () => {
    const known = JSON.parse(golden('chunks-v1.json')) as Record<string, string>;
    expect({
      records: hexOf(recordsChunk(records).content),
      recordsSha256: recordsChunk(records).sha256,
      index: hexOf(indexChunk(index).content),
      indexSha256: indexChunk(index).sha256,
    }).toEqual(known);
    expect(decodeRecordsChunk('c', Buffer.from(known['records']!, 'hex'))).toEqual(records);
    expect(decodeIndexChunk('c', Buffer.from(known['index']!, 'hex'))).toEqual(index);
  });

  test('come back as they were put together, whatever their size, and are named by their content', () => {
    const value = fc.oneof(
      fc.uint8Array({ maxLength: 30 }),
      fc.integer({ max: 900_000, min: 200_000 }).map((n) => new Uint8Array(n)),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 1 << 30 }), value), { maxLength: 12 }), (pairs) => {
        const byLsn = new Map(pairs.toSorted(([one], [other]) => one - other));
        const entries = [...byLsn].map(([lsn, bytes]) => ({ lsn: asLsn(lsn), value: Buffer.from(bytes) }));
        const { content, sha256 } = recordsChunk(entries);
        expect(createHash('sha256').update(content).digest('hex')).toBe(sha256);
        const back = decodeRecordsChunk('c', content);
        expect(back.map(({ lsn }) => lsn)).toEqual(entries.map(({ lsn }) => lsn));
        for (const [at, entry] of back.entries()) expect(Buffer.compare(entry.value, entries[at]!.value)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  test('with any damage are refused, or are other sound chunks', () => {
    for (const [sound, decode] of [
      [recordsChunk(records).content, decodeRecordsChunk],
      [indexChunk(index).content, decodeIndexChunk],
    ] as const) {
      fc.assert(
        fc.property(damagedBytes(sound), (bytes) => {
          const reason = refusal(() => decode('c', bytes));
          if (reason !== 'none') {
            expect(reason).toBe('SNAPSHOT_CORRUPT');
            return;
          }
          const entries = decode('c', bytes);
          const again =
            decode === decodeIndexChunk ? indexChunk(entries as typeof index) : recordsChunk(entries as typeof records);
          expect(hexOf(again.content)).toBe(hexOf(bytes));
        }),
        { numRuns: 2000 },
      );
      expect(refusal(() => (decode === decodeIndexChunk ? decodeRecordsChunk : decodeIndexChunk)('c', sound))).toBe(
        'SNAPSHOT_CORRUPT',
      );
    }
    expect(refusal(() => decodeRecordsChunk('c', recordsChunk([records[1]!, records[0]!]).content))).toBe(
      'SNAPSHOT_CORRUPT',
    );
    expect(refusal(() => decodeIndexChunk('c', indexChunk([index[0]!, index[0]!]).content))).toBe('SNAPSHOT_CORRUPT');
  });
});

describe('small files', () => {
  test('the identity of a repository has not changed its format, and is refused with any damage', () => {
    const id = '0123456789abcdef'.repeat(2);
    const sound = encodeRepository(id, 1_764_414_473_000.5);
    expect(Buffer.from(sound).toString()).toBe(golden('repository-v1.json'));
    expect(parseRepository(sound)).toBe(id);
    fc.assert(
      fc.property(damagedBytes(sound), (bytes) => {
        const reason = refusal(() => parseRepository(bytes));
        if (reason === 'none') expect(parseRepository(bytes)).toBe(id);
        else expect(reason).toMatch(/^SNAPSHOT_(CORRUPT|VERSION_UNSUPPORTED)$/);
      }),
      { numRuns: 2000 },
    );
  });

  test('the progress of a restore comes back, and is refused with any damage', () => {
    const progress = {
      manifestSha256: hash('f'),
      indexChunksDone: 3,
      recordsChunksDone: 17,
      records: 12_345,
      lastRecordsLsn: asLsn(99_999),
    };
    const sound = encodeProgress(progress, crc32);
    expect(parseProgress(sound, crc32)).toEqual(progress);
    fc.assert(
      fc.property(damagedBytes(sound), (bytes) => {
        if (refusal(() => parseProgress(bytes, crc32)) === 'none')
          expect(parseProgress(bytes, crc32)).toEqual(progress);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a confirmation', () => {
  const name = manifestName({ lsn: asLsn(4711), term: asTerm(5), replicaId: asReplicaId(2) }, seededRandom(1));
  const confirmation = confirmationOf(manifest, name);
  const sound = Buffer.from(golden('confirmation-v1.json'));

  test('has not changed its format', () => {
    expect(Buffer.from(encodeConfirmation(confirmation)).toString()).toBe(sound.toString());
    requireConfirmation('c', sound, confirmation);
  });

  test('with any damage confirms nothing', () => {
    fc.assert(
      fc.property(damagedBytes(sound), (bytes) => {
        fc.pre(Buffer.compare(bytes, sound) !== 0);
        expect(refusal(() => requireConfirmation('c', bytes, confirmation))).toMatch(/^SNAPSHOT_/);
      }),
    );
  });

  test('with a flipped bit in its white space confirms nothing, though it says the same', () => {
    const damaged = Buffer.from(sound.toString().replace('  "formatVersion"', '\t "formatVersion"'));
    expect(JSON.parse(damaged.toString())).toEqual(JSON.parse(sound.toString()));
    expect(damaged.equals(sound)).toBe(false);
    expect(refusal(() => requireConfirmation('c', damaged, confirmation))).toBe('SNAPSHOT_CORRUPT');
  });

  test('of another manifest confirms nothing', () => {
    const others = [
      { ...confirmation, manifest: name.replace('-2-', '-3-') },
      { ...confirmation, manifestSha256: hash('e') },
      { ...confirmation, clusterId: 'c2' },
      { ...confirmation, partitionId: asPartitionId(4) },
    ];
    for (const other of others) {
      expect(refusal(() => requireConfirmation('c', encodeConfirmation(other), confirmation))).toBe('SNAPSHOT_CORRUPT');
    }
  });
});
