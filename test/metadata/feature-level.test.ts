/** The cluster's feature level: when it rises, and what it lets be written. */
import { describe, expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { requireFeatureLevel } from '../../src/base/feature-level.js';
import { nextFeatureLevel } from '../../src/metadata/index.js';
import type { ClusterState } from '../../src/metadata/index.js';
import { Cluster, describeNode, initialize } from './support/cluster.js';

function supporting(...levels: readonly number[]): ClusterState {
  const cluster = new Cluster();
  cluster.accept(initialize(levels.map((featureLevel, at) => describeNode(at + 1, { featureLevel }))));
  return cluster.state;
}

describe('the level rises', () => {
  test.each([
    { what: 'not while a node supports no more', levels: [2, 1, 2], expected: undefined },
    { what: 'when every node supports more', levels: [2, 2, 2], expected: 2 },
    { what: 'to the highest that all support', levels: [4, 3, 5], expected: 3 },
    { what: 'not when all are as they were', levels: [1, 1, 1], expected: undefined },
  ])('$what', ({ levels, expected }) => {
    expect(nextFeatureLevel(supporting(...levels))).toBe(expected);
  });

  test('up to what operators allow', () => {
    const state = supporting(4, 4, 4);
    const held = (value: string): ClusterState => ({
      ...state,
      settings: new Map([['feature-level-max', { name: 'feature-level-max', value, version: 1 }]]),
    });
    expect(nextFeatureLevel(held('1'))).toBeUndefined();
    expect(nextFeatureLevel(held('2'))).toBe(2);
    expect(nextFeatureLevel({ ...held('2'), featureLevel: 3 })).toBeUndefined();
  });

  test('without those that were removed', () => {
    const state = supporting(2, 1, 2);
    const nodes = new Map(
      [...state.nodes].map(([id, node]) => [id, id === 2 ? { ...node, state: 'removed' as const } : node]),
    );
    expect(nextFeatureLevel({ ...state, nodes })).toBe(2);
  });
});

test('what not every node can read is not written, and the error names both levels', () => {
  requireFeatureLevel('append', 1, 1);
  requireFeatureLevel('append', 1, 2);
  const refused = (): void => requireFeatureLevel('rename-stream', 2, 1);
  expect(refused).toThrow('rename-stream needs feature level 2, and the cluster runs at 1');
  try {
    refused();
  } catch (error) {
    expect(isLogboomError(error, 'FEATURE_LEVEL_UNSUPPORTED') && error.facts).toEqual({ needed: 2, feature_level: 1 });
  }
});
