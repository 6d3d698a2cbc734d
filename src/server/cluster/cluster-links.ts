/** A member's links: who is admitted, where messages of replicas go, and from whom they are taken. */
import { LogboomError } from '../../base/errors.js';
import { supportedFeatureLevel } from '../../metadata/index.js';
import { Links } from '../../transport/index.js';
import { linkListenAddress } from '../config/index.js';
import { decodeFormationState, formationHandler, formationMethod, nodeAddress } from './formation-call.js';
import { memberOf } from './formation-record.js';
import { ReplicaDirectory } from './replica-directory.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ClusterState, NodeDescription } from '../../metadata/index.js';
import type { ReplicaTransport } from '../../partition/index.js';
import type { WireMessage } from '../../raft/types.js';
import type {
  CallMethod,
  Delivery,
  LinkHost,
  LinkIdentity,
  LossScope,
  MemberHello,
  NodeAddress,
} from '../../transport/index.js';
import type { Configuration, ListedNode } from '../config/index.js';
import type { NodeManager } from '../replicas.js';
import type { NodeSecurity } from '../security/node-security.js';
import type { FormationRecord } from './formation-record.js';
import type { FormationState } from './formation-verdict.js';

const askTimeoutMs = 2000;

export interface ClusterLinksParts {
  readonly environment: Environment;
  readonly configuration: Configuration;
  readonly self: Pick<NodeDescription, 'id' | 'incarnation'>;
  readonly security: Pick<NodeSecurity, 'linkTls' | 'onLinkRenewal'>;
  /** What this node is while it belongs to no cluster. */
  readonly alone: () => FormationState;
}

export class ClusterLinks implements LinkHost, ReplicaTransport {
  readonly #parts: ClusterLinksParts;
  readonly #links: Links;
  readonly #listens: boolean;
  #record: FormationRecord | undefined;
  #state: ClusterState | undefined;
  #directory: ReplicaDirectory | undefined;
  #manager: NodeManager | undefined;

  constructor(parts: ClusterLinksParts) {
    this.#parts = parts;
    const tls = parts.security.linkTls;
    const listen = linkListenAddress(parts.configuration);
    this.#listens = listen !== undefined;
    this.#links = new Links(parts.environment, {
      listen: listen ?? { host: '127.0.0.1', port: 0 },
      host: this,
      ...(tls === undefined ? {} : { tls }),
    });
    parts.security.onLinkRenewal(() => this.#links.renewTls());
    this.#links.handle(
      formationMethod,
      formationHandler(() => ({ ...parts.alone(), record: this.#record })),
    );
  }

  /**
   * Listens; answers where, undefined of a node alone that does not.
   *
   * @throws LogboomError ADDRESS_IN_USE, CONFIGURATION_INVALID
   */
  async run(): Promise<NodeAddress | undefined> {
    return this.#listens ? this.#links.run() : undefined;
  }

  stop(): Promise<void> {
    return this.#links.stop();
  }

  /** The node is a member from here on: the record is durable. */
  joined(record: FormationRecord): void {
    this.#record = record;
    this.#directory = new ReplicaDirectory(record, this.#state);
    // The list of the configuration, not of the record: an operator may have moved a node to another address.
    for (const { id, linkAddress } of this.#parts.configuration.cluster.nodes) {
      const member = memberOf(record, id as NodeId);
      if (member && member.id !== this.#parts.self.id) this.#links.setPeer(member.id, nodeAddress(linkAddress));
    }
  }

  /** Messages are delivered to these replicas from here on. */
  attach(manager: NodeManager): void {
    this.#manager = manager;
  }

  /** The metadata has changed. */
  follow(state: ClusterState): void {
    this.#state = state;
    if (this.#record) this.#directory = new ReplicaDirectory(this.#record, state);
  }

  get directory(): ReplicaDirectory | undefined {
    return this.#directory;
  }

  /** Also of a node that is no member yet. @throws LogboomError of `Links.callAt` */
  async ask({ linkAddress }: ListedNode): Promise<FormationState> {
    const options = { timeoutMs: askTimeoutMs };
    return decodeFormationState(
      await this.#links.callAt(nodeAddress(linkAddress), formationMethod, new Uint8Array(0), options),
    );
  }

  /** A method that members call. */
  handle(method: string, implementation: CallMethod): void {
    this.#links.handle(method, implementation);
  }

  /** @throws LogboomError of `Links.call` */
  call(nodeId: NodeId, method: string, request: Uint8Array): Promise<Uint8Array> {
    return this.#links.call(nodeId, method, request, { timeoutMs: askTimeoutMs });
  }

  send(partitionId: PartitionId, messages: readonly WireMessage[]): void {
    const byNode = new Map<NodeId, WireMessage[]>();
    for (const message of messages) {
      const nodeId = this.#directory?.nodeOf(partitionId, message.to);
      if (nodeId === undefined) continue;
      const batch = byNode.get(nodeId);
      if (batch) batch.push(message);
      else byNode.set(nodeId, [message]);
    }
    for (const [nodeId, batch] of byNode) this.#links.send(nodeId, partitionId, batch);
  }

  identity(): LinkIdentity {
    const { id: nodeId, incarnation } = this.#parts.self;
    return { nodeId, incarnation, clusterId: this.#record?.clusterId, featureLevel: supportedFeatureLevel };
  }

  admit({ nodeId, incarnation, clusterId }: MemberHello): LogboomError | undefined {
    const known = this.#state?.nodes.get(nodeId) ?? (this.#record && memberOf(this.#record, nodeId));
    if (known === undefined) {
      return new LogboomError('CLUSTER_MISMATCH', `node ${nodeId} is no member of cluster ${clusterId}`, {
        facts: { node: nodeId },
      });
    }
    if (known.incarnation === incarnation) return undefined;
    return new LogboomError(
      'NODE_INCARNATION_MISMATCH',
      `node ${nodeId} is known with another data directory (incarnation ${known.incarnation}, not ${incarnation}): two nodes ` +
        'have this id, or its disk was wiped',
      { facts: { node: nodeId, incarnation, known_incarnation: known.incarnation } },
    );
  }

  /**
   * Takes only what the metadata knows: a message of a replica on another node than the one it came from, or for a
   * partition or a replica that this node does not know, is dropped, as if the network had lost it.
   */
  deliver(from: NodeId, deliveries: readonly Delivery[]): void {
    const { self } = this.#parts;
    for (const { partitionId, message } of deliveries) {
      const isKnown =
        this.#directory?.nodeOf(partitionId, message.from) === from &&
        this.#directory.nodeOf(partitionId, message.to) === self.id;
      if (isKnown) this.#manager?.deliver(partitionId, message);
    }
  }

  onUnreachable(nodeId: NodeId, partitions: LossScope): void {
    for (const [partitionId, replicaId] of this.#directory?.replicasOn(nodeId) ?? []) {
      if (partitions === 'all' || partitions.includes(partitionId))
        this.#manager?.peerUnreachable(partitionId, replicaId);
    }
  }
}
