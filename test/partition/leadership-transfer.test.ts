/** Leadership handed over while appends are under way: none may end with an open outcome, whatever becomes of the successor. */
import { expect, test } from 'vitest';
import { isLogboomError } from '../../src/base/errors.js';
import { asPartitionId, asReplicaId } from '../../src/base/ids.js';
import { chooseSuccessor, unfitnessOf } from '../../src/partition/index.js';
import { behindEntriesMax } from '../../src/partition/successors.js';
import { TestGroup, type TestNode } from './support/nodes.js';
import type { RaftStatus } from '../../src/raft/types.js';
import type { WireMessage } from '../../src/raft/types.js';

const timeoutMs = 5000;

async function group(
  seed: number,
  body: (parts: { group: TestGroup; leader: TestNode; others: TestNode[] }) => Promise<void>,
): Promise<void> {
  const nodes = new TestGroup(seed, 3);
  await nodes.run(async () => {
    await nodes.startAll();
    const leader = await nodes.leader();
    await nodes.propose(leader, 'first');
    await nodes.until(() =>
      leader.replica.raftStatus.progress.every(({ match }) => match === leader.replica.raftStatus.lastLsn),
    );
    await body({ group: nodes, leader, others: nodes.nodes.filter((node) => node !== leader) });
  });
}

const idOf = (node: TestNode): ReturnType<typeof asReplicaId> => node.replica.status.replicaId;
const handOver = (from: TestNode, to: TestNode): Promise<void> => from.replica.handOver(idOf(to), { timeoutMs });

/** The reason of a refusal. */
const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'done',
    (error: unknown) => (isLogboomError(error) ? error.reason : String(error)),
  );

/** Appends without a pause wherever the leader is; counts what its answers were. */
function appendAll(
  nodes: TestGroup,
  until: () => boolean,
): { readonly reasons: Map<string, number>; done: Promise<void> } {
  const reasons = new Map<string, number>();
  const one = async (writer: number): Promise<void> => {
    for (let number = 0; !until(); number += 1) {
      const leader = nodes.nodes.find((node) => node.replica.isLeader && !node.replica.isHandingOver);
      const reason = leader === undefined ? 'no leader' : await reasonOf(nodes.propose(leader, `${writer}-${number}`));
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      if (reason !== 'done') await nodes.world.sleep(1);
    }
  };
  return { reasons, done: Promise.all(Array.from({ length: 20 }, (_, writer) => one(writer))).then(() => {}) };
}

test.each([1, 2, 3])('no append ends with an open outcome (seed %d)', (seed) =>
  group(seed, async ({ group: nodes }) => {
    let isOver = false;
    // So that entries are on their way, in every state, at any moment.
    for (const node of nodes.nodes) node.disk.slowness = 3 ** node.id;
    nodes.travel = (_message, from, to) => 1 + ((from * to) % 4) * 3;
    const appends = appendAll(nodes, () => isOver);
    for (let transfer = 0; transfer < 20; transfer += 1) {
      await nodes.world.sleep(40);
      const from = await nodes.leader();
      const to = nodes.nodes[(from.id + (transfer % 2)) % 3] as TestNode;
      const startedMs = nodes.world.nowMs;
      await handOver(from, to);
      expect(to.replica.isLeader).toBe(true);
      expect(nodes.world.nowMs - startedMs).toBeLessThan(500);
    }
    isOver = true;
    await appends.done;
    const { done, NOT_LEADER, 'no leader': none, ...open } = Object.fromEntries(appends.reasons);
    expect(open).toEqual({});
    expect(done).toBeGreaterThan(300);
    expect((NOT_LEADER ?? 0) + (none ?? 0)).toBeGreaterThan(0);
  }),
);

test('who leads already needs no transfer, and who does not lead cannot make one', () =>
  group(1, async ({ leader, others: [other] }) => {
    expect(await reasonOf(handOver(leader, leader))).toBe('done');
    expect(await reasonOf(handOver(other as TestNode, leader))).toBe('NOT_LEADER');
  }));

test('a replica that the group does not have', () =>
  group(1, async ({ leader, group: nodes }) => {
    expect(await reasonOf(leader.replica.handOver(asReplicaId(9), { timeoutMs }))).toBe('NODE_HAS_NO_REPLICA');
    await nodes.propose(leader, 'goes on');
  }));

test('a successor that is cut off: appends go on throughout', () =>
  group(2, async ({ group: nodes, leader, others: [silent] }) => {
    nodes.travel = (_message, from, to) => (from === silent?.id || to === silent?.id ? undefined : 1);
    await nodes.world.sleep(2000);
    const answer = reasonOf(handOver(leader, silent as TestNode));
    for (let number = 0; number < 50; number += 1) await nodes.propose(leader, `meanwhile ${number}`);
    expect(await answer).toBe('REPLICA_NOT_ANSWERING');
    expect(leader.replica.isHandingOver).toBe(false);
  }));

