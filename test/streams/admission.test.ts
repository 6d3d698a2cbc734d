import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import {
  appendCommand,
  createStreamCommand,
  defaultStreamsLimits,
  deleteStreamCommand,
  listStreams,
  requireEpoch,
  slotOf,
  updateStreamCommand,
  validateStreamName,
} from '../../src/streams/index.js';
import type { CreateStreamRequest } from '../../src/streams/index.js';
import { TestPartition } from './support/partition.js';
import { crc, textBatch } from './support/records.js';

const limits = defaultStreamsLimits;
const reasonOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    if (isLogboomError(error)) return `${error.reason} ${error.facts['field'] ?? ''}`.trim();
    throw error;
  }
  return 'accepted';
};

describe('stream names', () => {
  test.each(['a', '0', 'A.b_c-d/e:f', 'größe', '日志', 'журнал-1', 'हिन्दी', 'x'.repeat(255), '𝒜lpha'])(
    '%s is one',
    (name) => {
      expect(reasonOf(() => validateStreamName(name))).toBe('accepted');
    },
  );

  test.each([
    '',
    '.a',
    '-a',
    '_a',
    '/a',
    ':a',
    'a b',
    'a\n',
    'a\0',
    'a#',
    'a*',
    '😀',
    'x'.repeat(256),
    'ü'.repeat(128),
    '\ud800',
    '\u0301a',
  ])('%j is none', (name) => {
    expect(reasonOf(() => validateStreamName(name))).toBe('STREAM_NAME_INVALID');
  });

  test('slots: CRC-32 of the UTF-8 bytes, never to be changed', () => {
    expect(['a', 'orders/eu', 'größe'].map((name) => slotOf(name, 4096, crc))).toEqual([
      0xe8b7be43 % 4096,
      crc(Buffer.from('orders/eu')) % 4096,
      crc(Buffer.from('größe')) % 4096,
    ]);
    expect(slotOf('a', 4096, crc)).toBe(3651);
  });
});

describe('what the leader refuses before it proposes', () => {
  const partition = new TestPartition();
  const stream = partition.create('s');
  const create = (change: Partial<CreateStreamRequest>): string =>
    reasonOf(() =>
      createStreamCommand(
        {
          name: 'a',
          config: { retentionAgeMs: 0, retentionBytes: 0 },
          fencingToken: '',
          ifNotExists: false,
          ...change,
        },
        1,
        limits,
      ),
    );

  test('of a creation', () => {
    expect(create({})).toBe('accepted');
    expect(create({ name: ' ' })).toBe('STREAM_NAME_INVALID');
    expect(create({ fencingToken: 'x'.repeat(257) })).toBe('INVALID_ARGUMENT fencing_token');
    expect(create({ config: { retentionAgeMs: 2 ** 53, retentionBytes: 0 } })).toBe(
      'INVALID_ARGUMENT retention_age_ms',
    );
    expect(create({ config: { retentionAgeMs: 0, retentionBytes: -1 } })).toBe('INVALID_ARGUMENT retention_bytes');
  });

  test('of an update and a deletion', () => {
    expect(reasonOf(() => updateStreamCommand(stream, {}, limits))).toBe('accepted');
    expect(reasonOf(() => updateStreamCommand(stream, { retentionAgeMs: 0.5 }, limits))).toBe(
      'INVALID_ARGUMENT retention_age_ms',
    );
    expect(reasonOf(() => updateStreamCommand(stream, { retentionBytes: Number.NaN }, limits))).toBe(
      'INVALID_ARGUMENT retention_bytes',
    );
    expect(reasonOf(() => updateStreamCommand(stream, { fencingToken: 'ü'.repeat(129) }, limits))).toBe(
      'INVALID_ARGUMENT fencing_token',
    );
    expect(reasonOf(() => deleteStreamCommand(stream, stream.epoch))).toBe('accepted');
    expect(reasonOf(() => deleteStreamCommand(stream, 1))).toBe('STREAM_EPOCH_MISMATCH');
    expect(reasonOf(() => requireEpoch(stream, undefined))).toBe('accepted');
  });

  test('of an append', async () => {
    const batch = await textBatch(['a', 'b']);
    const append = (conditions: Parameters<typeof appendCommand>[2]): string =>
      reasonOf(() => appendCommand(stream, batch, conditions, limits));
    const producer = { id: 'p', epoch: 0, firstRecordNumber: 0 };
    expect(append({ producer })).toBe('accepted');
    expect(append({ producer: { ...producer, id: '' } })).toBe('INVALID_ARGUMENT producer.id');
    expect(append({ producer: { ...producer, id: 'x'.repeat(128) } })).toBe('accepted');
    expect(append({ producer: { ...producer, id: 'x'.repeat(129) } })).toBe('INVALID_ARGUMENT producer.id');
    expect(append({ producer: { ...producer, epoch: -1 } })).toBe('INVALID_ARGUMENT producer.epoch');
    expect(append({ producer: { ...producer, firstRecordNumber: Number.MAX_SAFE_INTEGER - 1 } })).toBe(
      'INVALID_ARGUMENT producer.first_record_number',
    );
    expect(append({ expectedNextSeq: -1 })).toBe('INVALID_ARGUMENT expected_next_seq');
    expect(append({ expectedEpoch: 1 })).toBe('STREAM_EPOCH_MISMATCH');
  });
});

describe('listStreams', () => {
  test('pages of any size give the names with the prefix once each, in order, while streams come and go', () => {
    const names = fc.uniqueArray(
      fc.stringMatching(/^[ab/]{1,5}$/).filter((name) => !name.startsWith('/')),
      { minLength: 1, maxLength: 40 },
    );
    fc.assert(
      fc.property(
        names,
        fc.stringMatching(/^[ab/]{0,2}$/),
        fc.integer({ min: 1, max: 7 }),
        fc.nat(),
        (list, prefix, limit, choice) => {
          const partition = new TestPartition();
          for (const name of list) partition.create(name);
          listStreams(partition.machine, { prefix, after: '', limit });
          const gone = list[choice % list.length]!;
          partition.run({ type: 'delete-stream', streamId: partition.view(gone).id, expectedEpoch: undefined });
          const expected = list.filter((name) => name.startsWith(prefix) && name !== gone).sort();
          const found: string[] = [];
          for (let after = ''; ;) {
            const page = listStreams(partition.machine, { prefix, after, limit });
            found.push(...page.streams.map((stream) => stream.name));
            if (!page.more) break;
            expect(page.streams).toHaveLength(limit);
            after = page.streams.at(-1)!.name;
          }
          expect(found).toEqual(expected);
        },
      ),
    );
  });

  test('after a name below the prefix, and above it', () => {
    const partition = new TestPartition();
    for (const name of ['a', 'b1', 'b2', 'c']) partition.create(name);
    const list = (prefix: string, after: string): string[] =>
      listStreams(partition.machine, { prefix, after, limit: 9 }).streams.map(({ name }) => name);
    expect(list('b', 'a')).toEqual(['b1', 'b2']);
    expect(list('b', 'b1')).toEqual(['b2']);
    expect(list('b', 'c')).toEqual([]);
    expect(list('', 'b1')).toEqual(['b2', 'c']);
    expect(list('x', '')).toEqual([]);
  });
});
