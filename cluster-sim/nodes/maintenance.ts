/** What a node does by itself: the leader proposes retention, and every replica deletes what nothing points to any more. */
import { encodeCommand, nextPhysicalDeletion, retentionCommand } from '../../src/streams/index.js';
import type { Cluster } from './cluster.js';
import type { Manager, SimulatedNode } from './simulated-node.js';

/** Runs until `isAlive` answers false. */
export function runMaintenance(node: SimulatedNode, manager: Manager, cluster: Cluster, isAlive: () => boolean): void {
  const round = async (): Promise<void> => {
    for (const replica of manager.replicas) {
      if (!isAlive()) return;
      try {
        if (replica.isLeader) await proposeRetention(node, replica, cluster);
        await deletePhysically(replica, cluster);
      } catch {
        // The store is being reopened, or leadership is lost: the next round tries again.
      }
    }
  };
  const loop = (): void => {
    void round().then(() => {
      if (isAlive()) node.clock.setTimer(cluster.plan.maintenanceMs, loop);
    });
  };
  node.clock.setTimer(cluster.plan.maintenanceMs, loop);
}

type NodeReplica = Manager['replicas'][number];

async function proposeRetention(node: SimulatedNode, replica: NodeReplica, cluster: Cluster): Promise<void> {
  for (const stream of [...replica.machine.streams()]) {
    const command = await retentionCommand(replica.reader, stream, node.clock.wallMs());
    if (command === undefined) continue;
    await replica.propose(encodeCommand(command, { timeMs: Math.floor(node.clock.wallMs()) }));
    cluster.count('retention steps');
  }
}

async function deletePhysically(replica: NodeReplica, cluster: Cluster): Promise<void> {
  for (;;) {
    const { store } = replica;
    const step = await nextPhysicalDeletion(replica.machine, store, { persistedLsn: store.persistedLsn });
    if (step === undefined) return;
    await store.deletePhysically(step.deletion);
    step.done();
    cluster.count('physical deletions');
  }
}
