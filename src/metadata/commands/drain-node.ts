import { clusterSettings } from '../settings.js';
import type { RefusedResult } from '../types.js';
import { acceptedNode, nodeNotFound, refused, versionRefusal } from './apply-context.js';
import type { ApplyContext, CommandDefinition } from './apply-context.js';
import type { DrainNodeCommand } from './commands.js';
import { activeNodes } from './node-description.js';

export const drainNode: CommandDefinition<DrainNodeCommand> = {
  type: 4,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.nodeId, command.drain, command.expectedVersion ?? null],

  decode: (header) => ({
    type: 'drain-node',
    nodeId: header.integer(),
    drain: header.boolean(),
    expectedVersion: header.optionalInteger(),
  }),

  apply(command, context) {
    const { draft, lsn, timeMs } = context;
    const node = draft.node(command.nodeId);
    if (node === undefined || node.state === 'removed') return nodeNotFound(command.nodeId);
    const state = command.drain ? 'draining' : 'active';
    if (node.state === state) return acceptedNode(node);
    const refusal =
      versionRefusal(`Node ${node.id}`, node.version, command.expectedVersion) ??
      (command.drain ? tooFewNodesRefusal(node.id, context) : undefined);
    if (refusal !== undefined) return refusal;
    draft.putNode({ ...node, state, stateLsn: lsn, stateSinceMs: timeMs });
    return acceptedNode(node);
  },
};

/** Without this node its replicas would have nowhere to go, and the drain would never end. */
export function tooFewNodesRefusal(nodeId: number, context: ApplyContext): RefusedResult | undefined {
  const { replicationFactor } = clusterSettings(context.draft.settings);
  const left = activeNodes(context, nodeId).length;
  if (left >= replicationFactor) return undefined;
  return refused(
    'REPLICATION_FACTOR_TOO_HIGH',
    `Without node ${nodeId} there are ${left} active nodes for replication factor ${replicationFactor}: ` +
      'add a node first, or lower the replication factor.',
    { node: nodeId, active_nodes: left, replication_factor: replicationFactor },
  );
}
