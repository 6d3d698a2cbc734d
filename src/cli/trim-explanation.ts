/** Where the log of a partition begins, and who holds it there: from what its replicas say of themselves. */
import type { PartitionInfo, ReplicaInfo } from '../client/index.js';
import { leaderOf } from './cluster-diagnosis.js';
import { explainHeld } from './trim-reasons.js';
import type { HeldReason } from './trim-reasons.js';

export interface TrimExplanation {
  readonly partition: number;
  /** Undefined without a leader: nobody decides then. */
  readonly leaderNode: number | undefined;
  readonly mode: string;
  /** Of the group; the logs of single replicas may begin earlier. */
  readonly trimPoint: number;
  /** 0: none. */
  readonly archivedLsn: number;
  readonly commitLsn: number;
  readonly held: readonly HeldReason[];
  /** Replicas whose own log goes further back than it need. */
  readonly behind: readonly { readonly node: number; readonly trimPoint: number; readonly why: string }[];
}

export function explainTrim(partition: PartitionInfo): TrimExplanation {
  const leader = leaderOf(partition);
  const archived = leader?.trimMode === 'archived';
  const trimPoint = (archived ? leader?.groupTrimPoint : leader?.trimPoint) ?? 0;
  const behind = partition.replicas
    .filter((replica) => replica.role === 'unreachable' || (archived && replica.trimPoint < trimPoint))
    .map((replica) => ({
      node: replica.nodeId,
      trimPoint: replica.trimPoint,
      why: whyBehind(replica, trimPoint),
    }));
  return {
    partition: partition.id,
    leaderNode: leader?.nodeId,
    mode: leader?.trimMode ?? '',
    trimPoint,
    archivedLsn: leader?.archivedLsn ?? 0,
    commitLsn: leader?.commitLsn ?? 0,
    held: heldOf(leader),
    behind,
  };
}

function heldOf(leader: ReplicaInfo | undefined): HeldReason[] {
  if (leader === undefined) {
    const action = 'See `logboom cluster status` for what is missing.';
    return [{ kind: 'OTHER', reason: 'the partition has no leader now, and only a leader trims', action }];
  }
  // What only the replica itself waits for stands with the replicas.
  return explainHeld(leader.trimHeldBecause).filter(({ kind }) => kind !== 'REPLICA_BEHIND');
}

function whyBehind({ role, fault, bootstrap, persistedLsn }: ReplicaInfo, trimPoint: number): string {
  if (role === 'unreachable') return 'it does not answer, and keeps its log until it is back';
  if (fault !== '') return fault;
  if (bootstrap) return 'it is fetching a snapshot, and drops its old log with it';
  if (persistedLsn < trimPoint)
    return `it has persisted LSN ${persistedLsn} only, and drops the rest as its store flushes`;
  return 'it has not heard of the new trim point yet';
}
