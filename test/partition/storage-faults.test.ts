/** A replica whose own disk hangs or is full gives up leadership, where others can go on, and comes back when it is well. */
import { describe, expect, it } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { partitionId, singleNode, TestGroup, type NodeOptions, type TestNode } from './support/nodes.js';

/** Ten ticks of 50 ms. */
const electionMs = 500;

function hang(node: TestNode): void {
  node.disk.intercept = ({ kind, path }) =>
    kind === 'datasync' && path.includes('/wal/') ? { kind: 'delay', delayMs: 60_000 } : undefined;
}

/** Its syncs take so long from now on; those under way stay what they are. */
function slow(node: TestNode, delayMs: number): void {
  node.disk.intercept = ({ kind, path }) =>
    kind === 'datasync' && path.endsWith('.wal') ? { kind: 'delay', delayMs } : undefined;
}

/** No room for a segment, and soon none in the segment at hand. */
async function fill(group: TestGroup, node: TestNode): Promise<void> {
  node.disk.capacityBytes = node.disk.usedBytes;
  for (let at = 0; at < 200 && node.running.appendsRefused() === undefined; at += 1) {
    await group.propose(node, `fill${at}`.padEnd(2000, '.')).catch(() => {});
  }
  expect(node.running.appendsRefused()).toMatchObject({ reason: 'DISK_FULL' });
}

const othersOf = (group: TestGroup, node: TestNode): TestNode[] => group.nodes.filter((other) => other !== node);

const leaderAmong = (nodes: readonly TestNode[]): TestNode | undefined =>
  nodes.find(({ manager }) => manager?.replicaOf(partitionId).isLeader);

async function withGroup(
  seed: number,
  nodes: number,
  body: (group: TestGroup, leader: TestNode) => Promise<void>,
  options: NodeOptions = {},
): Promise<void> {
  const group = new TestGroup(seed, nodes, options);
  await group.run(async () => {
    await group.startAll();
    const leader = await group.leader();
    await group.propose(leader, 'first');
    await body(group, leader);
  });
}

/** Waits for one of the others to lead and to acknowledge an append, and answers it. */
async function served(group: TestGroup, others: readonly TestNode[], limitMs: number): Promise<TestNode> {
  const startedMs = group.world.nowMs;
  const successor = await group.until(() => leaderAmong(others), limitMs);
  await group.propose(successor, 'by the successor');
  expect(group.world.nowMs - startedMs).toBeLessThan(limitMs);
  return successor;
}

