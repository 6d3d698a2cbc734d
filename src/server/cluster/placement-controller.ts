/** On the node that leads the metadata: changes where replicas are to be, and who is to lead, one thing after another. */
import { isLogboomError } from '../../base/errors.js';
import { Rounds } from '../../base/rounds.js';
import { nextIdentity } from '../../base/ports/random.js';
import { leaderTransfers, nextFeatureLevel, nextMove, supportedFeatureLevel } from '../../metadata/index.js';
import { NodeLiveness } from './node-liveness.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ClusterState, Liveness } from '../../metadata/index.js';
import type { MetadataProposals } from './metadata-proposals.js';
import type { TransferRequest } from './transfer-call.js';

const lookEveryMs = 500;
/** Each is an interruption of a partition; and the next is better decided when this one has come to pass. */
const transferEveryMs = 2000;

export interface PlacementControllerParts {
  readonly environment: Pick<Environment, 'clock' | 'logger' | 'random'>;
  readonly nodeId: NodeId;
  readonly proposals: MetadataProposals;
  /** What this node's own replica of the metadata has applied; undefined while it may not be asked as the leader. */
  readonly leaderState: () => ClusterState | undefined;
  /** Nodes, besides this one, of which there is a sign of life now. */
  readonly connected: () => readonly NodeId[];
  /** The node that leads a partition, as far as known. */
  readonly leaderOf: (partitionId: PartitionId) => NodeId | undefined;
  readonly transfer: (nodeId: NodeId, request: TransferRequest) => Promise<void>;
}

export class PlacementController {
  readonly #parts: PlacementControllerParts;
  readonly #rounds: Rounds;
  readonly #liveness = new NodeLiveness();
  #lastTransferMs = Number.NEGATIVE_INFINITY;

  constructor(parts: PlacementControllerParts) {
    this.#parts = parts;
    this.#rounds = new Rounds(parts.environment.clock, lookEveryMs, () => this.#lookWhereLed());
  }

  run(): void {
    this.#rounds.run();
  }

  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #lookWhereLed(): Promise<void> {
    const state = this.#parts.leaderState();
    if (state === undefined) this.#liveness.reset();
    else await this.#look(state).catch((error: unknown) => this.#failed(error));
  }

  async #look(state: ClusterState): Promise<void> {
    const { environment, nodeId, connected } = this.#parts;
    const present = [...state.nodes.values()].filter((node) => node.state !== 'removed').map(({ id }) => id);
    const nowMs = environment.clock.monotonicMs();
    const liveness = this.#liveness.observe(present, new Set([nodeId, ...connected()]), nowMs);
    await this.#raiseFeatureLevel(state);
    await this.#move(state, liveness);
    await this.#transfer(state, liveness, nowMs);
  }

  async #raiseFeatureLevel(state: ClusterState): Promise<void> {
    const level = nextFeatureLevel(state);
    // What the table has of this node may be of a newer build that it was before.
    if (level === undefined || level > supportedFeatureLevel) return;
    const { environment, proposals } = this.#parts;
    environment.logger.info('the feature level of the cluster rises', { from: state.featureLevel, to: level });
    await proposals.propose({ type: 'raise-feature-level', level });
  }

  async #move(state: ClusterState, liveness: Liveness): Promise<void> {
    const { environment, proposals } = this.#parts;
    const move = nextMove(state, liveness);
    if (move === undefined) return;
    const { partitionId, expectedVersion, desired, reason, from, to } = move;
    const requestId = nextIdentity(environment.random);
    environment.logger.info('the placement changes', {
      partition: partitionId,
      reason,
      ...(from === undefined ? {} : { fromReplica: from }),
      ...(to === undefined ? {} : { toNode: to }),
    });
    await proposals.propose({ type: 'set-placement', partitionId, requestId, expectedVersion, desired });
  }

  async #transfer(state: ClusterState, liveness: Liveness, nowMs: number): Promise<void> {
    const { environment, leaderOf, transfer } = this.#parts;
    if (nowMs - this.#lastTransferMs < transferEveryMs) return;
    const leaders = new Map<PartitionId, NodeId>();
    for (const id of state.partitions.keys()) {
      const leader = leaderOf(id);
      if (leader !== undefined) leaders.set(id, leader);
    }
    const [next] = leaderTransfers(state, liveness, leaders, 1);
    if (next === undefined) return;
    this.#lastTransferMs = nowMs;
    const { partitionId, fromNodeId, toNodeId, toReplicaId: replicaId, reason } = next;
    environment.logger.info('leadership is moved', { partition: partitionId, reason, from: fromNodeId, to: toNodeId });
    await transfer(fromNodeId, { partitionId, replicaId });
  }

  /** Refused because things have changed meanwhile, or not done for another reason that passes: the next look sees it. */
  #failed(error: unknown): void {
    if (!isLogboomError(error)) throw error;
    this.#parts.environment.logger.debug('the placement could not be changed', { error });
  }
}
