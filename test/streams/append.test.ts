import { beforeEach, describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { Codec } from '../../src/base/ports/compressor.js';
import { appendCommand, expectResult, getProducer } from '../../src/streams/index.js';
import type { AppendConditions, StreamsResult } from '../../src/streams/index.js';
import { TestPartition } from './support/partition.js';
import { textBatch } from './support/records.js';

const texts = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `line ${from + index}`);
const reasonOf = (result: StreamsResult): string => (result.type === 'refused' ? result.reason : result.type);

let partition: TestPartition;
beforeEach(() => {
  partition = new TestPartition();
  partition.create('s');
});

/** Appends `count` records numbered from `first`, whose content follows from their numbers. */
const send = (first: number, count: number, epoch = 1, more: AppendConditions = {}, id = 'p'): Promise<StreamsResult> =>
  partition.append('s', texts(first, count), { producer: { id, epoch, firstRecordNumber: first }, ...more });

describe('appends', () => {
  test('get dense seqs, their LSN and the entry time', async () => {
    partition.timeMs = 5000;
    expect(await partition.append('s', texts(0, 3))).toEqual({
      type: 'appended',
      streamEpoch: partition.view('s').epoch,
      firstSeq: 0,
      lastSeq: 2,
      lsn: 2,
      appendTimeMs: 1_000_000,
      repeated: false,
    });
    partition.timeMs = 2_000_000.75;
    expect(await partition.append('s', texts(3, 2))).toMatchObject({
      firstSeq: 3,
      lastSeq: 4,
      lsn: 3,
      appendTimeMs: 2_000_000,
    });
    expect(partition.view('s')).toMatchObject({ firstSeq: 0, nextSeq: 5, lastAppendMs: 2_000_000, producerCount: 0 });
  });

  test('append time never goes back, in the partition, over restarts, and with streams deleted in between', async () => {
    partition.timeMs = 9_000_000;
    partition.create('other');
    await partition.mustAppend('other', ['x']);
    partition.run({ type: 'delete-stream', streamId: partition.view('other').id, expectedEpoch: undefined });
    partition.timeMs = 1;
    await partition.restart();
    expect((await partition.mustAppend('s', ['x'])).appendTimeMs).toBe(9_000_000);
    partition.timeMs = 9_500_000;
    await partition.mustAppend('s', ['x']);
    await partition.restart();
    partition.timeMs = 2;
    expect((await partition.mustAppend('s', ['x'])).appendTimeMs).toBe(9_500_000);
  });

  test('a refused command changes nothing, not even the time', async () => {
    partition.timeMs = 9_000_000;
    const before = partition.store.dump();
    expect(reasonOf(await send(5, 1))).toBe('PRODUCER_GAP');
    expect(reasonOf(await partition.append('s', ['x'], { expectedNextSeq: 3 }))).toBe('SEQ_MISMATCH');
    expect(partition.store.dump()).toEqual(before);
    partition.timeMs = 1_000_001;
    expect((await partition.mustAppend('s', ['x'])).appendTimeMs).toBe(1_000_001);
  });

  test('to a stream that was deleted meanwhile', async () => {
    const command = await partition.appendCommand('s', ['x']);
    partition.run({ type: 'delete-stream', streamId: partition.view('s').id, expectedEpoch: undefined });
    partition.create('s');
    expect(reasonOf(partition.run(command))).toBe('STREAM_NOT_FOUND');
  });

  test('expected epoch, at admission and at apply', async () => {
    const { epoch } = partition.view('s');
    expect(reasonOf(await partition.append('s', ['x'], { expectedEpoch: epoch }))).toBe('appended');
    await expect(partition.append('s', ['x'], { expectedEpoch: epoch + 1 })).rejects.toMatchObject({
      reason: 'STREAM_EPOCH_MISMATCH',
    });
    const command = appendCommand(partition.view('s'), await textBatch(['x']), {}, partition.limits);
    const result = partition.run({ ...command, expectedEpoch: epoch + 1 });
    expect(result).toMatchObject({
      reason: 'STREAM_EPOCH_MISMATCH',
      facts: { stream_epoch: epoch, first_seq: 0, next_seq: 1 },
    });
  });

  test('conditional appends', async () => {
    expect(reasonOf(await partition.append('s', texts(0, 2), { expectedNextSeq: 0 }))).toBe('appended');
    expect(await partition.append('s', ['x'], { expectedNextSeq: 0 })).toMatchObject({
      reason: 'SEQ_MISMATCH',
      facts: { next_seq: 2 },
    });
    expect(await partition.append('s', ['x'], { expectedNextSeq: 3 })).toMatchObject({
      reason: 'SEQ_MISMATCH',
      facts: { next_seq: 2 },
    });
    expect(reasonOf(await partition.append('s', ['x'], { expectedNextSeq: 2 }))).toBe('appended');
  });

  test('fencing tokens: what the stream carries must be named, and nothing else', async () => {
    const streamId = partition.view('s').id;
    const nothing = { retentionAgeMs: undefined, retentionBytes: undefined, expectedFencingToken: undefined };
    const fence = (fencingToken: string, expectedFencingToken?: string): StreamsResult =>
      partition.run({ type: 'update-stream', streamId, ...nothing, fencingToken, expectedFencingToken });
    expect(reasonOf(await partition.append('s', ['x'], { fencingToken: 'a' }))).toBe('FENCING_TOKEN_MISMATCH');
    expect(reasonOf(await partition.append('s', ['x'], { fencingToken: '' }))).toBe('appended');
    expect(reasonOf(fence('a', ''))).toBe('stream-updated');
    expect(reasonOf(fence('b', ''))).toBe('FENCING_TOKEN_MISMATCH');
    expect(reasonOf(await partition.append('s', ['x']))).toBe('FENCING_TOKEN_MISMATCH');
    expect(reasonOf(await partition.append('s', ['x'], { fencingToken: 'b' }))).toBe('FENCING_TOKEN_MISMATCH');
    expect(reasonOf(await partition.append('s', ['x'], { fencingToken: 'a' }))).toBe('appended');
    expect(reasonOf(fence('', 'a'))).toBe('stream-updated');
    expect(reasonOf(await partition.append('s', ['x']))).toBe('appended');
  });
});

