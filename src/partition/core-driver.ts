/** Drives the consensus core of one replica: tells it of events, and carries out what it says (src/raft/types.ts). */
import { assert } from '../base/assert.js';
import type { Lsn } from '../base/ids.js';
import type { RaftCore } from '../raft/index.js';
import type { ConfirmedRead, Leadership, LogStart, Message, RaftOutput } from '../raft/types.js';
import type { PartitionLog } from '../wal/types.js';
import { MessagesAfterDurable } from './messages-after-durable.js';
import type { ReplicaObserver } from './observer.js';
import type { Watermarks } from './watermarks.js';

export interface CoreDriverParts {
  readonly core: RaftCore;
  readonly log: PartitionLog;
  readonly watermarks: Watermarks;
  readonly observer: ReplicaObserver | undefined;
  /** To other replicas of the group; may drop. */
  readonly send: (messages: readonly Message[]) => void;
  /** State and log are being replaced: whatever the core wants done waits, and then goes behind the snapshot. */
  readonly isInstalling: () => boolean;
  readonly isStopped: () => boolean;
  readonly onAppliable: (lsn: Lsn) => void;
  readonly onReadConfirmed: (read: ConfirmedRead) => void;
  readonly onReadDropped: (context: number) => void;
  readonly onSnapshotNeeded: (start: LogStart) => void;
  readonly onLeadership: (leadership: Leadership) => void;
  /** Calls back once, in this turn of the event loop, after those that were given before. */
  readonly atEndOfTurn: (work: () => void) => void;
  /** The replica cannot go on. */
  readonly onFault: (error: unknown) => void;
}

/**
 * Outputs are taken at the end of the turn of the event loop in which they became due, so that proposals and messages which
 * arrive together leave together. Once the replica has stopped, the core is told nothing more, and nothing of it is carried
 * out.
 */
export class CoreDriver {
  readonly #parts: CoreDriverParts;
  readonly #afterDurable: MessagesAfterDurable;
  readonly #pumpDue = (): void => {
    this.#pumpScheduled = false;
    this.report(this.#pumpNow);
  };
  readonly #pumpNow = (): void => this.#pump();
  #pumpScheduled = false;

  constructor(parts: CoreDriverParts) {
    this.#parts = parts;
    this.#afterDurable = new MessagesAfterDurable(parts.send);
  }

  /** Tells the core of an event, or carries out what it said. The caller (WAL, network, clock, store) is not to blame for what fails. */
  report(event: () => void): void {
    const { core, isStopped, onFault } = this.#parts;
    if (isStopped()) return;
    try {
      event();
      if (core.hasOutput) this.schedulePump();
    } catch (error) {
      onFault(error);
    }
  }

  /** Asks the core for something, on behalf of a caller. Undefined when the replica has stopped, before or by this. */
  request<Answer>(call: () => Answer): { readonly value: Answer } | undefined {
    let answer: { readonly value: Answer } | undefined;
    this.report(() => {
      answer = { value: call() };
    });
    assert(answer !== undefined || this.#parts.isStopped(), () => 'a core that serves did not answer');
    return this.#parts.isStopped() ? undefined : answer;
  }

  schedulePump(): void {
    if (this.#pumpScheduled || this.#parts.isInstalling()) return;
    this.#pumpScheduled = true;
    this.#parts.atEndOfTurn(this.#pumpDue);
  }

  /** Resolves when all that the log was given is durable, or the replica has stopped. To be called while installing. */
  settled(): Promise<void> {
    return this.#afterDurable.settled();
  }

  /** The replica has stopped. */
  end(): void {
    this.#afterDurable.end();
  }

  #pump(): void {
    const { core, isInstalling } = this.#parts;
    if (isInstalling()) return;
    for (let output = core.takeOutput(); output !== undefined; output = core.takeOutput()) this.#carryOut(output);
  }

  /** In the order of the contract: the WAL first, then messages, then the rest, leadership last. */
  #carryOut(output: RaftOutput): void {
    const parts = this.#parts;
    parts.observer?.onOutput(output);
    const { persist } = output;
    if (persist !== undefined) {
      this.#afterDurable.handedOver(persist.token);
      parts.log.append(persist, () => this.#onWalDurable(persist.token));
      // Less when it replaced entries.
      parts.watermarks.durableMoved(parts.log.durableLsn);
    }
    if (output.messages.length > 0) parts.send(output.messages);
    this.#afterDurable.send(output);
    if (output.appliable !== undefined) {
      parts.watermarks.commitAdvanced(output.appliable);
      parts.onAppliable(output.appliable);
    }
    for (const read of output.confirmedReads) parts.onReadConfirmed(read);
    for (const context of output.droppedReads) parts.onReadDropped(context);
    if (output.snapshotToInstall !== undefined) parts.onSnapshotNeeded(output.snapshotToInstall);
    if (output.leadership !== undefined) parts.onLeadership(output.leadership);
  }

  #onWalDurable(token: number): void {
    this.report(() => {
      const { core, log, watermarks, observer } = this.#parts;
      observer?.onDurable(token, log.durableLsn);
      watermarks.durableMoved(log.durableLsn);
      this.#afterDurable.durable(token);
      core.onWalDurable(token);
    });
  }
}
