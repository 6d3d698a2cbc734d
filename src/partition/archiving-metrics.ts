/** What a partition reports of its snapshots. */
import type { PartitionId } from '../base/ids.js';
import type { Metrics } from '../base/ports/metrics.js';

export interface ArchivingMetrics {
  snapshotDone(seconds: number): void;
  snapshotFailed(): void;
  uploaded(uploadedBytes: number, reusedBytes: number): void;
  bootstrapDone(seconds: number): void;
  bootstrapFailed(): void;
}

const secondsBounds = [0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200];

export function archivingMetrics(metrics: Metrics, partitionId: PartitionId): ArchivingMetrics {
  const labels = { partition: String(partitionId) };
  const snapshots = metrics.counter('logboom_snapshots_total', 'Snapshots of this replica as leader, by outcome.');
  const seconds = metrics.histogram(
    'logboom_snapshot_seconds',
    'Time to take, store and confirm a snapshot.',
    secondsBounds,
  );
  const bytes = metrics.counter('logboom_snapshot_bytes_total', 'Stored bytes of snapshots, uploaded and reused.');
  const bootstraps = metrics.counter(
    'logboom_bootstraps_total',
    'Imports of a snapshot into this replica, by outcome.',
  );
  const bootstrapSeconds = metrics.histogram('logboom_bootstrap_seconds', 'Time to import a snapshot.', secondsBounds);
  return {
    snapshotDone: (took) => {
      snapshots.add(1, { ...labels, outcome: 'archived' });
      seconds.observe(took);
    },
    snapshotFailed: () => snapshots.add(1, { ...labels, outcome: 'failed' }),
    uploaded: (uploadedBytes, reusedBytes) => {
      bytes.add(uploadedBytes, { ...labels, kind: 'uploaded' });
      bytes.add(reusedBytes, { ...labels, kind: 'reused' });
    },
    bootstrapDone: (took) => {
      bootstraps.add(1, { ...labels, outcome: 'installed' });
      bootstrapSeconds.observe(took);
    },
    bootstrapFailed: () => bootstraps.add(1, { ...labels, outcome: 'failed' }),
  };
}