describe('a leader whose disk hangs', () => {
  it.each([1, 2, 3, 4])('hands over to one that can append, and follows it (seed %i)', (seed) =>
    withGroup(seed, 3, async (group, leader) => {
      hang(leader);
      const under = group.propose(leader, 'under way').catch((error: unknown) => error);
      const successor = await served(group, othersOf(group, leader), electionMs + 300);
      expect(await under).toMatchObject({ reason: 'LEADERSHIP_LOST', facts: { outcome: 'unknown' } });
      expect(leader.complaints.filter((line) => line.includes("because the node's disk hangs"))).toHaveLength(1);
      expect(leader.replica.status).toMatchObject({ role: 'follower', fault: "the node's disk hangs" });
      await group.until(() => leader.replica.leader === successor.id);
      await expect(group.propose(leader, 'x')).rejects.toMatchObject({
        reason: 'NOT_LEADER',
        facts: { leader: successor.id },
      });
      for (let at = 0; at < 50; at += 1) await group.propose(successor, `more${at}`);
    }),
  );

  it('and all the log waits for is a segment that is being made, hands over as well', () =>
    withGroup(5, 3, async (group, leader) => {
      leader.disk.intercept = ({ path }) =>
        path.includes('/wal/') && !path.endsWith('.wal') ? { kind: 'delay', delayMs: 60_000 } : undefined;
      const done: Promise<unknown>[] = [];
      for (let at = 0; at < 100 && leader.replica.isLeader; at += 1) {
        done.push(group.propose(leader, `x${at}`.padEnd(2000, '.')).catch(() => {}));
        await group.world.sleep(20);
      }
      await served(group, othersOf(group, leader), electionMs + 300);
      expect(leader.replica.status).toMatchObject({ role: 'follower', fault: "the node's disk hangs" });
      await Promise.all(done);
    }));

  it('follows when the disk is well again, has all that it missed, and may lead', () =>
    withGroup(6, 3, async (group, leader) => {
      slow(leader, 3000);
      void group.propose(leader, 'under way').catch(() => {});
      const successor = await served(group, othersOf(group, leader), electionMs + 300);
      for (let at = 0; at < 20; at += 1) await group.propose(successor, `more${at}`);
      expect(leader.replica.status.appliedLsn).toBeLessThan(successor.replica.status.appliedLsn);
      leader.disk.intercept = undefined;
      await group.until(() => leader.replica.status.appliedLsn === successor.replica.status.appliedLsn, 5000);
      expect(leader.replica.status).toMatchObject({ role: 'follower', fault: undefined });
      successor.replica.transferLeader(leader.replica.status.replicaId);
      await group.until(() => leader.replica.isLeader, 2000);
      await group.propose(leader, 'leads again');
    }));

  it('neither campaigns nor votes while it hangs, so that it disturbs nobody', () =>
    withGroup(7, 3, async (group, leader) => {
      hang(leader);
      void group.propose(leader, 'under way').catch(() => {});
      const successor = await served(group, othersOf(group, leader), electionMs + 300);
      const { term } = successor.replica.status;
      // Alone with its election timeout it would campaign.
      group.travel = (_message, from, to) => (from === leader.id || to === leader.id ? undefined : 1);
      await group.world.sleep(10 * electionMs);
      expect(leader.replica.status.role).toBe('follower');
      expect(leader.replica.status.term).toBeLessThanOrEqual(term);
      expect(successor.replica.isLeader).toBe(true);
    }));

  it('keeps its leadership when it is merely slow', () =>
    withGroup(8, 3, async (group, leader) => {
      slow(leader, electionMs - 60);
      const { term } = leader.replica.status;
      for (let at = 0; at < 40; at += 1) await group.propose(leader, `x${at}`);
      await group.world.sleep(2000);
      expect(leader.replica.status).toMatchObject({ role: 'leader', term, fault: undefined });
    }));

  it('and comes to an end every time, is found to be slow: leaderships are not handed around for as long as it lasts', () =>
    withGroup(10, 3, async (group) => {
      for (const node of group.nodes) {
        let writes = 0;
        node.disk.intercept = ({ kind, path }) => {
          if (kind !== 'datasync' || !path.endsWith('.wal')) return undefined;
          writes += 1;
          return { kind: 'delay', delayMs: writes % 10 === 0 ? electionMs + 300 : 10 };
        };
      }
      const terms = new Set<number>();
      for (let at = 0; at < 600; at += 1) {
        const leader = await group.leader();
        if (at >= 300) terms.add(leader.replica.status.term);
        await group.propose(leader, `x${at}`).catch(() => {});
      }
      expect(terms.size).toBe(1);
    }));

  it('keeps its leadership when it was the process that stood still', () =>
    withGroup(9, 3, async (group, leader) => {
      slow(leader, 50);
      const under = group.propose(leader, 'under way');
      await group.world.sleep(10);
      // Others elect no successor: nothing arrives anywhere.
      group.travel = () => undefined;
      leader.clock.pause();
      await group.world.sleep(electionMs + 20);
      group.travel = () => 1;
      leader.clock.resume();
      await group.world.sleep(200);
      expect(leader.complaints.filter((line) => line.includes('disk'))).toEqual([]);
      await under.catch(() => {});
    }));

  it('keeps its leadership, for reads, as long as the others cannot go on without it', () =>
    withGroup(10, 3, async (group, leader) => {
      const [gone, other] = othersOf(group, leader);
      gone!.crash('process');
      hang(leader);
      void group.propose(leader, 'under way').catch(() => {});
      await group.world.sleep(10 * electionMs);
      expect(leader.replica.isLeader).toBe(true);
      await leader.replica.awaitLinearizable();
      await gone!.start();
      await served(group, [gone!, other!], 2 * electionMs);
    }));

  it.each([1, 2])('keeps it in a group of %i, where nobody could take over', (nodes) =>
    withGroup(11, nodes, async (group, leader) => {
      slow(leader, 3000);
      const under = group.propose(leader, 'under way');
      await group.world.sleep(2500);
      expect(leader.replica.status).toMatchObject({ role: 'leader', fault: undefined });
      await leader.replica.awaitLinearizable();
      expect(await under).toBe(2);
      expect(leader.complaints.filter((line) => line.includes('given up'))).toEqual([]);
    }),
  );
});

