import { metadataLimits } from '../limits.js';
import type { NodeView, RefusedResult } from '../types.js';
import { acceptedNode, refused } from './apply-context.js';
import type { ApplyContext, CommandDefinition, Verdict } from './apply-context.js';
import type { RegisterNodeCommand } from './commands.js';
import {
  decodeDescription,
  descriptionRefusal,
  encodeDescription,
  featureLevelRefusal,
  newNode,
} from './node-description.js';

export const registerNode: CommandDefinition<RegisterNodeCommand> = {
  type: 2,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.clusterId, encodeDescription(command.node)],

  decode(header) {
    const clusterId = header.text();
    return { type: 'register-node', clusterId, node: header.item(decodeDescription) };
  },

  /**
   * Identity is node id and incarnation. Another incarnation under a known id is a second node of this id, or a wiped
   * disk; either way it has not what the id's votes and acknowledgements stand for, so it must not take its place.
   */
  apply(command, context) {
    const { draft } = context;
    const { cluster } = draft;
    const { node } = command;
    if (cluster?.clusterId !== command.clusterId) {
      return refused(
        'CLUSTER_MISMATCH',
        `Node ${node.id} belongs to cluster ${command.clusterId}; this is another one.`,
        {
          cluster_id: cluster?.clusterId ?? '',
        },
      );
    }
    const refusal = descriptionRefusal(node) ?? featureLevelRefusal(node, cluster);
    if (refusal !== undefined) return refusal;
    const known = draft.node(node.id);
    if (known === undefined) return join(command, [], context);
    if (known.retiredIncarnations.includes(node.incarnation)) return retired(known, node.incarnation);
    if (known.incarnation !== node.incarnation) {
      // Nothing is left of the removed one: this is a new node, which happens to have its number.
      if (known.state === 'removed') return join(command, [...known.retiredIncarnations, known.incarnation], context);
      return incarnationMismatch(known, node.incarnation);
    }
    if (known.state === 'removed') return retired(known, node.incarnation);
    draft.putNode({ ...known, ...node });
    return acceptedNode(known);
  },
};

function join({ node }: RegisterNodeCommand, retiredIncarnations: readonly string[], context: ApplyContext): Verdict {
  const nodes = context.draft.nodes();
  const present = nodes.filter((one) => one.state !== 'removed').length;
  if (present >= metadataLimits.nodesMax || nodes.length >= metadataLimits.nodeRecordsMax) {
    return refused('NODE_LIMIT_REACHED', `The cluster has ${present} nodes and cannot take another one.`, {
      nodes: present,
      nodes_max: metadataLimits.nodesMax,
    });
  }
  const joined = newNode(node, retiredIncarnations, context);
  context.draft.putNode(joined);
  return acceptedNode(joined);
}

export function incarnationMismatch(known: NodeView, incarnation: string): RefusedResult {
  return refused(
    'NODE_INCARNATION_MISMATCH',
    `Node ${known.id} is known with incarnation ${known.incarnation}, not ${incarnation}: either two nodes have this id, ` +
      `or its disk was wiped. Give the new node another id, or, when the old data is gone for good, replace node ${known.id}.`,
    { node: known.id, incarnation, registered_incarnation: known.incarnation },
  );
}

export function retired(known: NodeView, incarnation: string): RefusedResult {
  return refused(
    'NODE_REMOVED',
    `Node ${known.id} with incarnation ${incarnation} was removed or replaced: it can join again only with an empty data directory.`,
    { node: known.id, incarnation },
  );
}
