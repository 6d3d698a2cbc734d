import { accepted, refused } from './apply-context.js';
import type { CommandDefinition } from './apply-context.js';
import type { RaiseFeatureLevelCommand } from './commands.js';

export const raiseFeatureLevel: CommandDefinition<RaiseFeatureLevelCommand> = {
  type: 12,
  version: 1,
  sinceFeatureLevel: 1,

  encode: (command) => [command.level],

  decode: (header) => ({ type: 'raise-feature-level', level: header.integer() }),

  /** Never goes down: what was written at a level stays in the log and in the stores. */
  apply({ level }, { draft }) {
    const { cluster } = draft;
    if (cluster === undefined || level <= cluster.featureLevel) return accepted;
    const older = draft.nodes().filter((node) => node.state !== 'removed' && node.featureLevel < level);
    if (older.length === 0) {
      draft.putCluster({ ...cluster, featureLevel: level });
      return accepted;
    }
    const which = older.map(
      (node) => `node ${node.id} (version ${node.softwareVersion}) supports ${node.featureLevel}`,
    );
    return refused('FEATURE_LEVEL_UNSUPPORTED', `Feature level ${level} is not possible yet: ${which.join(', ')}.`, {
      level,
      nodes: older.map((node) => node.id).join(', '),
    });
  },
};
