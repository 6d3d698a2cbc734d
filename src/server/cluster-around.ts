/** What the services of a node use of the cluster around it: its members, and calls to them over gRPC. */
import { makeNodeChannels } from './forwarding/node-channels.js';
import { RemoteCalls } from './forwarding/remote-calls.js';
import { ClusterNodes } from './services/cluster-nodes.js';
import type { NodeId } from '../base/ids.js';
import type { Clock } from '../base/ports/clock.js';
import type { ClusterMember } from './cluster/cluster-member.js';
import type { NodeSecurity } from './security/node-security.js';
import type { ClusterAround } from './services/index.js';

export interface ClusterAroundParts {
  readonly nodeId: NodeId;
  readonly clock: Clock;
  readonly member: ClusterMember;
  readonly security: Pick<NodeSecurity, 'channelCredentials' | 'onGrpcRenewal'>;
}

/** Connections are made when they are needed; `close` ends them. */
export function openAround({ nodeId, clock, member, security }: ClusterAroundParts): {
  readonly around: ClusterAround;
  close(): void;
} {
  const channels = makeNodeChannels(
    () => security.channelCredentials(),
    () => clock.monotonicMs(),
  );
  security.onGrpcRenewal(() => channels.renew());
  const { leaders, membership } = member;
  const remote = new RemoteCalls({ nodeId, channels, leaders, clock });
  const nodes = new ClusterNodes({
    nodeId,
    remote,
    state: () => member.state,
    termOf: (partitionId) => member.termOf(partitionId),
  });
  return {
    around: { leaders, remote, nodes, membership, featureLevel: () => member.featureLevel },
    close: () => channels.close(),
  };
}
