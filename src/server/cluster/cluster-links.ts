/** A member's links: who is admitted, where messages of replicas go, and from whom they are taken. */
import { LogboomError } from '../../base/errors.js';
import { supportedFeatureLevel } from '../../metadata/index.js';
import { linkListenAddress } from '../config/index.js';
import { decodeFormationState, formationHandler, formationMethod, nodeAddress } from './formation-call.js';
import { memberOf, nodesOf } from './formation-record.js';
import { encodePeerCall, peerSnapshotHandler, peerSnapshotMethod } from './peer-call.js';
import { PeerAddresses } from './peer-addresses.js';
import { ReplicaDirectory } from './replica-directory.js';
import { firstFeatureLevel } from '../../base/feature-level.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ClusterState, NodeDescription, NodeView } from '../../metadata/index.js';
import type { AskOptions, PresenceTransport, ReplicaTransport } from '../../partition/index.js';
import type { WireMessage } from '../../raft/types.js';
import type {
  CallMethod,
  Delivery,
  LinkHost,
  LinkIdentity,
  LossScope,
  MakeLinks,
  MemberHello,
  NodeAddress,
  NodeLinks,
} from '../../transport/index.js';
import type { Configuration, ListedNode } from '../config/index.js';
import type { NodeManager } from '../replicas.js';
import type { NodeSecurity } from '../security/node-security.js';
import type { FormationRecord } from './formation-record.js';
import type { FormationState } from './formation-verdict.js';

const askTimeoutMs = 2000;

/** What links need of the node's certificates and tokens. */
export type LinkSecurity = Pick<NodeSecurity, 'linkTls' | 'onLinkRenewal' | 'followNodes'>;

export interface ClusterLinksParts {
  readonly environment: Environment;
  readonly configuration: Configuration;
  readonly self: Pick<NodeDescription, 'id' | 'incarnation'>;
  readonly security: LinkSecurity;
  readonly makeLinks: MakeLinks;
  /** What this node is while it belongs to no cluster. */
  readonly alone: () => FormationState;
}

export class ClusterLinks implements LinkHost, ReplicaTransport {
  readonly #parts: ClusterLinksParts;
  readonly #links: NodeLinks;
  readonly #listens: boolean;
  #record: FormationRecord | undefined;
  #state: ClusterState | undefined;
  #directory: ReplicaDirectory | undefined;
  #manager: NodeManager | undefined;
  readonly #addresses: PeerAddresses;

