/** What a partition reports. */
import type { PartitionId } from '../base/ids.js';
import type { StorageFault } from '../raft/types.js';
import { latencyBoundsSeconds, type Metrics } from '../base/ports/metrics.js';
import type { ReplicaStatus } from './types.js';

export interface PartitionMetrics {
  groupApplied(entries: number, durationMs: number): void;
  storeReopened(): void;
  proposalApplied(durationMs: number): void;
  leadershipGivenUp(reason: StorageFault): void;
  watermarks(status: ReplicaStatus): void;
}

export function partitionMetrics(metrics: Metrics, partitionId: PartitionId): PartitionMetrics {
  const labels = { partition: String(partitionId) };
  const entriesApplied = metrics.counter('logboom_partition_applied_entries_total', 'Entries applied.');
  const applySeconds = metrics.histogram(
    'logboom_partition_apply_seconds',
    'Time to apply one group of entries and write its effects.',
    latencyBoundsSeconds,
  );
  const proposalSeconds = metrics.histogram(
    'logboom_partition_proposal_seconds',
    'Time from a proposal to its applied result.',
    latencyBoundsSeconds,
  );
  const reopened = metrics.counter('logboom_partition_store_reopened_total', 'State stores reopened after a failure.');
  const lsn = metrics.gauge('logboom_partition_lsn', 'LSNs of the replica on this node, by kind.');
  const leader = metrics.gauge('logboom_partition_leader', '1 when the replica on this node leads.');
  const givenUp = metrics.counter(
    'logboom_partition_leadership_given_up_total',
    "Times the replica gave up leadership because its node's disk hung or was full, by reason.",
  );
  const trimHeld = metrics.gauge(
    'logboom_partition_trim_held',
    '1 when something but the safe point holds trimming back.',
  );
  return {
    groupApplied: (entries, durationMs) => {
      entriesApplied.add(entries, labels);
      applySeconds.observe(durationMs / 1000);
    },
    storeReopened: () => reopened.add(1, labels),
    proposalApplied: (durationMs) => proposalSeconds.observe(durationMs / 1000),
    leadershipGivenUp: (reason) => givenUp.add(1, { ...labels, reason }),
    watermarks: (status) => {
      lsn.set(status.durableLsn, { ...labels, kind: 'durable' });
      lsn.set(status.commitLsn, { ...labels, kind: 'commit' });
      lsn.set(status.appliedLsn, { ...labels, kind: 'applied' });
      lsn.set(status.persistedLsn, { ...labels, kind: 'persisted' });
      lsn.set(status.trimPoint, { ...labels, kind: 'trim_point' });
      if (status.archivedLsn !== undefined) lsn.set(status.archivedLsn, { ...labels, kind: 'archived' });
      leader.set(status.role === 'leader' ? 1 : 0, labels);
      trimHeld.set(status.trimHeldBecause === '' ? 0 : 1, labels);
    },
  };
}
