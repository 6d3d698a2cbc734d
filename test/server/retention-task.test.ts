import { beforeEach, expect, test } from 'vitest';
import { InvariantViolation } from '../../src/base/assert.js';
import { LogboomError } from '../../src/base/errors.js';
import { asLsn, asPartitionId } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import type { LogFields } from '../../src/base/ports/logger.js';
import { noMetrics } from '../../src/base/ports/metrics.js';
import type { Environment } from '../../src/base/ports/environment.js';
import { RetentionTask } from '../../src/partition/retention-task.js';
import type { RetainedReplica } from '../../src/partition/retention-task.js';
import { getProducer } from '../../src/streams/index.js';
import { TestPartition } from '../streams/support/partition.js';
import { ManualClock } from './support/manual-clock.js';

let partition: TestPartition;
let clock: ManualClock;
let isLeader: boolean;
let persistedLsn: number | undefined;
let failNext: Error | undefined;
let warnings: LogFields[];
let faults: Error[];

beforeEach(() => {
  partition = new TestPartition();
  clock = new ManualClock();
  partition.timeMs = clock.nowMs;
  isLeader = true;
  persistedLsn = undefined;
  failNext = undefined;
  warnings = [];
  faults = [];
});

function makeTask(producerIdleMs = 1000): RetentionTask {
  const { store } = partition;
  const replica: RetainedReplica = {
    partitionId: asPartitionId(1),
    get machine() {
      return partition.machine;
    },
    get isLeader() {
      return isLeader;
    },
    store: {
      get appliedLsn() {
        return store.appliedLsn;
      },
      get persistedLsn() {
        return asLsn(persistedLsn ?? store.appliedLsn);
      },
      getIndex: (key) => store.getIndex(key),
      scanIndex: (range) => store.scanIndex(range),
      getRecords: (lsns) => store.getRecords(lsns),
      deletePhysically: async (deletion) => store.deletePhysically(deletion),
    },
    propose: async (command) => {
      if (failNext) throw failNext;
      const [result] = partition.applyEntries([command]);
      return { lsn: asLsn(partition.log.length), result: result! };
    },
    fail: (error) => void faults.push(error),
  };
  const logger = { ...noLogger, warn: (_message: string, fields?: LogFields) => void warnings.push(fields ?? {}) };
  const environment = { clock, metrics: noMetrics, logger } as unknown as Environment;
  return new RetentionTask(environment, replica, {
    checkIntervalMs: 100,
    limits: { producerIdleMs },
    stepPauseMs: 0,
    stepBatchesMax: 2,
  });
}

/** One round, with the pauses in it. */
async function round(task: RetentionTask): Promise<void> {
  let isDone = false;
  const running = task.runOnce().finally(() => (isDone = true));
  while (!isDone) {
    await clock.advance(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await running;
}

async function fill(stream: string, batches: number): Promise<void> {
  for (let index = 0; index < batches; index++) {
    partition.timeMs = clock.nowMs;
    await partition.mustAppend(stream, ['x']);
    clock.nowMs += 1;
  }
}

test('the leader moves first seqs; what is gone is given back in steps', async () => {
  partition.create('s', { retentionBytes: 25 });
  partition.create('kept');
  await fill('s', 10);
  await fill('kept', 3);
  await round(makeTask());
  expect(partition.view('s')).toMatchObject({ firstSeq: 5, nextSeq: 10 });
  expect(partition.view('kept')).toMatchObject({ firstSeq: 0, nextSeq: 3 });
  expect(partition.store.records.size).toBe(5 + 3);
});

test('a follower proposes nothing, and gives back what the log says', async () => {
  partition.create('s', { retentionBytes: 5 });
  await fill('s', 4);
  isLeader = false;
  const task = makeTask();
  await round(task);
  expect(partition.view('s').firstSeq).toBe(0);
  isLeader = true;
  persistedLsn = 0;
  await round(task);
  expect(partition.view('s').firstSeq).toBe(3);
  // Not before the decision itself survives power loss.
  expect(partition.store.records.size).toBe(4);
  isLeader = false;
  persistedLsn = undefined;
  await round(task);
  expect(partition.store.records.size).toBe(1);
});

test('producers without records are forgotten when they were idle for long', async () => {
  partition.create('s', { retentionBytes: 5 });
  await partition.mustAppend('s', ['x'], { producer: { id: 'idle', epoch: 1, firstRecordNumber: 0 } });
  clock.nowMs += 5000;
  await fill('s', 2);
  const known = (): boolean => getProducer(partition.store, partition.view('s'), 'idle') !== undefined;
  const task = makeTask(6000);
  await round(task);
  expect(known()).toBe(true);
  clock.nowMs += 7000;
  await round(task);
  expect(known()).toBe(false);
});

test('a broken invariant ends the replica, and is not tried again', async () => {
  partition.create('s', { retentionBytes: 5 });
  await fill('s', 3);
  const task = makeTask();
  task.run();
  failNext = new InvariantViolation('two and two make five');
  for (let ms = 0; ms < 500; ms++) {
    await clock.advance(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(faults).toEqual([failNext]);
  expect(warnings).toEqual([]);
  await task.stop();
});

test('it goes on by itself, over errors that pass and over those that are told', async () => {
  partition.create('s', { retentionBytes: 5 });
  await fill('s', 3);
  const task = makeTask();
  const rounds = async (count: number): Promise<void> => {
    for (let index = 0; index < count * 100; index++) {
      await clock.advance(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  task.run();
  failNext = new LogboomError('QUEUE_FULL', 'later');
  await rounds(2);
  expect(warnings).toEqual([]);
  failNext = new LogboomError('INTERNAL', 'odd');
  await rounds(2);
  expect(warnings.length).toBeGreaterThan(0);
  expect(warnings[0]).toMatchObject({ partition: 1, error: failNext });
  failNext = undefined;
  await rounds(2);
  expect(partition.view('s').firstSeq).toBe(2);
  await task.stop();
  await fill('s', 1);
  await rounds(2);
  expect(partition.view('s').firstSeq).toBe(2);
});
