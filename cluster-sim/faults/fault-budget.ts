/**
 * What may be taken from a cluster without taking what must survive. A crash, a cut or a pause takes nothing for good; a
 * lost or rotten disk takes a vote and a copy. So at most one node's data is damaged at a time, only where every
 * configuration has a quorum without it, and not while a configuration change is under way that could need it.
 *
 * Why that is survivable: what is committed is synced at a majority of the voters of its time, and of two or more voters
 * that the newest configuration has, too (a change of one voter leaves a majority of three to five with two or more of
 * them; a joint change is committed by a majority of the new voters as well; where the newest has two voters or one,
 * none may be taken). So a replica that is left has everything, and the quorum that is left elects it. The next disk may
 * go only when no configuration in force names a lost replica any more: a voter that no node has as its replica votes
 * never again, so it counts as lost here even if whoever replaces nodes believes to be done.
 */
import { isQuorum, votersOf } from '../checkers/quorums.js';
import type { Cluster } from '../nodes/cluster.js';
import type { SimulatedNode } from '../nodes/simulated-node.js';

export class FaultBudget {
  readonly #cluster: Cluster;
  /** Nodes whose data is damaged, until another replica has taken their place. */
  readonly damaged = new Set<number>();
  /** Those of them whose replacement is under way. */
  readonly beingReplaced = new Set<number>();
  /** Partitions whose newest snapshot was damaged, until there is a newer one. */
  readonly archivesDamaged = new Set<number>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  mayDamage(node: SimulatedNode): boolean {
    const { plan, checker } = this.#cluster;
    if (plan.nodes < 3 || this.damaged.size > 0 || node.keptDown !== undefined || this.isConfigurationChanging())
      return false;
    const others = this.#cluster.nodes.filter((other) => other !== node && !other.damaged);
    for (const [partitionId, { newestConfiguration }] of checker.truths) {
      const intact = new Set(others.map((other) => other.replicaIdIn(partitionId)));
      // Only the newest: one that a replica far behind still has in force may name replicas that are gone.
      if (!isQuorum(newestConfiguration, (replica) => intact.has(replica))) return false;
      for (const confState of this.#cluster.configurations(partitionId)) {
        if (confState.votersOutgoing.length > 0) return false;
        const rest = new Set(votersOf(confState).filter((voter) => voter !== node.replicaIdIn(partitionId)));
        if (!isQuorum(confState, (replica) => rest.has(replica))) return false;
      }
    }
    return checker.truths.size > 0;
  }

  /** Whether some partition's newest archived snapshot has lost something. */
  #isArchiveDamaged(): boolean {
    const { archives } = this.#cluster;
    for (const partitionId of this.archivesDamaged) {
      if (archives.isNewestSound(partitionId)) this.archivesDamaged.delete(partitionId);
    }
    return this.archivesDamaged.size > 0;
  }

  /**
   * The newest snapshot of a partition may be damaged whoever needs it. What is trimmed is part of the state of whoever can be
   * elected, for it is committed; and a leader streams its state to a replica that finds no snapshot, also where the group
   * can commit nothing before that replica has it. One at a time, so that there are some whole ones, too.
   */
  mayDamageArchive(partitionId: number): boolean {
    return this.#cluster.checker.truth(partitionId) !== undefined && !this.#isArchiveDamaged();
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
