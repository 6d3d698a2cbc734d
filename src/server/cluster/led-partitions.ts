import { isLogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import type { PartitionId, ReplicaId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { LeadingReplica } from '../forwarding/leaders.js';
import type { NodeReplica } from '../replicas.js';

const tryAgainMs = 20;

/**
 * The replicas of a node as leaders that may be asked.
 *
 * A replica that was elected has every acknowledged entry in its log, but may not have applied them yet: asked too early, it
 * would not know a stream that was made a moment ago, and say so for good. So it serves once a linearizable read of its own
 * term has come back, which is after the first entry of the term, and with it all before, is applied here.
 */
export class LedPartitions {
  readonly #clock: Clock;
  readonly #leads = new Map<PartitionId, Lead>();
  readonly #onChange: () => void;

  /** @param onChange what this node leads may have changed */
  constructor(clock: Clock, onChange: () => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  add(replica: NodeReplica): void {
    if (this.#leads.has(replica.partitionId)) return;
    const lead = new Lead(replica, this.#clock);
    this.#leads.set(replica.partitionId, lead);
    lead.watchLeadership(this.#onChange);
  }

  /** The replica is removed. */
  remove(partitionId: PartitionId): void {
    this.#leads.get(partitionId)?.stop();
    this.#leads.delete(partitionId);
  }

  /** What this node leads, and may be asked about. */
  get all(): readonly { readonly partitionId: PartitionId; readonly term: number }[] {
    return [...this.#leads]
      .filter(([, lead]) => lead.isLeader)
      .map(([partitionId, lead]) => ({ partitionId, term: lead.replicaTerm }));
  }

  get(partitionId: PartitionId): LeadingReplica | undefined {
    return this.#leads.get(partitionId);
  }

  /** Resolves when this node leads all of them, or the time is over. */
  async awaitAll(timeoutMs: number): Promise<void> {
    const timeout = new AbortController();
    const all = Promise.all([...this.#leads.values()].map((lead) => lead.awaitLeader()));
    await Promise.race([all, sleep(this.#clock, timeoutMs, timeout.signal)]);
    timeout.abort();
  }

  stop(): void {
    for (const lead of this.#leads.values()) lead.stop();
  }
}

class Lead implements LeadingReplica {
  readonly #replica: NodeReplica;
  readonly #clock: Clock;
  readonly #watchers = new Set<() => void>();
  readonly #unwatch: () => void;
  /** Of the leadership that is being confirmed or is confirmed. */
  #term: AbortController | undefined;
  #isConfirmed = false;

  constructor(replica: NodeReplica, clock: Clock) {
    this.#replica = replica;
    this.#clock = clock;
    this.#unwatch = replica.watchLeadership(() => this.#onChange());
    this.#onChange();
  }

  get isLeader(): boolean {
    return this.#isConfirmed && this.#replica.isLeader && !this.#replica.isHandingOver;
  }

  get isBecomingLeader(): boolean {
    return !this.#isConfirmed && this.#replica.isLeader && !this.#replica.isHandingOver;
  }

  get leader(): ReplicaId {
    return this.#replica.leader;
  }

  get replicaTerm(): number {
    return this.#replica.term;
  }

  watchLeadership(onChange: () => void): () => void {
    // A wrapper of its own, so that one callback may watch twice.
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  awaitLeader(): Promise<void> {
    if (this.isLeader) return Promise.resolve();
    return new Promise((resolve) => {
      const unwatch = this.watchLeadership(() => {
        if (!this.isLeader) return;
        unwatch();
        resolve();
      });
    });
  }

  stop(): void {
    this.#unwatch();
    this.#term?.abort();
  }

  /** Also when only the term has changed: leaderships of two terms have another's in between, whose entries may be new here. */
  #onChange(): void {
    this.#isConfirmed = false;
    this.#term?.abort();
    if (this.#replica.isLeader) {
      this.#term = new AbortController();
      void this.#confirm(this.#term.signal);
    }
    this.#tell();
  }

  async #confirm(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#replica.isLeader) {
      try {
        await this.#replica.awaitLinearizable(signal);
        if (signal.aborted) return;
        this.#isConfirmed = true;
        return this.#tell();
      } catch (error) {
        // Of another kind: the replica has stopped, and its health says why.
        if (!isLogboomError(error)) return;
        await sleep(this.#clock, tryAgainMs, signal);
      }
    }
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
