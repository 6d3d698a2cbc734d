/** Brings every group that this node leads to what the metadata wants of it, and tells the metadata how far that is. */
import { isLogboomError } from '../../base/errors.js';
import { Rounds } from '../../base/rounds.js';
import { nextStep, placementReports } from '../../metadata/index.js';
import { actualConfiguration, groupFacts, MemberActivity } from './group-facts.js';
import type { PartitionId, Term } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { PartitionView, ReconcileStep } from '../../metadata/index.js';
import type { ConfState } from '../../raft/types.js';
import type { NodeReplica } from '../replicas.js';
import type { ReplicaReport } from './metadata-proposals.js';

const lookEveryMs = 100;
/** A report whose answer, or whose effect, is still on its way is not repeated sooner. */
const reportAgainMs = 1000;

export interface ReconcilerParts {
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
  readonly electionTimeoutMs: number;
  readonly replicas: () => readonly NodeReplica[];
  /** As the newest table has it. */
  readonly desired: (partitionId: PartitionId) => PartitionView | undefined;
  readonly report: (reports: readonly ReplicaReport[]) => Promise<void>;
}

/** What is remembered of a group for as long as this node leads it. */
interface LedGroup {
  readonly activity: MemberActivity;
  waitsFor: Extract<ReconcileStep, { type: 'wait' }> | undefined;
  transferUntilMs: number;
  settled: Settled | undefined;
}

/**
 * There was nothing to do for a group, and nothing to tell: nor is there for as long as these stay. To see that costs next to nothing;
 * a look costs a read of the store and lists, and a node with hundreds of groups would take thousands of looks a second.
 */
interface Settled {
  readonly term: Term;
  readonly desired: PartitionView;
  readonly confState: ConfState;
}

/** Every step is decided anew from what is applied, so another leader may take up the work at any point. */
export class Reconciler {
  readonly #parts: ReconcilerParts;
  readonly #rounds: Rounds;
  readonly #groups = new Map<PartitionId, LedGroup>();
  readonly #reportedMs = new Map<string, number>();

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#rounds = new Rounds(parts.environment.clock, lookEveryMs, () => this.#lookAtAll());
  }

  run(): void {
    this.#rounds.run();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  /** What holds up a group that this node leads, in a word; empty when nothing does. */
  waitReason(partitionId: PartitionId): string {
    const waitsFor = this.#groups.get(partitionId)?.waitsFor;
    if (waitsFor === undefined) return '';
    const { reason, replicaId } = waitsFor;
    return replicaId === undefined ? reason : `${reason}: replica ${replicaId}`;
  }

  #lookAtAll(): void {
    const { environment, replicas } = this.#parts;
    for (const replica of replicas()) {
      try {
        if (replica.isLeader) this.#look(replica);
        else this.#groups.delete(replica.partitionId);
      } catch (error) {
        // Another leader, a full queue, a store that is reopened, a replica that stops: the next look sees what has become of it.
        if (!isLogboomError(error)) throw error;
        environment.logger.debug('a group could not be changed', { partition: replica.partitionId, error });
      }
    }
  }

  #look(replica: NodeReplica): void {
    const { environment, desired: desiredOf, electionTimeoutMs } = this.#parts;
    const { partitionId, confState, term } = replica;
    const desired = desiredOf(partitionId);
    const known = this.#groups.get(partitionId);
    if (known?.settled !== undefined && isSame(known.settled, { term, desired, confState })) return;
    const { raftStatus } = replica;
    const nowMs = environment.clock.monotonicMs();
    const group = known ?? {
      activity: new MemberActivity(electionTimeoutMs),
      waitsFor: undefined,
      transferUntilMs: 0,
      settled: undefined,
    };
    this.#groups.set(partitionId, group);
    group.activity.observe(raftStatus, nowMs);
    if (desired === undefined) return;
    const actual = actualConfiguration(raftStatus, replica.highestReplicaId);
    const facts = groupFacts(raftStatus, group.activity.active(nowMs));
    const step = nextStep(desired, actual, facts);
    group.waitsFor = step.type === 'wait' ? step : undefined;
    this.#carryOut(replica, group, step, nowMs);
    const reports = placementReports(desired, actual, facts);
    this.#report(partitionId, reports, nowMs);
    group.settled = step.type === 'done' && reports.length === 0 ? { term, desired, confState } : undefined;
  }

  #carryOut(replica: NodeReplica, group: LedGroup, step: ReconcileStep, nowMs: number): void {
    const { environment, electionTimeoutMs } = this.#parts;
    const { partitionId } = replica;
    const context = new Uint8Array(0);
    switch (step.type) {
      case 'done':
      case 'wait':
        return;
      case 'change': {
        const steps = step.operations.map(({ type, replicaId }) => ({ type, replica: replicaId }));
        const what = steps.map(({ type, replica: id }) => `${type} ${id}`).join(', ');
        environment.logger.info('the group changes', { partition: partitionId, change: what });
        replica.proposeConfChange({ transition: 'auto', steps, context });
        return;
      }
      case 'leave-joint':
        replica.proposeConfChange({ transition: 'auto', steps: [], context });
        return;
      case 'transfer-leadership':
        // The core gives one up after an election timeout.
        if (nowMs < group.transferUntilMs) return;
        group.transferUntilMs = nowMs + 2 * electionTimeoutMs;
        environment.logger.info('leadership is handed over: this replica is to go', {
          partition: partitionId,
          to: step.to,
        });
        replica.handOver(step.to, { timeoutMs: 2 * electionTimeoutMs }).catch((error: unknown) => {
          if (!isLogboomError(error)) throw error;
          environment.logger.debug('leadership was not handed over', { partition: partitionId, error });
        });
        return;
    }
  }

  #report(partitionId: PartitionId, reports: ReturnType<typeof placementReports>, nowMs: number): void {
    const due = reports.flatMap(({ type, replicaId }): ReplicaReport[] => {
      const key = `${partitionId} ${type} ${replicaId}`;
      if (nowMs - (this.#reportedMs.get(key) ?? Number.NEGATIVE_INFINITY) < reportAgainMs) return [];
      this.#reportedMs.set(key, nowMs);
      return [{ type, partitionId, replicaId }];
    });
    for (const [key, atMs] of this.#reportedMs) if (nowMs - atMs > 60_000) this.#reportedMs.delete(key);
    if (due.length === 0) return;
    this.#parts.report(due).catch((error: unknown) => {
      this.#parts.environment.logger.debug('the metadata could not be told', { error });
    });
  }
}

/** The views and configurations that change are new objects. */
function isSame(settled: Settled, now: { readonly [Field in keyof Settled]: Settled[Field] | undefined }): boolean {
  return settled.term === now.term && settled.desired === now.desired && settled.confState === now.confState;
}
