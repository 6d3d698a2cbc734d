import { asLsn, noReplica, type Lsn, type ReplicaId, type Term } from '../base/ids.js';
import { assert } from '../base/assert.js';
import { changeConf, ConfChangeError, encodeConfChange, isVoter, leaveJoint } from './conf-change.js';
import { Durability, type Handover } from './durability.js';
import { Protocol } from './protocol.js';
import { ReplicaState } from './replica-state.js';
import {
  EntryKind,
  type ConfChange,
  type ConfState,
  type DurabilityToken,
  type HardState,
  type Leadership,
  type LogStart,
  type Message,
  type Persist,
  type ProgressStatus,
  type ProposeResult,
  type RaftOptions,
  type RaftOutput,
  type RaftStatus,
  type Refusal,
  type RequestResult,
  type Role,
  type StorageFault,
} from './types.js';

const nothing: readonly never[] = [];
const accepted: RequestResult = { ok: true };

/**
 * One replica of a Raft group (Ongaro's dissertation, chapters 3, 4, 6, 9 and 10), without I/O, clock or randomness of
 * its own. The host feeds it events (`tick`, `step`, `propose`, the `on...` reports) and after each, or after a few,
 * takes the output until there is none; {@link RaftOutput} says what has to happen in which order. Nothing here waits.
 *
 * Maintained throughout: applied <= commit <= last entry; an answer that promises durability leaves only after the WAL
 * reported it; a leader counts its own copy of an entry only from then on.
 */
export class RaftCore {
  readonly #state: ReplicaState;
  readonly #protocol: Protocol;
  readonly #durability = new Durability();

  // What the previous output said, to tell what changed.
  #handedState: HardState;
  #handedRole: Role = 'follower';
  #handedLeader: ReplicaId = noReplica;
  #handedTerm: Term;
  #handedAppliable: Lsn;

  constructor(options: RaftOptions) {
    this.#state = new ReplicaState(options);
    this.#protocol = new Protocol(this.#state);
    const { term, vote, log } = this.#state;
    this.#handedTerm = term;
    this.#handedState = { term, vote, commit: log.commit };
    this.#handedAppliable = log.applied;
  }

  // ---- What the host may look at -----------------------------------------------------------------------------------

  get id(): ReplicaId {
    return this.#state.id;
  }

  get role(): Role {
    return this.#state.role;
  }

  /** 0 when none is known. */
  get leader(): ReplicaId {
    return this.#state.leader;
  }

  get term(): Term {
    return this.#state.term;
  }

  get commit(): Lsn {
    return this.#state.log.commit;
  }

  get applied(): Lsn {
    return this.#state.log.applied;
  }

  /** Last entry of the log, handed over or not. */
  get lastLsn(): Lsn {
    return this.#state.log.lastLsn;
  }

  /** Last entry known durable here. */
  get durableLsn(): Lsn {
    return this.#state.log.durable;
  }

  get confState(): ConfState {
    return this.#state.tracker.conf;
  }

  /** Voter or learner, also of the outgoing half of a joint configuration. */
  isMember(replica: ReplicaId): boolean {
    return this.#state.tracker.get(replica) !== undefined;
  }

  /** Nothing is to be done for the group: the host need not call `tick` until something happens to it; see quiet.ts. */
  get isQuiet(): boolean {
    return this.#state.quiet;
  }

  /** The bootstrap that the host was asked for and did not report on yet. */
  get installing(): LogStart | undefined {
    return this.#state.installing;
  }

  /** Bytes appended in this term of leadership and not committed; against `limits.uncommittedBytesMax`. */
  get uncommittedBytes(): number {
    return this.#state.uncommitted.bytes;
  }

  status(): RaftStatus {
    const { id, role, leader, term, vote, log, tracker } = this.#state;
    return {
      id,
      role,
      leader,
      term,
      vote,
      commit: log.commit,
      applied: log.applied,
      lastLsn: log.lastLsn,
      durableLsn: log.durable,
      confState: tracker.conf,
      transferee: role === 'leader' ? this.#protocol.leader.transferee : noReplica,
      confChangePending: role === 'leader' && this.#protocol.leader.confChangePending,
      progress: role === 'leader' ? this.#progressStatus() : nothing,
    };
  }

