/** A node as a member of a cluster: formation, links, metadata, and the replicas that the metadata gives to it. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { supportedFeatureLevel, tableTopic } from '../../metadata/index.js';
import { linkListenAddress, replicationFactorOf } from '../config/index.js';
import { Leaders } from '../forwarding/leaders.js';
import { makeNodeChannels } from '../forwarding/node-channels.js';
import type { Channels } from '../../client/channels.js';
import { RemoteCalls } from '../forwarding/remote-calls.js';
import { reachableAddress } from '../listen.js';
import { asMetadataReplica, asStreamsReplica, holdsStreams, metadataPartition } from '../replicas.js';
import { ClusterNodes } from '../services/cluster-nodes.js';
import { CatchUp } from './catch-up.js';
import { ClusterLinks } from './cluster-links.js';
import { initializeMetadata } from './cluster-start.js';
import { joinFormation } from './formation.js';
import { readFormationRecord } from './formation-record.js';
import { adoptNodeAlone } from './node-alone.js';
import { handOverLeaderships } from './hand-over.js';
import { LedPartitions } from './led-partitions.js';
import { registerSelf, registrationHandler, registrationMethod } from './registration.js';
import { initialPlacements, metadataPlacement } from './replica-directory.js';
import type { NodeId, PartitionId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ClusterState, NodeDescription } from '../../metadata/index.js';
import type { ReplicaPlacement, ReplicaTransport } from '../../partition/index.js';
import type { NodeAddress } from '../../transport/index.js';
import type { Configuration, ListedNode } from '../config/index.js';
import type { DataDirectory } from '../data-directory.js';
import type { MetadataReplica, NodeManager, NodeReplica, OwnStreamsReplica } from '../replicas.js';
import type { ClusterAround } from '../services/index.js';
import type { Partitions } from '../services/routing.js';
import type { NodeSecurity } from '../security/node-security.js';
import type { FormationRecord } from './formation-record.js';
import type { FormationState } from './formation-verdict.js';
import type { RegistrationParts } from './registration.js';

/** Transfers take milliseconds; beyond this, an election is as good. */
const handOverMs = 2000;
/** It takes milliseconds; on a full disk it takes until there is room, and the node serves reads meanwhile. */
const leadAloneMs = 1000;

export interface ClusterMemberParts {
  readonly environment: Environment;
  readonly configuration: Configuration;
  readonly security: NodeSecurity;
  readonly directory: DataDirectory;
  readonly name: string;
  readonly version: string;
  /** A replica of streams is there: found at the start, or made since. */
  readonly onReplica: (replica: OwnStreamsReplica) => void;
  /** The node cannot hold what the metadata gives to it. */
  readonly onFatal: (error: Error) => void;
}

export class ClusterMember {
  readonly #parts: ClusterMemberParts;
  #self: NodeDescription;
  readonly #links: ClusterLinks;
  readonly #channels: Channels;
  readonly #catchUp: CatchUp;
  readonly #led: LedPartitions;
  readonly #stopping = new AbortController();
  readonly #leaders: Leaders;
  readonly #remote: RemoteCalls;
  #record: FormationRecord | undefined;
  #state: ClusterState | undefined;
  #slotPartitions: readonly PartitionId[] = [];
  #manager: NodeManager | undefined;
  #attachedTo: { readonly record: FormationRecord; readonly replica: MetadataReplica } | undefined;
  #announcing: Promise<void> = Promise.resolve();
  #loop: Promise<void> | undefined;
  #following: Promise<void> = Promise.resolve();
  #unwatch: (() => void) | undefined;

