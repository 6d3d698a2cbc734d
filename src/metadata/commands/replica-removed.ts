import { acceptedPartition, partitionNotFound, refused } from './apply-context.js';
import type { CommandDefinition } from './apply-context.js';
import type { ReplicaRemovedCommand } from './commands.js';
import { findReplica, isDesired, replicaNotFound } from './replica-edits.js';

export const replicaRemoved: CommandDefinition<ReplicaRemovedCommand> = {
  type: 10,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.partitionId, command.replicaId],

  decode: (header) => ({ type: 'replica-removed', partitionId: header.integer(), replicaId: header.integer() }),

  apply(command, { draft }) {
    const partition = draft.partition(command.partitionId);
    if (partition === undefined) return partitionNotFound(command.partitionId);
    const replica = findReplica(partition, command.replicaId);
    if (replica === 'never') return replicaNotFound(partition, command.replicaId);
    if (replica === 'gone') return acceptedPartition(partition);
    if (isDesired(replica)) {
      return refused(
        'PLACEMENT_INVALID',
        `Replica ${replica.replicaId} of partition ${partition.id} is to stay: it cannot have been removed.`,
        { partition: partition.id, replica: replica.replicaId },
      );
    }
    draft.putPartition({ ...partition, replicas: partition.replicas.filter((one) => one !== replica) });
    return acceptedPartition(partition);
  },
};
