import { acceptedNode, nodeNotFound, versionRefusal } from './apply-context.js';
import type { CommandDefinition } from './apply-context.js';
import type { UpdateNodeCommand } from './commands.js';
import { descriptionRefusal } from './node-description.js';

export const updateNode: CommandDefinition<UpdateNodeCommand> = {
  type: 3,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [
    command.nodeId,
    command.expectedVersion ?? null,
    command.name ?? null,
    command.zone ?? null,
    command.advertisedAddresses ?? null,
    command.linkAddress ?? null,
    command.repositoryId ?? null,
  ],

  decode: (header) => ({
    type: 'update-node',
    nodeId: header.integer(),
    expectedVersion: header.optionalInteger(),
    name: header.optionalText(),
    zone: header.optionalText(),
    advertisedAddresses: header.optionalTexts(),
    linkAddress: header.optionalText(),
    repositoryId: header.optionalText(),
  }),

  /** Lasts until the node starts again and describes itself. */
  apply(command, { draft }) {
    const node = draft.node(command.nodeId);
    if (node === undefined || node.state === 'removed') return nodeNotFound(command.nodeId);
    const updated = {
      ...node,
      name: command.name ?? node.name,
      zone: command.zone ?? node.zone,
      advertisedAddresses: command.advertisedAddresses ?? node.advertisedAddresses,
      linkAddress: command.linkAddress ?? node.linkAddress,
      repositoryId: command.repositoryId ?? node.repositoryId,
    };
    const refusal =
      versionRefusal(`Node ${node.id}`, node.version, command.expectedVersion) ?? descriptionRefusal(updated);
    if (refusal !== undefined) return refusal;
    draft.putNode(updated);
    return acceptedNode(node);
  },
};