describe('producers', () => {
  test('a repeat answers the original positions, time and LSN', async () => {
    const first = await send(0, 3);
    partition.timeMs += 1000;
    await send(3, 2);
    expect(await send(0, 3)).toEqual({ ...first, repeated: true });
    expect(partition.view('s').nextSeq).toBe(5);
  });

  test('a repeat is found after a restart, after many later batches, and without the cache', async () => {
    partition = new TestPartition({ producersCachedMax: 1 });
    partition.create('s');
    const originals = [];
    for (let first = 0; first < 300; first += 3) {
      originals.push(await send(first, 3));
      await send(first, 3, 1, {}, 'other');
    }
    await partition.restart();
    for (const [index, original] of originals.entries()) {
      expect(await send(index * 3, 3)).toEqual({ ...original, repeated: true });
    }
    expect(partition.machine.producersCached).toBe(1);
  });

  test('a repeat under another codec is a repeat', async () => {
    const original = await send(0, 3);
    const producer = { id: 'p', epoch: 1, firstRecordNumber: 0 };
    expect(await partition.append('s', texts(0, 3), { producer }, Codec.zstd)).toEqual({ ...original, repeated: true });
  });

  test('a conditional append that is sent again is a repeat, not a mismatch', async () => {
    const original = await send(0, 2, 1, { expectedNextSeq: 0 });
    expect(await send(0, 2, 1, { expectedNextSeq: 0 })).toEqual({ ...original, repeated: true });
    expect(reasonOf(await send(2, 1, 1, { expectedNextSeq: 0 }))).toBe('SEQ_MISMATCH');
  });

  test('a repeat in the same group of entries', async () => {
    const producer = { id: 'p', epoch: 1, firstRecordNumber: 0 };
    const command = await partition.appendCommand('s', texts(0, 2), { producer });
    const [first, second] = partition.group([command, command]);
    expect(second).toEqual({ ...first, repeated: true });
  });

  test.each<[string, number, number, string]>([
    ['the next batch', 6, 2, 'appended'],
    ['a repeat of the first', 0, 3, 'appended'],
    ['a repeat of the last', 3, 3, 'appended'],
    ['a gap', 7, 1, 'PRODUCER_GAP'],
    ['half old, half new', 3, 4, 'PRODUCER_OVERLAP'],
    ['beginning inside of a batch and going beyond', 5, 2, 'PRODUCER_OVERLAP'],
    ['inside of a batch', 4, 1, 'PRODUCER_OVERLAP'],
    ['the beginning of a batch', 0, 2, 'PRODUCER_OVERLAP'],
    ['two batches at once', 0, 6, 'PRODUCER_OVERLAP'],
  ])('after 0-2 and 3-5: %s', async (_what, first, count, expected) => {
    await send(0, 3);
    await send(3, 3);
    const result = await send(first, count);
    expect(reasonOf(result)).toBe(expected);
    if (result.type === 'refused') expect(result.facts['next_record_number']).toBe(6);
  });

  test('the same numbers with other content conflict', async () => {
    await send(0, 2);
    const producer = { id: 'p', epoch: 1, firstRecordNumber: 0 };
    const result = await partition.append('s', ['line 0', 'line X'], { producer });
    expect(result).toMatchObject({ reason: 'PRODUCER_CONFLICT', facts: { next_record_number: 2, first_seq: 0 } });
  });

  test('a higher epoch fences lower ones, also with a repeat; a refused one does not', async () => {
    await send(0, 2, 3);
    expect(reasonOf(await send(9, 1, 8))).toBe('PRODUCER_GAP');
    expect(reasonOf(await send(2, 2, 3))).toBe('appended');
    expect(await send(4, 1, 2)).toMatchObject({
      reason: 'PRODUCER_FENCED',
      facts: { producer_epoch: 3, next_record_number: 4 },
    });
    expect(await send(0, 2, 5)).toMatchObject({ repeated: true, firstSeq: 0 });
    expect(reasonOf(await send(4, 1, 4))).toBe('PRODUCER_FENCED');
    await partition.restart();
    expect(reasonOf(await send(0, 2, 4))).toBe('PRODUCER_FENCED');
    expect(reasonOf(await send(4, 1, 5))).toBe('appended');
  });

  test('a producer that is not known begins at 0', async () => {
    expect(await send(1, 1)).toMatchObject({ reason: 'PRODUCER_GAP', facts: { next_record_number: 0 } });
    expect(getProducer(partition.store, partition.view('s'), 'p')).toBeUndefined();
    expect(reasonOf(await send(0, 1))).toBe('appended');
    expect(getProducer(partition.store, partition.view('s'), 'p')).toEqual({
      epoch: 1,
      nextRecordNumber: 1,
      lastSeq: 0,
      lastAppendMs: 1_000_000,
    });
    expect(partition.view('s').producerCount).toBe(1);
  });

  test('producers are counted and limited, over restarts', async () => {
    partition = new TestPartition({ limits: { producersPerStreamMax: 2 } });
    partition.create('s');
    for (const id of ['a', 'b']) expect(reasonOf(await send(0, 1, 1, {}, id))).toBe('appended');
    await partition.restart();
    expect(await send(0, 1, 1, {}, 'c')).toMatchObject({
      reason: 'PRODUCER_LIMIT_REACHED',
      facts: { producers_max: 2 },
    });
    expect(reasonOf(await send(1, 1, 1, {}, 'a'))).toBe('appended');
    expect(partition.view('s').producerCount).toBe(2);
  });

  test('repeats of records that retention has deleted name the next number, cleared or not', async () => {
    await send(0, 3);
    await send(3, 3);
    partition.run({ type: 'set-first-seq', streamId: partition.view('s').id, firstSeq: 3 });
    const before = await send(0, 3);
    expect(before).toMatchObject({ reason: 'PRODUCER_OVERLAP', facts: { next_record_number: 6 } });
    await partition.clear();
    expect(await send(0, 3)).toEqual(before);
    expect(await send(3, 3)).toMatchObject({ type: 'appended', repeated: true, firstSeq: 3 });
  });

  test('producers of different streams and similar names are kept apart', async () => {
    partition.create('t');
    for (const id of ['p', 'pp', 'p\0', '/']) {
      for (const stream of ['s', 't']) {
        expect(
          reasonOf(await partition.append(stream, ['x'], { producer: { id, epoch: 1, firstRecordNumber: 0 } })),
        ).toBe('appended');
      }
    }
  });
});

