import { assert } from '../base/assert.js';
import { asLsn, asTerm, noReplica, type ReplicaId, type Term } from '../base/ids.js';
import { Leader } from './leader.js';
import { isFromLeader, isResponse } from './messages.js';
import { followerRests } from './quiet.js';
import type { ReplicaState } from './replica-state.js';
import type {
  AppendRequest,
  EntryKind,
  HeartbeatRequest,
  LogStart,
  Message,
  Proposal,
  ProposeRequest,
  ProposeResult,
  QuietRequest,
  ReadIndexResponse,
  Refusal,
  SnapshotRequest,
  VoteRequest,
  VoteResponse,
} from './types.js';

/** A transfer skips the pre-vote: the leader itself asked for it, so it disturbs nobody. */
type CampaignKind = 'pre-vote' | 'election' | 'transfer';

/** Roles, elections and messages: which rule applies to what comes in (dissertation, figure 3.1 and chapters 4, 9). */
export class Protocol {
  readonly #state: ReplicaState;
  readonly leader: Leader;
  /**
   * With leases: until this tick of its own a replica neither votes nor campaigns, whatever it learns, because a leader
   * may serve reads on its answer. What it promised before a restart is not on disk, so it begins with a full promise.
   */
  #patientUntilTick: number;

  constructor(state: ReplicaState) {
    this.#state = state;
    this.leader = new Leader(state, () => this.becomeFollower(state.term, noReplica));
    this.#patientUntilTick = state.leases && state.term > 0 ? state.options.electionTicks : 0;
    this.becomeFollower(state.term, noReplica);
  }

  // ---- Roles -------------------------------------------------------------------------------------------------------

  becomeFollower(term: Term, leader: ReplicaId): void {
    this.#state.reset(term);
    this.#state.leader = leader;
    this.#state.role = 'follower';
  }

