/**
 * What may be taken from a cluster without taking what must survive. A crash, a cut or a pause takes nothing for good; a
 * lost or rotten disk takes a vote and a copy. So at most one node's data is damaged at a time, only where every
 * configuration has a quorum without it, and not while a configuration change is under way that could need it.
 */
import { isQuorum, votersOf } from '../checkers/quorums.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';

export class FaultBudget {
  readonly #cluster: Cluster;
  /** Nodes whose data is damaged, until another replica has taken their place. */
  readonly damaged = new Set<number>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  mayDamage(node: SimulatedNode): boolean {
    const { plan, checker } = this.#cluster;
    if (plan.nodes < 3 || this.damaged.size > 0 || node.keptDown !== undefined || this.isConfigurationChanging())
      return false;
    for (const partitionId of checker.truths.keys()) {
      for (const confState of this.#cluster.configurations(partitionId)) {
        if (confState.votersOutgoing.length > 0) return false;
        const others = new Set(votersOf(confState).filter((voter) => voter !== node.replicaId));
        if (!isQuorum(confState, (replica) => others.has(replica))) return false;
      }
    }
    return checker.truths.size > 0;
  }

  /** Whether some log holds a configuration entry that is not known to be in force. */
  isConfigurationChanging(): boolean {
    const { checker } = this.#cluster;
    for (const record of checker.records) {
      const inForce = checker.truth(record.partitionId)?.configurations.at(-1)?.lsn ?? 0;
      if (record.lastConfigurationLsn > inForce) return true;
      if (record.confState.votersOutgoing.length > 0) return true;
    }
    return false;
  }
}
