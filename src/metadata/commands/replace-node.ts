import type { PartitionView, RefusedResult } from '../types.js';
import { acceptedNode, nodeNotFound, refused } from './apply-context.js';
import type { CommandDefinition } from './apply-context.js';
import type { ReplaceNodeCommand } from './commands.js';
import {
  decodeDescription,
  descriptionRefusal,
  encodeDescription,
  featureLevelRefusal,
  newNode,
} from './node-description.js';
import { incarnationMismatch, retired } from './register-node.js';
import { countRefusal, makeAnew, quorumRefusal } from './replica-edits.js';

export const replaceNode: CommandDefinition<ReplaceNodeCommand> = {
  type: 6,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.oldIncarnation, encodeDescription(command.node)],

  decode(header) {
    const oldIncarnation = header.text();
    return { type: 'replace-node', oldIncarnation, node: header.item(decodeDescription) };
  },

  /**
   * The operator says that the old data is gone for good. What the old replicas had acknowledged is not on the new disk, so
   * none of them may vote again: they are lost, and others, under new ids, begin as learners.
   */
  apply(command, context) {
    const { draft } = context;
    const { node } = command;
    const known = draft.node(node.id);
    if (known === undefined || draft.cluster === undefined) return nodeNotFound(node.id);
    const refusal = descriptionRefusal(node) ?? featureLevelRefusal(node, draft.cluster);
    if (refusal !== undefined) return refusal;
    if (known.state === 'removed') return removedRefusal(node.id);
    if (known.incarnation === node.incarnation) return acceptedNode(known);
    if (known.retiredIncarnations.includes(node.incarnation)) return retired(known, node.incarnation);
    if (known.incarnation !== command.oldIncarnation) return incarnationMismatch(known, command.oldIncarnation);
    const held = draft.partitions().filter(({ replicas }) => replicas.some((replica) => replica.nodeId === node.id));
    for (const partition of held) {
      const heldRefusal =
        quorumRefusal(partition, (replica) => replica.nodeId === node.id) ?? countRefusal(partition, 1);
      if (heldRefusal !== undefined) return heldRefusal;
    }
    for (const partition of held) draft.putPartition(withoutOld(partition, node.id));
    const replaced = newNode(node, [...known.retiredIncarnations, known.incarnation], context);
    draft.putNode(replaced);
    return acceptedNode(replaced);
  },
};

function withoutOld(partition: PartitionView, nodeId: number): PartitionView {
  return partition.replicas
    .filter((replica) => replica.nodeId === nodeId)
    .reduce((edited, replica) => makeAnew(edited, replica), partition);
}

function removedRefusal(nodeId: number): RefusedResult {
  return refused('NODE_REMOVED', `Node ${nodeId} was removed: let the new one join instead.`, { node: nodeId });
}
