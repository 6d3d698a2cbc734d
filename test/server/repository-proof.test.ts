/** What a node has the metadata say of the repository that it sees. */
import { describe, expect, it } from 'vitest';
import { provenRepository, withdrawAfterMs } from '../../src/server/cluster/repository-proof.js';

describe('the record of which repository a node sees', () => {
  const shared = 'a'.repeat(32);
  const other = 'b'.repeat(32);

  it('is what it sees, as soon as it sees it', () => {
    expect(provenRepository({ recorded: '', seen: shared, blindForMs: 0 })).toBe(shared);
    expect(provenRepository({ recorded: shared, seen: other, blindForMs: 0 })).toBe(other);
  });

  it('stays while the repository is away for a moment, as at a start, and is withdrawn when that lasts', () => {
    expect(provenRepository({ recorded: shared, seen: '', blindForMs: withdrawAfterMs - 1 })).toBe(shared);
    expect(provenRepository({ recorded: shared, seen: '', blindForMs: withdrawAfterMs })).toBe('');
  });

  it('is withdrawn at once where no repository is configured any more', () => {
    expect(provenRepository({ recorded: shared, seen: undefined, blindForMs: 0 })).toBe('');
  });
});
