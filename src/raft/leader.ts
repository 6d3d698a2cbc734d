import { asLsn, noReplica, type Lsn, type ReplicaId } from '../base/ids.js';
import { changeConf, decodeConfChange, isJoint, isVoter } from './conf-change.js';
import type { Handover } from './durability.js';
import type { Progress } from './progress.js';
import { leaderRests, mustRest } from './quiet.js';
import { Replication } from './replication.js';
import type { ReplicaState } from './replica-state.js';
import {
  EntryKind,
  type AppendResponse,
  type ConfChange,
  type HeartbeatResponse,
  type QuietResponse,
  type ProposeResult,
  type RefusalReason,
  type RequestResult,
} from './types.js';

const noData = new Uint8Array(0);
const accepted: RequestResult = { ok: true };

/** What only a leader does: append, replicate, commit, confirm reads, hand over. Inert in every other role. */
export class Leader {
  readonly #state: ReplicaState;
  readonly #replication: Replication;
  readonly #stepDown: () => void;
  #heartbeatElapsed = 0;
  /** LSN of the empty entry that began the term: entries from here on are of this term. */
  #termStart: Lsn = asLsn(0);
  #transferee: ReplicaId = noReplica;
  /** A successor was told to campaign in this term: others may elect it at any time, so no lease holds any more. */
  #timeoutNowSent = false;
  /** A configuration entry may be pending up to here; no other is taken until it is applied. */
  #pendingConfLsn: Lsn = asLsn(0);
  /** Ticks for which there was nothing to do, and where the log ended meanwhile. */
  #restTicks = 0;
  #restLsn: Lsn = asLsn(0);
  /** Followers that answered this round, or a later one, with being quiet are; undefined while nobody is to be. */
  #quietFromRound: number | undefined;

  constructor(state: ReplicaState, stepDown: () => void) {
    this.#state = state;
    const { id, log, tracker, outbox, limits, options } = state;
    this.#replication = new Replication(id, log, tracker, outbox, limits, options.snapshotPoint);
    this.#stepDown = stepDown;
  }

  get transferee(): ReplicaId {
    return this.#transferee;
  }

  /** The replica was just elected. The empty entry is what lets entries of earlier terms commit (dissertation 3.6.2). */
  start(): void {
    const { log, tracker, term, id, mutant } = this.#state;
    this.#heartbeatElapsed = 0;
    this.#transferee = noReplica;
    this.#timeoutNowSent = false;
    this.#stir();
    this.#replication.term = term;
    const own = tracker.get(id);
    own?.becomeReplicate();
    if (own !== undefined) own.recentActive = true;
    // Some entry of the inherited log may be a configuration change. Looking for it costs more than waiting until the
    // log is applied up to here.
    this.#pendingConfLsn = mutant === 'conf-change-before-current-term-commit' ? asLsn(0) : log.lastLsn;
    this.#termStart = log.append(term, EntryKind.normal, noData);
    this.#state.ownAppends.add(this.#termStart);
    this.#replication.broadcastAppend();
  }

  // ---- Proposals ---------------------------------------------------------------------------------------------------

