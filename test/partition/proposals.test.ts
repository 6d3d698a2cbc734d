import { describe, expect, it } from 'vitest';
import { asLsn, asTerm } from '../../src/base/ids.js';
import { PendingProposals } from '../../src/partition/proposals.js';
import { leadershipLost } from '../../src/partition/refusals.js';

const limits = { itemsMax: 3, bytesMax: 100 };

describe('PendingProposals', () => {
  it('answers each proposal with its own result, and skips entries of others', async () => {
    const pending = new PendingProposals<string>(limits);
    const first = pending.wait(asLsn(5), asTerm(2), 10);
    const second = pending.wait(asLsn(7), asTerm(2), 10);
    pending.applied(asLsn(4), asTerm(1), 'older');
    pending.applied(asLsn(5), asTerm(2), 'a');
    pending.applied(asLsn(6), asTerm(2), 'foreign');
    pending.applied(asLsn(7), asTerm(2), 'b');
    expect(await first).toEqual({ lsn: 5, result: 'a' });
    expect(await second).toEqual({ lsn: 7, result: 'b' });
    expect([pending.items, pending.bytes]).toEqual([0, 0]);
  });

  it('does not take an entry of another term for the one that was proposed', async () => {
    const pending = new PendingProposals<string>(limits);
    const lost = pending.wait(asLsn(5), asTerm(2), 10);
    pending.applied(asLsn(5), asTerm(3), 'of another leader');
    await expect(lost).rejects.toMatchObject({ reason: 'LEADERSHIP_LOST' });
  });

  it('is bounded in items and in bytes, but takes one of any size', () => {
    const pending = new PendingProposals<string>(limits);
    pending.admit(1_000_000);
    void pending.wait(asLsn(1), asTerm(1), 60);
    expect(() => pending.admit(41)).toThrow(expect.objectContaining({ reason: 'QUEUE_FULL', retryAfterMs: 50 }));
    pending.admit(40);
    void pending.wait(asLsn(2), asTerm(1), 1);
    void pending.wait(asLsn(3), asTerm(1), 1);
    expect(() => pending.admit(1)).toThrow(expect.objectContaining({ reason: 'QUEUE_FULL' }));
  });

  it('ends all that wait when leadership is lost, and counts anew', async () => {
    const pending = new PendingProposals<string>(limits);
    const waiting = [pending.wait(asLsn(1), asTerm(1), 50), pending.wait(asLsn(2), asTerm(1), 50)];
    pending.rejectAll(leadershipLost());
    const outcomes = await Promise.allSettled(waiting);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected']);
    expect([pending.items, pending.bytes]).toEqual([0, 0]);
    pending.applied(asLsn(1), asTerm(1), 'late');
  });

  it('keeps its order over many thousands', async () => {
    const pending = new PendingProposals<number>({ itemsMax: 1e6, bytesMax: 1e9 });
    const waiting: Promise<{ result: number }>[] = [];
    let applied = 0;
    for (let lsn = 1; lsn <= 10_000; lsn += 1) {
      waiting.push(pending.wait(asLsn(lsn), asTerm(1), 1));
      if (lsn % 3 === 0) pending.applied(asLsn(++applied), asTerm(1), applied);
    }
    while (applied < 10_000) pending.applied(asLsn(++applied), asTerm(1), applied);
    expect((await Promise.all(waiting)).map(({ result }) => result)).toEqual(
      Array.from({ length: 10_000 }, (_, i) => i + 1),
    );
  });
});
