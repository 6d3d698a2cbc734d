/** When the cluster's feature level rises: as soon as every node supports more, up to what operators allow. */
import { clusterSettings } from '../settings.js';
import type { ClusterState } from '../types.js';

/**
 * The level to propose; undefined when the present one is to stay. Nodes that are down count with what they said last: one
 * that comes back with an older build is refused, and told why.
 */
export function nextFeatureLevel({ nodes, settings, featureLevel: present }: ClusterState): number | undefined {
  const members = [...nodes.values()].filter(({ state }) => state !== 'removed');
  const supported = members.map(({ featureLevel }) => featureLevel);
  const level = Math.min(...supported, clusterSettings(settings).featureLevelMax);
  return members.length > 0 && level > present ? level : undefined;
}
