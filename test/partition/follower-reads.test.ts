/** Linearizable reads at followers, over a network that loses, delays and repeats. */
import { describe, expect, it } from 'vitest';
import { textsOf } from './support/list-machine.js';
import { TestGroup, type TestNode } from './support/nodes.js';

async function withFollower(
  seed: number,
  body: (group: TestGroup, leader: TestNode, follower: TestNode) => Promise<void>,
): Promise<void> {
  const group = new TestGroup(seed, 3);
  await group.run(async () => {
    await group.startAll();
    const leader = await group.leader();
    await group.propose(leader, 'a');
    const follower = group.nodes.find((node) => node !== leader)!;
    await group.until(() => follower.replica.leader === leader.id);
    await body(group, leader, follower);
  });
}

describe('a read at a follower', () => {
  it('sees everything that was acknowledged before it, however late the follower applies it', () =>
    withFollower(1, async (group, leader, follower) => {
      for (let at = 0; at < 20; at += 1) {
        await group.propose(leader, `x${at}`);
        await follower.replica.awaitLinearizable();
        expect((await textsOf(follower.replica.reader)).at(-1)).toBe(`x${at}`);
      }
    }));

  it('ends when its request or the answer is lost, and leaves no trace in the core', () =>
    withFollower(2, async (group, _leader, follower) => {
      group.travel = ({ type }) => (type === 'read-index-response' ? undefined : 1);
      for (let reads = 0; reads < 3; reads += 1) {
        const startedMs = group.world.nowMs;
        await expect(follower.replica.awaitLinearizable()).rejects.toMatchObject({
          reason: 'NOT_LEADER',
          retryable: true,
        });
        expect(group.world.nowMs - startedMs).toBeLessThan(3000);
      }
      group.travel = () => 1;
      await follower.replica.awaitLinearizable();
    }));

  it('is not confirmed by a late answer to a read of the process before', () =>
    withFollower(3, async (group, leader, follower) => {
      group.travel = ({ type }) => (type === 'read-index-response' ? 700 : 1);
      void follower.replica.awaitLinearizable().catch(() => {});
      await group.world.sleep(100);
      // The follower gets nothing for a while, and its next read only late to the leader: the old answer is first.
      follower.crash('process');
      await follower.start();
      await group.until(() => follower.replica.leader === leader.id);
      await group.until(() => follower.replica.status.appliedLsn === leader.replica.status.appliedLsn);
      group.travel = ({ type }, _from, to) => {
        if (type === 'read-index') return 900;
        return type === 'append' && to === follower.id ? undefined : 1;
      };
      await group.propose(leader, 'b');
      const read = follower.replica.awaitLinearizable().then(
        () => textsOf(follower.replica.reader),
        () => undefined,
      );
      const early = await Promise.race([read, group.world.sleep(800).then(() => 'waits')]);
      expect(early).toBe('waits');
      group.travel = () => 1;
      const texts = await read;
      if (texts !== undefined) expect(texts).toEqual(['a', 'b']);
    }));
});
