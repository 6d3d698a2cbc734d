import { describe, expect, test } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { ClientError } from '../../src/client/errors.js';
import { asData, toJsonLine } from '../../src/cli/context.js';
import { CommandError, failureJson, failureText, UsageError } from '../../src/cli/failure.js';
import {
  escapeControls,
  formatBytes,
  formatCount,
  formatDuration,
  formatTable,
  formatTime,
} from '../../src/cli/format.js';
import { progressLine } from '../../src/cli/progress.js';
import { parseDuration, parseSize, parseTime } from '../../src/cli/time.js';

const nowMs = Date.UTC(2026, 0, 31, 12, 0, 0);

describe('times', () => {
  test.each([
    ['2026-01-31T12:00:00Z', nowMs],
    ['2026-01-31 12:00:00Z', nowMs],
    ['2026-01-31T13:00:00+01:00', nowMs],
    ['2026-01-31T13:00:00+0100', nowMs],
    ['2026-01-31T12:00:00.250Z', nowMs + 250],
    ['2026-01-31', Date.UTC(2026, 0, 31)],
    ['2026-01-31T12:00', new Date(2026, 0, 31, 12).getTime()],
    ['10m', nowMs - 600_000],
    ['10m ago', nowMs - 600_000],
    ['1h30m', nowMs - 5_400_000],
    ['1.5h', nowMs - 5_400_000],
    ['7d', nowMs - 604_800_000],
    ['1769860800000', 1_769_860_800_000],
    ['now', nowMs],
  ])('%s', (text, expected) => expect(parseTime(text, nowMs)).toBe(expected));

  test.each([
    '',
    'yesterday',
    '10',
    '1769860800',
    '10x',
    '2026-13-01',
    '2026-01-31T25:00Z',
    '31.01.2026',
    '10m 2026',
    '-5m',
  ])('%j is refused, with an example of what is taken', (text) => {
    expect(() => parseTime(text, nowMs)).toThrow(UsageError);
    expect(() => parseTime(text, nowMs)).toThrow(/10m|milliseconds/);
  });

  test('durations and sizes', () => {
    expect(['500ms', '10s', '1h30m', '2w', '0s'].map(parseDuration)).toEqual([
      500, 10_000, 5_400_000, 1_209_600_000, 0,
    ]);
    expect(['', '10', 'm', '10 parsecs', '-1s'].map(parseDuration)).toEqual(Array(5).fill(undefined));
    expect(['0', '100', '64MiB', '1.5 GB', '1kb'].map(parseSize)).toEqual([0, 100, 67_108_864, 1_500_000_000, 1000]);
    expect(['', 'x', '10 MBit', '-1', '1e3'].map(parseSize)).toEqual(Array(5).fill(undefined));
  });
});

describe('output', () => {
  test('sizes, counts, durations, times', () => {
    expect([0, 1023, 1024, 1_500_000, 104_857_600, 2 ** 40 * 3].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.4 MiB',
      '100 MiB',
      '3.0 TiB',
    ]);
    expect([0, 999, 1000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([5, 9_990, 42_400, 185_000, 7_800_000, 360_000_000].map(formatDuration)).toEqual([
      '0.01 s',
      '9.99 s',
      '42 s',
      '3m 05s',
      '2h 10m',
      '4d 4h',
    ]);
    expect([formatTime(nowMs), formatTime(1e300)]).toEqual(['2026-01-31T12:00:00.000Z', '1e+300']);
  });

  test('what a terminal would obey is escaped, text stays', () => {
    expect(escapeControls('grün\t😀 日本')).toBe('grün\t😀 日本');
    expect(escapeControls('\u001b[31mred\u0007\r\n\u0000\u009b2J\u202e')).toBe(
      '\\x1b[31mred\\x07\\r\\n\\x00\\x9b2J\\u202e',
    );
  });

  test('tables align, numbers to the right', () => {
    expect(
      formatTable(
        ['NAME', 'RECORDS'],
        [
          ['a', '1,000'],
          ['longer', 2],
        ],
      ),
    ).toBe('NAME    RECORDS\na         1,000\nlonger        2\n');
  });

  test('fields of JSON are in snake case, data is left alone', () => {
    expect(toJsonLine({ nextSeq: 1, inner: [{ firstSeq: 2 }], attributes: asData({ camelKey: 'v' }) })).toBe(
      '{"next_seq":1,"inner":[{"first_seq":2}],"attributes":{"camelKey":"v"}}\n',
    );
  });

  test('progress: a bar when the total is known, never wider than the terminal', () => {
    const state = { records: 1234, bytes: 50 * 1024, totalBytes: 100 * 1024 };
    expect(progressLine(state, 1000, 200)).toBe(
      '[############------------]  50 %  1,234 records  50.0 KiB  50.0 KiB/s  1.00 s left',
    );
    expect(progressLine({ ...state, totalBytes: undefined }, 1000, 200)).toBe('1,234 records  50.0 KiB  50.0 KiB/s');
    expect(progressLine(state, 1000, 40).length).toBeLessThan(40);
    expect(progressLine({ records: 0, bytes: 0, totalBytes: 0 }, 0, 80)).toBe('0 records  0 B  0 B/s');
  });

  test('failures: one line with the reason, one with what to do', () => {
    const missing = new LogboomError('STREAM_NOT_FOUND', 'there is no stream\n "x".', { facts: { stream: 'x' } });
    expect(failureText(missing)).toBe(
      'error: there is no stream "x" (STREAM_NOT_FOUND)\nSee `logboom stream list`, or make it with `logboom stream create NAME`.\n',
    );
    expect(JSON.parse(failureJson(missing))).toMatchObject({
      error: { reason: 'STREAM_NOT_FOUND', facts: { stream: 'x' } },
    });
    expect(failureText(new UsageError('wrong'))).toBe('error: wrong\n');
    expect(failureText(new UsageError('wrong', 'See `x`.'))).toBe('error: wrong\nSee `x`.\n');
    expect(failureText(new ClientError('UNREACHABLE', 'no server answers'))).toMatch(/UNREACHABLE\)\nStart a node/);
    expect(failureText(new CommandError('X', 'went wrong', 'Do this.'))).toBe('error: went wrong (X)\nDo this.\n');
    const noFile = Object.assign(new Error('ENOENT: ...'), { code: 'ENOENT', path: '/a/b' });
    expect(failureText(noFile)).toBe('error: there is no such file: /a/b (ENOENT)\n');
  });
});
