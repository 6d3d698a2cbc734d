/** Streams that a restore brings back as they were at a snapshot: what positions of before it are worth. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import type { ErrorFacts } from '../../src/base/errors.js';
import { asLsn, type Seq } from '../../src/base/ids.js';
import { forkedEpoch, forkSeqOf, forksKept } from '../../src/streams/fork.js';
import { encodePageToken } from '../../src/streams/page-token.js';
import type { Direction, StreamView } from '../../src/streams/index.js';
import { MemoryTransaction } from './support/memory-store.js';
import { TestPartition } from './support/partition.js';
import { crc } from './support/records.js';

/** What a restore does with the streams of a partition, after what is there by now. */
function fork(partition: TestPartition, salt: number): void {
  const transaction = new MemoryTransaction(partition.store);
  partition.log.push(new Uint8Array(0));
  transaction.lsn = asLsn(partition.log.length);
  const ids = [...partition.machine.streams()].map(({ id }) => id);
  partition.machine.fork(transaction.lsn, ids, salt, transaction);
  transaction.commit();
  for (const _topic of partition.machine.publish());
}

async function withRecords(records: number): Promise<TestPartition> {
  const partition = new TestPartition();
  partition.create('s');
  for (let at = 0; at < records; at++) await partition.mustAppend('s', [`r${at}`]);
  return partition;
}

type Outcome = number | { readonly reason: string; readonly facts: ErrorFacts };

async function readFrom(
  partition: TestPartition,
  of: StreamView,
  seq: number,
  direction: Direction = 'forward',
): Promise<Outcome> {
  const token = encodePageToken(of, { direction, seq: seq as Seq, boundSeq: 0 as Seq }, crc);
  try {
    const request = { start: { type: 'token', token }, direction, limit: 100 } as const;
    return (await partition.pages.readPage(partition.store, 's', request)).recordCount;
  } catch (error) {
    if (!isLogboomError(error)) throw error;
    return { reason: error.reason, facts: error.facts };
  }
}

const salt = 0x1a_2b3c_4d5e_6f70;

describe('after a restore', () => {
  test('tokens of before are good up to the fork, both ways, and refused beyond it, with its seq', async () => {
    const partition = await withRecords(5);
    const before = partition.view('s');
    fork(partition, salt);
    for (let at = 0; at < 3; at++) await partition.mustAppend('s', [`n${at}`]);
    const after = partition.view('s');
    expect(after.epoch).not.toBe(before.epoch);
    for (let seq = 0; seq <= 5; seq++) {
      expect(await readFrom(partition, before, seq)).toBe(8 - seq);
      expect(await readFrom(partition, before, seq, 'backward')).toBe(seq);
    }
    for (const seq of [6, 7, 8, 9]) {
      const refusal = {
        reason: 'STREAM_EPOCH_MISMATCH',
        facts: { fork_seq: 5, stream_epoch: after.epoch, next_seq: 8 },
      };
      expect(await readFrom(partition, before, seq)).toMatchObject(refusal);
      expect(await readFrom(partition, before, seq, 'backward')).toMatchObject(refusal);
    }
    expect(await readFrom(partition, after, 8)).toBe(0);
  });

  test('appends that expect the epoch of before are refused, with the seq of the fork', async () => {
    const partition = await withRecords(2);
    const { epoch } = partition.view('s');
    const command = await partition.appendCommand('s', ['x'], { expectedEpoch: epoch });
    fork(partition, salt);
    const result = partition.run(command);
    expect(result).toMatchObject({ type: 'refused', reason: 'STREAM_EPOCH_MISMATCH', facts: { fork_seq: 2 } });
    expect((await partition.append('s', ['x'])).type).toBe('appended');
  });

  test('it stays so over a restart, and over another restore', async () => {
    const partition = await withRecords(4);
    const first = partition.view('s');
    fork(partition, salt);
    await partition.mustAppend('s', ['a']);
    const second = partition.view('s');
    await partition.restart();
    fork(partition, salt + 1);
    await partition.mustAppend('s', ['b']);
    await partition.restart();
    expect(partition.view('s').forks).toEqual([
      { epoch: first.epoch, seq: 4 },
      { epoch: second.epoch, seq: 5 },
    ]);
    expect(await readFrom(partition, first, 4)).toBe(2);
    expect(await readFrom(partition, first, 5)).toMatchObject({ facts: { fork_seq: 4 } });
    expect(await readFrom(partition, second, 5)).toBe(1);
    expect(await readFrom(partition, second, 6)).toMatchObject({ facts: { fork_seq: 5 } });
  });

  test('the oldest of many restores are forgotten, and their tokens are refused', async () => {
    const partition = await withRecords(3);
    const first = partition.view('s');
    for (let round = 1; round <= forksKept + 1; round++) fork(partition, salt + round);
    expect(partition.view('s').forks).toHaveLength(forksKept);
    const refusal = await readFrom(partition, first, 1);
    expect(refusal).toMatchObject({ reason: 'STREAM_EPOCH_MISMATCH' });
    expect((refusal as { facts: ErrorFacts }).facts['fork_seq']).toBeUndefined();
  });

  test('producers go on with the number that the stream knows', async () => {
    const partition = new TestPartition();
    partition.create('s');
    const producer = (firstRecordNumber: number) => ({ producer: { id: 'p', epoch: 0, firstRecordNumber } });
    await partition.mustAppend('s', ['0', '1'], producer(0));
    fork(partition, salt);
    expect(await partition.append('s', ['4'], producer(4))).toMatchObject({ type: 'refused' });
    expect((await partition.mustAppend('s', ['0', '1'], producer(0))).repeated).toBe(true);
    expect((await partition.mustAppend('s', ['2'], producer(2))).firstSeq).toBe(2);
  });
});

test('an epoch after a fork is another one, below 2^53, and of each restore a different one', () => {
  const identity = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
  fc.assert(
    fc.property(identity, identity, identity, (epoch, one, other) => {
      const forked = forkedEpoch(epoch, one);
      expect(Number.isSafeInteger(forked) && forked > 0).toBe(true);
      expect(forked).not.toBe(epoch);
      if (one !== other && epoch !== one && epoch !== other) expect(forked).not.toBe(forkedEpoch(epoch, other));
    }),
  );
});

test('positions of an epoch are good up to the lowest fork since', () => {
  const forks = [
    { epoch: 1, seq: 9 as Seq },
    { epoch: 2, seq: 5 as Seq },
    { epoch: 3, seq: 7 as Seq },
  ];
  expect([1, 2, 3, 4].map((epoch) => forkSeqOf({ forks }, epoch))).toEqual([5, 5, 7, undefined]);
});
