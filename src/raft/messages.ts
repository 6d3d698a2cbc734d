import { asTerm, type Lsn, type ReplicaId, type Term } from '../base/ids.js';
import type { Entry, LogStart, Message, Proposal } from './types.js';

/** Forwarded requests carry no term: the leader takes them as if they were its own. */
const noTerm = asTerm(0);
const nothing: Message[] = [];

/** Answers to what the receiver asked before; one from a stranger is dropped. */
export function isResponse(message: Message): boolean {
  switch (message.type) {
    case 'append-response':
    case 'heartbeat-response':
    case 'quiet-response':
    case 'vote-response':
    case 'pre-vote-response':
    case 'read-index-response':
    case 'snapshot-failed':
      return true;
    default:
      return false;
  }
}

/** Only the leader of its term sends these. */
export function isFromLeader(message: Message): boolean {
  switch (message.type) {
    case 'append':
    case 'heartbeat':
    case 'quiet':
    case 'snapshot':
      return true;
    default:
      return false;
  }
}

/**
 * Messages of the next output. One constructor a message type keeps every message of a type in the same shape; and
 * what promises durability can only get into the list that waits for it.
 */
export class Outbox {
  readonly #from: ReplicaId;
  readonly #voteBeforeDurable: boolean;
  #messages: Message[] = nothing;
  #afterDurable: Message[] = nothing;

  constructor(from: ReplicaId, voteBeforeDurable: boolean) {
    this.#from = from;
    this.#voteBeforeDurable = voteBeforeDurable;
  }

  get empty(): boolean {
    return this.#messages.length === 0 && this.#afterDurable.length === 0;
  }

  takeMessages(): Message[] {
    const taken = this.#messages;
    this.#messages = nothing;
    return taken;
  }

  takeAfterDurable(): Message[] {
    const taken = this.#afterDurable;
    this.#afterDurable = nothing;
    return taken;
  }

  #send(message: Message): void {
    if (this.#messages === nothing) this.#messages = [message];
    else this.#messages.push(message);
  }

  #sendAfterDurable(message: Message): void {
    if (this.#afterDurable === nothing) this.#afterDurable = [message];
    else this.#afterDurable.push(message);
  }

  append(
    to: ReplicaId,
    term: Term,
    previousLsn: Lsn,
    previousTerm: Term,
    commit: Lsn,
    entries: readonly Entry[],
  ): void {
    this.#send({ type: 'append', from: this.#from, to, term, previousLsn, previousTerm, commit, entries });
  }

  heartbeat(to: ReplicaId, term: Term, commit: Lsn, round: number): void {
    this.#send({ type: 'heartbeat', from: this.#from, to, term, commit, round });
  }

  heartbeatResponse(to: ReplicaId, term: Term, round: number): void {
    this.#send({ type: 'heartbeat-response', from: this.#from, to, term, round });
  }

  quiet(to: ReplicaId, term: Term, commit: Lsn, round: number, epoch: number): void {
    this.#send({ type: 'quiet', from: this.#from, to, term, commit, round, epoch });
  }

  quietResponse(to: ReplicaId, term: Term, round: number): void {
    this.#send({ type: 'quiet-response', from: this.#from, to, term, round });
  }

  voteRequest(
    to: ReplicaId,
    term: Term,
    preVote: boolean,
    lastLsn: Lsn,
    lastTerm: Term,
    leadershipTransfer: boolean,
  ): void {
    const type = preVote ? 'pre-vote' : 'vote';
    this.#send({ type, from: this.#from, to, term, lastLsn, lastTerm, leadershipTransfer });
  }

  snapshot(to: ReplicaId, term: Term, start: LogStart): void {
    this.#send({ type: 'snapshot', from: this.#from, to, term, start });
  }

  snapshotFailed(to: ReplicaId, term: Term): void {
    this.#send({ type: 'snapshot-failed', from: this.#from, to, term });
  }

  timeoutNow(to: ReplicaId, term: Term): void {
    this.#send({ type: 'timeout-now', from: this.#from, to, term });
  }

  transferLeader(to: ReplicaId, term: Term, successor: ReplicaId): void {
    this.#send({ type: 'transfer-leader', from: successor, to, term });
  }

  propose(to: ReplicaId, origin: ReplicaId, proposals: readonly Proposal[]): void {
    this.#send({ type: 'propose', from: origin, to, term: noTerm, proposals });
  }

  readIndex(to: ReplicaId, origin: ReplicaId, context: number): void {
    this.#send({ type: 'read-index', from: origin, to, term: noTerm, context });
  }

  readIndexResponse(to: ReplicaId, term: Term, lsn: Lsn, context: number): void {
    this.#send({ type: 'read-index-response', from: this.#from, to, term, lsn, context });
  }

  /** Promises that the log up to `lsn` is durable here. */
  appendAccepted(to: ReplicaId, term: Term, lsn: Lsn): void {
    this.#appendResponse(to, term, lsn, false, 0 as Lsn, noTerm);
  }

  /** Promises nothing, but rests on a log that may not be durable yet; waiting keeps the order of answers. */
  appendRejected(to: ReplicaId, term: Term, lsn: Lsn, hintLsn: Lsn, hintTerm: Term): void {
    this.#appendResponse(to, term, lsn, true, hintLsn, hintTerm);
  }

  #appendResponse(to: ReplicaId, term: Term, lsn: Lsn, rejected: boolean, hintLsn: Lsn, hintTerm: Term): void {
    this.#sendAfterDurable({ type: 'append-response', from: this.#from, to, term, lsn, rejected, hintLsn, hintTerm });
  }

  /** A granted vote promises that this replica will never vote otherwise in `term` (dissertation 3.8). */
  voteResponse(to: ReplicaId, term: Term, preVote: boolean, rejected: boolean): void {
    const message: Message = {
      type: preVote ? 'pre-vote-response' : 'vote-response',
      from: this.#from,
      to,
      term,
      rejected,
    };
    if (this.#voteBeforeDurable) this.#send(message);
    else this.#sendAfterDurable(message);
  }
}
