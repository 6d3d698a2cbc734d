import { describe, expect, it } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asLsn, noReplica } from '../../src/base/ids.js';
import { LinearizableReads } from '../../src/partition/linearizable-reads.js';
import type { RequestResult } from '../../src/raft/types.js';

function setUp(answer: RequestResult = { ok: true }) {
  const requested: number[] = [];
  const state = { applied: 0 };
  const reads = new LinearizableReads({
    request: (context) => {
      requested.push(context);
      return answer;
    },
    appliedLsn: () => asLsn(state.applied),
    notLeader: () => new LogboomError('NOT_LEADER', 'another replica leads'),
  });
  return { reads, requested, state };
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
});
