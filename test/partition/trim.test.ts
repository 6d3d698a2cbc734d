import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asLsn, asReplicaId } from '../../src/base/ids.js';
import type { ArchiveState } from '../../src/partition/archive-state.js';
import {
  type ArchivedAt,
  decideTrim,
  isHeldUp,
  proposeTrim,
  type TrimFacts,
  type TrimProposalFacts,
  withArchived,
} from '../../src/partition/trim.js';

const archive = (archivedLsn: number, trimPoint: number): ArchiveState => ({
  archivedLsn: asLsn(archivedLsn),
  trimPoint: asLsn(trimPoint),
  manifest: archivedLsn === 0 ? '' : 'm.json',
});

const facts = (over: Partial<TrimFacts>): TrimFacts => ({
  mode: 'persisted',
  trimPoint: asLsn(10),
  persistedLsn: asLsn(100),
  archive: archive(0, 0),
  nodesKnown: 1,
  hasRepository: false,
  leaderHolds: '',
  ...over,
});

describe('decideTrim', () => {
  const archived = { mode: 'archived', hasRepository: true } as const;
  it.each<[string, Partial<TrimFacts>, number, string]>([
    ['one node trims to its persisted LSN', {}, 100, ''],
    ['never back', { trimPoint: asLsn(200) }, 200, ''],
    ['a second node ends the mode', { nodesKnown: 2 }, 10, 'second node'],
    ['mode none', { mode: 'none' }, 10, 'trim.mode is none'],
    ['archived without a repository', { mode: 'archived' }, 10, 'no snapshot repository'],
    ['archived without a snapshot', archived, 10, 'no complete snapshot'],
    ['the failure of a snapshot is told', { ...archived, leaderHolds: 'it failed' }, 10, 'it failed'],
    [
      'archived follows the trim point of the group, and not the archived LSN',
      { ...archived, archive: archive(90, 50) },
      50,
      '',
    ],
    ['as far as it has persisted what goes', { ...archived, archive: archive(300, 200) }, 100, 'has persisted LSN 100'],
    [
      'and says what holds the leader',
      { ...archived, archive: archive(90, 50), leaderHolds: 'a margin' },
      50,
      'a margin',
    ],
  ])('%s', (_name, over, trimPoint, heldBecause) => {
    const decision = decideTrim(facts(over));
    expect(decision.trimPoint).toBe(trimPoint);
    if (heldBecause === '') expect(decision.heldBecause).toBe('');
    else expect(decision.heldBecause).toContain(heldBecause);
  });

  it('never goes above the safe point of its mode or the persisted LSN, and never back, whatever the facts', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('persisted' as const, 'archived' as const, 'none' as const),
        fc.nat(1000),
        fc.nat(1000),
        fc.tuple(fc.nat(1000), fc.nat(1000)),
        fc.integer({ min: 1, max: 3 }),
        fc.boolean(),
        (mode, trimPoint, persisted, [one, other], nodesKnown, hasRepository) => {
          const state = archive(Math.max(one, other), Math.min(one, other));
          const decision = decideTrim(
            facts({
              mode,
              trimPoint: asLsn(trimPoint),
              persistedLsn: asLsn(persisted),
              archive: state,
              nodesKnown,
              hasRepository,
            }),
          );
          expect(decision.trimPoint).toBeGreaterThanOrEqual(trimPoint);
          if (decision.trimPoint === trimPoint) return;
          expect(decision.trimPoint).toBeLessThanOrEqual(persisted);
          if (mode === 'archived') expect(hasRepository).toBe(true);
          if (mode === 'archived') expect(decision.trimPoint).toBeLessThanOrEqual(state.trimPoint);
          else expect([mode, nodesKnown]).toEqual(['persisted', 1]);
        },
      ),
    );
  });
});

describe('proposeTrim', () => {
  const proposal = (over: Partial<TrimProposalFacts>): TrimProposalFacts => ({
    archive: archive(100, 10),
    archived: [
      { lsn: asLsn(60), forMs: 5000 },
      { lsn: asLsn(100), forMs: 1000 },
    ],
    marginEntries: 0,
    delayMs: 0,
    unproven: [],
    bootstrapping: [],
    ...over,
  });

  it.each<[string, Partial<TrimProposalFacts>, number, string]>([
    ['goes to the archived LSN', {}, 100, ''],
    ['keeps a margin', { marginEntries: 15 }, 85, ''],
    ['says that only the margin is left', { archive: archive(100, 85), marginEntries: 15 }, 85, 'trim.marginEntries'],
    ['has nothing to do', { archive: archive(100, 100) }, 100, ''],
    ['waits: an older one is ripe', { delayMs: 2000 }, 60, ''],
    ['waits: none is ripe', { delayMs: 6000 }, 10, 'trim.delayMs'],
    ['needs the proof of every voter', { unproven: [asReplicaId(2), asReplicaId(3)] }, 10, 'replicas 2, 3'],
    [
      'waits for a bootstrap',
      { bootstrapping: [{ replica: asReplicaId(3), forMs: 9000, holdMs: 10_000 }] },
      10,
      'replica 3 is fetching',
    ],
    ['but not for ever', { bootstrapping: [{ replica: asReplicaId(3), forMs: 10_000, holdMs: 10_000 }] }, 100, ''],
    ['never beyond what is archived', { archive: archive(50, 10) }, 50, ''],
  ])('%s', (_name, over, trimPoint, heldBecause) => {
    const decision = proposeTrim(proposal(over));
    expect(decision.trimPoint).toBe(trimPoint);
    if (heldBecause === '') expect(decision.heldBecause).toBe('');
    else expect(decision.heldBecause).toContain(heldBecause);
  });
});

describe('what is archived while a delay runs', () => {
  it('is remembered in few entries, however quickly snapshots come, and the log follows the delay', () => {
    const delayMs = 600_000;
    let archived: readonly ArchivedAt[] = [];
    for (let lsn = 1; lsn <= 3000; lsn += 1) {
      const atMs = lsn * 5000;
      archived = withArchived(archived, { lsn: asLsn(lsn), atMs }, delayMs);
      expect(archived.length).toBeLessThan(40);
      const ripe = archived.findLast((one) => atMs - one.atMs >= delayMs)?.lsn ?? 0;
      // Each LSN is 5 s: what is ripe lags behind by the delay and at most a part of it.
      const exact = Math.max(0, lsn - 120);
      expect(ripe).toBeLessThanOrEqual(exact);
      if (lsn > 140) expect(ripe).toBeGreaterThanOrEqual(exact - 8);
    }
  });

  it('is the newest alone without a delay', () => {
    const one = withArchived([], { lsn: asLsn(1), atMs: 5 }, 0);
    expect(withArchived(one, { lsn: asLsn(2), atMs: 5 }, 0).map(({ lsn }) => lsn)).toEqual([1, 2]);
    expect(withArchived(withArchived(one, { lsn: asLsn(2), atMs: 6 }, 0), { lsn: asLsn(3), atMs: 7 }, 0)).toHaveLength(
      2,
    );
  });

  it('is not held up by time alone', () => {
    const facts: TrimProposalFacts = {
      archive: archive(100, 10),
      archived: [{ lsn: asLsn(100), forMs: 1 }],
      marginEntries: 0,
      delayMs: 1000,
      unproven: [],
      bootstrapping: [],
    };
    expect(isHeldUp(proposeTrim(facts).heldBecause)).toBe(false);
    expect(isHeldUp(proposeTrim({ ...facts, unproven: [asReplicaId(2)] }).heldBecause)).toBe(true);
    expect(isHeldUp('')).toBe(false);
  });
});
