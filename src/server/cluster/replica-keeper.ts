/** Makes and removes the replicas of this node as the newest table says, one table after another. */
import { isLogboomError } from '../../base/errors.js';
import { metadataPartition } from '../replicas.js';
import { seatIn } from './formation-record.js';
import { isMetadata, replicaWork } from './own-replicas.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { ClusterState } from '../../metadata/index.js';
import type { ReplicaPlacement } from '../../partition/index.js';
import type { NodeManager, NodeReplica } from '../replicas.js';
import type { FormationRecord, MetadataSeat } from './formation-record.js';

export interface ReplicaKeeperParts {
  readonly nodeId: NodeId;
  readonly manager: NodeManager;
  readonly record: () => FormationRecord;
  /** The node begins with another replica of the metadata from here on. Durable when it resolves. */
  readonly changeSeat: (seat: MetadataSeat) => Promise<void>;
  readonly onAdded: (replica: NodeReplica) => void;
  /** Before it is removed. */
  readonly onRemoving: (partitionId: PartitionId) => Promise<void> | void;
  /** The node cannot hold what the metadata gives to it. */
  readonly onFatal: (error: Error) => void;
}

export class ReplicaKeeper {
  readonly #parts: ReplicaKeeperParts;
  readonly #stopping = new AbortController();
  /** Of a table that waits for the one before to be carried out; older ones that waited are left out. */
  #next: ClusterState | undefined;
  #working: Promise<void> = Promise.resolve();
  #isWorking = false;

  constructor(parts: ReplicaKeeperParts) {
    this.#parts = parts;
  }

  follow(state: ClusterState): void {
    this.#next = state;
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.#working = this.#work();
  }

  /** Resolves when this node has what the tables so far say. */
  get settled(): Promise<void> {
    return this.#working;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    try {
      for (let state = this.#take(); state !== undefined && !signal.aborted; state = this.#take()) {
        await this.#carryOut(state);
      }
    } catch (error) {
      const isStopping = signal.aborted || isLogboomError(error, 'SHUTTING_DOWN');
      if (!isStopping) this.#parts.onFatal(error as Error);
    } finally {
      this.#isWorking = false;
    }
  }

  #take(): ClusterState | undefined {
    const state = this.#next;
    this.#next = undefined;
    return state;
  }

  async #carryOut(state: ClusterState): Promise<void> {
    const { nodeId, manager } = this.#parts;
    const held = manager.replicas.map(({ partitionId, replicaId }) => ({ partitionId, replicaId }));
    const { remove, make } = replicaWork(state, nodeId, held, (replica) => manager.wasRemoved(replica));
    for (const { partitionId, replicaId } of remove) await this.#remove(partitionId, replicaId, state);
    for (const placement of make) await this.#make(placement, state);
  }

  async #remove(partitionId: PartitionId, replicaId: ReplicaId, state: ClusterState): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    // First where the node begins instead: killed in between, it would begin with the old one, empty.
    if (partitionId === metadataPartition) await this.#takeSeat(state);
    await this.#parts.onRemoving(partitionId);
    await this.#parts.manager.removeReplica(partitionId, replicaId);
  }

  async #make(placement: ReplicaPlacement, state: ClusterState): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    if (isMetadata(placement)) await this.#takeSeat(state);
    this.#parts.onAdded(await this.#parts.manager.addReplica(placement));
  }

  async #takeSeat(state: ClusterState): Promise<void> {
    const { nodeId, record, changeSeat } = this.#parts;
    const seat = seatIn(state, nodeId);
    if (seat !== undefined && seat.replicaId !== record().seat?.replicaId) await changeSeat(seat);
  }
}
