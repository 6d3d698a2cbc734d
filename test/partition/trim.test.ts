import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asLsn } from '../../src/base/ids.js';
import { decideTrim, type TrimFacts } from '../../src/partition/trim.js';

const facts = (over: Partial<TrimFacts>): TrimFacts => ({
  mode: 'persisted',
  trimPoint: asLsn(10),
  persistedLsn: asLsn(100),
  archivedLsn: undefined,
  nodesKnown: 1,
  hasRepository: false,
  ...over,
});

describe('decideTrim', () => {
  it.each<[string, Partial<TrimFacts>, number, string]>([
    ['one node trims to its persisted LSN', {}, 100, ''],
    ['never back', { trimPoint: asLsn(200) }, 200, ''],
    ['a second node ends the mode', { nodesKnown: 2 }, 10, 'second node'],
    ['mode none', { mode: 'none' }, 10, 'trim.mode is none'],
    ['archived without a repository', { mode: 'archived' }, 10, 'no snapshot repository'],
    ['archived without a snapshot', { mode: 'archived', hasRepository: true }, 10, 'no complete snapshot'],
    ['archived ignores the persisted LSN', { mode: 'archived', hasRepository: true, archivedLsn: asLsn(50) }, 50, ''],
  ])('%s', (_name, over, trimPoint, heldBecause) => {
    const decision = decideTrim(facts(over));
    expect(decision.trimPoint).toBe(trimPoint);
    if (heldBecause === '') expect(decision.heldBecause).toBe('');
    else expect(decision.heldBecause).toContain(heldBecause);
  });

  it('never goes above the safe point of its mode, and never back, whatever the facts', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('persisted' as const, 'archived' as const, 'none' as const),
        fc.nat(1000),
        fc.nat(1000),
        fc.option(fc.nat(1000), { nil: undefined }),
        fc.integer({ min: 1, max: 3 }),
        fc.boolean(),
        (mode, trimPoint, persisted, archived, nodesKnown, hasRepository) => {
          const decision = decideTrim({
            mode,
            trimPoint: asLsn(trimPoint),
            persistedLsn: asLsn(persisted),
            archivedLsn: archived === undefined ? undefined : asLsn(archived),
            nodesKnown,
            hasRepository,
          });
          expect(decision.trimPoint).toBeGreaterThanOrEqual(trimPoint);
          if (decision.trimPoint === trimPoint) return;
          const safePoint =
            nodesKnown === 1 && mode === 'persisted' ? persisted : mode === 'archived' ? (archived ?? 0) : 0;
          expect(decision.trimPoint).toBeLessThanOrEqual(safePoint);
          expect(decision.heldBecause).toBe('');
        },
      ),
    );
  });
});
