/** What state stores report; one set of definitions a node, labelled by partition. */
import { type Counter, type Gauge, type Histogram, latencyBoundsSeconds, type Metrics } from '../base/ports/metrics.js';

export interface StateStoreMetrics {
  readonly writeSeconds: Histogram;
  readonly writtenBytes: Counter;
  readonly flushSeconds: Histogram;
  readonly flushes: Counter;
  readonly flushedBytes: Counter;
  readonly heldBytes: Gauge;
  readonly persistedLsn: Gauge;
  readonly corruptValues: Counter;
  readonly physicalDeletions: Counter;
  readonly failures: Counter;
}

export function stateStoreMetrics(metrics: Metrics): StateStoreMetrics {
  return {
    writeSeconds: metrics.histogram(
      'logboom_state_store_write_seconds',
      'Time of writing the effects of a group of entries.',
      latencyBoundsSeconds,
    ),
    writtenBytes: metrics.counter(
      'logboom_state_store_written_bytes_total',
      'Bytes written to the records and index databases, by database.',
    ),
    flushSeconds: metrics.histogram(
      'logboom_state_store_flush_seconds',
      'Time from the start of a flush to a new persisted LSN.',
      latencyBoundsSeconds,
    ),
    flushes: metrics.counter('logboom_state_store_flushes_total', 'Completed flushes.'),
    flushedBytes: metrics.counter(
      'logboom_state_store_flushed_bytes_total',
      'Bytes that completed flushes made durable.',
    ),
    heldBytes: metrics.gauge('logboom_state_store_held_bytes', 'Index bytes held in memory when the last flush ended.'),
    persistedLsn: metrics.gauge(
      'logboom_state_store_persisted_lsn',
      'Highest LSN whose effects survive power loss of this replica.',
    ),
    corruptValues: metrics.counter(
      'logboom_state_store_corrupt_values_total',
      'Values that failed their checksum when they were read, by database.',
    ),
    physicalDeletions: metrics.counter(
      'logboom_state_store_physical_deletions_total',
      'Records values deleted because nothing points to them any more.',
    ),
    failures: metrics.counter(
      'logboom_state_store_failures_total',
      'Store instances that ended with a failed write or flush.',
    ),
  };
}

export interface FlushSchedulerMetrics {
  readonly dirtyBytes: Gauge;
  readonly started: Counter;
  readonly roomWaitSeconds: Histogram;
}

export function flushSchedulerMetrics(metrics: Metrics): FlushSchedulerMetrics {
  return {
    dirtyBytes: metrics.gauge('logboom_state_store_dirty_bytes', 'Unflushed bytes of all state stores of the node.'),
    started: metrics.counter(
      'logboom_state_store_flushes_started_total',
      'Flushes that the scheduler started, by reason.',
    ),
    roomWaitSeconds: metrics.histogram(
      'logboom_state_store_room_wait_seconds',
      'Time that applies waited because too many bytes of the node were unflushed.',
      latencyBoundsSeconds,
    ),
  };
}