const withEntries = (message: WireMessage): boolean => message.type === 'append' && message.entries.length > 0;

test('a successor that lacks too much', () =>
  group(3, async ({ group: nodes, leader, others: [behind] }) => {
    nodes.travel = (message, _from, to) => (to === behind?.id && withEntries(message) ? undefined : 1);
    await Promise.all(
      Array.from({ length: behindEntriesMax + 10 }, (_, number) => nodes.propose(leader, `entry ${number}`)),
    );
    const answer = reasonOf(handOver(leader, behind as TestNode));
    for (let number = 0; number < 50; number += 1) await nodes.propose(leader, `meanwhile ${number}`);
    expect(await answer).toBe('REPLICA_BEHIND');
  }));

test('a successor that does not catch up in time: appends are taken again', () =>
  group(4, async ({ group: nodes, leader, others: [behind] }) => {
    nodes.travel = (message, _from, to) => (to === behind?.id && withEntries(message) ? undefined : 1);
    await nodes.propose(leader, 'not there');
    const answer = reasonOf(handOver(leader, behind as TestNode));
    await nodes.until(() => leader.replica.isHandingOver);
    const startedMs = nodes.world.nowMs;
    expect(await reasonOf(nodes.propose(leader, 'refused'))).toBe('NOT_LEADER');
    expect(await answer).toBe('TRANSFER_FAILED');
    expect(nodes.world.nowMs - startedMs).toBeLessThan(1500);
    await nodes.propose(leader, 'taken again');
  }));

test('a successor that never hears of it: the leader goes on after an election timeout', () =>
  group(5, async ({ group: nodes, leader, others: [deaf] }) => {
    nodes.travel = (message) => (message.type === 'timeout-now' ? undefined : 1);
    expect(await reasonOf(handOver(leader, deaf as TestNode))).toBe('TRANSFER_FAILED');
    expect(leader.replica.isLeader).toBe(true);
    await nodes.propose(leader, 'goes on');
  }));

test('a leader that is cut off while it hands over takes appends nowhere, and says so', () =>
  group(6, async ({ group: nodes, leader, others: [other] }) => {
    let isCut = false;
    nodes.travel = (message, from, to) => {
      if (message.type === 'timeout-now') isCut = true;
      return isCut && (from === leader.id || to === leader.id) ? undefined : 1;
    };
    expect(await reasonOf(handOver(leader, other as TestNode))).toMatch(/TRANSFER_FAILED|NOT_LEADER/);
    nodes.travel = () => 1;
    await nodes.propose(await nodes.leader(), 'goes on');
  }));

test('one at a time: the same again joins it, another one is refused', () =>
  group(7, async ({ leader, others: [one, other] }) => {
    const first = reasonOf(handOver(leader, one as TestNode));
    const same = reasonOf(handOver(leader, one as TestNode));
    expect(await reasonOf(handOver(leader, other as TestNode))).toBe('TRANSFER_IN_PROGRESS');
    expect([await first, await same]).toEqual(['done', 'done']);
  }));

test('a replica that stops during a transfer ends it', () =>
  group(8, async ({ group: nodes, leader, others: [behind] }) => {
    nodes.travel = (message, _from, to) => (to === behind?.id && withEntries(message) ? undefined : 1);
    await nodes.propose(leader, 'not there');
    const answer = reasonOf(handOver(leader, behind as TestNode));
    await nodes.until(() => leader.replica.isHandingOver);
    leader.replica.fail(new Error('planted'));
    expect(await answer).toBe('PARTITION_STOPPED');
  }));

test('who leads next: the voter that answers and lacks least, of equals one by the partition', () => {
  const progress = (replica: number, match: number, over = {}): object => ({
    replica,
    match,
    learner: false,
    recentActive: true,
    state: 'replicate',
    ...over,
  });
  const status = {
    id: 1,
    lastLsn: 9,
    progress: [
      progress(1, 9),
      progress(2, 5),
      progress(3, 8),
      progress(4, 9, { learner: true }),
      progress(5, 9, { recentActive: false }),
      progress(6, 9, { state: 'probe' }),
      progress(7, 8),
    ],
  } as unknown as RaftStatus;
  expect([2, 3].map((partition) => chooseSuccessor(status, asPartitionId(partition)))).toEqual([3, 7]);
  expect(chooseSuccessor(status, asPartitionId(2), new Set([3, 7].map(asReplicaId)))).toBe(2);
  expect([1, 2, 4, 5, 6, 9].map((replica) => unfitnessOf(status, asReplicaId(replica)))).toEqual([
    undefined,
    undefined,
    'learner',
    'silent',
    'behind',
    'no-member',
  ]);
  const far = { ...status, lastLsn: 6 + behindEntriesMax } as RaftStatus;
  expect(unfitnessOf(far, asReplicaId(2))).toBe('behind');
  expect(unfitnessOf(far, asReplicaId(3))).toBeUndefined();
});
