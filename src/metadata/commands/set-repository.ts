import { accepted, refused } from './apply-context.js';
import type { CommandDefinition } from './apply-context.js';
import type { SetRepositoryCommand } from './commands.js';
import { textRefusal } from './node-description.js';

export const setRepository: CommandDefinition<SetRepositoryCommand> = {
  type: 13,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.repositoryId, command.expectedRepositoryId],

  decode: (header) => ({
    type: 'set-repository',
    repositoryId: header.text(),
    expectedRepositoryId: header.text(),
  }),

  apply({ repositoryId, expectedRepositoryId }, { draft }) {
    const { cluster } = draft;
    if (cluster === undefined || cluster.repositoryId === repositoryId) return accepted;
    const refusal = textRefusal('repository_id', repositoryId);
    if (refusal !== undefined) return refusal;
    if (cluster.repositoryId !== expectedRepositoryId) {
      return refused(
        'REPOSITORY_MISMATCH',
        `The cluster uses the snapshot repository ${JSON.stringify(cluster.repositoryId)}, expected was ${JSON.stringify(expectedRepositoryId)}.`,
        { repository_id: cluster.repositoryId },
      );
    }
    draft.putCluster({ ...cluster, repositoryId });
    return accepted;
  },
};
