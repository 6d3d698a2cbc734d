/** Drain and stop: what is under way ends, nothing is left open or ticking, and a start after it replays nothing. */
import { describe, expect, it } from 'vitest';
import { asPartitionId } from '../../src/base/ids.js';
import { textsOf } from './support/list-machine.js';
import { singleNode, TestGroup } from './support/nodes.js';

describe('a node', () => {
  it('leaves no file, store or timer behind when it stops under load', async () => {
    const group = new TestGroup(1, 1, { partitions: 3 });
    const node = group.node(1);
    await group.run(async () => {
      await group.startAll();
      const appends = Array.from({ length: 300 }, (_, at) =>
        node.running.replicaOf(asPartitionId(1 + (at % 3))).propose(Buffer.from(`x${at}`)),
      );
      const reads = node.running.replicas.map((replica) => replica.awaitLinearizable());
      const outcomes = Promise.allSettled([...appends, ...reads]);
      await group.world.sleep(1);
      await node.running.drain(5000);
      await expect(group.propose(node, 'late')).rejects.toMatchObject({ reason: 'SHUTTING_DOWN' });
      await node.stop();
      for (const outcome of await outcomes) expect(outcome.status).toBe('fulfilled');
    });
    expect(node.openFiles).toBe(0);
    const { eventsRun } = group.world;
    group.world.run(group.world.nowMs + 3_600_000);
    expect(group.world.eventsRun).toBe(eventsRun);
    // A store that is open cannot be removed.
    node.stores.remove('/data/partitions');
  });

  it('replays nothing after a clean stop', () => {
    return singleNode(1, {}, async (node, group) => {
      for (let at = 0; at < 50; at += 1) await group.propose(node, `x${at}`);
      const { appliedLsn } = node.replica.status;
      await node.stop();
      let applied = 0;
      node.options = {
        ...node.options,
        prepareMachine: (machine) => {
          machine.onApply = () => void (applied += 1);
        },
      };
      await node.start();
      expect(node.replica.status.appliedLsn).toBeGreaterThanOrEqual(appliedLsn);
      expect(applied).toBe(0);
      expect(await textsOf(node.replica.reader)).toHaveLength(50);
    });
  });

  it('can be stopped by two at once, and both wait for the end', () =>
    singleNode(1, {}, async (node, group) => {
      await group.propose(node, 'a');
      const { running } = node;
      await Promise.all([
        running.stop(),
        running.stop().then(() => {
          expect(node.openFiles).toBe(0);
        }),
      ]);
    }));

  it('stops the rest when one part cannot be stopped, and says so', () =>
    singleNode(
      1,
      {
        partitions: 2,
        wrapStores: (provider) => ({
          open: async (directory, options) => {
            const store = await provider.open(directory, options);
            const close = store.close.bind(store);
            store.close = async () => {
              await close();
              if (directory.includes('/1/')) throw new Error('it sticks');
            };
            return store;
          },
        }),
      },
      async (node, group) => {
        await group.propose(node, 'a');
        await expect(node.running.stop()).rejects.toThrow('it sticks');
        expect(node.openFiles).toBe(0);
        node.stores.remove('/data/partitions');
      },
    ));

  it('ends reads that come in the very turn in which it stops', () =>
    singleNode(1, {}, async (node, group) => {
      await group.propose(node, 'a');
      const { replica } = node;
      const reads = Promise.allSettled([replica.awaitLinearizable(), replica.awaitLinearizable()]);
      replica.fail(new Error('broken'));
      const outcomes = await reads;
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { reason: 'PARTITION_STOPPED' } });
      }
    }));

  it('tells watchers of a change once, also those that watch anew when they are told, and of the end', () =>
    singleNode(1, {}, async (node, group) => {
      let told = 0;
      let unwatch = (): void => {};
      const again = (): void => {
        told += 1;
        if (told > 9) return;
        const old = unwatch;
        unwatch = node.replica.watch(1, again);
        old();
      };
      unwatch = node.replica.watch(1, again);
      await group.propose(node, 'a');
      expect(told).toBe(1);
      node.replica.fail(new Error('broken'));
      expect(told).toBe(2);
    }));

  it('applies nothing more of a partition that has ended, and makes nothing of it durable', () =>
    singleNode(1, { manager: { flush: { ageMs: 100 } } }, async (node, group) => {
      node.stores.faults.writeMsMax = 100;
      const outcomes: Promise<unknown>[] = [];
      const { replica } = node;
      const propose = (): void =>
        void outcomes.push(group.propose(node, `x${outcomes.length}`).catch((error: unknown) => error));
      /** What was committed when the group under way can have begun at the latest. */
      let begun = 0;
      await group.until(() => {
        propose();
        const { commitLsn, appliedLsn } = replica.status;
        if (appliedLsn >= begun) begun = commitLsn;
        return appliedLsn < begun && begun < commitLsn;
      });
      replica.fail(new Error('broken'));
      const { commitLsn, appliedLsn, persistedLsn } = replica.status;
      expect(commitLsn).toBeGreaterThan(appliedLsn);
      // The group under way may end: nobody is told.
      await group.world.sleep(200);
      const ended = replica.status.appliedLsn;
      expect(ended).toBeLessThan(commitLsn);
      await group.world.sleep(10_000);
      expect(replica.status).toMatchObject({ appliedLsn: ended, persistedLsn });
      await expect(replica.flush()).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
      const answers = await Promise.all(outcomes);
      expect(answers.at(-1)).toMatchObject({ reason: 'PARTITION_STOPPED', facts: { outcome: 'unknown' } });
    }));

  it('keeps its other partitions going when one meets a broken invariant', () =>
    singleNode(
      1,
      {
        partitions: 2,
        prepareMachine: (machine) => {
          machine.onApply = (_lsn, text) => {
            if (text === 'poison') throw new TypeError('undefined is not a function');
          };
        },
      },
      async (node, group) => {
        await expect(group.propose(node, 'poison')).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
        const [stopped, other] = node.running.replicas;
        expect(stopped!.status.role).toBe('stopped');
        await other!.propose(Buffer.from('fine'));
        const { appliedLsn, persistedLsn } = stopped!.status;
        await group.world.sleep(10_000);
        expect(stopped!.status).toMatchObject({ appliedLsn, persistedLsn });
        expect(() => stopped!.reader).toThrow(expect.objectContaining({ reason: 'PARTITION_STOPPED' }));
        expect(() => stopped!.machine).toThrow(expect.objectContaining({ reason: 'PARTITION_STOPPED' }));
        await node.stop();
        expect(node.openFiles).toBe(0);
      },
    ));

  it('refuses what is too large, and too much at once', () =>
    singleNode(
      1,
      { manager: { replica: { raftLimits: { entryBytesMax: 100 }, proposalsMax: 2, readsMax: 2 } } },
      async (node, group) => {
        await expect(group.propose(node, 'x'.repeat(101))).rejects.toMatchObject({ reason: 'BATCH_TOO_LARGE' });
        const outcomes = await Promise.allSettled([1, 2, 3].map((at) => group.propose(node, `x${at}`)));
        expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
        expect(outcomes[2]).toMatchObject({ reason: { reason: 'QUEUE_FULL', retryAfterMs: 50 } });
        const reads = await Promise.allSettled([1, 2, 3].map(() => node.replica.awaitLinearizable()));
        expect(reads.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
      },
    ));
});
