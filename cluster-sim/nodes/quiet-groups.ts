/** Groups of a node that fall quiet and wake, as they do: counted, and checked. */
import { noMetrics, type Metrics } from '../../src/base/ports/metrics.js';
import type { Manager, Surroundings } from './surroundings.js';

/** Carries out what a message of a partition has to do, and looks at what that did to its replica. */
export function watchQuiet(cluster: Surroundings, manager: Manager, partitionId: number, deliver: () => void): void {
  const replica = manager.replicas.find((one) => one.partitionId === partitionId);
  const wasQuiet = replica?.isQuiet === true;
  deliver();
  if (replica === undefined || replica.isQuiet === wasQuiet) return;
  if (wasQuiet) return cluster.count('quiet replicas woken by messages');
  if (!replica.isLeader) return cluster.count('followers fallen quiet');
  cluster.count('groups fallen quiet');
  cluster.checker.fellQuiet(partitionId, replica.replicaId);
}

/** What the server counts itself. */
export function quietMetrics(cluster: Surroundings): Metrics {
  return {
    ...noMetrics,
    counter: (name, help) => {
      if (name !== 'logboom_partition_woken_by_silence_total') return noMetrics.counter(name, help);
      return { add: (value) => cluster.count('quiet replicas woken by silence', value) };
    },
  };
}
