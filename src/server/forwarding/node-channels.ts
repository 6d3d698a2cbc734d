/** gRPC connections to other nodes of the cluster. */
import type { ChannelCredentials } from '@grpc/grpc-js';
import { Channels } from '../../client/channels.js';

const channelOptions = {
  // A page may be asked up to 64 MiB, and its last batch may stick out of it.
  'grpc.max_receive_message_length': 96 * 1024 * 1024,
  'grpc.max_send_message_length': -1,
  // A node that is gone without a word is noticed, also by a tail that waits for nothing.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Only we know what may be sent twice.
  'grpc.enable_retries': 0,
  // A node that comes back is to be used at once.
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 500,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  // A page fits, so that its bytes do not wait for window updates.
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
};

export const makeNodeChannels = (credentials: () => ChannelCredentials, monotonicMs: () => number): Channels =>
  new Channels(channelOptions, credentials, monotonicMs);
