import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LineSplitter } from '../../src/cli/lines.js';

/** Lines of chunks that come one after another; oversize ones as their length. */
function split(chunks: readonly Buffer[], lineBytesMax = 1000): (string | number)[] {
  const splitter = new LineSplitter(lineBytesMax);
  const lines: (string | number)[] = [];
  const take = (): void => {
    if (splitter.oversizeBytes > 0) lines.push(splitter.oversizeBytes);
    else lines.push(splitter.buffer.subarray(splitter.start, splitter.end).toString('latin1'));
  };
  for (const chunk of chunks) {
    // The reader uses its buffer again.
    const copy = Buffer.from(chunk);
    splitter.push(copy);
    while (splitter.next()) take();
    copy.fill(0x58);
  }
  if (splitter.finish()) take();
  return lines;
}

function naive(text: string, lineBytesMax = 1000): (string | number)[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line) => (line.length > lineBytesMax ? line.length : line));
}

describe('LineSplitter', () => {
  test.each([
    ['', []],
    ['\n', ['']],
    ['\n\n', ['', '']],
    ['a', ['a']],
    ['a\n', ['a']],
    ['a\nb', ['a', 'b']],
    ['a\r\nb\r', ['a\r', 'b\r']],
    ['a\rb\n', ['a\rb']],
    ['\xff\xfe\n\x00', ['\xff\xfe', '\x00']],
    ['\u0085\u2028'.slice(0, 1), ['\u0085']],
  ])('%j', (text, expected) => {
    expect(split([Buffer.from(text, 'latin1')])).toEqual(expected);
  });

  test('is what splitting at LF gives, however the bytes are cut into chunks', () => {
    const bytes = fc.array(fc.constantFrom('\n', '\n', '\r', 'a', 'b', '\xff', '\x00'), { maxLength: 60 });
    fc.assert(
      fc.property(
        bytes,
        fc.array(fc.nat(8), { maxLength: 30 }),
        fc.integer({ min: 1, max: 12 }),
        (characters, cuts, lineBytesMax) => {
          const text = characters.join('');
          const whole = Buffer.from(text, 'latin1');
          const chunks: Buffer[] = [];
          let at = 0;
          for (const cut of cuts) {
            chunks.push(whole.subarray(at, at + cut));
            at += cut;
          }
          chunks.push(whole.subarray(at));
          expect(split(chunks, lineBytesMax)).toEqual(naive(text, lineBytesMax));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('a line over the limit is counted, not kept', () => {
    const splitter = new LineSplitter(10);
    for (let round = 0; round < 1000; round += 1) {
      splitter.push(Buffer.alloc(1000, 97));
      expect(splitter.next()).toBe(false);
    }
    expect(splitter.incompleteBytes).toBe(1_000_000);
    splitter.push(Buffer.from('\nok\n'));
    expect(splitter.next()).toBe(true);
    expect(splitter.oversizeBytes).toBe(1_000_000);
    expect(splitter.next()).toBe(true);
    expect(splitter.oversizeBytes).toBe(0);
    expect(splitter.buffer.toString('latin1', splitter.start, splitter.end)).toBe('ok');
  });
});
