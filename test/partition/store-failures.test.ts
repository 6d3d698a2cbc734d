/** A state store that fails is closed, reopened at its persisted LSN and replayed; nothing acknowledged is lost by it. */
import { describe, expect, it } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { LogboomError } from '../../src/base/errors.js';
import type { OrderedStore, OrderedStoreProvider } from '../../src/state-store/index.js';
import { textsOf, type ListMachine } from './support/list-machine.js';
import { singleNode, TestGroup, type TestNode } from './support/nodes.js';

/** Appends texts one after another, each until it is acknowledged. Answers what was acknowledged. */
async function appendAll(group: TestGroup, node: TestNode, prefix: string, count: number): Promise<string[]> {
  const acknowledged: string[] = [];
  for (let at = 0; at < count; at += 1) {
    const text = `${prefix}${at}`;
    for (;;) {
      try {
        await group.propose(node, text);
        break;
      } catch (error) {
        if (!(error instanceof LogboomError) || !error.retryable || node.replica.stopped !== undefined) throw error;
        await group.world.sleep(20);
      }
    }
    acknowledged.push(text);
  }
  return acknowledged;
}

const caughtUp = (node: TestNode): boolean => {
  const { appliedLsn, commitLsn } = node.replica.status;
  return appliedLsn === commitLsn;
};

/** As readers see them, which may have to wait until the store is back. */
async function readTexts(group: TestGroup, node: TestNode): Promise<string[]> {
  return group.until(() => {
    try {
      return textsOf(node.replica.reader);
    } catch {
      return undefined;
    }
  });
}

/** Makes one call of one database fail. */
function failing(
  provider: OrderedStoreProvider,
  shouldFail: (call: 'write' | 'flush', directory: string) => Error | undefined | Promise<Error | undefined>,
): OrderedStoreProvider {
  const wrap = (store: OrderedStore, directory: string): OrderedStore => ({
    write: async (operations) => {
      const error = await shouldFail('write', directory);
      if (error !== undefined) throw error;
      return store.write(operations);
    },
    flush: async () => {
      const error = await shouldFail('flush', directory);
      if (error !== undefined) throw error;
      return store.flush();
    },
    get: (key) => store.get(key),
    getMany: (keys) => store.getMany(keys),
    scan: (range) => store.scan(range),
    snapshot: () => store.snapshot(),
    compactRange: (from, to) => store.compactRange(from, to),
    approximateBytes: (from, to) => store.approximateBytes(from, to),
    close: () => store.close(),
  });
  return { open: async (directory, options) => wrap(await provider.open(directory, options), directory) };
}

