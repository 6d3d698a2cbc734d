import type { Http2Session } from 'node:http2';
import type { Clock, Timer } from '../../base/ports/clock.js';
import type { LinkOptions } from '../options.js';

export interface SessionEvents {
  onRoundTrip(roundTripMs: number): void;
  /** Once. */
  onDead(detail: string): void;
}

/** Bytes on their way out of this process. */
export interface Outflow {
  readonly pendingBytes: number;
  /** Grows whenever the kernel takes some. */
  readonly writesDone: number;
}

/**
 * Tells a session that is slow from one that is dead: pings it, and sees whether it takes what is written. It counts
 * its own ticks, not time: a process that was itself suspended must not take all its peers for dead.
 */
export class SessionWatch {
  readonly #session: Http2Session;
  readonly #clock: Clock;
  readonly #options: LinkOptions;
  readonly #events: SessionEvents;
  readonly #outflow: Outflow | undefined;
  #timer: Timer | undefined;
  #ticksUnanswered = 0;
  #ticksStalled = 0;
  #writesSeen = 0;
  #isPinging = false;

  constructor(session: Http2Session, clock: Clock, options: LinkOptions, events: SessionEvents, outflow?: Outflow) {
    this.#session = session;
    this.#clock = clock;
    this.#options = options;
    this.#events = events;
    this.#outflow = outflow;
  }

  run(): void {
    this.#ping();
    this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #schedule(): void {
    this.#timer = this.#clock.setTimer(this.#options.pingIntervalMs, () => this.#tick());
  }

  #tick(): void {
    const { pingIntervalMs, pingTimeoutMs, stallTimeoutMs } = this.#options;
    this.#ticksUnanswered = this.#isPinging ? this.#ticksUnanswered + 1 : 0;
    const { pendingBytes, writesDone } = this.#outflow ?? { pendingBytes: 0, writesDone: 0 };
    const isStalled = pendingBytes > 0 && writesDone === this.#writesSeen;
    this.#writesSeen = writesDone;
    this.#ticksStalled = isStalled ? this.#ticksStalled + 1 : 0;
    if (this.#ticksUnanswered * pingIntervalMs >= pingTimeoutMs) {
      this.#events.onDead(`no answer to a ping for ${pingTimeoutMs} ms`);
    } else if (this.#ticksStalled * pingIntervalMs >= stallTimeoutMs) {
      this.#events.onDead(`${pendingBytes} bytes were not taken for ${stallTimeoutMs} ms`);
    } else {
      this.#ping();
      this.#schedule();
    }
  }

  #ping(): void {
    if (this.#isPinging || this.#session.destroyed || this.#session.closed) return;
    const startMs = this.#clock.monotonicMs();
    this.#isPinging = this.#session.ping((error) => {
      this.#isPinging = false;
      if (error === null) this.#events.onRoundTrip(this.#clock.monotonicMs() - startMs);
    });
  }
}
