import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchesPattern, patternFault } from '../../../src/server/security/stream-pattern.js';

describe('a pattern and a name', () => {
  test.each([
    ['web', 'web', true],
    ['web', 'web-1', false],
    ['web', 'we', false],
    ['web', '', false],
    ['web-*', 'web-', true],
    ['web-*', 'web-1/x:y', true],
    ['web-*', 'web', false],
    ['web-*', 'a/web-1', false],
    ['*', 'anything/at.all', true],
    ['*', '', true],
    ['**', 'a', true],
    ['*-log', 'web-log', true],
    ['*-log', 'web-log-old', false],
    ['a*b*c', 'abc', true],
    ['a*b*c', 'a-b-b-c-c', true],
    ['a*b*c', 'acb', false],
    ['tenant-1/*', 'tenant-10/x', false],
    ['tenant-1/*', 'tenant-1/x', true],
    // Nothing but * is special, and case counts.
    ['w.b', 'web', false],
    ['Web', 'web', false],
    ['zeitung-ü*', 'zeitung-über', true],
  ])('%s %s: %s', (pattern, name, expected) => {
    expect(matchesPattern(pattern, name)).toBe(expected);
  });

  /** Tries every way to share the name among the stars. */
  function naive(pattern: string, name: string): boolean {
    if (pattern === '') return name === '';
    if (pattern.startsWith('*')) {
      for (let taken = 0; taken <= name.length; taken++) if (naive(pattern.slice(1), name.slice(taken))) return true;
      return false;
    }
    return name !== '' && pattern[0] === name[0] && naive(pattern.slice(1), name.slice(1));
  }

  test('agree with trying everything', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), maxLength: 8 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b', '/', '*'), maxLength: 10 });
    let matches = 0;
    fc.assert(
      fc.property(pattern, name, (one, other) => {
        const expected = naive(one, other);
        if (expected) matches++;
        expect(matchesPattern(one, other)).toBe(expected);
      }),
      { numRuns: 5000 },
    );
    expect(matches).toBeGreaterThan(100);
  });

  test('take time in proportion to their lengths, not more, when they nearly match', () => {
    const startedMs = performance.now();
    expect(matchesPattern(`${'a*'.repeat(120)}b`, 'a'.repeat(255))).toBe(false);
    expect(performance.now() - startedMs).toBeLessThan(200);
  });
});

test('what a pattern may consist of', () => {
  for (const pattern of ['*', 'web-*', 'a/b:c.d_e-1', 'ü*']) expect(patternFault(pattern)).toBeUndefined();
  expect(patternFault('')).toContain('1 to 255');
  expect(patternFault('a'.repeat(256))).toContain('1 to 255');
  for (const pattern of ['web?', 'a b', '[ab]', '{a,b}', 'a\n', '\\*', '!a'])
    expect(patternFault(pattern), pattern).toContain('which stands for any characters');
});