  propose(datas: readonly Uint8Array[], kind: EntryKind): ProposeResult {
    const state = this.#state;
    const refused = this.#proposalRefused();
    if (refused !== undefined) return state.refuse(refused, refused === 'transferring' ? this.#transferee : undefined);
    let bytes = 0;
    for (const data of datas) {
      if (data.length > state.limits.entryBytesMax) return state.refuse('too-large');
      bytes += data.length;
    }
    if (this.#exceedsUncommitted(bytes)) return state.refuse('uncommitted-limit');
    const firstLsn = asLsn(state.log.lastLsn + 1);
    for (const data of datas) {
      if (kind === EntryKind.normal) state.log.append(state.term, kind, data);
      else this.#appendConfChange(kind, data);
    }
    const lastLsn = state.log.lastLsn;
    state.ownAppends.add(lastLsn);
    state.uncommitted.add(lastLsn, bytes);
    this.#replication.broadcastAppend();
    return { ok: true, term: state.term, firstLsn, lastLsn };
  }

  #proposalRefused(): RefusalReason | undefined {
    if (this.#state.storageFault !== undefined) return 'storage-fault';
    if (this.#state.tracker.get(this.#state.id) === undefined && this.#state.mutant !== 'removed-leader-counts-itself')
      return 'removed';
    return this.#transferee === noReplica ? undefined : 'transferring';
  }

  /** Something may always be under way, however large; and empty entries are never refused. */
  #exceedsUncommitted(bytes: number): boolean {
    const held = this.#state.uncommitted.bytes;
    return held > 0 && bytes > 0 && held + bytes > this.#state.limits.uncommittedBytesMax;
  }

  #appendConfChange(kind: EntryKind, data: Uint8Array): void {
    const { log, term } = this.#state;
    if (this.#confChangeAllowed(decodeConfChange(data))) this.#pendingConfLsn = log.append(term, kind, data);
    else log.append(term, EntryKind.normal, noData);
  }

  #confChangeAllowed(change: ConfChange): boolean {
    const { options, log, tracker } = this.#state;
    if (options.disableConfChangeValidation === true) return true;
    if (this.#pendingConfLsn > log.applied) return false;
    if (isJoint(tracker.conf) !== (change.steps.length === 0)) return false;
    try {
      changeConf(tracker.conf, change);
      return true;
    } catch {
      return false;
    }
  }

  /** See `RaftStatus`. */
  get confChangePending(): boolean {
    const { applied } = this.#state.log;
    return this.#pendingConfLsn > applied || this.#termStart > applied;
  }

  /** A joint configuration that asked for it is left as soon as it is applied and nothing else is pending. */
  shouldLeaveJoint(): boolean {
    return this.#state.tracker.conf.autoLeave && this.#state.log.applied >= this.#pendingConfLsn;
  }

  /** The configuration changed and this replica still is a voter in it. */
  onConfChanged(): void {
    // A smaller quorum may have more in common; and newcomers should not wait for the next heartbeat.
    if (!this.advanceCommit()) this.#replication.broadcastMissing();
    if (this.#transferee !== noReplica && !isVoter(this.#state.tracker.conf, this.#transferee))
      this.#transferee = noReplica;
  }

  // ---- Commit ------------------------------------------------------------------------------------------------------

  /**
   * Commits what a quorum holds, and says so to everyone at once. Only entries of the own term are committed by
   * counting; earlier ones are committed by them (dissertation 3.6.2).
   */
  advanceCommit(): boolean {
    const { log, tracker, mutant, uncommitted, reads } = this.#state;
    const reached = Math.min(tracker.committed(), log.lastLsn);
    if (reached <= log.commit) return false;
    if (reached < this.#termStart && mutant !== 'drop-current-term-check') return false;
    log.commitTo(asLsn(reached));
    uncommitted.committedTo(log.commit);
    for (const { origin, context } of reads.takeEarly()) this.addRead(origin, context);
    this.#replication.broadcastAppend();
    return true;
  }

  /** Entries of this leader are durable in its own WAL. */
  onOwnDurable(handover: Handover): void {
    const own = this.#state.tracker.get(this.#state.id);
    for (const lsn of handover.ownAppends) {
      // Removed from the configuration: its copy counts for nothing any more.
      if (own === undefined) {
        if (this.#state.tracker.extraCopy !== undefined) this.advanceCommit();
        continue;
      }
      own.recentActive = true;
      if (own.advance(lsn)) this.advanceCommit();
    }
  }

  // ---- Answers of followers ----------------------------------------------------------------------------------------

  onAppendResponse(message: AppendResponse): void {
    const progress = this.#state.tracker.get(message.from);
    if (progress === undefined) return;
    progress.recentActive = true;
    if (message.rejected) this.#onRejected(message, progress);
    else this.#onAccepted(message, progress);
  }

  /**
   * The follower's hint skips its tail of terms above the probe's; this skips the own entries of terms above the hint's.
   * Together a probe rules out at least one term of either log (dissertation 5.3, footnote on fewer round trips).
   */
  #onRejected(message: AppendResponse, progress: Progress): void {
    const { log } = this.#state;
    const hint = message.hintTerm > 0 ? log.lastAtOrBelowTerm(message.hintLsn, message.hintTerm).lsn : message.hintLsn;
    if (!progress.retreat(message.lsn, hint)) return;
    if (progress.state === 'replicate') progress.becomeProbe();
    this.#replication.sendAppend(message.from, true);
  }

  #onAccepted(message: AppendResponse, progress: Progress): void {
    const { log } = this.#state;
    const { from, lsn } = message;
    // An old match still tells a probing leader that the logs meet there.
    if (!progress.advance(lsn) && !(progress.match === lsn && progress.state === 'probe')) return;
    if (progress.state === 'probe') {
      progress.becomeReplicate();
    } else if (progress.state === 'replicate') {
      progress.inflights.freeUpTo(lsn);
    } else if (progress.match + 1 >= log.firstLsn) {
      // Whatever it bootstrapped from, the log continues there: what it was asked for does not matter.
      progress.becomeProbe();
      progress.becomeReplicate();
    }
    if (!this.advanceCommit() && progress.canBumpCommit(log.commit)) this.#replication.sendAppend(from, true);
    this.#replication.sendAllAppends(from);
    if (from === this.#transferee && progress.match === log.lastLsn) this.#sendTimeoutNow(from);
  }

  onHeartbeatResponse(message: HeartbeatResponse | QuietResponse): void {
    const { log, tracker, reads } = this.#state;
    const progress = tracker.get(message.from);
    if (progress === undefined) return;
    progress.recentActive = true;
    progress.paused = false;
    // Awake again: what it has said before does not count for the group.
    if (message.type === 'heartbeat-response') progress.quietRound = 0;
    if (progress.match < log.lastLsn || progress.state === 'probe') this.#replication.sendAppend(message.from, true);
    if (message.round <= progress.ackedRound) return;
    progress.ackedRound = message.round;
    for (const read of reads.confirm(tracker.confirmedRound())) this.#answerRead(read.origin, read.context, read.lsn);
  }

  onQuietResponse(message: QuietResponse): void {
    const progress = this.#state.tracker.get(message.from);
    if (progress === undefined) return;
    progress.quietRound = Math.max(progress.quietRound, message.round);
    this.onHeartbeatResponse(message);
    this.#fallQuiet();
  }

  /** A bootstrap ended; after success the follower's own answer is due, after failure some time passes. */
  onSnapshotReport(replica: ReplicaId, succeeded: boolean): void {
    const progress = this.#state.tracker.get(replica);
    if (progress?.state !== 'snapshot') return;
    if (!succeeded) progress.pendingSnapshot = asLsn(0);
    progress.becomeProbe();
    progress.paused = true;
  }

  /** Messages are being lost: do not send ahead of its answers. */
  onUnreachable(replica: ReplicaId): void {
    const progress = this.#state.tracker.get(replica);
    if (progress?.state === 'replicate') progress.becomeProbe();
  }

  onLogLoaded(): void {
    this.#replication.resumeAwaiting();
  }

  // ---- Reads -------------------------------------------------------------------------------------------------------

  /** @returns false when there are too many */
  addRead(origin: ReplicaId, context: number): boolean {
    const { log, tracker, reads, limits, leases, ticks, mutant, id } = this.#state;
    if (reads.waiting >= limits.pendingReadsMax) return false;
    this.#stir();
    if (log.commit < this.#termStart && mutant !== 'read-before-term-commit') {
      // What earlier leaders committed is known to be committed only now that this term has (dissertation 6.4, step 1).
      reads.addEarly(origin, context);
      return true;
    }
    const alone = tracker.isSingleVoter && isVoter(tracker.conf, id);
    const lease = leases && !this.#timeoutNowSent && reads.leaseHolds(ticks);
    if (alone || lease) {
      this.#answerRead(origin, context, log.commit);
      return true;
    }
    if (!reads.roundIsOpen) this.#replication.broadcastHeartbeat(reads.startRound(ticks));
    reads.add(origin, context, log.commit);
    return true;
  }

  #answerRead(origin: ReplicaId, context: number, lsn: Lsn): void {
    if (origin === this.#state.id) this.#state.confirmRead(lsn, context);
    else this.#state.outbox.readIndexResponse(origin, this.#state.term, lsn, context);
  }

  // ---- Leadership transfer -----------------------------------------------------------------------------------------

  /** Dissertation 3.10: stop taking proposals, catch the successor up, tell it to campaign. */
  transferTo(replica: ReplicaId): RequestResult {
    const state = this.#state;
    const progress = state.tracker.get(replica);
    if (progress === undefined || progress.learner) return state.refuse('not-a-voter');
    if (this.#transferee === replica) return accepted;
    this.#transferee = noReplica;
    if (replica === state.id) return accepted;
    // It has one election timeout for it.
    state.electionElapsed = 0;
    this.#transferee = replica;
    if (progress.match === state.log.lastLsn) this.#sendTimeoutNow(replica);
    else this.#replication.sendAppend(replica, true);
    return accepted;
  }

  /** Before a leader gives up on its own: the voter whose log is furthest is to campaign at once. */
  nominateSuccessor(): void {
    const { tracker, id } = this.#state;
    let best: ReplicaId | undefined;
    let bestMatch = -1;
    for (const replica of tracker.conf.voters) {
      const progress = tracker.get(replica);
      if (replica === id || !progress?.recentActive || progress.match <= bestMatch) continue;
      best = replica;
      bestMatch = progress.match;
    }
    if (best !== undefined) this.#sendTimeoutNow(best);
  }

  #sendTimeoutNow(replica: ReplicaId): void {
    this.#timeoutNowSent = true;
    this.#state.outbox.timeoutNow(replica, this.#state.term);
  }

  // ---- Time --------------------------------------------------------------------------------------------------------

  tick(): void {
    const state = this.#state;
    this.#heartbeatElapsed += 1;
    if (state.electionElapsed >= state.options.electionTicks) {
      state.electionElapsed = 0;
      if (state.checkQuorum && !this.#quorumActive()) {
        this.#stepDown();
        return;
      }
      this.#transferee = noReplica;
      this.#replication.repeatSnapshotRequests();
    }
    this.#countRest();
    if (this.#heartbeatElapsed >= state.options.heartbeatTicks) {
      this.#heartbeatElapsed = 0;
      this.#beat(state.reads.startRound(state.ticks));
    }
  }

  // ---- Rest --------------------------------------------------------------------------------------------------------

  /** The group was quiet; everybody is to hear at the next tick that it is not. */
  wake(): void {
    this.#state.electionElapsed = 0;
    this.#heartbeatElapsed = this.#state.options.heartbeatTicks;
    this.#stir();
  }

  /** Nothing is heard of the nodes of some followers any more. Answers whether there are any. */
  onSilence(isSilent: (replica: ReplicaId) => boolean): boolean {
    let found = false;
    for (const [replica, progress] of this.#state.tracker.progress) {
      if (replica === this.#state.id || !isSilent(replica)) continue;
      progress.recentActive = false;
      found = true;
    }
    return found;
  }

  /** There is, or may be, something to do. */
  #stir(): void {
    this.#restTicks = 0;
    this.#quietFromRound = undefined;
  }

  #countRest(): void {
    const { log } = this.#state;
    if (log.lastLsn === this.#restLsn && this.#rests()) {
      this.#restTicks += 1;
      return;
    }
    this.#restLsn = log.lastLsn;
    this.#stir();
  }

  #rests(): boolean {
    const { applied } = this.#state.log;
    return this.#transferee === noReplica && this.#pendingConfLsn <= applied && leaderRests(this.#state);
  }

  #beat(round: number): void {
    const { quiet } = this.#state.options;
    if (quiet === undefined || this.#restTicks < quiet.afterTicks) return this.#replication.broadcastHeartbeat(round);
    this.#quietFromRound ??= round;
    this.#replication.broadcastQuiet(round, quiet.epoch());
    // Alone in its group, it waits for nobody.
    this.#fallQuiet();
  }

  #fallQuiet(): void {
    const { tracker, id } = this.#state;
    const fromRound = this.#quietFromRound;
    if (fromRound === undefined || !this.#rests()) return;
    for (const [replica, progress] of tracker.progress) {
      if (replica !== id && progress.quietRound < fromRound && mustRest(this.#state, progress)) return;
    }
    // They have just answered, and their nodes are heard.
    for (const progress of tracker.progress.values()) progress.recentActive = true;
    this.#state.quiet = true;
  }

  // ---- Check of the quorum -----------------------------------------------------------------------------------------

  /** Whether a quorum answered since the last time this was asked (dissertation 6.2). */
  #quorumActive(): boolean {
    const { tracker, id } = this.#state;
    const active = tracker.quorumActive();
    for (const [replica, progress] of tracker.progress) if (replica !== id) progress.recentActive = false;
    return active;
  }
}