describe('a follower whose disk hangs', () => {
  it('in a group of two, which cannot do without it, stays available', () =>
    withGroup(12, 2, async (group, leader) => {
      const [follower] = othersOf(group, leader);
      slow(follower!, 3000);
      const under = group.propose(leader, 'under way');
      await group.world.sleep(2500);
      expect(follower!.replica.status.fault).toBeUndefined();
      expect(await under).toBe(2);
    }));

  it('takes no entries that would pile up in memory, and catches up afterwards', () =>
    withGroup(13, 3, async (group, leader) => {
      const [follower] = othersOf(group, leader);
      slow(follower!, 3000);
      await group.propose(leader, 'under way');
      await group.until(() => follower!.replica.status.fault);
      const { lastLsn } = follower!.replica.raftStatus;
      for (let at = 0; at < 20; at += 1) await group.propose(leader, `x${at}`);
      expect(follower!.replica.raftStatus.lastLsn).toBe(lastLsn);
      follower!.disk.intercept = undefined;
      await group.until(() => follower!.replica.status.appliedLsn === leader.replica.status.appliedLsn, 5000);
      expect(leader.replica.isLeader).toBe(true);
    }));
});

describe('a leader whose disk is full', () => {
  it.each([1, 2, 3, 4])('hands over to one that has room, and comes back when it has (seed %i)', (seed) =>
    withGroup(seed, 3, async (group, leader) => {
      await fill(group, leader);
      const others = othersOf(group, leader);
      const successor = await served(group, others, 500);
      expect(leader.complaints.filter((line) => line.includes("because the node's disk is full"))).toHaveLength(1);
      await group.until(() => leader.replica.leader === successor.id);
      // Not DISK_FULL: another one takes it.
      await expect(group.propose(leader, 'x')).rejects.toMatchObject({
        reason: 'NOT_LEADER',
        facts: { leader: successor.id },
      });
      for (let at = 0; at < 100; at += 1) await group.propose(successor, `more${at}`.padEnd(1000, '.'));
      expect(leader.replica.status).toMatchObject({ role: 'follower', fault: "the node's disk is full" });

      leader.disk.capacityBytes = Number.POSITIVE_INFINITY;
      await group.until(() => leader.replica.status.appliedLsn === successor.replica.status.appliedLsn, 5000);
      expect(leader.replica.status.fault).toBeUndefined();
      successor.replica.transferLeader(leader.replica.status.replicaId);
      await group.until(() => leader.replica.isLeader, 2000);
      await group.propose(leader, 'leads again');
    }),
  );

  it('hands over also when it is the node that refuses appends, at its low-water mark', () =>
    withGroup(5, 3, async (group, leader) => {
      leader.running.refuseAppends(new LogboomError('DISK_FULL', 'below the mark'));
      const successor = await served(group, othersOf(group, leader), 500);
      await group.world.sleep(5000);
      expect(successor.replica.isLeader).toBe(true);
      leader.running.refuseAppends(undefined);
      await group.until(() => leader.replica.status.appliedLsn === successor.replica.status.appliedLsn, 1000);
    }));

  it('keeps its leadership when a quorum is full: there is nobody to append, and reads go on', () =>
    withGroup(6, 3, async (group, leader) => {
      const [full, roomy] = othersOf(group, leader);
      full!.running.refuseAppends(new LogboomError('DISK_FULL', 'below the mark'));
      await group.world.sleep(200);
      for (let at = 0; at < 10; at += 1) await group.propose(leader, `x${at}`);
      leader.running.refuseAppends(new LogboomError('DISK_FULL', 'below the mark'));
      const { term } = leader.replica.status;
      for (let at = 0; at < 20; at += 1) {
        await group.world.sleep(electionMs);
        await leader.replica.awaitLinearizable();
      }
      expect(leader.replica.status).toMatchObject({ role: 'leader', term });
      await expect(group.propose(leader, 'x')).rejects.toMatchObject({ reason: 'DISK_FULL' });
      full!.running.refuseAppends(undefined);
      await served(group, [full!, roomy!], 1000);
    }));

  it('does not leave the group without leader when all are: reads go on, and appends when there is room', () =>
    withGroup(7, 3, async (group) => {
      for (const node of group.nodes) node.running.refuseAppends(new LogboomError('DISK_FULL', 'below the mark'));
      await group.world.sleep(200);
      const startedMs = group.world.nowMs;
      const leader = await group.leader();
      await group.until(() => leader.replica.status.appliedLsn === leader.replica.status.commitLsn);
      await leader.replica.awaitLinearizable();
      expect(group.world.nowMs - startedMs).toBeLessThan(8 * electionMs);
      await expect(group.propose(leader, 'x')).rejects.toMatchObject({ reason: 'DISK_FULL' });
      const { term } = leader.replica.status;
      await group.world.sleep(40 * electionMs);
      expect(leader.replica.status).toMatchObject({ role: 'leader', term });
      for (const node of group.nodes) node.running.refuseAppends(undefined);
      await group.propose(leader, 'there is room');
      expect(leader.replica.status).toMatchObject({ role: 'leader', term, fault: undefined });
    }));

  it('or of a node that is short of space goes to one that is not, with no fault at any', () =>
    withGroup(9, 3, async (group, leader) => {
      const ids = [leader.id, (leader.id % 3) + 1, ((leader.id + 1) % 3) + 1];
      const [, second, third] = ids.map((id) => group.node(id));
      leader.running.isShortOfSpace = true;
      second!.running.isShortOfSpace = true;
      await group.until(() => third!.replica.isLeader, 1000);
      for (let at = 0; at < 20; at += 1) await group.propose(third!, `x${at}`);
      for (const { replica } of group.nodes) {
        await group.until(() => replica.status.appliedLsn === third!.replica.status.appliedLsn, 1000);
        expect(replica.status.fault).toBeUndefined();
      }
    }));

  it('stays with one of those that are all short of space', () =>
    withGroup(10, 3, async (group) => {
      for (const node of group.nodes) node.running.isShortOfSpace = true;
      await group.world.sleep(1000);
      const settled = await group.leader();
      const { term } = settled.replica.status;
      await group.world.sleep(20 * electionMs);
      expect(settled.replica.status).toMatchObject({ role: 'leader', term, fault: undefined });
      // What frees space still goes through.
      await group.propose(settled, 'retention');
    }));

  it.each([1, 2])('and short of space, stays where it is in a group of %i', (nodes) =>
    withGroup(11, nodes, async (group, leader) => {
      for (const node of group.nodes) node.running.isShortOfSpace = true;
      const { term } = leader.replica.status;
      await group.world.sleep(4 * electionMs);
      expect(leader.replica.status).toMatchObject({ role: 'leader', term });
    }),
  );

  it('alone, refuses appends and leads on', () =>
    singleNode(8, { manager: { flush: { ageMs: 3_600_000 } } }, async (node, group) => {
      await group.propose(node, 'first');
      await fill(group, node);
      await group.world.sleep(10 * electionMs);
      expect(node.replica.status).toMatchObject({ role: 'leader', fault: undefined });
      await node.replica.awaitLinearizable();
      await expect(group.propose(node, 'x')).rejects.toMatchObject({ reason: 'DISK_FULL' });
    }));
});
