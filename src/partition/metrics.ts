/** What a partition reports. */
import type { PartitionId } from '../base/ids.js';
import type { StorageFault } from '../raft/types.js';
import { latencyBoundsSeconds, type Metrics } from '../base/ports/metrics.js';
import type { Leadership } from '../raft/types.js';
import { isHeldUp } from './trim.js';
import type { ReplicaStatus } from './types.js';
import type { WatermarkValues } from './watermarks.js';

/** What changes with none of the watermarks, such as why trimming is held, is reported once in so many samples at the least. */
const fullSampleEvery = 10;

export interface PartitionMetrics {
  groupApplied(entries: number, durationMs: number): void;
  storeReopened(): void;
  proposalApplied(durationMs: number): void;
  leadershipGivenUp(reason: StorageFault): void;
  /** Reports what has changed since the last time, and everything now and then. */
  sample(status: () => ReplicaStatus, watermarks: WatermarkValues, leadership: Leadership): void;
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
  const lsnLabels = {
    durable: { ...labels, kind: 'durable' },
    commit: { ...labels, kind: 'commit' },
    applied: { ...labels, kind: 'applied' },
    persisted: { ...labels, kind: 'persisted' },
    trimPoint: { ...labels, kind: 'trim_point' },
    archived: { ...labels, kind: 'archived' },
  };
  const leader = metrics.gauge('logboom_partition_leader', '1 when the replica on this node leads.');
  const givenUp = metrics.counter(
    'logboom_partition_leadership_given_up_total',
    "Times the replica gave up leadership because its node's disk hung or was full, by reason.",
  );
  const trimHeld = metrics.gauge(
    'logboom_partition_trim_held',
    '1 when something but the safe point and trim.delayMs holds trimming back.',
  );
  const report = (status: ReplicaStatus): void => {
    lsn.set(status.durableLsn, lsnLabels.durable);
    lsn.set(status.commitLsn, lsnLabels.commit);
    lsn.set(status.appliedLsn, lsnLabels.applied);
    lsn.set(status.persistedLsn, lsnLabels.persisted);
    lsn.set(status.trimPoint, lsnLabels.trimPoint);
    if (status.archivedLsn !== undefined) lsn.set(status.archivedLsn, lsnLabels.archived);
    leader.set(status.role === 'leader' ? 1 : 0, labels);
    trimHeld.set(isHeldUp(status.trimHeldBecause) ? 1 : 0, labels);
  };
  let reported: readonly unknown[] = [];
  let samplesLeft = 0;
  return {
    groupApplied: (entries, durationMs) => {
      entriesApplied.add(entries, labels);
      applySeconds.observe(durationMs / 1000);
    },
    storeReopened: () => reopened.add(1, labels),
    proposalApplied: (durationMs) => proposalSeconds.observe(durationMs / 1000),
    leadershipGivenUp: (reason) => givenUp.add(1, { ...labels, reason }),
    sample: (status, { durable, commit, applied, persisted }, leadership) => {
      samplesLeft -= 1;
      const now = [durable, commit, applied, persisted, leadership];
      if (samplesLeft > 0 && now.every((value, index) => value === reported[index])) return;
      reported = now;
      samplesLeft = fullSampleEvery;
      report(status());
    },
  };
}

/** What a node reports of all its replicas together. */
export interface ManagerMetrics {
  quietReplicas(count: number): void;
  wokenBySilence(count: number): void;
}

export function managerMetrics(metrics: Metrics): ManagerMetrics {
  const quiet = metrics.gauge(
    'logboom_partition_quiet_replicas',
    'Replicas on this node whose groups have nothing to do: they send no heartbeats and watch no leader.',
  );
  const woken = metrics.counter(
    'logboom_partition_woken_by_silence_total',
    'Quiet replicas on this node that woke because another node gave no sign of life, or had stopped a leader.',
  );
  return { quietReplicas: (count) => quiet.set(count), wokenBySilence: (count) => woken.add(count) };
}
