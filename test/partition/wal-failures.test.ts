/** A failed log is final: nothing is acknowledged afterwards, what waits is told at once, and the node can be stopped. */
import { describe, expect, it } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { singleNode, TestGroup, type TestNode } from './support/nodes.js';
import { textsOf } from './support/list-machine.js';

function failNext(node: TestNode, kind: 'write' | 'datasync', after = 0): void {
  let left = after;
  node.disk.intercept = (operation) => {
    if (operation.kind !== kind || !operation.path.includes('/wal/')) return undefined;
    left -= 1;
    return left < 0 ? { kind: 'fail', code: 'EIO' } : undefined;
  };
}

describe('a write-ahead log that fails', () => {
  it.each(['write', 'datasync'] as const)('in a %s ends everything that waits, and acknowledges nothing', (kind) =>
    singleNode(1, {}, async (node, group) => {
      await group.propose(node, 'before');
      let failed: Error | undefined;
      void node.running.failed.then((error) => (failed = error));
      failNext(node, kind);
      const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => group.propose(node, `x${at}`)));
      for (const outcome of outcomes) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { reason: 'PARTITION_STOPPED' } });
        expect(outcome).toMatchObject({ reason: { facts: { outcome: 'unknown' } } });
      }
      expect(failed).toMatchObject({ reason: 'WAL_FAILED' });
      expect(node.replica.status).toMatchObject({ role: 'stopped' });
      expect(node.replica.status.fault).toContain('the write-ahead log has failed');
      await expect(group.propose(node, 'after')).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
      await expect(node.replica.awaitLinearizable()).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
      await node.stop();
    }),
  );

  it('stops all partitions of the node, also those that have nothing under way', () =>
    singleNode(1, { partitions: 3 }, async (node, group) => {
      failNext(node, 'datasync');
      await expect(group.propose(node, 'x')).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
      for (const replica of node.running.replicas) expect(replica.status.role).toBe('stopped');
    }));

  it('while the node starts ends the start', async () => {
    const group = new TestGroup(1, 1);
    const node = group.node(1);
    await group.run(async () => {
      for (let syncs = 0; syncs < 4; syncs += 1) {
        failNext(node, 'datasync', syncs);
        const startedMs = group.world.nowMs;
        const outcome = await node.start().then(
          () => 'started',
          (error: unknown) => error,
        );
        // The segments that are made in advance are synced too: their failure comes while the node starts, or after.
        if (outcome !== 'started') expect(outcome).toBeInstanceOf(Error);
        // Not after some election timeout, when the replica happens to write again.
        expect(group.world.nowMs - startedMs).toBeLessThan(400);
        expect(outcome === 'started' || node.openFiles === 0).toBe(true);
        node.crash('process');
      }
      node.disk.intercept = undefined;
      await node.start();
      await group.propose(node, 'x');
    });
  });

  it('is not retried by the replica that finds it out by itself', () =>
    singleNode(1, {}, async (node, group) => {
      failNext(node, 'write');
      await expect(group.propose(node, 'x')).rejects.toBeInstanceOf(LogboomError);
      const { operations } = node.disk;
      await group.world.sleep(5000);
      expect(node.disk.operations).toBe(operations);
    }));
});

describe('a full disk', () => {
  it('refuses appends, serves reads, and accepts appends again when there is space', () =>
    singleNode(1, {}, async (node, group) => {
      const acknowledged: string[] = [];
      node.disk.capacityBytes = node.disk.usedBytes;
      let refused: unknown;
      for (let at = 0; refused === undefined; at += 1) {
        const text = `x${at}`.padEnd(2000, '.');
        await group.propose(node, text).then(
          () => acknowledged.push(`x${at}`),
          (error: unknown) => (refused = error),
        );
      }
      expect(refused).toMatchObject({ reason: 'DISK_FULL', retryAfterMs: 1000, retryable: true });
      await node.replica.awaitLinearizable();
      expect(await textsOf(node.replica.reader)).toEqual(acknowledged);
      node.disk.capacityBytes = Number.POSITIVE_INFINITY;
      await group.until(() => node.running.appendsRefused() === undefined);
      await group.propose(node, 'again');
      expect((await textsOf(node.replica.reader)).at(-1)).toBe('again');
    }));

  it('does not keep a node from stopping', async () => {
    const group = new TestGroup(1, 1);
    const node = group.node(1);
    await group.run(async () => {
      await group.startAll();
      await group.propose(node, 'x');
      node.disk.capacityBytes = 0;
      node.stores.faults.flushFailuresPerMille = 1000;
      const flushed = expect(node.replica.flush()).rejects.toMatchObject({ reason: 'STATE_STORE_FAILED' });
      await group.until(() => node.complaints.length > 0);
      await node.stop();
      await flushed;
      expect(node.openFiles).toBe(0);
    }, 60_000);
  });

  it('on which a failed store cannot be reopened does not keep a node from stopping', () => {
    let isFull = false;
    const group = new TestGroup(1, 1, {
      wrapStores: (provider) => ({
        open: (directory, options) =>
          isFull ? Promise.reject(new Error('no space')) : provider.open(directory, options),
      }),
      manager: { flush: { ageMs: 20 } },
    });
    const node = group.node(1);
    return group.run(async () => {
      await group.startAll();
      await group.propose(node, 'x');
      isFull = true;
      node.stores.faults.flushFailuresPerMille = 1000;
      // The scheduler's own flush fails, and does not return before the store is reopened.
      await group.until(() => node.complaints.some((line) => line.includes('cannot be reopened yet')));
      await node.stop();
      expect(node.openFiles).toBe(0);
    }, 60_000);
  });

  it('answers QUEUE_FULL with a hint when more waits for the log than may', () =>
    singleNode(1, {}, async (node, group) => {
      node.disk.slowness = 1000;
      const outcomes: Promise<unknown>[] = [];
      for (let at = 0; at < 60; at += 1) {
        outcomes.push(group.propose(node, `x${at}`.padEnd(2000, '.')).catch((error: unknown) => error));
        await group.world.sleep(0.1);
      }
      const refusals = (await Promise.all(outcomes)).filter((outcome) => typeof outcome !== 'number');
      expect(refusals.length).toBeGreaterThan(0);
      expect(refusals.length).toBeLessThan(60);
      for (const refusal of refusals) expect(refusal).toMatchObject({ reason: 'QUEUE_FULL', retryAfterMs: 50 });
    }));
});
