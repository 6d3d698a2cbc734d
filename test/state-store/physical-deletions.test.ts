import { expect, test, vi } from 'vitest';

import { noStoreFaults, SimulatedStoreProvider } from '../../cluster-sim/simulated-ordered-store.js';
import { asLsn } from '../../src/base/ids.js';
import type { StoreOperation } from '../../src/state-store/index.js';
import { PhysicalDeletions } from '../../src/state-store/physical-deletions.js';
import { recordsKey } from '../../src/state-store/sealed-values.js';
import { SerialGate } from '../../src/state-store/serial-gate.js';
import { bytes, realClock, seededRandom } from './support.js';

async function deletionsOf(
  records: number[],
  {
    requested = [],
    reclaimBytesMin = 1 << 20,
    value = 'v',
  }: { requested?: number[]; reclaimBytesMin?: number; value?: string } = {},
) {
  const sweepDeletionsMin = 4;
  const faults = { ...noStoreFaults, flushMsMin: 0, flushMsMax: 1 };
  const provider = new SimulatedStoreProvider({ clock: realClock, random: seededRandom(1), faults });
  const store = await provider.open('/records', { writeBufferBytes: 1 << 20, tableBytes: 1, blockCacheBytes: 0 });
  await store.write(records.map((lsn) => ({ type: 'put', key: recordsKey(asLsn(lsn)), value: bytes(value) })));
  await store.flush();
  const removedRequests: StoreOperation[] = [];
  const deletions = new PhysicalDeletions({
    records: store,
    gate: new SerialGate(),
    clock: realClock,
    sweepDeletionsMin,
    reclaimBytesMin,
    requested: requested.map(asLsn),
    writeIndex: (operations) => Promise.resolve(void removedRequests.push(...operations)),
    onSwept: () => {},
    onFailure: (error) => {
      throw error;
    },
  });
  const left = (): number[] => records.filter((lsn) => store.get(recordsKey(asLsn(lsn))) !== undefined);
  return { deletions, left, removedRequests };
}

const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

test('only what a completed flush covers is carried out', async () => {
  const { deletions, left, removedRequests } = await deletionsOf([1, 2, 3, 4]);
  deletions.requested([asLsn(1), asLsn(2)]);
  deletions.flushStarted(true);
  deletions.requested([asLsn(3)]);
  deletions.flushCompleted(true);
  await vi.waitFor(() => expect(left()).toEqual([3, 4]));
  await moment();
  expect(removedRequests).toHaveLength(2);
  expect([1, 2, 3].map((lsn) => deletions.has(asLsn(lsn)))).toEqual([false, false, true]);
});

test('a flush that began while requests were held in memory covers none', async () => {
  const { deletions, left } = await deletionsOf([1, 2]);
  deletions.requested([asLsn(1), asLsn(2)]);
  deletions.flushStarted(false);
  deletions.flushCompleted(true);
  await moment();
  expect(left()).toEqual([1, 2]);
});

test('few wait for an idle moment, many do not', async () => {
  const { deletions, left } = await deletionsOf([1, 2, 3, 4, 5]);
  deletions.requested([1, 2, 3].map(asLsn));
  deletions.flushStarted(true);
  deletions.flushCompleted(false);
  await moment();
  expect(left()).toEqual([1, 2, 3, 4, 5]);
  deletions.requested([asLsn(4)]);
  deletions.flushStarted(true);
  deletions.flushCompleted(false);
  await vi.waitFor(() => expect(left()).toEqual([5]));
});

test('what an open found is covered already', async () => {
  const { deletions, left } = await deletionsOf([1, 2], { requested: [1] });
  deletions.flushStarted(true);
  deletions.flushCompleted(true);
  await vi.waitFor(() => expect(left()).toEqual([2]));
  await deletions.close();
});

test('few that are large were left lying for a minute beside a busy stream', async () => {
  const value = 'v'.repeat(1000);
  const { deletions, left } = await deletionsOf([1, 2, 3, 4, 5], { reclaimBytesMin: 1500, value });
  deletions.requested([asLsn(4)]);
  deletions.flushStarted(true);
  deletions.flushCompleted(false);
  await moment();
  expect(left()).toEqual([1, 2, 3, 4, 5]);
  deletions.requested([asLsn(2)]);
  deletions.flushStarted(true);
  deletions.flushCompleted(false);
  await vi.waitFor(() => expect(left()).toEqual([1, 3, 5]));
});
