import { describe, expect, test } from 'vitest';
import { asLsn, asReplicaId } from '../../src/base/ids.js';
import { explainTrim } from '../../src/cli/trim-explanation.js';
import { explainHeld } from '../../src/cli/trim-reasons.js';
import type { PartitionInfo, ReplicaInfo } from '../../src/client/index.js';
import { nothingArchived } from '../../src/partition/archive-state.js';
import { decideTrim, proposeTrim } from '../../src/partition/trim.js';
import type { TrimFacts, TrimProposalFacts } from '../../src/partition/trim.js';

const archive = { archivedLsn: asLsn(100), manifest: 'm', trimPoint: asLsn(50) };
const facts: TrimFacts = {
  mode: 'archived',
  trimPoint: asLsn(10),
  persistedLsn: asLsn(100),
  archive,
  nodesKnown: 3,
  hasRepository: true,
  leaderHolds: '',
};
const proposal: TrimProposalFacts = {
  archive,
  archived: [{ lsn: asLsn(100), forMs: 1000 }],
  marginEntries: 0,
  delayMs: 0,
  unproven: [],
  bootstrapping: [],
};
const decided = (over: Partial<TrimFacts>): string => decideTrim({ ...facts, ...over }).heldBecause;
const proposed = (over: Partial<TrimProposalFacts>): string => proposeTrim({ ...proposal, ...over }).heldBecause;
const [one, two] = [asReplicaId(1), asReplicaId(2)];

describe('what a server says holds trimming is understood', () => {
  // From the code that says it, so that other words there are noticed here.
  test.each([
    ['NO_REPOSITORY', decided({ hasRepository: false })],
    ['NO_SNAPSHOT', decided({ archive: nothingArchived })],
    ['REPLICA_BEHIND', decided({ persistedLsn: asLsn(20) })],
    ['MODE_NONE', decided({ mode: 'none' })],
    ['SECOND_NODE', decided({ mode: 'persisted' })],
    ['MARGIN', proposed({ marginEntries: 1000 })],
    ['REPOSITORY_NOT_PROVED', proposed({ unproven: [one] })],
    ['REPOSITORY_NOT_PROVED', proposed({ unproven: [one, two] })],
    ['BOOTSTRAP', proposed({ bootstrapping: [{ replica: one, forMs: 5, holdMs: 60_000 }] })],
    ['DELAY', proposed({ delayMs: 5000 })],
    ['SNAPSHOT_UNDER_WAY', 'a snapshot is under way'],
    ['SNAPSHOT_FAILED', 'the last snapshot failed: no space; and more'],
    ['SNAPSHOT_NOT_READABLE', 'the newest snapshot cannot be read back: x of the snapshot repository: gone'],
    ['NOT_COMMITTED', 'the trim point cannot be committed: too many proposals are waiting'],
    ['REPOSITORY_PROBLEM', 'the snapshot repository was not reached yet'],
    ['REPOSITORY_PROBLEM', 'the snapshot repository is another one: it had the id a, and now has b'],
  ] as const)('%s: %s', (kind, text) => {
    expect(explainHeld(text)).toEqual([{ kind, reason: text, action: expect.stringMatching(/\w/) as string }]);
  });

  test('several reasons are told apart, a mark within one is not', () => {
    const behind = decided({
      persistedLsn: asLsn(20),
      leaderHolds: `the last snapshot failed: a; b; ${proposed({ unproven: [one] })}`,
    });
    expect(explainHeld(behind).map(({ kind, reason }) => [kind, reason.slice(-10)])).toEqual([
      ['REPLICA_BEHIND', 'm point 50'],
      ['SNAPSHOT_FAILED', 'iled: a; b'],
      ['REPOSITORY_NOT_PROVED', 'repository'],
    ]);
    expect(explainHeld('')).toEqual([]);
    expect(explainHeld('words of a later version')).toEqual([
      { kind: 'OTHER', reason: 'words of a later version', action: '' },
    ]);
  });
});

describe('where the log of a partition begins', () => {
  const replica = (nodeId: number, more: Partial<ReplicaInfo> = {}): ReplicaInfo =>
    ({
      replicaId: nodeId,
      nodeId,
      role: nodeId === 1 ? 'leader' : 'follower',
      term: 3,
      commitLsn: 120,
      persistedLsn: 110,
      trimPoint: 100,
      groupTrimPoint: 100,
      archivedLsn: 100,
      trimMode: 'archived',
      trimHeldBecause: '',
      fault: '',
      ...more,
    }) as ReplicaInfo;
  const explain = (...replicas: ReplicaInfo[]): ReturnType<typeof explainTrim> => {
    const partition: PartitionInfo = { id: 7, replicas, slotCount: 1, streamCount: 0 };
    return explainTrim(partition);
  };

  test('nothing holds it', () => {
    expect(explain(replica(1), replica(2), replica(3))).toEqual({
      partition: 7,
      leaderNode: 1,
      mode: 'archived',
      trimPoint: 100,
      archivedLsn: 100,
      commitLsn: 120,
      held: [],
      behind: [],
    });
  });

  test('single replicas keep more than the group needs, each for its own reason', () => {
    const { behind, held } = explain(
      replica(1, { trimPoint: 90, persistedLsn: 95, trimHeldBecause: decided({ persistedLsn: asLsn(20) }) }),
      replica(2, {
        trimPoint: 10,
        bootstrap: { fromReplica: 0, preparing: false, neededLsn: 100, progress: undefined, problem: '' },
      }),
      replica(3, { role: 'unreachable', trimPoint: 0 }),
    );
    expect(held).toEqual([]);
    expect(behind.map(({ node, why }) => `${node}: ${why}`)).toEqual([
      '1: it has persisted LSN 95 only, and drops the rest as its store flushes',
      '2: it is fetching a snapshot, and drops its old log with it',
      '3: it does not answer, and keeps its log until it is back',
    ]);
  });

  test('without a leader nobody trims; a node alone trims its own log', () => {
    expect(explain(replica(2)).held[0]?.reason).toMatch(/no leader/);
    expect(explain(replica(1, { trimMode: 'persisted', groupTrimPoint: 0 }))).toMatchObject({
      trimPoint: 100,
      held: [],
    });
  });
});
