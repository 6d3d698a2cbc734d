/** What members tell the metadata of replicas: proposed by the node that leads the metadata group, wherever it is told. */
import { z } from 'zod';
import { LogboomError } from '../../base/errors.js';
import { encodeCommand, expectApplied } from '../../metadata/index.js';
import type { NodeId } from '../../base/ids.js';
import type { Clock } from '../../base/ports/clock.js';
import type { AppliedResult, MetadataCommand } from '../../metadata/index.js';
import type { CallMethod } from '../../transport/index.js';
import type { MetadataReplica } from '../replicas.js';

export const reportMethod = 'report-replicas';

const requestBytesMax = 256 * 1024;

const reportSchema = z.object({
  type: z.enum(['replica-joined', 'replica-removed', 'replace-replica']),
  partitionId: z.int().min(0),
  replicaId: z.int().min(1),
});
export type ReplicaReport = z.infer<typeof reportSchema>;

export interface MetadataProposalsParts {
  readonly clock: Clock;
  readonly nodeId: NodeId;
  /** Undefined when this node has none, or it has stopped. */
  readonly replica: () => MetadataReplica | undefined;
  /** The cluster's, as far as known. */
  readonly featureLevel: () => number;
  /** The node that leads the metadata group, as far as known. */
  readonly leader: () => NodeId | undefined;
  readonly call: (nodeId: NodeId, request: Uint8Array) => Promise<unknown>;
}

export class MetadataProposals {
  readonly #parts: MetadataProposalsParts;

  constructor(parts: MetadataProposalsParts) {
    this.#parts = parts;
  }

  get isLeader(): boolean {
    return this.#parts.replica()?.isLeader === true;
  }

  /**
   * On the node that leads the metadata group.
   *
   * @throws LogboomError NOT_LEADER, FEATURE_LEVEL_UNSUPPORTED; the reason of a refusal
   */
  async propose(command: MetadataCommand): Promise<AppliedResult> {
    const { replica: own, clock, featureLevel } = this.#parts;
    const replica = own();
    if (replica?.isLeader !== true) throw notLeader();
    const entry = encodeCommand(command, { timeMs: clock.wallMs(), featureLevel: featureLevel() });
    return expectApplied((await replica.propose(entry)).result);
  }

  /** From any node. @throws LogboomError NOT_LEADER, NODE_UNREACHABLE; the reason of a refusal */
  async report(reports: readonly ReplicaReport[]): Promise<void> {
    if (this.isLeader) return this.#proposeAll(reports);
    const nodeId = this.#parts.leader();
    if (nodeId === undefined || nodeId === this.#parts.nodeId) throw notLeader();
    await this.#parts.call(nodeId, new TextEncoder().encode(JSON.stringify(reports)));
  }

  get handler(): CallMethod {
    return {
      kind: 'unary',
      access: 'members',
      requestBytesMax,
      handle: async (request) => {
        await this.#proposeAll(decode(request));
        return new Uint8Array(0);
      },
    };
  }

  /** Each is a fact by itself: one that comes too late must not keep the others out. */
  async #proposeAll(reports: readonly ReplicaReport[]): Promise<void> {
    const outcomes = await Promise.allSettled(reports.map((report) => this.propose(report)));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}

function decode(request: Uint8Array): ReplicaReport[] {
  try {
    return z.array(reportSchema).parse(JSON.parse(new TextDecoder().decode(request)));
  } catch (error) {
    throw new LogboomError('INVALID_ARGUMENT', 'the bytes are no report of replicas', { cause: error });
  }
}

export function notLeader(): LogboomError {
  return new LogboomError('NOT_LEADER', 'the node that leads the metadata group is not known here now', {
    retryAfterMs: 100,
    facts: { partition: 0 },
  });
}
