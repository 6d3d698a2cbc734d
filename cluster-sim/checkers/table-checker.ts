/** What must hold of the cluster's table, whichever node shows it: looked at each time that one does. */
import { crc32 } from 'node:zlib';
import type { NodeId } from '../../src/base/ids.js';
import {
  encodePartitionTable,
  type ClusterState,
  type NodeView,
  type PartitionView,
} from '../../src/metadata/index.js';
import type { Verdict } from './verdict.js';

/** Who has an incarnation, and whether the cluster still takes it. */
interface Incarnation {
  readonly nodeId: number;
  isRetired: boolean;
}

export class TableChecker {
  readonly #verdict: Verdict;
  /** CRC-32 of the table of each version. */
  readonly #digests = new Map<number, number>();
  readonly #incarnations = new Map<string, Incarnation>();
  /** The node of each replica id, by partition. */
  readonly #holders = new Map<number, Map<number, number>>();
  /** Replica ids that were members of their groups, by partition. */
  readonly #settled = new Map<number, Set<number>>();
  #newest: ClusterState | undefined;

  constructor(verdict: Verdict) {
    this.#verdict = verdict;
  }

  /** Undefined before there is one. */
  get newest(): ClusterState | undefined {
    return this.#newest;
  }

  /** As the newest table has it. */
  node(id: number): NodeView | undefined {
    return this.#newest?.nodes.get(id as NodeId);
  }

  /** A node shows the table as it has applied it, or as others gave it to it. */
  see(nodeId: number, state: ClusterState): void {
    const { tableVersion } = state;
    const digest = crc32(encodePartitionTable(state));
    const known = this.#digests.get(tableVersion);
    this.#verdict.require(
      known === undefined || known === digest,
      'one-table-a-version',
      () => `node ${nodeId} shows another table of version ${tableVersion} than a node before`,
    );
    if (known !== undefined) return;
    this.#digests.set(tableVersion, digest);
    this.#checkIncarnations(state);
    for (const partition of state.partitions.values()) {
      this.#checkHolders(partition);
      this.#checkMoves(partition, state);
    }
    if (tableVersion > (this.#newest?.tableVersion ?? 0)) this.#newest = state;
  }

  #checkIncarnations({ nodes }: ClusterState): void {
    for (const { id, incarnation, retiredIncarnations } of nodes.values()) {
      const known = this.#incarnations.get(incarnation);
      this.#verdict.require(
        known === undefined || (known.nodeId === id && !known.isRetired),
        'one-owner-of-an-incarnation',
        () =>
          `node ${id} has incarnation ${incarnation}, which ${known?.isRetired === true ? 'was retired' : `node ${known?.nodeId} has`}`,
      );
      if (known === undefined) this.#incarnations.set(incarnation, { nodeId: id, isRetired: false });
      for (const retired of retiredIncarnations) {
        this.#incarnations.set(retired, { nodeId: id, isRetired: true });
      }
    }
  }

  /** A replica id stands for one log and its votes, on one node. */
  #checkHolders({ id, replicas, nextReplicaId }: PartitionView): void {
    const holders = this.#holders.get(id) ?? new Map<number, number>();
    this.#holders.set(id, holders);
    for (const { replicaId, nodeId } of replicas) {
      const known = holders.get(replicaId);
      this.#verdict.require(
        replicaId < nextReplicaId && (known === undefined || known === nodeId),
        'one-node-a-replica-id',
        () => `partition ${id}: replica ${replicaId} is on node ${nodeId}, and was on node ${known}`,
      );
      holders.set(replicaId, nodeId);
    }
  }

  /**
   * Besides those that a lost disk has taken, one voter comes and one that was there goes at a time (one that never arrived
   * may be sent elsewhere); and none is on a node that was removed.
   */
  #checkMoves({ id, replicas }: PartitionView, { nodes }: ClusterState): void {
    if (id === 0) return;
    const lost = replicas.filter(({ state }) => state === 'lost').length;
    const settled = this.#settled.get(id) ?? new Set<number>();
    this.#settled.set(id, settled);
    for (const replica of replicas) if (replica.state === 'settled') settled.add(replica.replicaId);
    const voters = replicas.filter(({ role }) => role === 'voter');
    for (const state of ['joining', 'leaving'] as const) {
      const moving = voters.filter((replica) => {
        return replica.state === state && (state === 'joining' || settled.has(replica.replicaId));
      }).length;
      this.#verdict.require(
        moving <= 1 + lost,
        'one-replica-of-a-group-moves',
        () => `partition ${id}: ${moving} replicas are ${state}, and ${lost} lost`,
      );
    }
    const astray = replicas.find(({ nodeId, state }) => state !== 'lost' && nodes.get(nodeId)?.state === 'removed');
    this.#verdict.require(
      astray === undefined,
      'removed-nodes-hold-nothing',
      () => `partition ${id}: replica ${astray?.replicaId} is on node ${astray?.nodeId}, which was removed`,
    );
  }
}
