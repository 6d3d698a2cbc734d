import { describe, expect, it } from 'vitest';
import { asLsn, asReplicaId } from '../../src/base/ids.js';
import { BootstrapHolds } from '../../src/partition/bootstrap-holds.js';
import type { ProgressStatus } from '../../src/raft/types.js';

function follower(state: ProgressStatus['state'], match: number, replica = 3): ProgressStatus {
  return {
    replica: asReplicaId(replica),
    state,
    match: asLsn(match),
    next: asLsn(match + 1),
    learner: false,
    paused: false,
    recentActive: true,
    pendingSnapshot: asLsn(0),
    inflightMessages: 0,
    inflightFull: false,
  };
}

describe('BootstrapHolds', () => {
  const heldAt = (holds: BootstrapHolds, nowMs: number): boolean =>
    holds.at(nowMs).some(({ forMs, holdMs }) => forMs < holdMs);

  it('holds from when a replica is sent to a snapshot, for a bounded time', () => {
    const holds = new BootstrapHolds(1000);
    holds.note([follower('replicate', 5), follower('snapshot', 0, 4)], 100);
    expect(holds.at(600)).toEqual([{ replica: 4, forMs: 500, holdMs: 1000 }]);
    holds.note([follower('replicate', 5), follower('snapshot', 0, 4)], 1100);
    expect(holds.at(1100)).toEqual([{ replica: 4, forMs: 1000, holdMs: 1000 }]);
  });

  it('ends when the replica follows the log, and starts short the next time', () => {
    const holds = new BootstrapHolds(1000);
    for (const [nowMs, match] of [
      [0, 10],
      [5000, 20],
    ] as const)
      holds.note([follower('snapshot', match)], nowMs);
    holds.note([follower('replicate', 30)], 6000);
    expect(holds.at(6000)).toEqual([]);
    holds.note([follower('snapshot', 40)], 7000);
    expect(holds.at(7000)).toEqual([{ replica: 3, forMs: 0, holdMs: 1000 }]);
  });

  it('gives none where none is configured', () => {
    const holds = new BootstrapHolds(0);
    for (const match of [0, 10, 20]) holds.note([follower('snapshot', match)], 100 * match);
    expect(heldAt(holds, 2000)).toBe(false);
  });

  it.each([30_000, 4000, 900])(
    'an import that takes longer than the hold was started over for ever: the log was trimmed under each (of %d ms)',
    (importMs) => {
      const holds = new BootstrapHolds(1000);
      // The log grows by an entry a millisecond, a snapshot of all of it is there at once, and it is trimmed when nobody holds it.
      let trimPoint = 100;
      let match = 0;
      let attempts = 0;
      for (let nowMs = 100; match < trimPoint && attempts < 20; attempts += 1) {
        const snapshotLsn = nowMs;
        for (const endMs = nowMs + importMs; nowMs < endMs; nowMs += 100) {
          holds.note([follower('snapshot', match)], nowMs);
          if (!heldAt(holds, nowMs)) trimPoint = nowMs;
        }
        match = snapshotLsn;
      }
      expect(match).toBeGreaterThanOrEqual(trimPoint);
      expect(attempts).toBeLessThanOrEqual(1 + Math.max(0, Math.ceil(Math.log2(importMs / 1000))));
    },
  );
});
