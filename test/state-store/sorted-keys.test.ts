import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SortedKeys } from '../../src/state-store/sorted-keys.js';

const key = fc.nat({ max: 4000 }).map((number) => number.toString(36).padStart(3, '0'));

/** Whole runs of keys at once, so that chunks split, and single ones between. */
const step = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), keys: fc.array(key, { maxLength: 700 }) }),
  fc.record({ kind: fc.constant('delete' as const), keys: fc.array(key, { maxLength: 300 }) }),
  fc.record({ kind: fc.constant('range' as const), keys: fc.tuple(key, key) }),
);

test('a range holds what was added and not deleted, in order, each key once', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const sorted = new SortedKeys();
      const oracle = new Set<string>();
      const check = (from: string, to: string): void => {
        const all = [...oracle].filter((each) => each >= from && each < to).sort();
        expect(sorted.range(from, to)).toEqual(all);
        expect(sorted.reversedRange(from, to)).toEqual(all.toReversed());
        for (const limit of [0, 1, 7, 600]) {
          expect(sorted.range(from, to, limit)).toEqual(all.slice(0, limit));
          expect(sorted.reversedRange(from, to, limit)).toEqual(all.toReversed().slice(0, limit));
        }
      };
      for (const { kind, keys } of steps) {
        if (kind === 'range') check(keys[0], keys[1]);
        else {
          for (const each of keys) {
            sorted[kind](each);
            oracle[kind](each);
          }
        }
      }
      check('', '~');
    }),
    { numRuns: 100 },
  );
});
