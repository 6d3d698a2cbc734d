import { afterEach, expect, test } from 'vitest';
import { asLsn, asNodeId, asPartitionId, asReplicaId, asTerm } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { Reconciler } from '../../src/server/cluster/reconciler.js';
import { ManualClock } from './support/manual-clock.js';
import type { PartitionView, ReplicaView } from '../../src/metadata/index.js';
import type { ConfChange, ConfState, RaftStatus } from '../../src/raft/types.js';
import type { NodeReplica } from '../../src/server/replicas.js';

const partitionId = asPartitionId(1);
const ids = [1, 2, 3].map(asReplicaId);

function confOf(voters: readonly number[]): ConfState {
  return {
    voters: voters.map(asReplicaId),
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
}

/** The part of a leading replica that the reconciler looks at; counts the looks that cost something. */
class Leading {
  readonly partitionId = partitionId;
  readonly isLeader = true;
  readonly highestReplicaId = asReplicaId(3);
  readonly changes: ConfChange[] = [];
  term = asTerm(1);
  confState = confOf([1, 2, 3]);
  looks = 0;

  get raftStatus(): Pick<RaftStatus, 'id' | 'term' | 'confState' | 'confChangePending' | 'lastLsn' | 'progress'> {
    this.looks += 1;
    const progress = ids.map((replica) => ({
      replica,
      state: 'replicate' as const,
      match: asLsn(5),
      next: asLsn(6),
      learner: false,
      paused: false,
      recentActive: true,
      pendingSnapshot: asLsn(0),
      inflightMessages: 0,
      inflightFull: false,
    }));
    const { term, confState } = this;
    return { id: asReplicaId(1), term, confState, confChangePending: false, lastLsn: asLsn(5), progress };
  }

  proposeConfChange(change: ConfChange): void {
    this.changes.push(change);
  }
}

function desiredOf(states: readonly ReplicaView['state'][]): PartitionView {
  const replicas = ids.map((replicaId, index): ReplicaView => {
    const state = states[index] ?? 'settled';
    return { replicaId, nodeId: asNodeId(index + 1), role: 'voter', state };
  });
  return { id: partitionId, replicas, initialVoters: ids, nextReplicaId: 4, lastRequestId: 0, version: 1 };
}

let stop: (() => Promise<void>) | undefined;
afterEach(() => stop?.());

function run(replica: Leading, desired: () => PartitionView): ManualClock {
  const clock = new ManualClock();
  const reconciler = new Reconciler({
    environment: { clock, logger: noLogger },
    electionTimeoutMs: 1000,
    replicas: () => [replica as unknown as NodeReplica],
    desired,
    report: () => Promise.resolve(),
  });
  reconciler.run();
  stop = () => reconciler.stop();
  return clock;
}

test('a group that is as it is to be is looked at once, until its table, its configuration or the term has changed', async () => {
  const replica = new Leading();
  let desired = desiredOf([]);
  const clock = run(replica, () => desired);
  for (let look = 0; look < 10; look += 1) await clock.advance(100);
  expect(replica.looks).toBe(1);
  replica.term = asTerm(3);
  await clock.advance(100);
  expect(replica.looks).toBe(2);
  replica.confState = confOf([1, 2, 3]);
  await clock.advance(100);
  expect(replica.looks).toBe(3);
  desired = desiredOf(['settled', 'settled', 'leaving']);
  await clock.advance(100);
  expect(replica.changes.map(({ steps }) => steps)).toEqual([[{ type: 'remove', replica: 3 }]]);
});

test('a group that something is to be done for is looked at every time', async () => {
  const replica = new Leading();
  const desired = desiredOf(['settled', 'settled', 'leaving']);
  const clock = run(replica, () => desired);
  for (let look = 0; look < 4; look += 1) await clock.advance(100);
  expect(replica.looks).toBe(5);
  expect(replica.changes).toHaveLength(5);
});

test('a group whose replica is still to be reported is looked at every time', async () => {
  const replica = new Leading();
  const desired = desiredOf(['settled', 'settled', 'joining']);
  const clock = run(replica, () => desired);
  for (let look = 0; look < 4; look += 1) await clock.advance(100);
  expect(replica.looks).toBe(5);
});