  #becomeCandidate(): void {
    const state = this.#state;
    assert(state.role !== 'leader', () => `leader of term ${state.term} became candidate`);
    state.reset(asTerm(state.term + 1));
    state.castVote(state.id);
    state.role = 'candidate';
  }

  /** Asks before it disturbs: neither term nor vote changes (dissertation 9.6). */
  #becomePreCandidate(): void {
    const state = this.#state;
    assert(state.role !== 'leader', () => `leader of term ${state.term} became pre-candidate`);
    state.tracker.resetVotes();
    state.leader = noReplica;
    state.role = 'pre-candidate';
  }

  #becomeLeader(): void {
    const state = this.#state;
    assert(state.role === 'candidate', () => `${state.role} of term ${state.term} became leader`);
    state.reset(state.term);
    state.leader = state.id;
    state.role = 'leader';
    this.leader.start();
  }

  /** Something happened to the group. @param elapsed ticks for which nothing has been heard of the leader */
  wake(elapsed: number): void {
    const state = this.#state;
    if (!state.quiet) return;
    state.quiet = false;
    if (state.role === 'leader') return this.leader.wake();
    state.electionElapsed = elapsed;
    state.asksLeader = true;
  }

  /** A follower that is awake on its own account has its leader wake: it would take silence for its end. */
  askLeader(): void {
    const { role, leader, asksLeader, outbox, term } = this.#state;
    // As to a heartbeat that was never sent: the leader learns that this replica is there, and nothing else.
    if (asksLeader && role === 'follower' && leader !== noReplica) outbox.heartbeatResponse(leader, term, 0);
  }

  // ---- Elections ---------------------------------------------------------------------------------------------------

  /** A voter that is not waiting for a bootstrap. */
  get promotable(): boolean {
    const own = this.#state.tracker.get(this.#state.id);
    const { installing, installBegun } = this.#state;
    return own !== undefined && !own.learner && installing === undefined && installBegun === undefined;
  }

  campaign(kind: CampaignKind): void {
    const { role, log, storageFault, mutant } = this.#state;
    if (role === 'leader' || !this.promotable) return;
    if (kind !== 'transfer' && this.#isPatient) return;
    if (storageFault !== undefined) {
      // Nobody leads that it hears of, and its host should know.
      if (kind !== 'transfer') this.#state.leader = noReplica;
      return;
    }
    // It would count votes under a configuration that is replaced already.
    if (log.hasUnappliedConfChange && mutant !== 'campaign-with-unapplied-conf-change') return;
    this.#askForVotes(kind);
  }

  #askForVotes(kind: CampaignKind): void {
    const { id, tracker, log, outbox } = this.#state;
    const preVote = kind === 'pre-vote';
    if (preVote) this.#becomePreCandidate();
    else this.#becomeCandidate();
    const term = preVote ? asTerm(this.#state.term + 1) : this.#state.term;
    for (const voter of tracker.voters()) {
      // Its own vote counts like any other: when it is durable.
      if (voter === id) this.#state.selfVote = preVote ? 'pre-vote' : 'vote';
      else outbox.voteRequest(voter, term, preVote, log.lastLsn, log.lastTerm, kind === 'transfer');
    }
  }

  onVote(from: ReplicaId, granted: boolean, preVote: boolean): void {
    const state = this.#state;
    if (state.role !== (preVote ? 'pre-candidate' : 'candidate')) return;
    state.tracker.recordVote(from, granted);
    const result = state.tracker.tally();
    if (result === 'lost') this.becomeFollower(state.term, noReplica);
    else if (result === 'won' && preVote) this.#askForVotes('election');
    else if (result === 'won') this.#becomeLeader();
  }

  #onVoteRequest(message: VoteRequest): void {
    const { log, outbox, storageFault, term, vote, leader } = this.#state;
    // A vote that cannot be stored cannot be given.
    if (storageFault !== undefined) return;
    const preVote = message.type === 'pre-vote';
    const free =
      vote === message.from || (vote === noReplica && leader === noReplica) || (preVote && message.term > term);
    // A learner votes when it is asked: the candidate may know of a promotion that this replica does not know yet.
    if (!free || !log.isUpToDate(message.lastTerm, message.lastLsn)) {
      outbox.voteResponse(message.from, term, preVote, true);
      return;
    }
    // In the request's term: a pre-candidate is ahead of ours, and ignores answers from behind it.
    outbox.voteResponse(message.from, message.term, preVote, false);
    if (preVote) return;
    this.#state.electionElapsed = 0;
    this.#state.castVote(message.from);
  }

  // ---- Messages ----------------------------------------------------------------------------------------------------

  /** Answers a refusal when the message was a forwarded proposal that could not be taken. */
  step(message: Message): Refusal | undefined {
    const { id, tracker } = this.#state;
    if (message.to !== id) return undefined;
    if (isResponse(message) && tracker.get(message.from) === undefined) return undefined;
    if (!this.#leavesQuiet(message)) this.wake(0);
    if (message.type === 'propose') return this.#onForwardedProposal(message);
    if (message.type === 'read-index') {
      this.#onForwardedRead(message.from, message.context);
      return undefined;
    }
    if (this.#passesTermCheck(message)) this.#dispatch(message);
    return undefined;
  }

  /** What comes of a repeated `quiet` is decided where it is taken; a late answer to one says what the leader knows. */
  #leavesQuiet({ type, term }: Message): boolean {
    const { role, term: own } = this.#state;
    return type === 'quiet' || (type === 'quiet-response' && role === 'leader' && term === own);
  }

  /** Dissertation 3.3: a higher term is adopted, a lower one is answered or ignored. */
  #passesTermCheck(message: Message): boolean {
    const { term } = this.#state;
    if (this.#isHeldOff(message)) return false;
    if (message.term < term) {
      this.#answerLowerTerm(message);
      return false;
    }
    if (message.term === term) return true;
    // Pre-votes speak of a term that does not exist yet.
    if (message.type === 'pre-vote') return true;
    if (message.type === 'pre-vote-response' && !message.rejected) return true;
    this.becomeFollower(message.term, isFromLeader(message) ? message.from : noReplica);
    return true;
  }

  /** While a leader is alive, candidates are ignored altogether, unless it sent them (dissertation 4.2.3, 6.2). */
  #isHeldOff(message: Message): boolean {
    if (message.type !== 'vote' && message.type !== 'pre-vote') return false;
    const { checkQuorum, leader, electionElapsed, options, term } = this.#state;
    if (message.leadershipTransfer) return false;
    if (this.#isPatient) return true;
    return message.term > term && checkQuorum && leader !== noReplica && electionElapsed < options.electionTicks;
  }

  get #isPatient(): boolean {
    return this.#state.leases && this.#state.ticks < this.#patientUntilTick;
  }

  #answerLowerTerm(message: Message): void {
    const { checkQuorum, preVote, outbox, term } = this.#state;
    if ((checkQuorum || preVote) && isFromLeader(message) && message.type !== 'snapshot') {
      // As candidates cannot raise the leader's term while it is alive, this answer is what frees a replica that is
      // ahead of its leader.
      outbox.appendAccepted(message.from, term, asLsn(0));
    } else if (message.type === 'pre-vote') {
      // So that a pre-candidate that is behind learns of the term.
      outbox.voteResponse(message.from, term, true, true);
    }
  }

  #dispatch(message: Message): void {
    switch (message.type) {
      case 'vote':
      case 'pre-vote':
        this.#onVoteRequest(message);
        break;
      case 'vote-response':
      case 'pre-vote-response':
        this.#onVoteResponse(message);
        break;
      case 'append':
      case 'heartbeat':
      case 'quiet':
      case 'snapshot':
        this.#onLeaderMessage(message);
        break;
      case 'timeout-now':
        if (this.#state.role === 'follower') this.campaign('transfer');
        break;
      case 'transfer-leader':
        this.#onTransferRequest(message.from);
        break;
      case 'read-index-response':
        this.#onReadIndexResponse(message);
        break;
      default:
        if (this.#state.role === 'leader') this.#dispatchToLeader(message);
    }
  }

  #dispatchToLeader(message: Message): void {
    if (message.type === 'append-response') this.leader.onAppendResponse(message);
    else if (message.type === 'heartbeat-response') this.leader.onHeartbeatResponse(message);
    else if (message.type === 'quiet-response') this.leader.onQuietResponse(message);
    else if (message.type === 'snapshot-failed') this.leader.onSnapshotReport(message.from, false);
  }

  #onVoteResponse(message: VoteResponse): void {
    this.onVote(message.from, !message.rejected, message.type === 'pre-vote-response');
  }

  #onTransferRequest(successor: ReplicaId): void {
    const { role, leader, outbox, term } = this.#state;
    if (role === 'leader') this.leader.transferTo(successor);
    else if (role === 'follower' && leader !== noReplica) outbox.transferLeader(leader, term, successor);
  }

  // ---- Follower ----------------------------------------------------------------------------------------------------

  #onLeaderMessage(message: AppendRequest | HeartbeatRequest | QuietRequest | SnapshotRequest): void {
    const state = this.#state;
    assert(state.role !== 'leader', () => `replicas ${state.id} and ${message.from} both lead term ${state.term}`);
    if (state.role === 'follower') {
      state.electionElapsed = 0;
      state.leader = message.from;
    } else {
      this.becomeFollower(message.term, message.from);
    }
    state.asksLeader = false;
    this.#patientUntilTick = state.ticks + state.options.electionTicks;
    if (message.type === 'append') this.#onAppend(message);
    else if (message.type === 'snapshot') this.#onSnapshot(message);
    else if (message.type === 'quiet') this.#onQuiet(message);
    else {
      state.log.commitTo(message.commit);
      state.outbox.heartbeatResponse(message.from, state.term, message.round);
    }
  }

  #onQuiet(message: QuietRequest): void {
    const state = this.#state;
    const { log, outbox, term } = state;
    const { from, commit, round } = message;
    log.commitTo(commit);
    state.quiet = followerRests(state, message);
    if (state.quiet) outbox.quietResponse(from, term, round);
    else outbox.heartbeatResponse(from, term, round);
  }

  #onAppend(message: AppendRequest): void {
    const state = this.#state;
    const { log, outbox, term, storageFault, installBegun, mutant } = state;
    const { from, previousLsn, previousTerm, entries, commit } = message;
    // A disk that does not write must not make entries pile up in memory; the leader comes again.
    if (storageFault !== undefined && entries.length > 0) return;
    if (installBegun !== undefined) return;
    if (previousLsn < log.commit && mutant !== 'accept-stale-append') {
      if (mutant === 'accept-append-below-snapshot' && previousLsn + 1 < log.firstLsn)
        log.commitDownTo(asLsn(Math.min(commit, previousLsn + entries.length)));
      outbox.appendAccepted(from, term, log.commit);
      return;
    }
    const commitBefore = log.commit;
    const matching = log.tryAppend(previousLsn, previousTerm, entries, commit);
    if (matching !== undefined) {
      if (log.commit === commitBefore || !this.#knowsThatItMatches(message)) {
        state.answeredLsn = matching;
        outbox.appendAccepted(from, term, matching);
      }
      return;
    }
    const end = previousLsn < log.lastLsn ? previousLsn : log.lastLsn;
    const hint = log.lastAtOrBelowTerm(end, previousTerm);
    outbox.appendRejected(from, term, previousLsn, hint.lsn, hint.term);
  }

  /**
   * Whether the answer to an append, which brought nothing but a commit LSN, would repeat the last one word for word. Such
   * answers are a fifth of all messages of a group that is not busy. Should that last answer have been lost, the leader asks
   * after its next heartbeat, with an append that no longer moves the commit LSN, and is answered.
   */
  #knowsThatItMatches({ entries, previousLsn }: AppendRequest): boolean {
    const { answeredLsn, options } = this.#state;
    return entries.length === 0 && previousLsn === answeredLsn && options.acknowledgeEachAppend !== true;
  }

  /** The leader has trimmed what this replica needs next. Its configuration need not contain this replica. */
  #onSnapshot(message: SnapshotRequest): void {
    const state = this.#state;
    const { log, outbox, term } = state;
    const { start, from } = message;
    if (start.lsn > log.commit && log.matches(start.lsn, start.term)) log.commitTo(start.lsn);
    if (start.lsn <= log.commit) {
      outbox.appendAccepted(from, term, log.commit);
      return;
    }
    state.installFrom = from;
    if (state.installing !== undefined || state.installBegun !== undefined) return;
    state.installing = start;
    state.snapshotToInstall = start;
  }

  /**
   * Whether the host may replace state and log by a bootstrap at `start`. Not when the log holds that point already:
   * what follows it there may have been acknowledged, and must not be lost. From a yes on, the log stands still.
   */
  beginInstall(start: LogStart): boolean {
    const state = this.#state;
    const { log, outbox } = state;
    if (log.matches(start.lsn, start.term)) log.commitTo(start.lsn);
    if (start.lsn > log.commit && state.role === 'follower') {
      state.installBegun = start;
      return true;
    }
    state.installing = undefined;
    state.snapshotToInstall = undefined;
    if (state.installFrom !== noReplica) outbox.appendAccepted(state.installFrom, state.term, log.commit);
    return false;
  }

  /** The host replaced state and log. */
  installed(start: LogStart): void {
    const state = this.#state;
    const begun = state.installBegun;
    assert(
      begun?.lsn === start.lsn && begun.term === start.term,
      () => `bootstrap at ${start.lsn} was not begun (${begun?.lsn})`,
    );
    state.installBegun = undefined;
    state.installing = undefined;
    state.snapshotToInstall = undefined;
    // It may come from a later leader than the one that asked.
    if (start.term > state.term) this.becomeFollower(start.term, noReplica);
    state.log.restart(start);
    state.tracker.restart(start.confState, start.lsn);
    if (state.installFrom !== noReplica) state.outbox.appendAccepted(state.installFrom, state.term, start.lsn);
  }

  installFailed(): void {
    const state = this.#state;
    state.installBegun = undefined;
    state.installing = undefined;
    state.snapshotToInstall = undefined;
    if (state.installFrom !== noReplica) state.outbox.snapshotFailed(state.installFrom, state.term);
  }

  #onForwardedProposal(message: ProposeRequest): Refusal | undefined {
    if (this.#state.role !== 'leader') return this.proposeElsewhere(message.from, message.proposals);
    for (const { kind, data } of message.proposals) {
      const result = this.leader.propose([data], kind);
      if (!result.ok) return result;
    }
    return undefined;
  }

  /** A follower's way with proposals: pass them on, if it may and knows to whom. */
  proposeElsewhere(origin: ReplicaId, proposals: readonly Proposal[]): Refusal {
    const state = this.#state;
    if (state.leader === noReplica || state.role !== 'follower') return state.refuse('no-leader');
    if (state.options.disableProposalForwarding ?? true) return state.refuse('not-leader');
    state.outbox.propose(state.leader, origin, proposals);
    return state.refuse('forwarded');
  }

  propose(datas: readonly Uint8Array[], kind: EntryKind): ProposeResult {
    if (this.#state.role === 'leader') return this.leader.propose(datas, kind);
    return this.proposeElsewhere(
      this.#state.id,
      datas.map((data) => ({ kind, data })),
    );
  }

  #onForwardedRead(origin: ReplicaId, context: number): void {
    const { role, leader, outbox } = this.#state;
    if (role === 'leader') this.leader.addRead(origin, context);
    else if (role === 'follower' && leader !== noReplica) outbox.readIndex(leader, origin, context);
  }

  #onReadIndexResponse(message: ReadIndexResponse): void {
    if (this.#state.forwardedReads.delete(message.context)) this.#state.confirmRead(message.lsn, message.context);
  }
}
