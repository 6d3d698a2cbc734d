/** The first entry of the metadata: nodes, partitions and where their replicas are. */
import { isLogboomError } from '../../base/errors.js';
import { asPartitionId } from '../../base/ids.js';
import { sleep } from '../../base/ports/clock.js';
import { encodeCommand, expectApplied, initialPlacement, initialSlotPattern } from '../../metadata/index.js';
import { metadataPartition } from '../replicas.js';
import type { Environment } from '../../base/ports/environment.js';
import type { InitializeClusterCommand, NodeDescription } from '../../metadata/index.js';
import type { MetadataReplica } from '../replicas.js';
import type { FormationRecord } from './formation-record.js';
import type { FormationState } from './formation-verdict.js';

const tryAgainMs = 100;

export interface ClusterStartParts {
  readonly environment: Pick<Environment, 'clock' | 'logger'>;
  readonly record: FormationRecord;
  readonly replica: MetadataReplica;
  /** Whether a table is known, from whomever. */
  readonly isKnown: () => boolean;
  /** The members but this one. */
  readonly others: readonly NodeDescription[];
  /** Rejects when the node does not answer. */
  readonly ask: (node: NodeDescription) => Promise<FormationState>;
  readonly signal: AbortSignal;
}

/**
 * Resolves when the metadata is initialized, by whichever member leads its group.
 *
 * The leader waits until every member shows the record. Before that nothing can be acknowledged, for there is no
 * partition; so a member that forgets the record afterwards was wiped, and at least one other still has it and says so.
 * Repeating the command changes nothing, so it does not matter how often, and by how many leaders, it is proposed.
 */
export async function initializeMetadata(parts: ClusterStartParts): Promise<void> {
  const { environment, record, replica, isKnown, signal } = parts;
  const { clock, logger } = environment;
  const command = encodeCommand(initialCommand(record), { timeMs: clock.wallMs() });
  while (!signal.aborted) {
    try {
      if (isKnown()) return;
      if (replica.isLeader && (await allHaveRecord(parts))) expectApplied((await replica.propose(command)).result);
    } catch (error) {
      // Another leader, a full queue, a store that is reopened: what passes by itself.
      if (!isLogboomError(error) || !error.retryable) throw error;
      logger.debug('the metadata is not initialized yet', { error });
    }
    await sleep(clock, tryAgainMs, signal);
  }
}

async function allHaveRecord({ record, others, ask, environment }: ClusterStartParts): Promise<boolean> {
  const answers = await Promise.all(
    others.map((node) =>
      ask(node).then(
        (state) => state.record?.clusterId === record.clusterId,
        () => false,
      ),
    ),
  );
  const missing = others.filter((_, index) => answers[index] !== true).map(({ id }) => id);
  if (missing.length > 0) environment.logger.debug('members are still to join', { missing });
  return missing.length === 0;
}

/** The same for every member: nothing but the record goes into it. */
export function initialCommand(record: FormationRecord): InitializeClusterCommand {
  const { clusterId, partitionCount, replicationFactor, members } = record;
  const slotPattern = initialSlotPattern(partitionCount);
  const placement = initialPlacement(members, slotPattern, replicationFactor);
  const replicasOn = (nodes: readonly number[]): { replicaId: number; nodeId: number }[] =>
    nodes.map((nodeId, index) => ({ replicaId: index + 1, nodeId }));
  return {
    type: 'initialize-cluster',
    clusterId,
    featureLevel: Math.min(...members.map(({ featureLevel }) => featureLevel)),
    replicationFactor,
    slotPattern,
    nodes: members,
    partitions: [
      { id: metadataPartition, replicas: replicasOn(members.map(({ id }) => id)) },
      ...slotPattern.map((id) => ({ id, replicas: replicasOn(placement.get(asPartitionId(id)) ?? []) })),
    ],
  };
}
