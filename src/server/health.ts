/** Whether the node lives, whether it serves, and why not. */
import { sleep } from '../base/ports/clock.js';
import type { Clock } from '../base/ports/clock.js';
import type { Lsn, PartitionId } from '../base/ids.js';

/** Longer than any apply, flush or compaction keeps a healthy partition from moving. */
const stalledAfterMs = 30_000;
const checkIntervalMs = 1000;

/** What is looked at of a replica. */
export interface ObservedReplica {
  readonly partitionId: PartitionId;
  readonly commitLsn: Lsn;
  readonly appliedLsn: Lsn;
  readonly hasLeader: boolean;
  /** Since its start it has not yet shown what was acknowledged before. */
  readonly catchesUp: boolean;
  readonly fault: string | undefined;
}

export interface HealthReport {
  readonly healthy: boolean;
  /** Empty when healthy; otherwise constant beginnings, details behind a colon. */
  readonly reasons: readonly string[];
}

/** Partitions that have committed entries and apply none of them. Pure: time comes with the observations. */
export class ApplyProgress {
  readonly #stalledAfterMs: number;
  readonly #lastProgress = new Map<PartitionId, { appliedLsn: Lsn; atMs: number }>();

  constructor(stalledMs = stalledAfterMs) {
    this.#stalledAfterMs = stalledMs;
  }

  observe(nowMs: number, replicas: Iterable<ObservedReplica>): string[] {
    const stalled: string[] = [];
    for (const { partitionId, appliedLsn, commitLsn, fault } of replicas) {
      const last = this.#lastProgress.get(partitionId);
      if (!last || last.appliedLsn !== appliedLsn || appliedLsn >= commitLsn || fault !== undefined) {
        this.#lastProgress.set(partitionId, { appliedLsn, atMs: nowMs });
      } else if (nowMs - last.atMs >= this.#stalledAfterMs) {
        const seconds = Math.floor((nowMs - last.atMs) / 1000);
        stalled.push(`partition ${partitionId} applies nothing: at LSN ${appliedLsn} of ${commitLsn} for ${seconds} s`);
      }
    }
    return stalled;
  }
}

export interface HealthParts {
  readonly clock: Clock;
  readonly replicas: () => Iterable<ObservedReplica>;
  /** Why appends are refused although the node serves; undefined when they are not. */
  readonly degraded: () => string | undefined;
  /** Called with every change of readiness. */
  readonly onChange: (ready: boolean) => void;
}

export type NodePhase = 'starting' | 'serving' | 'draining';

export class Health {
  readonly #parts: HealthParts;
  readonly #progress = new ApplyProgress();
  readonly #stopping = new AbortController();
  #phase: NodePhase = 'starting';
  #stalled: readonly string[] = [];
  #ready = false;
  #loop: Promise<void> | undefined;

  constructor(parts: HealthParts) {
    this.#parts = parts;
  }

  run(): void {
    this.#loop = this.#repeat();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  setPhase(phase: NodePhase): void {
    this.#phase = phase;
    this.check();
  }

  /** Answering at all proves that the event loop turns; what else must move is apply. A restart helps where this fails. */
  get liveness(): HealthReport {
    return { healthy: this.#stalled.length === 0, reasons: this.#stalled };
  }

  get readiness(): HealthReport {
    const reasons: string[] = this.#phase === 'serving' ? [] : [`the node is ${this.#phase}`];
    for (const { partitionId, hasLeader, catchesUp, fault } of this.#parts.replicas()) {
      if (fault !== undefined) reasons.push(`partition ${partitionId} has stopped: ${fault}`);
      else if (!hasLeader) reasons.push(`partition ${partitionId} has no leader`);
      else if (catchesUp) reasons.push(`partition ${partitionId} catches up`);
    }
    reasons.push(...this.#stalled);
    return { healthy: reasons.length === 0, reasons };
  }

  /** Reasons for which appends are refused while the node is ready: reads go on. */
  get degraded(): readonly string[] {
    const reason = this.#parts.degraded();
    return reason === undefined ? [] : [reason];
  }

  check(): void {
    this.#stalled = this.#progress.observe(this.#parts.clock.monotonicMs(), this.#parts.replicas());
    const ready = this.readiness.healthy;
    if (ready === this.#ready) return;
    this.#ready = ready;
    this.#parts.onChange(ready);
  }

  async #repeat(): Promise<void> {
    const { signal } = this.#stopping;
    for (;;) {
      await sleep(this.#parts.clock, checkIntervalMs, signal);
      if (signal.aborted) return;
      this.check();
    }
  }
}
