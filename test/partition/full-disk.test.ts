/** A disk without room: the store that failed serves its readers, appends get an answer, and it goes on by itself. */
import { describe, expect, it } from 'vitest';
import { asReplicaId } from '../../src/base/ids.js';
import type { OrderedStoreProvider } from '../../src/state-store/index.js';
import { defaultReplicaOptions } from '../../src/partition/index.js';
import { textsOf } from './support/list-machine.js';
import { singleNode, TestGroup, type NodeOptions, type TestNode } from './support/nodes.js';

const mib = 2 ** 20;

/** A node whose databases cannot be written or opened as long as `full.now`. */
function fullDisk(): { full: { now: boolean; opens: number }; options: NodeOptions } {
  const full = { now: false, opens: 0 };
  const fail = (): void => {
    if (full.now) throw new Error('No space left on device');
  };
  const wrapStores = (provider: OrderedStoreProvider): OrderedStoreProvider => ({
    open: async (directory, options) => {
      full.opens += 1;
      fail();
      const store = await provider.open(directory, options);
      return {
        write: async (operations) => {
          fail();
          return store.write(operations);
        },
        flush: async () => {
          fail();
          return store.flush();
        },
        get: (key) => store.get(key),
        getMany: (keys) => store.getMany(keys),
        scan: (range) => store.scan(range),
        snapshot: () => store.snapshot(),
        compactRange: (from, to) => store.compactRange(from, to),
        approximateBytes: (from, to) => store.approximateBytes(from, to),
        close: () => store.close(),
      };
    },
  });
  const processor = { ...defaultReplicaOptions.processor, reopenFreeBytesMin: mib };
  return { full, options: { wrapStores, manager: { replica: { processor } } } };
}

function fillUp(node: TestNode): void {
  node.disk.capacityBytes = node.disk.usedBytes;
}

describe('a state store without room', () => {
  it('an append under way when it ran out hung until its deadline, and so did every read after it', async () => {
    const { full, options } = fullDisk();
    await singleNode(1, options, async (node, group) => {
      for (const text of ['a', 'b', 'c']) await group.propose(node, text);
      const { opens } = full;
      full.now = true;
      fillUp(node);
      const startedMs = group.world.nowMs;
      await expect(group.propose(node, 'd')).rejects.toMatchObject({
        reason: 'STATE_STORE_FAILED',
        facts: { outcome: 'unknown' },
      });
      // Refused for certain from here on, with the reason, and readers see what was acknowledged.
      await expect(group.propose(node, 'e')).rejects.toMatchObject({ reason: 'DISK_FULL', facts: { free_bytes: 0 } });
      await node.replica.awaitLinearizable();
      expect(await textsOf(node.replica.reader)).toEqual(['a', 'b', 'c']);
      expect(group.world.nowMs - startedMs).toBeLessThan(1000);
      await group.world.sleep(30_000);
      await node.replica.awaitLinearizable();
      expect(await textsOf(node.replica.reader)).toEqual(['a', 'b', 'c']);
      expect(full.opens).toBe(opens);

      // Space comes back: what was open has been in the log all the while.
      full.now = false;
      node.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
      const recoveredMs = group.world.nowMs;
      await group.until(() => node.replica.status.appliedLsn === node.replica.status.commitLsn);
      expect(group.world.nowMs - recoveredMs).toBeLessThan(1000);
      expect(await group.propose(node, 'f')).toBe(5);
      expect(await textsOf(node.replica.reader)).toEqual(['a', 'b', 'c', 'd', 'f']);
    });
  });

  it('is told from the free space, and stops in good order while it waits', async () => {
    const { full, options } = fullDisk();
    const group = new TestGroup(2, 1, options);
    const node = group.node(1);
    await group.run(async () => {
      await node.start();
      await group.propose(node, 'a');
      full.now = true;
      fillUp(node);
      await expect(group.propose(node, 'b')).rejects.toMatchObject({ reason: 'STATE_STORE_FAILED' });
      await node.stop();
      full.now = false;
      node.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
      await node.start();
      expect(await textsOf(node.replica.reader)).toEqual(['a', 'b']);
    });
  });
});

