/** What a command is applied to, and the answers that it can get. */
import type { ErrorFacts, Reason } from '../../base/errors.js';
import type { HeaderReader } from '../../base/header-reader.js';
import type { Lsn, NodeId, PartitionId } from '../../base/ids.js';
import type { Draft } from '../cluster-table.js';
import type { MetadataMutant } from '../mutants.js';
import type { HeaderField } from './header.js';
import type { NodeView, PartitionView, RefusedResult } from '../types.js';

export interface ApplyContext {
  readonly lsn: Lsn;
  /** Entry time: the leader's stamp, but never before that of an entry that changed something. */
  readonly timeMs: number;
  readonly draft: Draft;
  /** A deliberate bug, see mutants.ts. */
  readonly mutant: MetadataMutant | undefined;
}

export interface Accepted {
  readonly type: 'accepted';
  readonly nodeId?: NodeId;
  readonly partitionId?: PartitionId;
}
export type Verdict = Accepted | RefusedResult;

export const accepted: Accepted = { type: 'accepted' };
export const acceptedNode = (node: NodeView): Accepted => ({ type: 'accepted', nodeId: node.id });
export const acceptedPartition = (partition: PartitionView): Accepted => ({
  type: 'accepted',
  partitionId: partition.id,
});

export function refused(reason: Reason, message: string, facts: ErrorFacts = {}): RefusedResult {
  return { type: 'refused', reason, message, facts };
}

export function nodeNotFound(nodeId: number): RefusedResult {
  return refused('NODE_NOT_FOUND', `The cluster has no node ${nodeId}.`, { node: nodeId });
}

export function partitionNotFound(partitionId: number): RefusedResult {
  return refused('PARTITION_NOT_FOUND', `The cluster has no partition ${partitionId}.`, { partition: partitionId });
}

/** The refusal when what was read has changed since; undefined when it has not, or the command does not ask. */
export function versionRefusal(
  what: string,
  version: number,
  expectedVersion: number | undefined,
): RefusedResult | undefined {
  if (expectedVersion === undefined || expectedVersion === version) return undefined;
  return refused(
    'METADATA_VERSION_MISMATCH',
    `${what} is at version ${version}, expected was ${expectedVersion}: it was changed meanwhile.`,
    { version, expected_version: expectedVersion },
  );
}

/** One command: how it is written, read and applied. Everything about it is in one file. */
export interface CommandDefinition<Command> {
  /** In the envelope; never given to another command. */
  readonly type: number;
  readonly version: number;
  /** Not to be proposed while the cluster is below this level: nodes of an older build could not read it. */
  readonly sinceFeatureLevel: number;
  /** The fields of the header behind version and time. */
  encode(command: Command): readonly HeaderField[];
  /** @throws InvariantViolation */
  decode(header: HeaderReader): Command;
  apply(command: Command, context: ApplyContext): Verdict;
}
