/** What a node does by itself: the leader proposes retention, and every replica deletes what nothing points to any more. */
import { encodeCommand, nextPhysicalDeletion, retentionCommand } from '../../src/streams/index.js';
import { isLogboomError } from '../../src/base/errors.js';
import type { Clock } from '../../src/base/ports/clock.js';
import type { Manager, Surroundings } from './surroundings.js';

/** Runs until `isAlive` answers false. */
export function runMaintenance(clock: Clock, manager: Manager, cluster: Surroundings, isAlive: () => boolean): void {
  const round = async (): Promise<void> => {
    for (const replica of manager.replicas) {
      if (!isAlive()) return;
      try {
        if (replica.isLeader) await proposeRetention(clock, replica, cluster);
        await deletePhysically(replica, cluster);
      } catch (error) {
        // The store is being reopened, or leadership is lost: the next round tries again. Anything else is a bug.
        if (isLogboomError(error)) continue;
        const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
        cluster.verdict.broken('assertion', `maintenance of partition ${replica.partitionId}: ${what}`);
        return;
      }
    }
  };
  const loop = (): void => {
    void round().then(() => {
      if (isAlive()) clock.setTimer(cluster.plan.maintenanceMs, loop);
    });
  };
  clock.setTimer(cluster.plan.maintenanceMs, loop);
}

type NodeReplica = Manager['replicas'][number];

async function proposeRetention(clock: Clock, replica: NodeReplica, cluster: Surroundings): Promise<void> {
  for (const stream of [...replica.machine.streams()]) {
    const command = await retentionCommand(replica.reader, stream, clock.wallMs());
    if (command === undefined) continue;
    await replica.propose(encodeCommand(command, { timeMs: Math.floor(clock.wallMs()) }));
    cluster.count('retention steps');
  }
}

async function deletePhysically(replica: NodeReplica, cluster: Surroundings): Promise<void> {
  for (;;) {
    const { store } = replica;
    const step = await nextPhysicalDeletion(replica.machine, store, { persistedLsn: store.persistedLsn });
    if (step === undefined) return;
    await store.deletePhysically(step.deletion);
    step.done();
    cluster.count('physical deletions');
  }
}