describe('streams', () => {
  const create = {
    type: 'create-stream',
    name: 's',
    epoch: 77,
    config: { retentionAgeMs: 0, retentionBytes: 0 },
    fencingToken: '',
    ifNotExists: false,
    streamsMax: 3,
  } as const;

  test('creating again answers the same stream, unless it was to be another', () => {
    expect(partition.run(create)).toMatchObject({ type: 'stream-created', created: false, stream: { id: 1 } });
    expect(reasonOf(partition.run({ ...create, fencingToken: 'f' }))).toBe('STREAM_ALREADY_EXISTS');
    expect(reasonOf(partition.run({ ...create, config: { retentionAgeMs: 1, retentionBytes: 0 } }))).toBe(
      'STREAM_ALREADY_EXISTS',
    );
    expect(partition.run({ ...create, fencingToken: 'f', ifNotExists: true })).toMatchObject({
      created: false,
      stream: { id: 1 },
    });
  });

  test('the limit of streams', () => {
    for (const name of ['a', 'b']) expect(partition.run({ ...create, name })).toMatchObject({ created: true });
    expect(partition.run({ ...create, name: 'c' })).toMatchObject({
      reason: 'STREAM_LIMIT_REACHED',
      facts: { streams_max: 3 },
    });
    partition.run({ type: 'delete-stream', streamId: 1, expectedEpoch: undefined });
    expect(partition.run({ ...create, name: 'c' })).toMatchObject({ created: true });
  });

  test('updates keep what is not named; streams that are gone are not found', () => {
    const update = {
      type: 'update-stream',
      streamId: 1,
      retentionAgeMs: undefined,
      retentionBytes: undefined,
      fencingToken: undefined,
      expectedFencingToken: undefined,
    } as const;
    partition.run({ ...update, retentionAgeMs: 5 });
    expect(partition.run({ ...update, retentionBytes: 6 })).toMatchObject({
      stream: { config: { retentionAgeMs: 5, retentionBytes: 6 } },
    });
    expect(reasonOf(partition.run({ ...update, streamId: 99 }))).toBe('STREAM_NOT_FOUND');
    expect(reasonOf(partition.run({ type: 'delete-stream', streamId: 99, expectedEpoch: undefined }))).toBe(
      'STREAM_NOT_FOUND',
    );
    expect(reasonOf(partition.run({ type: 'set-first-seq', streamId: 99, firstSeq: 1 }))).toBe('STREAM_NOT_FOUND');
    expect(reasonOf(partition.run({ type: 'drop-producers', streamId: 99, producerIds: [], idleMs: 0 }))).toBe(
      'STREAM_NOT_FOUND',
    );
  });

  test('deletion only of the expected epoch', async () => {
    await partition.append('s', ['a', 'b']);
    const { epoch } = partition.view('s');
    expect(reasonOf(partition.run({ type: 'delete-stream', streamId: 1, expectedEpoch: epoch + 1 }))).toBe(
      'STREAM_EPOCH_MISMATCH',
    );
    expect(partition.run({ type: 'delete-stream', streamId: 1, expectedEpoch: epoch })).toEqual({
      type: 'stream-deleted',
      firstSeq: 0,
      nextSeq: 2,
    });
    expect(() => partition.view('s')).toThrow(/no stream/);
  });

  test('expectResult throws a refusal as the error that it is', async () => {
    const result = await partition.append('s', ['x'], { expectedNextSeq: 9 });
    try {
      expectResult(result, 'appended');
      expect.unreachable();
    } catch (error) {
      expect(isLogboomError(error, 'SEQ_MISMATCH')).toBe(true);
      expect(error).toMatchObject({ facts: { next_seq: 0, expected_next_seq: 9 } });
    }
  });

  test('readers see nothing before publish, and publish names what changed', async () => {
    const { store, machine } = partition;
    const command = await partition.appendCommand('s', ['x']);
    const { MemoryTransaction } = await import('./support/memory-store.js');
    const { encodeCommand } = await import('../../src/streams/index.js');
    const transaction = new MemoryTransaction(store);
    for (const lsn of [10, 11]) {
      transaction.lsn = lsn as typeof transaction.lsn;
      machine.apply(transaction.lsn, encodeCommand(command, { timeMs: 1 }), transaction);
    }
    expect(machine.streamByName('s')?.nextSeq).toBe(0);
    transaction.commit();
    expect([...machine.publish()]).toEqual([1]);
    expect(machine.streamByName('s')?.nextSeq).toBe(2);
    expect([...machine.publish()]).toEqual([]);
  });

  test('after a load everything is shown at once, and those who wait are told', async () => {
    await partition.restart();
    expect(partition.view('s').id).toBe(1);
    expect([...partition.machine.publish()]).toEqual([1]);
  });

  test('a stream deleted and created again in one group', async () => {
    await partition.append('s', ['x']);
    partition.group([
      { type: 'delete-stream', streamId: 1, expectedEpoch: undefined },
      { ...create, epoch: 5 },
    ]);
    expect(partition.view('s')).toMatchObject({ epoch: 5, nextSeq: 0 });
    expect(partition.machine.streamById(1)).toBeUndefined();
    expect(partition.machine.streamCount).toBe(1);
  });
});
