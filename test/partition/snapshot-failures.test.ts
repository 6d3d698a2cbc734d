/** Snapshots and bootstraps that are interrupted: twice, by a disk or a log that fails, by a stop, without a quorum. */
import { describe, expect, it } from 'vitest';
import type { DiskOperation } from '../../cluster-sim/simulated-disk.js';
import { asReplicaId, asTerm } from '../../src/base/ids.js';
import {
  appendMany,
  archived,
  changeMembers,
  expectEqualReplicas,
  expectNothingLeft,
  newcomer,
  three,
  trimmedTo,
} from './support/archived-groups.js';
import { sharedObjects, type TestGroup, type TestNode } from './support/nodes.js';

/** A node of three that was down for so long that it needs a snapshot; it is not started. */
function left(
  seed: number,
  body: (group: TestGroup, parts: { leader: TestNode; away: TestNode; archivedLsn: number }) => Promise<void>,
): Promise<void> {
  return three(seed, archived(sharedObjects()), async (group, leader) => {
    await appendMany(group, 10);
    const first = await leader.replica.snapshot();
    await trimmedTo(group, first.archivedLsn);
    const away = group.nodes.find((node) => node !== leader)!;
    await away.stop();
    await appendMany(group, 40);
    const { archivedLsn } = await leader.replica.snapshot();
    await trimmedTo(group, archivedLsn);
    await appendMany(group, 5);
    await body(group, { leader, away, archivedLsn });
  });
}

/** Resolves to whether `work` ended in time. */
async function endsWithin(group: TestGroup, limitMs: number, work: Promise<unknown>): Promise<boolean> {
  const late = Symbol('late');
  return (await Promise.race([work, group.world.sleep(limitMs).then(() => late)])) !== late;
}

const isRenameTo = (operation: DiskOperation, from: string): boolean =>
  operation.kind === 'rename' && operation.path === from;

describe('putting an imported state in place', () => {
  // The first crash is the process's, so that nothing is lost, and nothing synced either; then the power goes.
  it.each(Array.from({ length: 24 }, (_, at) => at))(
    'survives a kill behind the point of no return, and then a power loss while the start finishes it (%i)',
    (round) =>
      left(200 + round, async (group, { leader, away }) => {
        const from = round % 2 === 0 ? '/data/partitions/1.staging' : '/data/partitions/1.ready';
        let renamed = false;
        let crashed = false;
        away.disk.intercept = (operation) => {
          if (renamed) {
            // The operation after the rename: it is done, and not synced.
            crashed = true;
            away.crash('process');
          }
          renamed = isRenameTo(operation, from);
          return undefined;
        };
        void away.start().catch(() => {});
        await group.until(() => crashed);
        // Long enough for the log to take what the rename is the reason for.
        let operations = 0;
        crashed = false;
        away.disk.intercept = () => {
          operations += 1;
          if (operations !== 12 + 2 * (round >> 1)) return undefined;
          crashed = true;
          away.crash('power');
          return undefined;
        };
        const started = away.start().catch(() => {});
        await group.until(() => crashed || away.manager?.replicas[0]?.status.appliedLsn === leader.replica.status.appliedLsn);
        away.disk.intercept = undefined;
        if (crashed) await away.start();
        else await started;
        await appendMany(group, 3);
        await expectEqualReplicas(group);
        await expectNothingLeft(away);
      }),
  );
});

describe('a node that stops', () => {
  it('does not wait for a checkpoint that cannot be committed', () =>
    three(300, archived(sharedObjects()), async (group, leader) => {
      await appendMany(group, 5);
      group.travel = () => undefined;
      const outcome = leader.replica.snapshot().catch((error: unknown) => error);
      await group.world.sleep(20);
      expect(await endsWithin(group, 5000, leader.stop())).toBe(true);
      expect(await outcome).toMatchObject({ reason: 'SHUTTING_DOWN' });
    }));
});

describe('a bootstrap', () => {
  it('waits for what the log still writes before it replaces it', () =>
    left(400, async (group, { leader, away }) => {
      let delivered = false;
      away.disk.intercept = (operation) => {
        if (operation.kind === 'datasync' && operation.path.includes('/wal/') && delivered) {
          return { kind: 'delay', delayMs: 300 };
        }
        if (!delivered && operation.kind !== 'readFile' && operation.path.endsWith('1.staging/restore.json')) {
          delivered = true;
          const { term } = away.replica.status;
          // A change of term has to be stored, and is handed over before the imported state is.
          away.replica.deliver({
            type: 'heartbeat',
            from: asReplicaId(leader.id),
            to: asReplicaId(away.id),
            term: asTerm(term + 1),
            commit: away.replica.raftStatus.commit,
            round: 0,
          });
        }
        return undefined;
      };
      await away.start();
      await group.until(() => delivered);
      await expectEqualReplicas(group);
      expect(away.replica.stopped).toBeUndefined();
      await expectNothingLeft(away);
    }));
});