  constructor(parts: ClusterLinksParts) {
    this.#parts = parts;
    this.#addresses = new PeerAddresses(parts.self.id, parts.configuration.cluster.nodes);
    const tls = parts.security.linkTls;
    const listen = linkListenAddress(parts.configuration);
    this.#listens = listen !== undefined;
    this.#links = parts.makeLinks(parts.environment, {
      listen: listen ?? { host: '127.0.0.1', port: 0 },
      host: this,
      ...(tls === undefined ? {} : { tls }),
    });
    parts.security.onLinkRenewal(() => this.#links.renewTls());
    this.#links.handle(
      formationMethod,
      formationHandler(() => ({ ...parts.alone(), record: this.#record })),
    );
    this.#links.handle(
      peerSnapshotMethod,
      peerSnapshotHandler(() => this.#manager),
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
    if (this.#state === undefined) this.#setPeers(nodesOf(record));
  }

  /** Messages are delivered to these replicas from here on. */
  attach(manager: NodeManager): void {
    this.#manager = manager;
  }

  /** The metadata has changed. */
  follow(state: ClusterState): void {
    this.#state = state;
    if (this.#record) this.#directory = new ReplicaDirectory(this.#record, state);
    this.#setPeers([...state.nodes.values()].filter((node) => this.#isPresent(node)));
  }

  /** A removed node is heard until its replicas are out of their groups: it may be the one that leads them. */
  #isPresent({ id, state }: NodeView): boolean {
    const partitions = [...(this.#state?.partitions.values() ?? [])];
    return state !== 'removed' || partitions.some(({ replicas }) => replicas.some(({ nodeId }) => nodeId === id));
  }

  #setPeers(nodes: readonly NodeDescription[]): void {
    this.#parts.security.followNodes(nodes);
    const peers = nodes.filter(({ id, linkAddress }) => id !== this.#parts.self.id && linkAddress !== '');
    for (const nodeId of this.peers) if (!peers.some(({ id }) => id === nodeId)) this.#links.removePeer(nodeId);
    for (const { id, address } of this.#addresses.known(peers)) this.#links.setPeer(id, nodeAddress(address));
  }

  /** Nodes that cannot be reached are looked for at the other addresses that are known of them; every few seconds. */
  tryOtherAddresses(): void {
    for (const { nodeId, state } of this.#links.status) {
      const other = state === 'connected' ? undefined : this.#addresses.other(nodeId);
      if (other !== undefined) this.#links.setPeer(nodeId, nodeAddress(other));
    }
  }

  get peers(): readonly NodeId[] {
    return this.#links.status.map(({ nodeId }) => nodeId);
  }

  /** Peers that answer. */
  get connected(): readonly NodeId[] {
    return this.#links.status.filter(({ state }) => state === 'connected').map(({ nodeId }) => nodeId);
  }

  /** Where other nodes are, or were. */
  get addresses(): readonly string[] {
    return this.#addresses.all;
  }

  get directory(): ReplicaDirectory | undefined {
    return this.#directory;
  }

  /** Also of a node that is no member yet. @throws LogboomError of `Links.callAt` */
  async askFormation({ linkAddress }: ListedNode): Promise<FormationState> {
    const options = { timeoutMs: askTimeoutMs };
    return decodeFormationState(
      await this.#links.callAt(nodeAddress(linkAddress), formationMethod, new Uint8Array(0), options),
    );
  }

  /** A method that members call. */
  handle(method: string, implementation: CallMethod): void {
    this.#links.handle(method, implementation);
  }

  /** Of whoever answers at an address of links. @throws LogboomError of `Links.callAt` */
  callAt(address: string, method: string, request: Uint8Array): Promise<Uint8Array> {
    return this.#links.callAt(nodeAddress(address), method, request, { timeoutMs: askTimeoutMs });
  }

  /** @throws LogboomError of `Links.call` */
  call(nodeId: NodeId, method: string, request: Uint8Array): Promise<Uint8Array> {
    return this.#links.call(nodeId, method, request, { timeoutMs: askTimeoutMs });
  }

  send(partitionId: PartitionId, messages: readonly WireMessage[]): void {
    // Mostly each is for another node: those that follow each other to the same one go together, and keep their order.
    for (let from = 0; from < messages.length;) {
      const to = (messages[from] as WireMessage).to;
      let end = from + 1;
      while (messages[end]?.to === to) end += 1;
      const nodeId = this.#directory?.nodeOf(partitionId, to);
      const isAll = from === 0 && end === messages.length;
      if (nodeId !== undefined) this.#links.send(nodeId, partitionId, isAll ? messages : messages.slice(from, end));
      from = end;
    }
  }

  async ask(partitionId: PartitionId, to: ReplicaId, request: Uint8Array, options: AskOptions): Promise<Uint8Array> {
    const nodeId = this.#directory?.nodeOf(partitionId, to);
    if (nodeId === undefined) {
      throw new LogboomError('NODE_UNREACHABLE', `no node is known to have replica ${to} of partition ${partitionId}`, {
        facts: { partition: partitionId, replica: to, outcome: 'not-sent' },
      });
    }
    const { answerBytesMax, ...rest } = options;
    const callOptions = { ...rest, responseBytesMax: answerBytesMax };
    return this.#links.call(nodeId, peerSnapshotMethod, encodePeerCall(partitionId, request), callOptions);
  }

  /** Signs of life, and what they are looked at for. */
  get presence(): PresenceTransport {
    return {
      nodeOf: (partitionId, replicaId) => this.#directory?.nodeOf(partitionId, replicaId),
      send: (epoch) => this.#links.sendPresence(epoch),
    };
  }

  identity(): LinkIdentity {
    const { id: nodeId, incarnation } = this.#parts.self;
    return { nodeId, incarnation, clusterId: this.#record?.clusterId, featureLevel: supportedFeatureLevel };
  }

  admit({ nodeId, incarnation, clusterId, featureLevel }: MemberHello): LogboomError | undefined {
    const level = this.#state?.featureLevel ?? firstFeatureLevel;
    if (featureLevel < level) return tooOld(nodeId, featureLevel, level);
    const node = this.#state?.nodes.get(nodeId);
    const isRetired = node?.retiredIncarnations.includes(incarnation) === true;
    if (isRetired || (node?.incarnation === incarnation && !this.#isPresent(node))) return removed(nodeId);
    const known = node ?? (this.#record && memberOf(this.#record, nodeId));
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

  onPresence(from: NodeId, epoch: number): void {
    this.#manager?.hear(from, epoch);
  }

  onUnreachable(nodeId: NodeId, partitions: LossScope): void {
    for (const [partitionId, replicaId] of this.#directory?.replicasOn(nodeId) ?? []) {
      if (partitions === 'all' || partitions.includes(partitionId))
        this.#manager?.peerUnreachable(partitionId, replicaId);
    }
  }
}

function tooOld(nodeId: NodeId, supported: number, level: number): LogboomError {
  return new LogboomError(
    'FEATURE_LEVEL_UNSUPPORTED',
    `node ${nodeId} supports feature level ${supported}, and the cluster runs at ${level}: start a newer build`,
    { facts: { node: nodeId, supported, feature_level: level } },
  );
}

function removed(nodeId: NodeId): LogboomError {
  return new LogboomError(
    'NODE_REMOVED',
    `node ${nodeId} was removed from the cluster, or replaced: its data directory belongs to nobody any more. Let it join with an ` +
      'empty one',
    { facts: { node: nodeId } },
  );
}
