import { describe, expect, it } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asLsn, asPartitionId, noReplica } from '../../src/base/ids.js';
import { LinearizableReads } from '../../src/partition/linearizable-reads.js';
import { refused } from '../../src/partition/refusals.js';
import type { RequestResult } from '../../src/raft/types.js';

interface Limits {
  readonly readersMax?: number;
  readonly random?: number;
}

function setUp(answer: RequestResult | Error = { ok: true }, { readersMax = 100, random = 0 }: Limits = {}) {
  const requested: number[] = [];
  const forgotten: number[] = [];
  const state = { applied: 0 };
  const reads = new LinearizableReads({
    readersMax,
    answerTicksMax: 3,
    random: { nextUint32: () => random },
    request: (context) => {
      requested.push(context);
      if (answer instanceof Error) throw answer;
      return answer;
    },
    forget: (context) => void forgotten.push(context),
    heldUp: () => undefined,
    appliedLsn: () => asLsn(state.applied),
    refused: (refusal) => refused(asPartitionId(1), refusal),
    notLeader: () => new LogboomError('NOT_LEADER', 'another replica leads'),
  });
  return { reads, requested, forgotten, state };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('LinearizableReads', () => {
  it('asks once for all reads of one turn, and serves them when the confirmed LSN is applied', async () => {
    const { reads, requested, state } = setUp();
    let served = 0;
    const waiting = [1, 2, 3].map(() => reads.wait().then(() => (served += 1)));
    await turn();
    expect(requested).toEqual([1]);
    reads.confirmed({ context: 1, lsn: asLsn(7) });
    await turn();
    expect(served).toBe(0);
    state.applied = 7;
    reads.applied();
    await Promise.all(waiting);
    expect(served).toBe(3);
  });

  it('does not let a read join a confirmation that was asked for before it came', async () => {
    const { reads, requested } = setUp();
    void reads.wait();
    await turn();
    void reads.wait();
    await turn();
    expect(requested).toEqual([1, 2]);
  });

  it('is refused when nobody leads, and when too many wait', async () => {
    await expect(setUp({ ok: false, reason: 'no-leader', leader: noReplica }).reads.wait()).rejects.toMatchObject({
      reason: 'NOT_LEADER',
    });
    await expect(setUp({ ok: false, reason: 'reads-limit', leader: noReplica }).reads.wait()).rejects.toMatchObject({
      reason: 'QUEUE_FULL',
    });
  });

  it('ends with NOT_LEADER when the core drops it', async () => {
    const { reads } = setUp();
    const waiting = reads.wait();
    const outcome = expect(waiting).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    await turn();
    reads.dropped(1);
    await outcome;
  });

  it('ends the readers that still collect with the replica: nobody would answer their request', async () => {
    const { reads, requested } = setUp();
    const waiting = reads.wait();
    reads.rejectAll(new LogboomError('PARTITION_STOPPED', 'stopped'));
    await expect(waiting).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
    await turn();
    expect(requested).toEqual([]);
  });

  it('ends the readers when the request itself finds the replica stopped', async () => {
    const { reads } = setUp(new LogboomError('PARTITION_STOPPED', 'stopped'));
    await expect(reads.wait()).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
  });

  it('holds a bounded number of readers, also of those that are confirmed and wait for the apply', async () => {
    const { reads, state } = setUp({ ok: true }, { readersMax: 3 });
    const waiting = [reads.wait(), reads.wait()];
    await turn();
    reads.confirmed({ context: 1, lsn: asLsn(7) });
    waiting.push(reads.wait());
    expect(() => reads.wait()).toThrow(expect.objectContaining({ reason: 'QUEUE_FULL', retryAfterMs: 50 }));
    state.applied = 7;
    reads.applied();
    await Promise.all(waiting.slice(0, 2));
    waiting.push(reads.wait(), reads.wait());
    expect(() => reads.wait()).toThrow(expect.objectContaining({ reason: 'QUEUE_FULL' }));
    await turn();
    for (const context of [2, 3]) reads.confirmed({ context, lsn: asLsn(7) });
    await Promise.all(waiting);
  });

  it('gives up a request whose answer is lost, and forgets its context', async () => {
    const { reads, forgotten, state } = setUp();
    const lost = reads.wait();
    await turn();
    const confirmed = reads.wait();
    await turn();
    reads.confirmed({ context: 2, lsn: asLsn(5) });
    const outcome = expect(lost).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    for (let ticks = 0; ticks < 4; ticks += 1) reads.tick();
    await outcome;
    expect(forgotten).toEqual([1]);
    reads.confirmed({ context: 1, lsn: asLsn(5) });
    state.applied = 5;
    reads.applied();
    await confirmed;
  });

  it('never uses the contexts of the process before: a late answer to one of its reads confirms nothing', async () => {
    const before = setUp({ ok: true }, { random: 11 });
    const after = setUp({ ok: true }, { random: 12 });
    for (const { reads } of [before, after]) {
      for (let count = 0; count < 10; count += 1) {
        void reads.wait();
        await turn();
      }
    }
    expect(after.requested.filter((context) => before.requested.includes(context))).toEqual([]);
  });

  it('ends for a caller that gives up, and listens to its signal no longer than it waits', async () => {
    const { reads } = setUp();
    const caller = new AbortController();
    let listeners = 0;
    const { signal } = caller;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    const first = reads.wait(signal);
    await turn();
    reads.confirmed({ context: 1, lsn: asLsn(0) });
    await first;
    await turn();
    expect(listeners).toBe(0);
    const second = reads.wait(signal);
    caller.abort();
    await expect(second).rejects.toMatchObject({ reason: 'CANCELLED' });
    await expect(reads.wait(signal)).rejects.toMatchObject({ reason: 'CANCELLED' });
  });
});
