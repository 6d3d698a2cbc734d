/** Settings of the whole cluster, changed by command and in force on every node. */
import { metadataLimits } from './limits.js';
import type { SettingView } from './types.js';

export interface ClusterSettings {
  /** Voters that each partition is to have. */
  readonly replicationFactor: number;
  /** A node that was not heard of for so long counts as dead: its replicas are moved. */
  readonly deadNodeDelayMs: number;
  /** A node that was not heard of for so long gets nothing new and is not counted on. */
  readonly nodeSuspectAfterMs: number;
  /** Partitions of which a replica is moving, at the same time. */
  readonly movesMax: number;
  /** Nodes may differ by so many replicas before replicas are moved to even them out. */
  readonly balanceTolerance: number;
  /** A node gets leaderships back when it was heard of for so long without a gap. */
  readonly leaderReturnDelayMs: number;
  /** The cluster's feature level rises by itself up to here; below it, older builds can still take over again. */
  readonly featureLevelMax: number;
}

interface SettingRule {
  readonly name: string;
  readonly field: keyof ClusterSettings;
  readonly default: number;
  readonly min: number;
  readonly max: number;
  /** Below this feature level the name is unknown, so that nodes of an older build judge alike. */
  readonly sinceFeatureLevel: number;
}

/** Rules are part of the format: replicas of different builds must judge alike. A change needs a new feature level. */
export const settingRules: readonly SettingRule[] = [
  rule('replication-factor', 'replicationFactor', 3, 1, metadataLimits.replicationFactorMax),
  rule('dead-node-delay-ms', 'deadNodeDelayMs', 300_000, 1_000, 30 * 86_400_000),
  rule('node-suspect-after-ms', 'nodeSuspectAfterMs', 5_000, 100, 3_600_000),
  rule('moves-max', 'movesMax', 2, 0, 1_000),
  rule('balance-tolerance', 'balanceTolerance', 1, 1, 1_000),
  rule('leader-return-delay-ms', 'leaderReturnDelayMs', 10_000, 0, 3_600_000),
  rule('feature-level-max', 'featureLevelMax', 0xffff, 1, 0xffff),
];

function rule(name: string, field: keyof ClusterSettings, standard: number, min: number, max: number): SettingRule {
  return { name, field, default: standard, min, max, sinceFeatureLevel: 1 };
}

/** Why a value cannot be set; undefined when it can. */
export function settingProblem(name: string, value: string, featureLevel: number): string | undefined {
  const found = settingRules.find((one) => one.name === name && one.sinceFeatureLevel <= featureLevel);
  if (found === undefined) {
    const names = settingRules.filter((one) => one.sinceFeatureLevel <= featureLevel).map((one) => one.name);
    return `There is no cluster setting ${JSON.stringify(name)}; there are ${names.join(', ')}.`;
  }
  const number = /^(0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : Number.NaN;
  if (number >= found.min && number <= found.max) return undefined;
  return `${name} is ${JSON.stringify(value)}; it must be an integer from ${found.min} to ${found.max}.`;
}

/** What is in force: the defaults where nothing was set. */
export function clusterSettings(settings: ReadonlyMap<string, SettingView>): ClusterSettings {
  const values = settingRules.map(({ name, field, default: standard }) => {
    const set = settings.get(name);
    return [field, set === undefined ? standard : Number(set.value)];
  });
  return Object.fromEntries(values) as Record<keyof ClusterSettings, number>;
}
