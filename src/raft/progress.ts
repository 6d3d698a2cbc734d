import { assert } from '../base/assert.js';
import { asLsn, type Lsn } from '../base/ids.js';
import { Inflights } from './inflights.js';

/**
 * `probe`: where the logs match is not known; one message at a time. `replicate`: messages are pipelined, `next` runs
 * ahead optimistically. `snapshot`: the follower was sent to a bootstrap; nothing is sent until it answers.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot';

const lower = (a: Lsn, b: Lsn): Lsn => (a < b ? a : b);
const higher = (a: Lsn, b: Lsn): Lsn => (a > b ? a : b);

/** What a leader knows of one replica's log, and how much it may send it. */
export class Progress {
  /** The replica's log is durable and the same as the leader's up to here. Never goes back within a term. */
  match: Lsn = asLsn(0);
  /** Next LSN to send; always above `match`. */
  next: Lsn;
  state: ProgressState = 'probe';
  /** LSN of the bootstrap it was sent to; 0 outside `snapshot`. */
  pendingSnapshot: Lsn = asLsn(0);
  /** It was heard of since the last check of the quorum. */
  recentActive = false;
  /** No further append until something is heard: a probe is out, or the window is full and a probe of it is out. */
  paused = false;
  learner: boolean;
  /** Highest heartbeat round it answered; see read-index.ts. */
  ackedRound = 0;
  /** The last round that it answered with being quiet. */
  quietRound = 0;
  /** Its next entries have to be loaded from disk by the host first. */
  awaitingLog = false;
  readonly inflights: Inflights;
  /** Highest commit LSN sent to it that it can use; below `next`. */
  #sentCommit: Lsn = asLsn(0);

  constructor(next: Lsn, learner: boolean, inflightMessagesMax: number, inflightBytesMax: number) {
    this.next = next;
    this.learner = learner;
    this.inflights = new Inflights(inflightMessagesMax, inflightBytesMax);
  }

  /** Forgets everything but membership, at the start of a term. */
  reset(next: Lsn, match: Lsn): void {
    this.match = match;
    this.next = next;
    this.recentActive = false;
    this.ackedRound = 0;
    this.quietRound = 0;
    this.#sentCommit = asLsn(0);
    this.#enter('probe');
  }

  get blocked(): boolean {
    return this.paused || this.state === 'snapshot';
  }

  becomeProbe(): void {
    // After a bootstrap that was reported as done, the log can be continued above it.
    const base = this.state === 'snapshot' ? higher(this.match, this.pendingSnapshot) : this.match;
    this.#enter('probe');
    this.#restartAbove(base);
  }

  becomeReplicate(): void {
    this.#enter('replicate');
    this.#restartAbove(this.match);
  }

  becomeSnapshot(lsn: Lsn): void {
    this.#enter('snapshot');
    this.pendingSnapshot = lsn;
    this.next = asLsn(lsn + 1);
    this.#sentCommit = lsn;
  }

  /** An append with `count` entries of `bytes` left. */
  sentEntries(count: number, bytes: number): void {
    if (this.state === 'replicate') {
      if (count > 0) {
        this.next = asLsn(this.next + count);
        this.inflights.add(asLsn(this.next - 1), bytes);
      }
      // When the window is full this message is the last before an answer; without this, empty ones would go on.
      this.paused = this.inflights.full;
    } else if (count > 0) {
      this.paused = true;
    }
  }

  sentCommit(commit: Lsn): void {
    this.#sentCommit = commit;
  }

  /** Sending `commit` now could move the follower's commit LSN. */
  canBumpCommit(commit: Lsn): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** The follower confirmed its log up to `lsn`. False when that is old news. */
  advance(lsn: Lsn): boolean {
    if (lsn <= this.match) return false;
    this.match = lsn;
    this.next = higher(this.next, asLsn(lsn + 1));
    this.paused = false;
    return true;
  }

  /** The follower rejected an append after `rejected`; its log may match at `hint`. False when that is old news. */
  retreat(rejected: Lsn, hint: Lsn): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false;
      this.#restartAbove(this.match);
      return true;
    }
    // One probe at a time: a rejection of anything but the current one is a leftover.
    if (this.next - 1 !== rejected) return false;
    this.#restartAbove(higher(asLsn(lower(rejected, asLsn(hint + 1)) - 1), this.match));
    this.paused = false;
    return true;
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.paused = false;
    this.awaitingLog = false;
    this.pendingSnapshot = asLsn(0);
    this.inflights.reset();
  }

  #restartAbove(base: Lsn): void {
    this.next = asLsn(base + 1);
    this.#sentCommit = lower(this.#sentCommit, base);
    assert(this.match < this.next, () => `progress: match ${this.match} not below next ${this.next}`);
  }
}