describe('a replica that cannot apply what is committed', () => {
  it('answered reads without what a learner had shown already', async () => {
    const { full, options } = fullDisk();
    const group = new TestGroup(4, 2, { voters: [1] });
    const [voter, learner] = [group.node(1), group.node(2)];
    voter.options = { ...voter.options, ...options };
    await group.run(async () => {
      await group.startAll();
      await group.until(() => voter.replica.isLeader);
      const step = { type: 'add-learner', replica: asReplicaId(2) } as const;
      voter.replica.proposeConfChange({ transition: 'auto', steps: [step], context: new Uint8Array() });
      await group.propose(voter, 'a');
      full.now = true;
      fillUp(voter);
      await expect(group.propose(voter, 'b')).rejects.toMatchObject({ reason: 'STATE_STORE_FAILED' });
      await group.until(() => learner.replica.machine.length === 2);
      await learner.replica.awaitLinearizable();
      expect(await textsOf(learner.replica.reader)).toEqual(['a', 'b']);

      const startedMs = group.world.nowMs;
      await expect(voter.replica.awaitLinearizable()).rejects.toMatchObject({
        reason: 'STATE_STORE_FAILED',
        retryable: true,
      });
      expect(group.world.nowMs - startedMs).toBeLessThan(100);
      full.now = false;
      voter.disk.capacityBytes = Number.MAX_SAFE_INTEGER;
      await group.until(() => voter.replica.status.appliedLsn === voter.replica.status.commitLsn);
      await voter.replica.awaitLinearizable();
      expect(await textsOf(voter.replica.reader)).toEqual(['a', 'b']);
    });
  });

  it('let reads of a larger group hang for as long as its disk was full', async () => {
    const { full, options } = fullDisk();
    const group = new TestGroup(5, 3);
    await group.run(async () => {
      const follower = group.node(3);
      follower.options = options;
      await group.startAll();
      // It must not lead: the others have the lower timeouts of those who were told to campaign.
      const leader = await group.leader();
      if (leader === follower) leader.replica.transferLeader(asReplicaId(1));
      await group.until(() => group.node(1).replica.isLeader || group.node(2).replica.isLeader);
      const present = await group.leader();
      await group.propose(present, 'a');
      full.now = true;
      fillUp(follower);
      await group.propose(present, 'b');
      await group.until(() => follower.complaints.some((line) => line.includes('nothing is applied')));
      await expect(follower.replica.awaitLinearizable()).rejects.toMatchObject({ reason: 'STATE_STORE_FAILED' });
      // And an append is told where to go, not that the disk is full.
      await expect(group.propose(follower, 'c')).rejects.toMatchObject({ reason: 'NOT_LEADER' });
    });
  });

  it('kept the flushes of the other partitions waiting for as long as its disk was full', async () => {
    let failsIn = '';
    const wrapStores = (provider: OrderedStoreProvider): OrderedStoreProvider => ({
      open: async (directory, options) => {
        const store = await provider.open(directory, options);
        return {
          write: (operations) => store.write(operations),
          flush: async () => {
            if (failsIn !== '' && directory.startsWith(failsIn)) throw new Error('No space left on device');
            return store.flush();
          },
          get: (key) => store.get(key),
          getMany: (keys) => store.getMany(keys),
          scan: (range) => store.scan(range),
          snapshot: () => store.snapshot(),
          compactRange: (from, to) => store.compactRange(from, to),
          approximateBytes: (from, to) => store.approximateBytes(from, to),
          close: () => store.close(),
        };
      },
    });
    const { processor } = fullDisk().options.manager!.replica!;
    const manager = { replica: { processor: processor! }, flush: { ageMs: 200, concurrentMax: 1 } };
    await singleNode(6, { partitions: 2, wrapStores, manager }, async (node, group) => {
      failsIn = '/data/partitions/1';
      fillUp(node);
      await group.propose(node, 'a');
      await group.until(() => node.complaints.some((line) => line.includes('nothing is applied')));
      const [, other] = node.running.replicas;
      const { lsn } = await other!.propose(Buffer.from('b'));
      await group.until(() => other!.status.persistedLsn >= lsn, 2000);
    });
  });
});

describe('a start', () => {
  it('after a crash waited for an election that nobody else could win', async () => {
    const replays: { entriesDone: number; entriesTotal: number }[] = [];
    const manager = { onReplay: (progress: (typeof replays)[number]) => void replays.push(progress) };
    const group = new TestGroup(3, 1, { partitions: 3, manager: { ...manager, flush: { ageMs: 3_600_000 } } });
    const node = group.node(1);
    await group.run(async () => {
      await node.start();
      for (let at = 0; at < 100; at += 1) await group.propose(node, `x${at}`);
      // The commit LSN of the last entries reaches the log as well.
      await group.world.sleep(200);
      node.crash('process');
      replays.length = 0;
      const startedMs = group.world.nowMs;
      await node.start();
      // An election timeout is ten ticks of 50 ms at least.
      expect(group.world.nowMs - startedMs).toBeLessThan(300);
      expect(node.replica.isLeader).toBe(true);
      // And it said that there was nothing to replay, for its only report came after a second.
      expect(replays.at(-1)?.entriesTotal).toBeGreaterThanOrEqual(100);
      expect(await textsOf(node.replica.reader)).toHaveLength(100);
    });
  });
});
