/** What the leader of a group knows of its members, from what its core says at one moment after another. */
import type { ReplicaId } from '../../base/ids.js';
import type { ActualConfiguration, GroupFacts } from '../../metadata/index.js';
import type { RaftStatus } from '../../raft/types.js';

/** Entries by which a replica may be behind and still not hold up a commit that waits for it. */
const lagMax = 1000;

/**
 * Which members have answered lately. The core forgets it at every check of its quorum, once in an election timeout, so it
 * is looked at more often, and counts for two of them.
 */
export class MemberActivity {
  readonly #forMs: number;
  readonly #lastMs = new Map<ReplicaId, number>();
  #term = -1;

  constructor(electionTimeoutMs: number) {
    this.#forMs = 2 * electionTimeoutMs;
  }

  observe({ term, progress }: Pick<RaftStatus, 'term' | 'progress'>, nowMs: number): void {
    // What an earlier leadership had heard says nothing of this one.
    if (term !== this.#term) this.#lastMs.clear();
    this.#term = term;
    for (const { replica, recentActive } of progress) if (recentActive) this.#lastMs.set(replica, nowMs);
  }

  active(nowMs: number): ReadonlySet<ReplicaId> {
    const active = [...this.#lastMs].filter(([, lastMs]) => nowMs - lastMs <= this.#forMs);
    return new Set(active.map(([replica]) => replica));
  }
}

/** As of what the leader has applied. */
export function groupFacts(status: RaftStatus, active: ReadonlySet<ReplicaId>): GroupFacts {
  const { id, progress, lastLsn, confChangePending } = status;
  const caughtUp = progress.filter(({ replica, state, match }) => {
    return replica === id || (state === 'replicate' && match + lagMax >= lastLsn);
  });
  return {
    leader: id,
    changePending: confChangePending,
    healthy: new Set([id, ...active]),
    caughtUp: new Set(caughtUp.map(({ replica }) => replica)),
  };
}

export function actualConfiguration(
  { confState }: Pick<RaftStatus, 'confState'>,
  highestReplicaId: number,
): ActualConfiguration {
  return { ...confState, highestReplicaId };
}
