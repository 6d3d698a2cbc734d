import { asLsn, asTerm, type Lsn, type ReplicaId, type Term } from '../base/ids.js';
import type { Outbox } from './messages.js';
import type { Progress } from './progress.js';
import type { RaftLog } from './raft-log.js';
import type { Tracker } from './tracker.js';
import type { Entry, LogStart, RaftLimits } from './types.js';

const noEntries: readonly Entry[] = [];

/** A leader's sending side: who gets which entries, within the limits of flow control. */
export class Replication {
  readonly #id: ReplicaId;
  readonly #log: RaftLog;
  readonly #tracker: Tracker;
  readonly #outbox: Outbox;
  readonly #limits: RaftLimits;
  readonly #snapshotPoint: () => LogStart | undefined;
  /** Of the leader; set when it is elected. */
  term: Term = asTerm(0);

  constructor(
    id: ReplicaId,
    log: RaftLog,
    tracker: Tracker,
    outbox: Outbox,
    limits: RaftLimits,
    snapshotPoint: (() => LogStart | undefined) | undefined,
  ) {
    this.#id = id;
    this.#log = log;
    this.#tracker = tracker;
    this.#outbox = outbox;
    this.#limits = limits;
    this.#snapshotPoint = snapshotPoint ?? (() => this.#trimPoint());
  }

  /** Sends to everyone who may get something; an empty message still carries the commit LSN. */
  broadcastAppend(): void {
    for (const replica of this.#tracker.progress.keys()) if (replica !== this.#id) this.sendAppend(replica, true);
  }

  /** Sends what newcomers lack, without bothering those who have it. */
  broadcastMissing(): void {
    for (const replica of this.#tracker.progress.keys()) if (replica !== this.#id) this.sendAppend(replica, false);
  }

  /** As many messages as flow control allows. */
  sendAllAppends(to: ReplicaId): void {
    while (this.sendAppend(to, false));
  }

  /** One message at most; `evenIfEmpty` also one without entries. Answers whether one was sent. */
  sendAppend(to: ReplicaId, evenIfEmpty: boolean): boolean {
    const progress = this.#tracker.get(to);
    if (progress === undefined || progress.blocked) return false;
    const previousLsn = asLsn(progress.next - 1);
    const previousTerm = this.#log.termAt(previousLsn);
    if (previousTerm === undefined) return this.#sendSnapshot(to, progress);
    // With a full window an empty message goes on being sent after heartbeats: if all of the window was lost, its
    // rejection is what frees it.
    let entries: readonly Entry[] | undefined = noEntries;
    if (progress.state !== 'replicate' || !progress.inflights.full) {
      entries = this.#log.entriesFrom(progress.next, this.#limits.messageBytesMax);
    }
    if (entries === undefined) {
      progress.awaitingLog = true;
      return false;
    }
    if (entries.length === 0 && !evenIfEmpty) return false;
    this.#outbox.append(to, this.term, previousLsn, previousTerm, this.#log.commit, entries);
    let bytes = 0;
    for (const entry of entries) bytes += entry.data.length;
    progress.sentEntries(entries.length, bytes);
    progress.sentCommit(this.#log.commit);
    return true;
  }

  /** Entries that the host had to load from disk are in memory now. */
  resumeAwaiting(): void {
    for (const [replica, progress] of this.#tracker.progress) {
      if (!progress.awaitingLog) continue;
      progress.awaitingLog = false;
      this.sendAllAppends(replica);
    }
  }

  /** The commit LSN goes along as far as the follower is known to hold the entries: beyond, its log may differ. */
  broadcastHeartbeat(round: number): void {
    this.#broadcast(round, (replica, known) => this.#outbox.heartbeat(replica, this.term, known, round));
  }

  /** In the place of heartbeats, to followers that are known to hold everything. */
  broadcastQuiet(round: number, epoch: number): void {
    this.#broadcast(round, (replica, known) => this.#outbox.quiet(replica, this.term, known, round, epoch));
  }

  #broadcast(round: number, send: (replica: ReplicaId, known: Lsn) => void): void {
    const commit = this.#log.commit;
    for (const [replica, progress] of this.#tracker.progress) {
      if (replica === this.#id) {
        progress.ackedRound = round;
        continue;
      }
      const known = progress.match < commit ? progress.match : commit;
      send(replica, known);
      progress.sentCommit(known);
    }
  }

  /** Those who were sent to a bootstrap are told again: the message, or their answer, may be lost. */
  repeatSnapshotRequests(): void {
    for (const [replica, progress] of this.#tracker.progress) {
      if (progress.state !== 'snapshot') continue;
      const start = this.#snapshotPoint();
      if (start !== undefined && start.lsn >= progress.pendingSnapshot)
        this.#outbox.snapshot(replica, this.term, start);
    }
  }

  #sendSnapshot(to: ReplicaId, progress: Progress): boolean {
    // Not while it is silent: it would only be told over and over.
    if (!progress.recentActive) return false;
    const start = this.#snapshotPoint();
    if (start === undefined) return false;
    progress.becomeSnapshot(start.lsn);
    this.#outbox.snapshot(to, this.term, start);
    return true;
  }

  #trimPoint(): LogStart | undefined {
    const lsn = asLsn(this.#log.firstLsn - 1);
    const term = this.#log.termAt(lsn);
    return term === undefined ? undefined : { lsn, term, confState: this.#tracker.conf };
  }
}
