/** Replicas that a node gives up, and what is left of them when it is killed on the way. */
import { expect, test } from 'vitest';
import { asPartitionId, asReplicaId } from '../../src/base/ids.js';
import { confState } from '../wal/support/simulated.js';
import { TestGroup } from './support/nodes.js';
import type { TestNode } from './support/nodes.js';

const [kept, dropped] = [asPartitionId(1), asPartitionId(2)];
const [first, second] = [asReplicaId(1), asReplicaId(2)];

/** A node alone with two partitions, both with entries and a flushed store. */
function withTwo(seed: number, body: (node: TestNode, group: TestGroup) => Promise<void>): Promise<void> {
  const group = new TestGroup(seed, 1, { partitions: 2 });
  return group.run(async () => {
    await group.startAll();
    const node = group.node(1);
    for (const id of [kept, dropped]) {
      for (let at = 0; at < 5; at += 1) await node.running.replicaOf(id).propose(Buffer.from(`${id}: ${at}`));
      await node.running.replicaOf(id).flush();
    }
    await body(node, group);
  });
}

const namesOf = (node: TestNode): Promise<string[]> => node.disk.mount().list('/data/partitions');

test('a removed replica is gone with its log, does not come back, and another one takes its place', () =>
  withTwo(1, async (node, group) => {
    await node.running.removeReplica(dropped, first);
    expect(node.running.partitionIds).toEqual([kept]);
    expect(await namesOf(node)).not.toContain('2');
    // What the options name was removed.
    await node.stop();
    await node.start();
    expect(node.running.partitionIds).toEqual([kept]);
    expect(node.running.wasRemoved({ partitionId: dropped, replicaId: first })).toBe(true);
    await expect(
      node.running.addReplica({ partitionId: dropped, replicaId: first, confState: confState(1) }),
    ).rejects.toThrow(/cannot be started again/);

    const placement = { partitionId: dropped, replicaId: second, confState: confState(2) };
    await node.running.addReplica(placement);
    await group.until(() => node.running.replicaOf(dropped).isLeader);
    await node.running.replicaOf(dropped).propose(Buffer.from('anew'));
    node.crash('power');
    await node.start();
    await group.until(() => node.running.replicaOf(dropped).isLeader);
    expect(node.running.replicaOf(dropped).replicaId).toBe(second);
    expect(node.running.replicaOf(dropped).status.commitLsn).toBeGreaterThan(0);
    // An order that comes late is for the replica that was, not for the one that is.
    await node.running.removeReplica(dropped, first);
    expect(node.running.partitionIds).toEqual([kept, dropped]);
  }));

test('killed at any step of a removal, the replica is whole or gone, and the others lose nothing', async () => {
  const outcomes = new Set<string>();
  for (let step = 0; step < 60; step += 1) {
    await withTwo(100 + step, async (node, group) => {
      const removal = node.running.removeReplica(dropped, first).catch(() => {});
      await group.world.sleep(step / 4);
      node.crash(step % 2 === 0 ? 'process' : 'power');
      await node.start();
      await group.until(() => node.running.replicaOf(kept).isLeader);
      await group.until(() => node.running.replicaOf(kept).status.appliedLsn >= 6);
      const isThere = node.running.partitionIds.includes(dropped);
      expect(node.running.wasRemoved({ partitionId: dropped, replicaId: first })).toBe(!isThere);
      if (isThere) {
        await group.until(() => node.running.replicaOf(dropped).status.appliedLsn >= 6);
      } else {
        expect((await namesOf(node)).filter((name) => name.startsWith('2'))).toEqual([]);
      }
      outcomes.add(isThere ? 'whole' : 'gone');
      void removal;
    });
  }
  expect([...outcomes].toSorted()).toEqual(['gone', 'whole']);
});
