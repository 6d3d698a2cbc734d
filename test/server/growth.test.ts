import { expect, test } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asPartitionId } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { Growth, type GrowingReplica } from '../../src/server/cluster/growth.js';
import { ManualClock } from './support/manual-clock.js';

class Partition implements GrowingReplica {
  readonly partitionId;
  readonly status: { trimPoint: number; archivedLsn?: number };
  snapshots = 0;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;

  constructor(id: number, status: { trimPoint: number; archivedLsn?: number }) {
    this.partitionId = asPartitionId(id);
    this.status = status;
  }

  snapshot(): Promise<void> {
    this.snapshots += 1;
    return new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
  }

  archive(): void {
    this.status.archivedLsn = this.status.trimPoint;
    this.#settle?.resolve();
  }

  fail(): void {
    this.#settle?.reject(new LogboomError('REPOSITORY_UNAVAILABLE', 'away'));
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function growthOf(partitions: readonly Partition[], { hasRepository = true, isAlone = true } = {}) {
  const clock = new ManualClock();
  const growth = new Growth({
    clock,
    logger: noLogger,
    replicas: () => partitions,
    hasRepository,
    isAlone: () => isAlone,
  });
  return { clock, growth };
}

test('a log that was never trimmed, or only to what is archived, holds nobody up', () => {
  const partitions = [new Partition(1, { trimPoint: 0 }), new Partition(2, { trimPoint: 5, archivedLsn: 5 })];
  const { growth } = growthOf(partitions, { hasRepository: false });
  expect(growth.prepare()).toBeUndefined();
  expect(growth.hasBegun).toBe(true);
});

test('what was trimmed is archived first, once a partition; a failed snapshot is taken again', async () => {
  const [one, two] = [new Partition(1, { trimPoint: 7 }), new Partition(2, { trimPoint: 9, archivedLsn: 8 })];
  const { growth } = growthOf([one, two, new Partition(3, { trimPoint: 0 })]);
  expect(growth.prepare()).toContain('of 2 of 3 partitions');
  expect(growth.prepare()).toContain('of 2 of 3 partitions');
  expect([one.snapshots, two.snapshots]).toEqual([1, 1]);
  one.archive();
  two.fail();
  await settled();
  expect(growth.prepare()).toContain('of 1 of 3 partitions');
  expect([one.snapshots, two.snapshots]).toEqual([1, 2]);
  two.archive();
  await settled();
  expect(growth.prepare()).toBeUndefined();
});

test('without a repository the second node is told what to set', () => {
  const { growth } = growthOf([new Partition(4, { trimPoint: 7 })], { hasRepository: false });
  expect(() => growth.prepare()).toThrow(/Set snapshots.repository, on both nodes/);
});

test('trimming to the persisted LSN is off while somebody asks, and on again when nobody does', async () => {
  const { clock, growth } = growthOf([]);
  expect(growth.hasBegun).toBe(false);
  growth.prepare();
  await clock.advance(59_000);
  expect(growth.hasBegun).toBe(true);
  await clock.advance(2000);
  expect(growth.hasBegun).toBe(false);
});

test('a cluster of several has nothing to prepare', () => {
  const { growth } = growthOf([new Partition(1, { trimPoint: 7 })], { isAlone: false });
  expect(growth.prepare()).toBeUndefined();
  expect(growth.hasBegun).toBe(false);
});
