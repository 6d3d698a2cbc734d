import { acceptedPartition, nodeNotFound, partitionNotFound } from './apply-context.js';
import type { CommandDefinition } from './apply-context.js';
import type { ReplaceReplicaCommand } from './commands.js';
import { countRefusal, findReplica, makeAnew, quorumRefusal, replicaNotFound } from './replica-edits.js';

export const replaceReplica: CommandDefinition<ReplaceReplicaCommand> = {
  type: 8,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.partitionId, command.replicaId],

  decode: (header) => ({ type: 'replace-replica', partitionId: header.integer(), replicaId: header.integer() }),

  /** The replica id is the natural key: a repeat finds it lost, or gone. */
  apply(command, { draft }) {
    const partition = draft.partition(command.partitionId);
    if (partition === undefined) return partitionNotFound(command.partitionId);
    const replica = findReplica(partition, command.replicaId);
    if (replica === 'never') return replicaNotFound(partition, command.replicaId);
    if (replica === 'gone' || replica.state === 'lost') return acceptedPartition(partition);
    if (draft.node(replica.nodeId) === undefined) return nodeNotFound(replica.nodeId);
    const refusal = quorumRefusal(partition, (one) => one === replica) ?? countRefusal(partition, 1);
    if (refusal !== undefined) return refusal;
    draft.putPartition(makeAnew(partition, replica));
    return acceptedPartition(partition);
  },
};
