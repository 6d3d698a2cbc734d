/** What goes from the log, and when: rules 1 to 3 of the design, at a running replica. */
import { describe, expect, it } from 'vitest';
import { asReplicaId } from '../../src/base/ids.js';
import type { ConfChange } from '../../src/raft/types.js';
import { TestGroup, singleNode } from './support/nodes.js';

const addLearner = (replica: number): ConfChange => ({
  transition: 'auto',
  steps: [{ type: 'add-learner', replica: asReplicaId(replica) }],
  context: new Uint8Array(0),
});

describe('the log of a replica', () => {
  it('is trimmed to the persisted LSN of a single node with every flush', () =>
    singleNode(1, {}, async (node, group) => {
      for (let at = 0; at < 10; at += 1) await group.propose(node, `x${at}`);
      expect(node.replica.status.trimPoint).toBe(0);
      const persistedLsn = await node.replica.flush();
      expect(node.replica.status).toMatchObject({ persistedLsn, trimPoint: persistedLsn, trimHeldBecause: '' });
      expect(persistedLsn).toBe(node.replica.status.appliedLsn);
    }));

  it('is trimmed no further from the moment on at which a second node is known', () => {
    let nodesKnown = 1;
    return singleNode(1, { nodesKnown: () => nodesKnown }, async (node, group) => {
      await group.propose(node, 'a');
      const trimPoint = await node.replica.flush();
      nodesKnown = 2;
      await group.propose(node, 'b');
      expect(await node.replica.flush()).toBeGreaterThan(trimPoint);
      expect(node.replica.status.trimPoint).toBe(trimPoint);
      expect(node.replica.status.trimHeldBecause).toContain('a second node is known');
    });
  });

  it('is trimmed no further once the group has another replica, whatever the list of nodes says', () =>
    singleNode(1, { nodesKnown: () => 1 }, async (node, group) => {
      await group.propose(node, 'a');
      const trimPoint = await node.replica.flush();
      const changedLsn = node.replica.proposeConfChange(addLearner(2));
      await group.until(() => node.replica.status.appliedLsn >= changedLsn);
      await node.replica.flush();
      expect(node.replica.status).toMatchObject({ trimPoint, persistedLsn: changedLsn });
      await node.stop();
      await node.start();
      await group.propose(node, 'b');
      await node.replica.flush();
      expect(node.replica.confState.learners).toEqual([2]);
      expect(node.replica.status.trimPoint).toBe(trimPoint);
    }));

  it('gives its segments back, and flushes for it when it has grown', () =>
    singleNode(1, { manager: { walTargetBytes: 256 << 10, flush: { ageMs: 3_600_000 } } }, async (node, group) => {
      for (let at = 0; at < 400; at += 1) {
        await group.propose(node, `x${at}`.padEnd(2000, '.'));
        await group.world.sleep(10);
      }
      expect(node.running.walStats.bytes).toBeLessThan(512 << 10);
      expect(node.replica.status.trimPoint).toBeGreaterThan(200);
    }));

  it('is not flushed for again and again while no flush could let a segment go', () => {
    const manager = { walTargetBytes: 128 << 10, flush: { ageMs: 3_600_000 }, replica: { trimMode: 'none' as const } };
    return singleNode(1, { manager }, async (node, group) => {
      let persisted = 0;
      let flushes = 0;
      for (let at = 0; at < 400; at += 1) {
        await group.propose(node, `x${at}`.padEnd(2000, '.'));
        await group.world.sleep(10);
        if (node.replica.status.persistedLsn > persisted) flushes += 1;
        persisted = node.replica.status.persistedLsn;
      }
      expect(node.running.walStats.bytes).toBeGreaterThan(512 << 10);
      // The index asks for one by itself now and then.
      expect(flushes).toBeLessThan(3);
    });
  });
});

describe('a configuration change', () => {
  it('is in force again after a restart, from the store, from the trim point, and from the log', () =>
    singleNode(1, { nodesKnown: () => 1 }, async (node, group) => {
      const changedLsn = node.replica.proposeConfChange(addLearner(2));
      await group.until(() => node.replica.status.appliedLsn >= changedLsn);
      for (const restart of ['power', 'clean', 'power'] as const) {
        if (restart === 'clean') await node.stop();
        else node.crash('power');
        await node.start();
        expect(node.replica.confState).toMatchObject({ voters: [1], learners: [2] });
      }
    }));

  it('is not made twice when the store is reopened below it', () =>
    singleNode(1, { manager: { flush: { ageMs: 3_600_000 } } }, async (node, group) => {
      await group.propose(node, 'a');
      for (const replica of [2, 3]) {
        const lsn = node.replica.proposeConfChange(addLearner(replica));
        await group.until(() => node.replica.status.appliedLsn >= lsn);
      }
      node.stores.faults.writeFailuresPerMille = 1000;
      const outcome = group.propose(node, 'b').catch(() => {});
      await group.until(() => node.complaints.length > 0);
      node.stores.faults.writeFailuresPerMille = 0;
      await outcome;
      await group.until(() => node.replica.status.appliedLsn === node.replica.raftStatus.lastLsn);
      expect(node.replica.confState.learners).toEqual([2, 3]);
      expect(node.replica.status.fault).toBeUndefined();
      const { stateHash } = node.replica.status;
      node.crash('power');
      await node.start();
      expect(node.replica.confState.learners).toEqual([2, 3]);
      await group.propose(node, 'c');
      expect(node.replica.status.stateHash).not.toEqual(stateHash);
    }));
});

describe('a replica that needs what was trimmed', () => {
  it("says that it needs a state and why it gets none, and gets its leader's when that answers", async () => {
    const group = new TestGroup(1, 2, { voters: [1], nodesKnown: () => 1 });
    const [first, second] = [group.node(1), group.node(2)];
    await group.run(async () => {
      await first.start();
      for (let at = 0; at < 5; at += 1) await group.propose(first, `x${at}`);
      await first.replica.flush();
      await second.start();
      group.onAsk = () => 'lose';
      first.replica.proposeConfChange(addLearner(2));
      await group.until(() =>
        second.replica.status.bootstrap?.problem.includes('no snapshot repository is configured'),
      );
      expect(second.replica.status).toMatchObject({ appliedLsn: 0, fault: undefined });
      expect(await group.propose(first, 'y')).toBe(6);
      group.onAsk = () => (answer) => answer;
      await group.until(() => second.replica.status.appliedLsn >= 6);
      expect(second.replica.status).toMatchObject({ bootstrap: undefined, fault: undefined });
      await second.stop();
      expect(second.openFiles).toBe(0);
    });
  });
});
