/** Every metric of the write-ahead log; docs/metrics.md is made from the names and help texts. */
import { latencyBoundsSeconds, type Counter, type Gauge, type Histogram, type Metrics } from '../base/ports/metrics.js';

export interface WalMetrics {
  readonly fsyncSeconds: Histogram;
  readonly writeSeconds: Histogram;
  readonly groupBytes: Histogram;
  readonly groups: Counter;
  readonly writtenBytes: Counter;
  readonly entries: Counter;
  readonly readBytes: Counter;
  readonly segments: Gauge;
  readonly bytes: Gauge;
  readonly pendingBytes: Gauge;
  readonly spaceLow: Gauge;
  readonly segmentsMade: Counter;
  readonly stalls: Counter;
  readonly stallSeconds: Histogram;
}

const groupBoundsBytes = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

export function walMetrics(metrics: Metrics): WalMetrics {
  return {
    fsyncSeconds: metrics.histogram(
      'logboom_wal_fsync_seconds',
      'Duration of the fdatasync of a commit group.',
      latencyBoundsSeconds,
    ),
    writeSeconds: metrics.histogram(
      'logboom_wal_write_seconds',
      'Duration of writing a commit group, a large one past the page cache.',
      latencyBoundsSeconds,
    ),
    groupBytes: metrics.histogram('logboom_wal_group_bytes', 'Size of a commit group.', groupBoundsBytes),
    groups: metrics.counter('logboom_wal_groups_total', 'Commit groups written and synced.'),
    writtenBytes: metrics.counter('logboom_wal_written_bytes_total', 'Bytes of commit groups written and synced.'),
    entries: metrics.counter('logboom_wal_entries_total', 'Log entries written and synced.'),
    readBytes: metrics.counter('logboom_wal_read_bytes_total', 'Bytes read from segments for entries not in memory.'),
    segments: metrics.gauge('logboom_wal_segments', 'Segments that hold frames.'),
    bytes: metrics.gauge('logboom_wal_bytes', 'Bytes of the segments that hold frames.'),
    pendingBytes: metrics.gauge('logboom_wal_pending_bytes', 'Bytes handed over and not yet durable.'),
    spaceLow: metrics.gauge('logboom_wal_space_low', '1 while no further segment can be made for lack of disk space.'),
    segmentsMade: metrics.counter('logboom_wal_segments_made_total', 'Segments made ready; the label tells from what.'),
    stalls: metrics.counter('logboom_wal_stalls_total', 'Times a commit group had to wait for the next segment.'),
    stallSeconds: metrics.histogram(
      'logboom_wal_stall_seconds',
      'How long commit groups waited for the next segment.',
      latencyBoundsSeconds,
    ),
  };
}
