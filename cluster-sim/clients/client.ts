/** What all simulated clients share: finding the leader, trying again, and telling a refusal from an unknown outcome. */
import { isLogboomError, type Reason } from '../../src/base/errors.js';
import type { StreamBooks } from '../checkers/stream-books.js';
import { RandomStream } from '../engine/random.js';
import { RealityError } from '../engine/guards.js';
import type { Cluster } from '../nodes/cluster.js';
import type { StreamPlan } from '../plan.js';
import { Caller, OutcomeUnknown, type Serving } from './calls.js';
import type { History } from './history.js';

export interface ClientParts {
  readonly cluster: Cluster;
  readonly history: History;
  readonly books: StreamBooks;
  /** From 1. */
  readonly id: number;
  readonly kind: string;
  /** False when clients are to come to an end. */
  readonly isRunning: () => boolean;
}

/** The longest that a sleeping client does not notice that it is to end. */
const sliceMs = 5000;

/** Reasons after which nothing can have happened. Any other may come while an append is under way. */
const withoutEffect: ReadonlySet<Reason> = new Set<Reason>([
  'NOT_LEADER',
  'PARTITION_NOT_FOUND',
  'QUEUE_FULL',
  'DISK_FULL',
  'STREAM_NOT_FOUND',
  'STREAM_EPOCH_MISMATCH',
  'SEQ_MISMATCH',
  'RECORD_TRIMMED',
  'SEQ_BEYOND_END',
]);

/** Reasons that pass: any node may answer so while the cluster has faults. */
const passing: ReadonlySet<Reason> = new Set<Reason>([
  'NOT_LEADER',
  'LEADERSHIP_LOST',
  'QUEUE_FULL',
  'DISK_FULL',
  'PARTITION_STOPPED',
  'SHUTTING_DOWN',
  'STATE_STORE_FAILED',
  'WAL_FAILED',
  'STREAM_NOT_FOUND',
  'STREAM_EPOCH_MISMATCH',
  'SEQ_MISMATCH',
  'RECORD_TRIMMED',
]);

export abstract class Client {
  readonly id: number;
  protected readonly cluster: Cluster;
  protected readonly history: History;
  protected readonly books: StreamBooks;
  protected readonly random: RandomStream;
  protected readonly kind: string;
  readonly #caller: Caller;
  readonly #isRunning: () => boolean;
  /** By partition. */
  readonly #leaders = new Map<number, number>();

  constructor(parts: ClientParts) {
    this.id = parts.id;
    this.kind = parts.kind;
    this.cluster = parts.cluster;
    this.history = parts.history;
    this.books = parts.books;
    this.random = new RandomStream(parts.cluster.plan.seed, `client-${parts.kind}-${parts.id}`);
    this.#caller = new Caller(parts.cluster, this.random);
    this.#isRunning = parts.isRunning;
  }

  /** Works until the clients are to end. */
  async run(): Promise<void> {
    while (this.isRunning) {
      try {
        await this.#lull();
        await this.work();
      } catch (error) {
        if (!this.isExpected(error)) {
          const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
          this.cluster.verdict.broken('clients-are-answered-as-documented', `${this.kind} ${this.id}: ${what}`);
          return;
        }
        await this.pause(100);
      }
    }
  }

  async #lull(): Promise<void> {
    const { plan, world } = this.cluster;
    const { lullMs, lullEveryMs } = plan.clients;
    if (lullEveryMs === 0) return;
    const intoMs = world.nowMs % lullEveryMs;
    if (intoMs < lullMs) await this.sleep(lullMs - intoMs);
  }

  /** One piece of work; called again and again. */
  protected abstract work(): Promise<void>;

  protected get isRunning(): boolean {
    return this.#isRunning();
  }

  /** Whether a healthy client can meet this error while the cluster has faults. */
  protected isExpected(error: unknown): boolean {
    if (error instanceof RealityError) return false;
    if (error instanceof OutcomeUnknown) return true;
    if (isLogboomError(error, 'DATA_CORRUPT'))
      return this.cluster.nodes.some((node) => node.damaged || node.keptDown !== undefined);
    // A node of a cluster does not have every partition, and may not have it any more.
    if (isLogboomError(error, 'PARTITION_NOT_FOUND')) return this.cluster.plan.membership !== undefined;
    return isLogboomError(error) && passing.has(error.reason);
  }

  protected hadNoEffect(error: unknown): boolean {
    return isLogboomError(error) && withoutEffect.has(error.reason);
  }

  protected pause(meanMs: number): Promise<void> {
    return this.sleep(this.random.between(0.5, 1.5) * meanMs);
  }

  /** Ends early when clients are to come to an end. */
  protected async sleep(delayMs: number): Promise<void> {
    const { world } = this.cluster;
    for (let leftMs = delayMs; leftMs > 0 && this.isRunning; leftMs -= sliceMs)
      await world.sleep(Math.min(leftMs, sliceMs));
  }

  /** Calls the node that is believed to lead the stream's partition. */
  protected async callLeader<Answer>(stream: StreamPlan, work: (serving: Serving) => Promise<Answer>): Promise<Answer> {
    const nodeId = this.#leaders.get(stream.partition) ?? this.anyNode();
    try {
      const answer = await this.#caller.call(nodeId, work);
      this.#leaders.set(stream.partition, nodeId);
      return answer;
    } catch (error) {
      this.#learn(stream.partition, error);
      throw error;
    }
  }

  protected call<Answer>(nodeId: number, work: (serving: Serving) => Promise<Answer>): Promise<Answer> {
    return this.#caller.call(nodeId, work);
  }

  protected anyNode(): number {
    return this.random.integer(1, this.cluster.plan.nodes);
  }

  #learn(partition: number, error: unknown): void {
    const leader = isLogboomError(error, 'NOT_LEADER') ? Number(error.facts['leader'] ?? 0) : 0;
    const node = leader === 0 ? undefined : this.cluster.nodeOfReplica(partition, leader);
    if (node === undefined) this.#leaders.delete(partition);
    else this.#leaders.set(partition, node.id);
  }
}
