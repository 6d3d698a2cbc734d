import { acceptedPartition, partitionNotFound } from './apply-context.js';
import type { CommandDefinition } from './apply-context.js';
import type { ReplicaJoinedCommand } from './commands.js';
import { findReplica, replicaNotFound, withState } from './replica-edits.js';

export const replicaJoined: CommandDefinition<ReplicaJoinedCommand> = {
  type: 9,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.partitionId, command.replicaId],

  decode: (header) => ({ type: 'replica-joined', partitionId: header.integer(), replicaId: header.integer() }),

  /** A report that comes late, when the replica is to go again or has gone, changes nothing. */
  apply(command, { draft }) {
    const partition = draft.partition(command.partitionId);
    if (partition === undefined) return partitionNotFound(command.partitionId);
    const replica = findReplica(partition, command.replicaId);
    if (replica === 'never') return replicaNotFound(partition, command.replicaId);
    if (replica !== 'gone' && replica.state === 'joining') {
      draft.putPartition(withState(partition, replica, 'settled'));
    }
    return acceptedPartition(partition);
  },
};
