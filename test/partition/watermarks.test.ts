import { describe, expect, it } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { asLsn } from '../../src/base/ids.js';
import { Watermarks } from '../../src/partition/watermarks.js';

const at = (durable: number, commit: number, applied: number, persisted: number): Watermarks =>
  new Watermarks({
    durable: asLsn(durable),
    commit: asLsn(commit),
    applied: asLsn(applied),
    persisted: asLsn(persisted),
  });

describe('Watermarks', () => {
  it('moves forward in the order durable, commit, applied, persisted', () => {
    const marks = at(0, 0, 0, 0);
    marks.durableMoved(asLsn(5));
    marks.commitAdvanced(asLsn(4));
    marks.appliedAdvanced(asLsn(4));
    marks.persistedAdvanced(asLsn(3));
    expect([marks.durable, marks.commit, marks.applied, marks.persisted]).toEqual([5, 4, 4, 3]);
  });

  it.each<[string, () => void]>([
    ['a store ahead of its own WAL', () => at(4, 4, 5, 5)],
    ['commit beyond durable', () => at(5, 5, 5, 5).commitAdvanced(asLsn(6))],
    ['applied beyond commit', () => at(9, 5, 5, 5).appliedAdvanced(asLsn(6))],
    ['persisted beyond applied', () => at(9, 9, 5, 5).persistedAdvanced(asLsn(6))],
    ['commit going back', () => at(9, 9, 5, 5).commitAdvanced(asLsn(8))],
    ['applied not advancing', () => at(9, 9, 5, 5).appliedAdvanced(asLsn(5))],
    ['persisted going back', () => at(9, 9, 9, 5).persistedAdvanced(asLsn(4))],
    ['durable falling below commit', () => at(9, 9, 9, 5).durableMoved(asLsn(8))],
    ['a store reopened below its persisted LSN', () => at(9, 9, 9, 5).storeReopened(asLsn(4))],
    ['a store reopened above its applied LSN', () => at(9, 9, 8, 5).storeReopened(asLsn(9))],
  ])('refuses %s', (_name, act) => {
    expect(act).toThrow(InvariantViolation);
  });

  it('lets the log lose what was never committed', () => {
    const marks = at(9, 5, 5, 5);
    marks.durableMoved(asLsn(6));
    expect(marks.durable).toBe(6);
  });

  it('goes back to what a reopened store holds, which may be more than was reported persisted', () => {
    const marks = at(9, 9, 9, 5);
    marks.storeReopened(asLsn(7));
    expect([marks.applied, marks.persisted]).toEqual([7, 7]);
  });
});
