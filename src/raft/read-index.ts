import { at } from './at.js';
import type { Lsn, ReplicaId } from '../base/ids.js';

/** A read that asked for the commit LSN; `origin` is the replica it came in at. */
export interface ReadRequest {
  readonly origin: ReplicaId;
  readonly context: number;
}

export interface PendingRead extends ReadRequest {
  /** Commit LSN when it came in: the read sees at least this. */
  readonly lsn: Lsn;
  /** It is confirmed when a quorum answered this heartbeat round, or a later one. */
  readonly round: number;
}

/**
 * Linearizable reads without log entries (dissertation 6.4). Heartbeat broadcasts are counted; a quorum that answers
 * round r proves that no other leader was elected before r was sent. Reads wait for the first round sent after they
 * came in. For lease reads (6.4.1) the tick at which a confirmed round was sent starts the lease.
 */
export class ReadIndex {
  /** Ticks of the leader for which a confirmed round proves leadership; 0 without leases. */
  readonly #leaseTicks: number;
  #round = 0;
  /** The newest round was not handed to the host yet: a read that comes in now may share it. */
  #roundIsOpen = false;
  #confirmedRound = 0;
  #leaseStartTick = -Infinity;
  /** First round of each tick whose rounds are not confirmed yet, ascending. */
  #sent: { round: number; tick: number }[] = [];
  #pending: PendingRead[] = [];
  /** Reads that came in before the term's first commit. */
  #early: ReadRequest[] = [];

  constructor(leaseTicks: number) {
    this.#leaseTicks = leaseTicks;
  }

  get round(): number {
    return this.#round;
  }

  get roundIsOpen(): boolean {
    return this.#roundIsOpen;
  }

  get waiting(): number {
    return this.#pending.length + this.#early.length;
  }

  /** The heartbeats of a new round are about to be sent. */
  startRound(tick: number): number {
    this.#round += 1;
    this.#roundIsOpen = true;
    if (this.#leaseTicks > 0 && this.#sent.at(-1)?.tick !== tick) this.#sent.push({ round: this.#round, tick });
    return this.#round;
  }

  /** The messages of the newest round were handed to the host. */
  closeRound(): void {
    this.#roundIsOpen = false;
  }

  add(origin: ReplicaId, context: number, lsn: Lsn): void {
    this.#pending.push({ origin, context, lsn, round: this.#round });
  }

  addEarly(origin: ReplicaId, context: number): void {
    this.#early.push({ origin, context });
  }

  takeEarly(): readonly ReadRequest[] {
    const taken = this.#early;
    this.#early = [];
    return taken;
  }

  /** A quorum answered `round`. Answers the reads that this confirms, oldest first. */
  confirm(round: number): readonly PendingRead[] {
    if (round <= this.#confirmedRound) return [];
    this.#confirmedRound = round;
    while (this.#sent.length > 0 && at(this.#sent, 0).round <= round) {
      this.#leaseStartTick = at(this.#sent, 0).tick;
      this.#sent.shift();
    }
    let count = 0;
    while (count < this.#pending.length && at(this.#pending, count).round <= round) count += 1;
    return this.#pending.splice(0, count);
  }

  /** No other replica can have been elected by now, as long as clocks keep to the drift bound. */
  leaseHolds(tick: number): boolean {
    return tick - this.#leaseStartTick < this.#leaseTicks;
  }

  /** At a change of role or term: answers the reads that will not be confirmed. */
  reset(): readonly ReadRequest[] {
    const dropped = [...this.#pending, ...this.#early];
    this.#pending = [];
    this.#early = [];
    this.#sent = [];
    this.#confirmedRound = this.#round;
    this.#leaseStartTick = -Infinity;
    return dropped;
  }
}

/**
 * How many ticks a lease lasts. A follower refuses other candidates for `electionTicks` of its own after it heard the
 * leader; a clock at most `driftBound` times as fast as the leader's needs at least electionTicks / driftBound of the
 * leader's ticks for that. One tick of each side is lost to granularity: either may have begun almost a tick earlier.
 */
export function leaseTicksFor(electionTicks: number, driftBound: number): number {
  return Math.max(0, Math.floor((electionTicks - 1) / driftBound));
}
