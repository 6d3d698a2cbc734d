/** Replicas that fetch a snapshot, and for how long each keeps the log from being trimmed: pure. */
import type { Lsn, ReplicaId } from '../base/ids.js';
import type { RaftStatus } from '../raft/types.js';
import type { BootstrapHold } from './trim.js';

interface Fetching {
  readonly sinceMs: number;
  readonly holdMs: number;
  /** What the replica had when it was sent to the snapshot. */
  readonly match: Lsn;
}

/** At 30 minutes for the first snapshot, 32 hours. */
const growthMax = 64;

/**
 * A hold is bounded, for a replica that hangs must not keep the log for ever. But a bound that is shorter than an import takes
 * would let the log be trimmed under every import anew, and the replica never come back. So a replica that has put a snapshot
 * in place and needs another one, because the log was trimmed past the first meanwhile, holds twice as long as before.
 */
export class BootstrapHolds {
  readonly #holdMs: number;
  #fetching = new Map<ReplicaId, Fetching>();

  /** @param holdMs for the first snapshot; 0: none, whatever comes of it */
  constructor(holdMs: number) {
    this.#holdMs = holdMs;
  }

  /** As the leader sees its followers, about once a second. */
  note(progress: RaftStatus['progress'], nowMs: number): void {
    const before = this.#fetching;
    this.#fetching = new Map();
    for (const { replica, state, match } of progress) {
      if (state !== 'snapshot') continue;
      const known = before.get(replica);
      if (known?.match === match) this.#fetching.set(replica, known);
      else this.#fetching.set(replica, { sinceMs: nowMs, match, holdMs: this.#longer(known?.holdMs) });
    }
  }

  /** Of another term: what was seen of the followers before it says nothing. */
  clear(): void {
    this.#fetching.clear();
  }

  at(nowMs: number): readonly BootstrapHold[] {
    return [...this.#fetching].map(([replica, { sinceMs, holdMs }]) => ({ replica, forMs: nowMs - sinceMs, holdMs }));
  }

  #longer(holdMs: number | undefined): number {
    return holdMs === undefined ? this.#holdMs : Math.min(2 * holdMs, growthMax * this.#holdMs);
  }
}