  #progressStatus(): ProgressStatus[] {
    const all: ProgressStatus[] = [];
    for (const [replica, of] of this.#state.tracker.progress) {
      all.push({
        replica,
        state: of.state,
        match: of.match,
        next: of.next,
        learner: of.learner,
        paused: of.blocked,
        recentActive: of.recentActive,
        pendingSnapshot: of.pendingSnapshot,
        inflightMessages: of.inflights.count,
        inflightFull: of.inflights.full,
      });
    }
    return all;
  }

  // ---- Output ------------------------------------------------------------------------------------------------------

  /** True when `takeOutput` would answer something. */
  get hasOutput(): boolean {
    return this.#state.log.appliable > this.#handedAppliable || this.hasOutputBesidesAppliable;
  }

  /** The same without counting entries that only wait to be applied. */
  get hasOutputBesidesAppliable(): boolean {
    const state = this.#state;
    return (
      !state.outbox.empty ||
      state.log.hasUnstable ||
      state.selfVote === 'pre-vote' ||
      state.snapshotToInstall !== undefined ||
      state.confirmedReads.length > 0 ||
      state.droppedReads.length > 0 ||
      this.#leadershipChanged ||
      this.#hardStateChanged
    );
  }

  get #leadershipChanged(): boolean {
    const { role, leader, term } = this.#state;
    return role !== this.#handedRole || leader !== this.#handedLeader || term !== this.#handedTerm;
  }

  get #hardStateChanged(): boolean {
    const { term, vote, log } = this.#state;
    const handed = this.#handedState;
    return log.commit !== handed.commit || term !== handed.term || vote !== handed.vote;
  }

  /** Everything there is to do since the last call; undefined when there is nothing. */
  takeOutput(): RaftOutput | undefined {
    if (!this.hasOutput) return undefined;
    const state = this.#state;
    const persist = this.#takePersist();
    const output: RaftOutput = {
      messages: state.outbox.takeMessages(),
      persist,
      messagesAfterDurable: state.outbox.takeAfterDurable(),
      durableAfter: this.#durability.lastSyncToken,
      appliable: this.#takeAppliable(),
      confirmedReads: state.confirmedReads.length === 0 ? nothing : state.confirmedReads,
      droppedReads: state.droppedReads.length === 0 ? nothing : state.droppedReads,
      snapshotToInstall: state.snapshotToInstall,
      leadership: this.#takeLeadership(),
    };
    if (output.confirmedReads !== nothing) state.confirmedReads = [];
    if (output.droppedReads !== nothing) state.droppedReads = [];
    state.snapshotToInstall = undefined;
    state.reads.closeRound();
    // A pre-vote for itself promises nothing: it counts as soon as the requests to the others are on their way.
    if (state.selfVote === 'pre-vote') {
      state.selfVote = 'none';
      this.#protocol.onVote(state.id, true, true);
    }
    return output;
  }

  #takePersist(): Persist | undefined {
    const { log, term, vote } = this.#state;
    const stateChanged = this.#hardStateChanged;
    if (!stateChanged && !log.hasUnstable) return undefined;
    const mustSync = log.hasUnstable || term !== this.#handedState.term || vote !== this.#handedState.vote;
    const entries = log.takeUnstable();
    const token = this.#durability.nextToken();
    if (stateChanged) this.#handedState = { term, vote, commit: log.commit };
    if (mustSync) this.#noteHandover(token);
    return { token, hardState: stateChanged ? this.#handedState : undefined, entries, mustSync };
  }

  #noteHandover(token: DurabilityToken): void {
    const { term, log, selfVote, ownAppends, mutant, role } = this.#state;
    const handover: Handover = {
      token,
      term,
      lastLsn: log.lastLsn,
      lastTerm: log.lastTerm,
      votesForSelf: selfVote === 'vote',
      ownAppends: ownAppends.take(),
    };
    if (handover.votesForSelf) this.#state.selfVote = 'none';
    this.#durability.handedOver(handover);
    if (mutant === 'leader-counts-itself-at-send' && role === 'leader') this.#protocol.leader.onOwnDurable(handover);
  }

  #takeAppliable(): Lsn | undefined {
    const appliable = this.#state.log.appliable;
    if (appliable <= this.#handedAppliable) return undefined;
    this.#handedAppliable = appliable;
    return appliable;
  }

  #takeLeadership(): Leadership | undefined {
    if (!this.#leadershipChanged) return undefined;
    const { role, leader, term } = this.#state;
    this.#handedRole = role;
    this.#handedLeader = leader;
    this.#handedTerm = term;
    return { role, leader, term };
  }

  // ---- Events ------------------------------------------------------------------------------------------------------

  /** One tick passed. */
  tick(): void {
    const state = this.#state;
    if (state.quiet) return;
    state.ticks += 1;
    state.electionElapsed += 1;
    state.isMute = false;
    if (state.asksLeader && state.electionElapsed % state.options.heartbeatTicks === 0) this.#protocol.askLeader();
    if (state.role === 'leader') {
      this.#protocol.leader.tick();
    } else if (state.electionElapsed >= state.electionTimeout && this.#protocol.promotable) {
      state.electionElapsed = 0;
      this.campaign();
      state.isMute = state.role === 'follower';
    } else if (state.electionElapsed === state.electionTimeout) {
      state.isMute = true;
    }
  }

  /**
   * Whether the election timer has run out, in the last tick, and this replica could ask nobody for a vote: those that are quiet
   * because it led once must be woken by its host.
   */
  get isMute(): boolean {
    return this.#state.isMute;
  }

  /** A message arrived. Answers a refusal when it was a forwarded proposal that was not taken. */
  step(message: Message): Refusal | undefined {
    return this.#protocol.step(message);
  }

  /**
   * The WAL synced everything that was handed over up to and including `token`: never report a token, not even one that
   * needs no sync, while an earlier one is not synced. Lower tokens than before are ignored.
   */
  onWalDurable(token: DurabilityToken): void {
    const { log, mutant } = this.#state;
    for (const handover of this.#durability.reported(token)) {
      // A report of an earlier term says nothing about the log of this one: what it speaks of may have been replaced,
      // and be about to be put back by a write that is still under way (ABA). Every change of term is itself handed
      // over, so a report of this term follows, and speaks for the whole log.
      if (handover.term !== this.#state.term) {
        if (mutant === 'ignore-durability-term') log.durableTo(lower(handover.lastLsn, log.lastLsn));
        continue;
      }
      if (log.matches(handover.lastLsn, handover.lastTerm)) log.durableTo(handover.lastLsn);
      if (handover.votesForSelf) this.#protocol.onVote(this.#state.id, true, false);
      if (this.#state.role === 'leader') this.#protocol.leader.onOwnDurable(handover);
    }
  }

  /** Everything up to `lsn` is in the state store (not necessarily persisted). */
  onApplied(lsn: Lsn): void {
    assert(lsn <= this.#state.log.appliable, () => `applied ${lsn} above appliable ${this.#state.log.appliable}`);
    this.#state.log.appliedTo(lsn);
    if (lsn > this.#handedAppliable) this.#handedAppliable = lsn;
    // Refused while leadership is on its way elsewhere: then the next leader does it, or the next report here.
    if (this.#state.role === 'leader' && this.#protocol.leader.shouldLeaveJoint()) this.proposeConfChange(leaveJoint);
  }

  /**
   * A bootstrap at `start` is verified and ready to replace this replica's state and log. False: the log holds that
   * point already, or went past it; the host drops what it prepared and goes on. True: the log stands still until
   * `onSnapshotDone` or `onSnapshotFailed`; the host waits until all it was handed is durable, and replaces both.
   */
  beginSnapshot(start: LogStart): boolean {
    this.wake();
    return this.#protocol.beginInstall(start);
  }

  /**
   * State store, log and configuration now begin at `start`, durably, and the LogReader shows it. Answers like
   * `beginSnapshot`, which it stands for when that was not called; after a yes of it, always true.
   */
  onSnapshotDone(start: LogStart): boolean {
    if (this.#state.installBegun === undefined && !this.beginSnapshot(start)) return false;
    this.#protocol.installed(start);
    this.#durability.forget();
    if (start.lsn > this.#handedAppliable) this.#handedAppliable = start.lsn;
    return true;
  }

  /** The bootstrap failed; the leader will ask again. */
  onSnapshotFailed(): void {
    this.#protocol.installFailed();
  }

  /** Leader: the bootstrap of a follower ended, as far as this host can tell. */
  reportSnapshot(replica: ReplicaId, succeeded: boolean): void {
    this.wake();
    if (this.#state.role === 'leader') this.#protocol.leader.onSnapshotReport(replica, succeeded);
  }

  /** Messages to `replica` are being lost. */
  onUnreachable(replica: ReplicaId): void {
    this.onSilence((other) => other === replica, 0);
    if (this.#state.role === 'leader') this.#protocol.leader.onUnreachable(replica);
  }

  /**
   * Nodes give no sign of life, or one of another epoch: a replica that is quiet because of them wakes.
   *
   * @param isSilent whether that is the node of a replica
   * @param ticks since the last sign of life
   */
  onSilence(isSilent: (replica: ReplicaId) => boolean, ticks: number): void {
    const { role, leader, quiet, mutant } = this.#state;
    if (!quiet) return;
    const isLeader = role === 'leader';
    if (isLeader ? !this.#protocol.leader.onSilence(isSilent) : !this.#isAnotherSilent(isSilent)) return;
    if (!isLeader && mutant === 'quiet-under-a-dead-leader') return;
    // Where it is not the leader's node, leadership may have gone to it unheard: the leader is asked for its word.
    this.#protocol.wake(isLeader || isSilent(leader) ? ticks : 0);
    this.#protocol.askLeader();
  }

  #isAnotherSilent(isSilent: (replica: ReplicaId) => boolean): boolean {
    const { id, tracker } = this.#state;
    for (const replica of tracker.progress.keys()) if (replica !== id && isSilent(replica)) return true;
    return false;
  }

  /** The host has something to do for the group, for which it must be awake. */
  wake(): void {
    this.#protocol.wake(0);
  }

  /**
   * This replica's disk hangs or is full: it cannot keep promises for now. A leader names a successor and steps down;
   * votes, entries and proposals are refused until the fault is cleared. It does not campaign, and after an election
   * timeout without a sign of a leader it says that it knows none.
   */
  onStorageFault(kind: StorageFault): void {
    const state = this.#state;
    this.wake();
    state.storageFault = kind;
    if (state.role === 'follower') return;
    if (state.role === 'leader') this.#protocol.leader.nominateSuccessor();
    this.#protocol.becomeFollower(state.term, noReplica);
  }

  onStorageFaultCleared(): void {
    this.#state.storageFault = undefined;
    this.#state.electionElapsed = 0;
  }

  /** Entries that `log.entriesInMemory` could not answer are in memory now. */
  onLogLoaded(): void {
    if (this.#state.role === 'leader') this.#protocol.leader.onLogLoaded();
  }

  // ---- Requests ----------------------------------------------------------------------------------------------------

  /**
   * Appends entries, in order and together, to the group's log: one message to each follower and one sync for all of
   * them. Only a leader does; `datas` must not change any more.
   */
  propose(datas: readonly Uint8Array[], kind: EntryKind = EntryKind.normal): ProposeResult {
    assert(datas.length > 0, () => 'nothing to propose');
    if (this.#state.role === 'leader') this.wake();
    return this.#protocol.propose(datas, kind);
  }

  /**
   * Proposes a configuration change; it takes effect when applied. A change that is not possible now (one is pending,
   * a joint configuration is in force, it would remove all voters) is appended as an empty normal entry instead.
   */
  proposeConfChange(change: ConfChange, kind: EntryKind = EntryKind.confChangeV2): ProposeResult {
    assert(kind !== EntryKind.normal, () => 'a configuration change is no normal entry');
    return this.propose([encodeConfChange(change)], kind);
  }

  /**
   * The host reached a configuration entry while applying. Answers the configuration now in force, to be stored in the
   * same atomic batch as the applied LSN.
   */
  applyConfChange(change: ConfChange): ConfState {
    const { tracker, log, id, options, mutant } = this.#state;
    const conf = this.#changedConf(change);
    tracker.switchTo(conf, log.lastLsn);
    if (isVoter(conf, id)) {
      tracker.extraCopy = undefined;
      if (this.#state.role === 'leader') this.#protocol.leader.onConfChanged();
    } else if (this.#state.role === 'leader' && mutant === 'removed-leader-counts-itself') {
      tracker.extraCopy = () => log.durable;
    } else if (this.#state.role !== 'leader' || (options.stepDownOnRemoval ?? true)) {
      if (this.#state.role !== 'follower') this.#protocol.becomeFollower(this.#state.term, noReplica);
    }
    return conf;
  }

  /** Changes are checked before they are proposed, one at a time: a committed one that does not fit is a bug. */
  #changedConf(change: ConfChange): ConfState {
    try {
      return changeConf(this.#state.tracker.conf, change);
    } catch (error) {
      assert(!(error instanceof ConfChangeError), () => `committed configuration change: ${(error as Error).message}`);
      throw error;
    }
  }

  /** Hands leadership to `to` (dissertation 3.10). A follower passes the request on. Gives up after an election timeout. */
  transferLeader(to: ReplicaId): RequestResult {
    const state = this.#state;
    this.wake();
    if (state.role === 'leader') return this.#protocol.leader.transferTo(to);
    if (state.leader === noReplica || state.role !== 'follower') return state.refuse('no-leader');
    state.outbox.transferLeader(state.leader, state.term, to);
    return state.refuse('forwarded');
  }

  /**
   * Asks for an LSN at which a read is linearizable; it comes as a confirmed read, or a dropped one, with the same
   * `context`, unless the messages of a follower's read are lost. `context` is unique among this replica's open reads.
   */
  readIndex(context: number): RequestResult {
    const state = this.#state;
    this.wake();
    if (state.role === 'leader') {
      return this.#protocol.leader.addRead(state.id, context) ? accepted : state.refuse('reads-limit');
    }
    if (state.leader === noReplica || state.role !== 'follower') return state.refuse('no-leader');
    if (state.forwardedReads.size >= state.limits.pendingReadsMax) return state.refuse('reads-limit');
    state.forwardedReads.add(context);
    state.outbox.readIndex(state.leader, state.id, context);
    return accepted;
  }

  /** A read that another replica was asked to confirm is given up: its answer was lost, or will be ignored. */
  forgetRead(context: number): void {
    this.#state.forwardedReads.delete(context);
  }

  /** Starts an election now, if this replica may. */
  campaign(): void {
    this.wake();
    this.#protocol.campaign(this.#state.preVote ? 'pre-vote' : 'election');
  }

  /** Takes the leader for dead: this replica may vote for others at once. Not with leases, which rest on its patience. */
  forgetLeader(): void {
    this.wake();
    if (this.#state.role === 'follower' && !this.#state.leases) this.#state.leader = noReplica;
  }

  /** For tests: the randomized election timeout, until the next change of role or term. */
  overrideElectionTimeout(ticks: number): void {
    this.#state.electionTimeout = ticks;
  }
}

function lower(a: Lsn, b: Lsn): Lsn {
  return asLsn(Math.min(a, b));
}
