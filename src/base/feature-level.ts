/**
 * Feature levels make rolling upgrades possible: a build may write a command, or use a format, only when the cluster's level
 * says that every node can read it. Level 1 is the first; it is also what holds where nothing is known of a cluster.
 */
import { LogboomError } from './errors.js';

export const firstFeatureLevel = 1;

/**
 * For who is about to write `what`, which builds know since the level `needed`.
 *
 * @throws LogboomError FEATURE_LEVEL_UNSUPPORTED
 */
export function requireFeatureLevel(what: string, needed: number, level: number): void {
  if (needed <= level) return;
  throw new LogboomError(
    'FEATURE_LEVEL_UNSUPPORTED',
    `${what} needs feature level ${needed}, and the cluster runs at ${level} until every node supports more: ` +
      '`logboom cluster status` shows which nodes do not',
    { facts: { needed, feature_level: level } },
  );
}
