/** Every metric of the links between nodes; docs/metrics.md is made from the names and help texts. */
import { latencyBoundsSeconds, type Counter, type Gauge, type Histogram, type Metrics } from '../base/ports/metrics.js';

export interface LinkMetrics {
  readonly sentMessages: Counter;
  readonly sentBytes: Counter;
  readonly sentFrames: Counter;
  readonly receivedMessages: Counter;
  readonly receivedBytes: Counter;
  readonly droppedMessages: Counter;
  readonly connected: Gauge;
  readonly queueBytes: Gauge;
  readonly ended: Counter;
  readonly refused: Counter;
  readonly roundTripSeconds: Histogram;
  readonly calls: Counter;
  readonly callSeconds: Histogram;
  readonly served: Counter;
}

export function linkMetrics(metrics: Metrics): LinkMetrics {
  return {
    sentMessages: metrics.counter('logboom_link_sent_messages_total', 'Raft messages sent, by peer.'),
    sentBytes: metrics.counter('logboom_link_sent_bytes_total', 'Bytes of frames of Raft messages sent, by peer.'),
    sentFrames: metrics.counter('logboom_link_sent_frames_total', 'Frames of Raft messages sent, by peer.'),
    receivedMessages: metrics.counter('logboom_link_received_messages_total', 'Raft messages received, by peer.'),
    receivedBytes: metrics.counter(
      'logboom_link_received_bytes_total',
      'Bytes of frames of Raft messages received, by peer.',
    ),
    droppedMessages: metrics.counter(
      'logboom_link_dropped_messages_total',
      'Raft messages dropped because the peer was away or its queue full, by peer.',
    ),
    connected: metrics.gauge('logboom_link_connected', '1 while this node can send to the peer.'),
    queueBytes: metrics.gauge('logboom_link_queue_bytes', 'Bytes of Raft messages that wait for the peer.'),
    ended: metrics.counter(
      'logboom_link_ended_total',
      'Connections, and attempts at one, that ended, by peer and reason.',
    ),
    refused: metrics.counter('logboom_link_refused_total', 'Streams of other nodes that were refused, by reason.'),
    roundTripSeconds: metrics.histogram(
      'logboom_link_round_trip_seconds',
      'Time from a ping to its answer.',
      latencyBoundsSeconds,
    ),
    calls: metrics.counter(
      'logboom_link_calls_total',
      'Calls to other nodes that ended, by method and reason (OK or an error reason).',
    ),
    callSeconds: metrics.histogram(
      'logboom_link_call_seconds',
      'Duration of calls with one answer that succeeded.',
      latencyBoundsSeconds,
    ),
    served: metrics.counter(
      'logboom_link_served_calls_total',
      'Calls of other nodes that were answered, by method and reason (OK or an error reason).',
    ),
  };
}