describe('a state store that fails', () => {
  it.each([1, 2, 3, 4, 5, 6])('in many writes and flushes loses and repeats nothing (seed %i)', (seed) =>
    singleNode(seed, {}, async (node, group) => {
      node.stores.faults.writeFailuresPerMille = 30;
      node.stores.faults.flushFailuresPerMille = 300;
      const acknowledged = await appendAll(group, node, 'x', 200);
      node.stores.faults.writeFailuresPerMille = 0;
      node.stores.faults.flushFailuresPerMille = 0;
      expect(node.complaints.filter((line) => line.includes('reopened at its persisted LSN')).length).toBeGreaterThan(
        3,
      );
      await group.until(() => caughtUp(node));
      const texts = await readTexts(group, node);
      // An attempt whose outcome was open may be stored beside the one that was acknowledged; the order holds.
      expect(texts.filter((text, at) => text !== texts[at - 1])).toEqual(acknowledged);
      await node.stop();
      await node.start();
      expect(await readTexts(group, node)).toEqual(texts);
    }),
  );

  it('is reopened while applies wait for room, which only the reopening can make', () => {
    const group = new TestGroup(1, 1, {
      wrapStores: (provider) =>
        failing(provider, async (call) => {
          if (call !== 'flush' || (flushes += 1) > 1) return undefined;
          await group.world.sleep(300);
          return new Error('flush fails');
        }),
      manager: { flush: { budgetBytes: 2_000, hardLimitBytes: 4_000, storeBytes: 1 << 20, ageMs: 60_000 } },
    });
    let flushes = 0;
    const node = group.node(1);
    return group.run(async () => {
      await group.startAll();
      const outcomes: Promise<unknown>[] = [];
      for (let at = 0; at < 60; at += 1) {
        outcomes.push(group.propose(node, `x${at}`.padEnd(400, '.')).catch((error: unknown) => error));
        await group.world.sleep(5);
      }
      // The applies stand still: there is no room, and the flush that is to make some has not failed yet.
      expect(flushes).toBe(1);
      expect(node.replica.status.commitLsn - node.replica.status.appliedLsn).toBeGreaterThan(20);
      await group.until(() => caughtUp(node), 20_000);
      await Promise.all(outcomes);
      expect(await readTexts(group, node)).toHaveLength(60);
    });
  });

  it('does not stay open when it cannot be loaded, for that would keep every later attempt from opening it', () => {
    let machine: ListMachine | undefined;
    return singleNode(1, { prepareMachine: (made) => (machine = made) }, async (node, group) => {
      await group.propose(node, 'a');
      let loads = 0;
      machine!.onLoad = () => {
        loads += 1;
        if (loads < 3) throw new LogboomError('STATE_STORE_FAILED', 'reading failed');
      };
      node.stores.faults.writeFailuresPerMille = 1000;
      const outcome = Promise.allSettled([group.propose(node, 'b')]);
      await group.until(() => loads > 0);
      node.stores.faults.writeFailuresPerMille = 0;
      await outcome;
      await group.until(() => caughtUp(node));
      expect(loads).toBe(3);
      expect(await readTexts(group, node)).toEqual(['a', 'b']);
    });
  });

  it.each([
    ['a broken invariant', new InvariantViolation('two and two make five')],
    ['damage', new LogboomError('DATA_CORRUPT', 'rot')],
    ['a mistake in the program', new TypeError('undefined is not a function')],
  ])('stops the partition, instead of trying for ever, when the reopening meets %s', (_name, error) => {
    let machine: ListMachine | undefined;
    return singleNode(1, { prepareMachine: (made) => (machine = made) }, async (node, group) => {
      await group.propose(node, 'a');
      machine!.onLoad = () => {
        throw error;
      };
      node.stores.faults.writeFailuresPerMille = 1000;
      await expect(group.propose(node, 'b')).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
      expect(node.replica.status).toMatchObject({ role: 'stopped', fault: error.message });
      node.stores.faults.writeFailuresPerMille = 0;
      await expect(group.propose(node, 'c')).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
    });
  });

  it('that comes back below what it reported persisted stops the partition: it lost what it had promised', () => {
    const lose: (() => void)[] = [];
    const wrapStores = (provider: OrderedStoreProvider): OrderedStoreProvider => ({
      open: (directory, options) => {
        for (const act of lose.splice(0)) act();
        return provider.open(directory, options);
      },
    });
    return singleNode(1, { wrapStores }, async (node, group) => {
      for (let at = 0; at < 5; at += 1) await group.propose(node, `x${at}`);
      await node.replica.flush();
      const { persistedLsn } = node.replica.status;
      lose.push(() => node.stores.remove('/data/partitions/1'));
      node.stores.faults.writeFailuresPerMille = 1000;
      await expect(group.propose(node, 'y')).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
      expect(node.replica.status.fault).toContain(`reopened at 0, outside of [persisted ${persistedLsn}`);
    });
  });

  it('does not hide a broken invariant: a flush that meets one stops the partition', () => {
    let broken = false;
    const wrapStores = (provider: OrderedStoreProvider): OrderedStoreProvider =>
      failing(provider, (call) => (broken && call === 'flush' ? new InvariantViolation('out of order') : undefined));
    return singleNode(1, { wrapStores }, async (node, group) => {
      await group.propose(node, 'a');
      broken = true;
      await expect(node.replica.flush()).rejects.toBeInstanceOf(InvariantViolation);
      expect(node.replica.status).toMatchObject({ role: 'stopped', fault: 'out of order' });
      await expect(node.replica.flush()).rejects.toMatchObject({ reason: 'PARTITION_STOPPED' });
    });
  });

  it('never shows readers of the machine less than it has shown before', () =>
    singleNode(1, { manager: { flush: { ageMs: 3_600_000 } } }, async (node, group) => {
      for (let at = 0; at < 300; at += 1) await group.propose(node, `x${at}`);
      node.stores.faults.writeFailuresPerMille = 1000;
      const outcome = Promise.allSettled([group.propose(node, 'y')]);
      let refusals = 0;
      for (let looks = 0; looks < 2000; looks += 1) {
        await group.world.sleep(0.1);
        if (node.complaints.length > 0) node.stores.faults.writeFailuresPerMille = 0;
        try {
          expect(node.replica.machine.length).toBeGreaterThanOrEqual(300);
        } catch (error) {
          if (!(error instanceof LogboomError)) throw error;
          expect(error.reason).toBe('STATE_STORE_FAILED');
          refusals += 1;
        }
      }
      await outcome;
      expect(refusals).toBeGreaterThan(0);
      expect(node.replica.machine.length).toBe(301);
    }));

  it('is replayed in groups that fit one write, also when every entry writes much index', () => {
    const prepareMachine = (machine: ListMachine): void => void (machine.fillerEntries = 100);
    return singleNode(1, { prepareMachine, manager: { flush: { ageMs: 3_600_000 } } }, async (node, group) => {
      for (let at = 0; at < 20; at += 1) await group.propose(node, `x${at}`);
      node.crash('power');
      await node.start();
      expect(node.replica.status.fault).toBeUndefined();
      expect(await readTexts(group, node)).toHaveLength(20);
    });
  });

  it('of one partition does not keep the applies of another waiting for room that it will never make', () => {
    let failedDirectory = '';
    const wrapStores = (provider: OrderedStoreProvider): OrderedStoreProvider =>
      failing(provider, (call, directory) =>
        call === 'flush' && failedDirectory !== '' && directory.startsWith(failedDirectory)
          ? new InvariantViolation('out of order')
          : undefined,
      );
    const manager = { flush: { budgetBytes: 4_000, hardLimitBytes: 8_000, storeBytes: 1 << 20, ageMs: 3_600_000 } };
    return singleNode(1, { wrapStores, partitions: 2, manager }, async (node, group) => {
      failedDirectory = '/data/partitions/1';
      const fills = Array.from({ length: 40 }, (_, at) => group.propose(node, `x${at}`.padEnd(400, '.')));
      await Promise.allSettled(fills);
      await group.until(() => node.replica.stopped);
      const [, other] = node.running.replicas;
      for (let at = 0; at < 40; at += 1) await other!.propose(Buffer.from(`y${at}`.padEnd(400, '.')));
      expect(other!.machine.length).toBe(40);
    });
  });
});
