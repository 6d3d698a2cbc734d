import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { asLsn } from '../../src/base/ids.js';
import { KeyCuts } from '../../src/snapshot/key-cuts.js';
import { RecordsPlan } from '../../src/snapshot/records-plan.js';
import type { RecordsChunk } from '../../src/snapshot/index.js';
import { crc32 } from '../state-store/support.js';

const target = 1000;
const overhead = 12;

const chunk = (firstLsn: number, lastLsn: number, entries: number, bytes: number): RecordsChunk => ({
  kind: 'records',
  name: `${firstLsn}`,
  bytes,
  storedBytes: bytes,
  entries,
  firstLsn: asLsn(firstLsn),
  lastLsn: asLsn(lastLsn),
});

/** `live`: LSN and bytes of values that are pointed to. */
function stepsOf(chunks: readonly RecordsChunk[], lsn: number, live: readonly (readonly [number, number])[]): string[] {
  const plan = new RecordsPlan(chunks, asLsn(lsn), target);
  for (const [at, bytes] of live) plan.countLive(asLsn(at), bytes - overhead);
  return plan
    .steps()
    .map((step) =>
      'reuse' in step ? `reuse ${step.reuse.firstLsn}` : `${step.from}-${step.to - 1}: ${step.live.entries}`,
    );
}

describe('which chunks of records are used again', () => {
  const whole = chunk(1, 10, 10, 1000);

  test('a whole one, and what is new is written', () => {
    expect(
      stepsOf([whole], 12, [
        [3, 800],
        [11, 100],
        [12, 100],
      ]),
    ).toEqual(['reuse 1', '11-12: 2']);
    expect(stepsOf([], 5, [[2, 100]])).toEqual(['0-5: 1']);
    expect(stepsOf([], 5, [])).toEqual([]);
    expect(stepsOf([whole], 10, [[3, 800]])).toEqual(['reuse 1']);
  });

  test('not one of which less than half is alive, or none', () => {
    expect(stepsOf([whole], 10, [[3, 500]])).toEqual(['reuse 1']);
    expect(stepsOf([whole], 10, [[3, 499]])).toEqual(['0-10: 1']);
    expect(stepsOf([whole], 10, [])).toEqual([]);
    expect(
      stepsOf([chunk(1, 10, 1, 1000)], 10, [
        [3, 400],
        [4, 400],
      ]),
    ).toEqual(['0-10: 2']);
  });

  test('not a small one beside what is written anyway, or beside another small one', () => {
    const small = chunk(11, 12, 2, 499);
    const live: [number, number][] = [
      [5, 900],
      [11, 400],
    ];
    expect(stepsOf([whole, small], 12, live)).toEqual(['reuse 1', 'reuse 11']);
    expect(stepsOf([whole, small], 20, live)).toEqual(['reuse 1', 'reuse 11']);
    expect(stepsOf([whole, small], 20, [...live, [20, 10]])).toEqual(['reuse 1', '11-20: 2']);
    const next = chunk(13, 14, 2, 499);
    expect(stepsOf([whole, small, next], 14, [...live, [13, 400]])).toEqual(['reuse 1', '11-14: 2']);
    const large = chunk(13, 14, 2, 999);
    expect(stepsOf([whole, small, large], 20, [...live, [13, 900], [20, 10]])).toEqual([
      'reuse 1',
      'reuse 11',
      'reuse 13',
      '15-20: 1',
    ]);
  });

  test('a gap between chunks is written when something in it is alive', () => {
    const later = chunk(20, 30, 10, 1000);
    expect(
      stepsOf([whole, later], 30, [
        [1, 900],
        [15, 10],
        [21, 900],
      ]),
    ).toEqual(['reuse 1', '11-19: 1', 'reuse 20']);
  });

  test('every live value is in exactly one step, in order, whatever chunks there are', () => {
    const shape = fc.array(
      fc.record({ gap: fc.nat(3), span: fc.integer({ min: 1, max: 6 }), bytes: fc.integer({ min: 20, max: 1200 }) }),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(
        shape,
        fc.nat(6),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 13, max: 300 }))),
        (shapes, more, points) => {
          let at = 1;
          const chunks = shapes.map(({ gap, span, bytes }) => {
            const first = at + gap;
            at = first + span;
            return chunk(first, at - 1, span, bytes);
          });
          const end = at - 1 + more;
          const live = new Map(points.filter(([lsn]) => lsn <= end));
          const plan = new RecordsPlan(chunks, asLsn(end), target);
          for (const [lsn, bytes] of live) plan.countLive(asLsn(lsn), bytes - overhead);
          let before = -1;
          let counted = 0;
          for (const step of plan.steps()) {
            const [from, to] = 'reuse' in step ? [step.reuse.firstLsn, step.reuse.lastLsn] : [step.from, step.to - 1];
            expect(from).toBeGreaterThan(before);
            expect(to).toBeLessThanOrEqual(end);
            before = to;
            const inside = [...live].filter(([lsn]) => lsn >= from && lsn <= to);
            counted += inside.length;
            if ('reuse' in step) {
              const bytes = inside.reduce((sum, [, size]) => sum + size, 0);
              expect(2 * bytes).toBeGreaterThanOrEqual(step.reuse.bytes);
              expect(inside.length).toBeLessThanOrEqual(step.reuse.entries);
            } else expect(inside.length).toBe(step.live.entries);
          }
          expect(counted).toBe(live.size);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('where chunks of index entries end', () => {
  const cuts = new KeyCuts(crc32, 3000);
  const keyOf = (number: number): Uint8Array => Buffer.from(`key/${String(number).padStart(8, '0')}`);
  const entryBytes = 60;

  /** First and last key of each chunk. */
  function chunksOf(keys: readonly number[]): string[] {
    const chunks: string[] = [];
    let bytes = 8;
    let first = keys[0];
    for (const key of keys) {
      first ??= key;
      bytes += entryBytes;
      if (!cuts.endsBehind(keyOf(key), entryBytes, bytes)) continue;
      chunks.push(`${first}-${key}`);
      bytes = 8;
      first = undefined;
    }
    if (first !== undefined) chunks.push(`${first}-`);
    return chunks;
  }
  const keys = Array.from({ length: 20_000 }, (_, at) => at);

  test('chunks have about the size that was asked for', () => {
    const average = (keys.length * entryBytes) / chunksOf(keys).length;
    expect(average).toBeGreaterThan(2000);
    expect(average).toBeLessThan(5000);
  });

  test('an entry that comes or goes changes a few chunks near it', () => {
    const before = new Set(chunksOf(keys));
    for (const change of [
      (all: number[]) => all.toSpliced(7000, 1),
      (all: number[]) => all.toSpliced(7000, 0, 7000.5),
    ]) {
      const changed = chunksOf(change(keys)).filter((one) => !before.has(one));
      expect(changed.length).toBeGreaterThan(0);
      expect(changed.length).toBeLessThan(6);
    }
    const more = chunksOf([...keys, 20_000, 20_001]).filter((one) => !before.has(one));
    expect(more.length).toBeLessThan(3);
  });
});
