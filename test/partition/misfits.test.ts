/** A log and a store that do not belong together are refused, not made to fit. */
import { describe, expect, it } from 'vitest';
import { textsOf } from './support/list-machine.js';
import { TestGroup, type TestNode } from './support/nodes.js';

function copyOfLog(node: TestNode): () => void {
  const files = node.disk.paths().filter((path) => path.includes('/wal/'));
  const contents = files.map((path) => [path, node.disk.contents(path).slice()] as const);
  return () => {
    for (const path of node.disk.paths()) if (path.includes('/wal/')) node.disk.removeNow(path);
    for (const [path, content] of contents) node.disk.putFile(path, content);
  };
}

async function withNode(body: (group: TestGroup, node: TestNode) => Promise<void>): Promise<void> {
  const group = new TestGroup(1, 1);
  await group.run(async () => {
    await group.startAll();
    await body(group, group.node(1));
  });
}

describe('a start', () => {
  it('refuses a store that is ahead of its log', () =>
    withNode(async (group, node) => {
      await group.propose(node, 'a');
      await node.stop();
      const putBack = copyOfLog(node);
      await node.start();
      await group.propose(node, 'b');
      await node.stop();
      putBack();
      await expect(node.start()).rejects.toMatchObject({
        reason: 'STATE_STORE_CORRUPT',
        message: expect.stringContaining('the end of the log is lost') as string,
      });
      expect(node.openFiles).toBe(0);
      // Refused once more: the first attempt has changed nothing, and left nothing open.
      node.crash('process');
      await expect(node.start()).rejects.toMatchObject({ reason: 'STATE_STORE_CORRUPT' });
    }));

  it('refuses a log that begins above its store', () =>
    withNode(async (group, node) => {
      for (let at = 0; at < 5; at += 1) await group.propose(node, `x${at}`);
      await node.stop();
      node.stores.remove('/data/partitions/1');
      await expect(node.start()).rejects.toMatchObject({
        reason: 'STATE_STORE_CORRUPT',
        message: expect.stringContaining('entries between them are missing') as string,
      });
    }));

  it('refuses a store whose log is gone: its votes and newest entries are lost, and it is no new partition', () =>
    withNode(async (group, node) => {
      await group.propose(node, 'a');
      await node.stop();
      for (const path of node.disk.paths()) if (path.endsWith('.wal')) node.disk.removeNow(path);
      await expect(node.start()).rejects.toMatchObject({
        reason: 'WAL_CORRUPT',
        message: expect.stringContaining('has a state store') as string,
      });
      expect(node.openFiles).toBe(0);
    }));

  it('accepts a store that was lost while the log still holds everything, and replays it', async () => {
    const group = new TestGroup(1, 1, { manager: { replica: { trimMode: 'none' } } });
    const node = group.node(1);
    await group.run(async () => {
      await group.startAll();
      await group.propose(node, 'a');
      await node.stop();
      node.stores.remove('/data/partitions/1');
      await node.start();
      expect(await textsOf(node.replica.reader)).toEqual(['a']);
    });
  });

  it('goes on from a crash between the log and the store of a new partition', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const group = new TestGroup(seed, 1);
      const node = group.node(1);
      await group.run(async () => {
        void node.start().catch(() => {});
        await group.world.sleep(seed * 0.7);
        node.crash('power');
        await node.start();
        expect(await group.propose(node, 'a')).toBe(1);
      });
    }
  });
});