  constructor(parts: ClusterMemberParts) {
    this.#parts = parts;
    const { environment, configuration, directory, security } = parts;
    this.#self = describe(parts);
    this.#channels = makeNodeChannels(
      () => security.channelCredentials(),
      () => environment.clock.monotonicMs(),
    );
    security.onGrpcRenewal(() => this.#channels.renew());
    this.#links = new ClusterLinks({
      environment,
      configuration,
      security,
      self: this.#self,
      alone: () => this.#alone(),
    });
    this.#links.handle(
      registrationMethod,
      registrationHandler(() => {
        const replica = this.#manager?.findReplica(metadataPartition);
        return replica && this.#record && this.#registration(asMetadataReplica(replica), this.#record);
      }),
    );
    this.#catchUp = new CatchUp(environment.clock);
    this.#led = new LedPartitions(environment.clock);
    const nodeId = directory.identity.nodeId;
    this.#leaders = new Leaders(
      {
        nodeId,
        replicaOf: (partitionId) => this.#led.get(partitionId),
        nodeOf: (partitionId, replicaId) => this.#links.directory?.nodeOf(partitionId, replicaId),
        addressOf: (id) => this.#state?.nodes.get(id)?.advertisedAddresses[0],
      },
      environment.clock,
    );
    this.#remote = new RemoteCalls({
      nodeId,
      channels: this.#channels,
      leaders: this.#leaders,
      clock: environment.clock,
    });
  }

  /**
   * Listens for other nodes, and resolves when this one is a member of a cluster: at once when it was before, otherwise
   * when all listed nodes are there.
   *
   * @throws LogboomError ADDRESS_IN_USE, CLUSTER_MISMATCH, CONFIGURATION_INVALID, DATA_CORRUPT
   */
  async join(): Promise<FormationRecord> {
    const { environment, directory, configuration } = this.#parts;
    await adoptNodeAlone(environment, directory, this.#self);
    const stored = await readFormationRecord(environment, directory.path);
    if (stored) {
      checkAgainst(configuration, stored);
      // Before it listens: asked in between, it would say that it is empty, and another cluster might be formed with it.
      this.#joined(stored);
    }
    this.#linksListen(await this.#links.run());
    if (stored) return stored;
    const record = await joinFormation({
      environment,
      directory: directory.path,
      own: this.#alone(),
      ask: (node) => this.#links.ask(node),
      signal: this.#stopping.signal,
    });
    this.#joined(record);
    return record;
  }

  #linksListen(address: NodeAddress | undefined): void {
    if (address === undefined || this.#self.linkAddress !== '') return;
    this.#self = { ...this.#self, linkAddress: reachableAddress(address.host, address.port) };
  }

  /** Others may be told of this node from here on: it listens at these addresses, as `host:port`. */
  announce(advertisedAddresses: readonly string[]): void {
    this.#self = { ...this.#self, advertisedAddresses };
    this.#announcing = this.#announce().catch((error: Error) => this.#parts.onFatal(error));
  }

  async #announce(): Promise<void> {
    if (this.#attachedTo === undefined) return;
    const { record, replica } = this.#attachedTo;
    await registerSelf({ ...this.#registration(replica, record), self: this.#self });
  }

  #joined(record: FormationRecord): void {
    this.#record = record;
    this.#links.joined(record);
  }

  get clusterId(): string | undefined {
    return this.#record?.clusterId;
  }

  get transport(): ReplicaTransport {
    return this.#links;
  }

  /** Replicas that the node has whatever the metadata says. */
  placements(record: FormationRecord): readonly ReplicaPlacement[] {
    return [metadataPlacement(record, this.#self.id)];
  }

  /** Resolves when the metadata is known here, and the replicas that it gives to this node are there. */
  async attach(manager: NodeManager, record: FormationRecord): Promise<void> {
    this.#manager = manager;
    this.#links.attach(manager);
    for (const replica of manager.replicas) this.#added(replica);
    const metadata = asMetadataReplica(manager.replicaOf(metadataPartition));
    this.#attachedTo = { record, replica: metadata };
    const known = new Promise<void>((resolve) => {
      const onTable = (): void => {
        this.#follow(metadata);
        if (this.#state !== undefined) void this.#following.then(resolve);
      };
      this.#unwatch = metadata.watch(tableTopic, onTable);
      onTable();
    });
    this.#loop = this.#keepMetadata(metadata, record).catch((error: Error) => this.#parts.onFatal(error));
    await known;
    // Nobody else could lead, and what is asked right after the start need not wait.
    if (this.nodesKnown === 1) await this.#led.awaitAll(leadAloneMs);
  }

  async #keepMetadata(replica: MetadataReplica, record: FormationRecord): Promise<void> {
    const { environment } = this.#parts;
    const { signal } = this.#stopping;
    await initializeMetadata({
      environment,
      record,
      replica,
      others: record.members.filter(({ id }) => id !== this.#self.id),
      ask: ({ id, linkAddress }) => this.#links.ask({ id, linkAddress }),
      signal,
    });
  }

  #registration(replica: MetadataReplica, { clusterId }: FormationRecord): Omit<RegistrationParts, 'self'> {
    return {
      environment: this.#parts.environment,
      clusterId,
      replica,
      leader: () => this.#links.directory?.nodeOf(metadataPartition, replica.leader),
      call: (nodeId, request) => this.#links.call(nodeId, registrationMethod, request),
      signal: this.#stopping.signal,
    };
  }

  get nodesKnown(): number {
    return this.#state?.nodes.size ?? this.#record?.members.length ?? 1;
  }

  isBehind(partitionId: PartitionId): boolean {
    // A leader that serves has read what was acknowledged before, as the other does that catches up.
    return this.#catchUp.isBehind(partitionId) && this.#led.get(partitionId)?.isLeader !== true;
  }

  /** The partitions that hold streams, as the services see them. */
  get partitions(): Partitions {
    const slotPartitions = (): readonly PartitionId[] => this.#slotPartitions;
    const streams = (): NodeReplica[] => this.#replicas.filter(holdsStreams);
    return {
      get slotPartitions() {
        return slotPartitions();
      },
      get partitionIds() {
        return streams().map(({ partitionId }) => partitionId);
      },
      replicaOf: (id) => {
        const replica = id === metadataPartition ? undefined : this.#manager?.findReplica(id);
        return replica && asStreamsReplica(replica);
      },
    };
  }

  get around(): ClusterAround {
    const nodes = new ClusterNodes({
      nodeId: this.#self.id,
      remote: this.#remote,
      nodes: () => [...(this.#state?.nodes.values() ?? [])],
      replicas: () =>
        [...(this.#state?.partitions.values() ?? [])].flatMap(({ id, replicas }) =>
          replicas.map(({ replicaId, nodeId }) => ({ partitionId: id, replicaId, nodeId })),
        ),
    });
    return { leaders: this.#leaders, remote: this.#remote, nodes };
  }

  /** Lets others lead what this node leads. */
  handOver(): Promise<void> {
    const { clock } = this.#parts.environment;
    return handOverLeaderships(this.#replicas, { clock, timeoutMs: handOverMs });
  }

  /** Ends what works on replicas; before they are stopped. */
  async detach(): Promise<void> {
    this.#stopping.abort();
    this.#unwatch?.();
    this.#led.stop();
    await this.#catchUp.stop();
    await this.#loop;
    await this.#announcing;
    await this.#following;
  }

  /** Ends links and connections; after the replicas were stopped. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#channels.close();
    await this.#links.stop();
  }

  get #replicas(): readonly NodeReplica[] {
    return this.#manager?.replicas ?? [];
  }

  /** A node without a list is a cluster of its own. */
  get #listed(): readonly ListedNode[] {
    const { nodes } = this.#parts.configuration.cluster;
    const { id, linkAddress } = this.#self;
    return nodes.length > 0 ? nodes : [{ id, linkAddress }];
  }

  #alone(): FormationState {
    const { configuration } = this.#parts;
    return {
      self: this.#self,
      listed: this.#listed,
      partitionCount: configuration.partitions,
      replicationFactor: replicationFactorOf(configuration),
      record: undefined,
    };
  }

  #added(replica: NodeReplica): void {
    this.#catchUp.watch(replica);
    this.#led.add(replica);
    if (holdsStreams(replica)) this.#parts.onReplica(asStreamsReplica(replica));
  }

  /** Takes over what the metadata says; changes that come meanwhile are taken over after it. */
  #follow(metadata: MetadataReplica): void {
    const state = stateOf(metadata);
    if (state === undefined) return;
    this.#state = state;
    this.#slotPartitions = Array.from(state.slots, (id) => id as PartitionId);
    this.#links.follow(state);
    this.#following = this.#following.then(() => this.#makeReplicas(state));
  }

  async #makeReplicas(state: ClusterState): Promise<void> {
    const manager = this.#manager;
    for (const placement of initialPlacements(state, this.#self.id)) {
      if (manager === undefined || this.#stopping.signal.aborted) return;
      if (manager.partitionIds.includes(placement.partitionId)) continue;
      try {
        this.#added(await manager.addReplica(placement));
      } catch (error) {
        if (!this.#stopping.signal.aborted) this.#parts.onFatal(error as Error);
        return;
      }
    }
  }
}

function describe({ configuration, directory, name, version }: ClusterMemberParts): NodeDescription {
  const { nodeId, incarnation } = directory.identity;
  const listed = configuration.cluster.nodes.find(({ id }) => id === nodeId);
  const { host, port, advertisedAddresses } = configuration;
  const link = linkListenAddress(configuration);
  return {
    id: nodeId,
    name,
    zone: configuration.zone,
    incarnation,
    // Port 0 becomes another one when the node listens, before anybody is told.
    advertisedAddresses: advertisedAddresses.length > 0 ? advertisedAddresses : [reachableAddress(host, port)],
    linkAddress: listed?.linkAddress ?? (link && link.port > 0 ? reachableAddress(link.host, link.port) : ''),
    softwareVersion: version,
    featureLevel: supportedFeatureLevel,
    repositoryId: '',
  };
}

/** Undefined before the first entry, and while there is nothing to read: a publish comes when there is again. */
function stateOf(metadata: MetadataReplica): ClusterState | undefined {
  try {
    return metadata.machine.state;
  } catch (error) {
    if (!isLogboomError(error)) throw error;
    return undefined;
  }
}

/** What a cluster was formed of does not change by changing the configuration of a node. */
function checkAgainst(configuration: Configuration, record: FormationRecord): void {
  if (configuration.cluster.nodes.length === 0) return;
  const ids = (nodes: readonly { readonly id: NodeId | number }[]): string => nodes.map(({ id }) => id).join(', ');
  const facts = { cluster: record.clusterId };
  const listed = ids(configuration.cluster.nodes);
  const members = ids(record.members);
  if (listed !== members) {
    throw new LogboomError(
      'CONFIGURATION_INVALID',
      `cluster.nodes lists nodes ${listed}, and the cluster was formed of ${members}: adding and removing nodes is not ` +
        `possible yet. List the nodes ${members}`,
      { facts },
    );
  }
  const factor = replicationFactorOf(configuration);
  if (factor !== record.replicationFactor) {
    throw new LogboomError(
      'CONFIGURATION_INVALID',
      `cluster.replicationFactor is ${factor}, and the cluster was formed with ${record.replicationFactor}: set it to ${record.replicationFactor}`,
      { facts },
    );
  }
}
