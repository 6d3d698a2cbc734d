/** What has diverged is to be made anew: asked for until it is taken, and not again and again after that. */
import { expect, test } from 'vitest';
import { LogboomError } from '../../src/base/errors.js';
import { asPartitionId, asReplicaId } from '../../src/base/ids.js';
import { noLogger } from '../../src/base/ports/logger.js';
import { Rebuilder } from '../../src/server/cluster/rebuilder.js';
import { ManualClock } from './support/manual-clock.js';
import type { ReplicaReport } from '../../src/server/cluster/metadata-proposals.js';

const minuteMs = 60_000;
const partitionId = asPartitionId(3);

test('asks the metadata until it agrees; for the same partition again only after ten minutes', async () => {
  const clock = new ManualClock();
  const asked: ReplicaReport[] = [];
  const warnings: string[] = [];
  const logger = { ...noLogger, warn: (message: string) => void warnings.push(message) };
  let refusal: Error | undefined = new LogboomError('QUORUM_WOULD_BE_LOST', 'no majority without it');
  let diverged: { partitionId: typeof partitionId; replicaId: ReturnType<typeof asReplicaId> }[] = [];
  const rebuilder = new Rebuilder({
    environment: { clock, logger },
    diverged: () => diverged,
    report: async ([report]) => {
      asked.push(report as ReplicaReport);
      if (refusal !== undefined) throw refusal;
    },
  });
  rebuilder.run();
  await clock.advance(5000);
  expect(asked).toEqual([]);

  diverged = [{ partitionId, replicaId: asReplicaId(5) }];
  for (let second = 0; second < 4; second += 1) await clock.advance(1000);
  expect(asked).toEqual(Array(4).fill({ type: 'replace-replica', partitionId, replicaId: 5 }));
  // Told once, not every second.
  expect(warnings).toEqual(['a replica that has diverged cannot be made anew yet']);

  refusal = undefined;
  await clock.advance(1000);
  expect(asked).toHaveLength(5);
  expect(warnings).toHaveLength(2);
  // The next one of the partition diverges as well: by the same memory, perhaps.
  diverged = [{ partitionId, replicaId: asReplicaId(6) }];
  for (let minute = 0; minute < 9; minute += 1) await clock.advance(minuteMs);
  expect(asked).toHaveLength(5);
  await clock.advance(minuteMs);
  expect(asked[5]).toEqual({ type: 'replace-replica', partitionId, replicaId: 6 });
  await rebuilder.stop();
});
