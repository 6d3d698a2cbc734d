/** A node as a member of a cluster: formation, links, metadata, and the replicas that the metadata gives to it. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { sleep } from '../../base/ports/clock.js';
import { supportedFeatureLevel, tableTopic } from '../../metadata/index.js';
import { advertisedLinkAddress, replicationFactorOf } from '../config/index.js';
import { Leaders } from '../forwarding/leaders.js';
import { reachableAddress } from '../listen.js';
import { asMetadataReplica, asStreamsReplica, holdsStreams, metadataPartition } from '../replicas.js';
import { CatchUp } from './catch-up.js';
import { ClusterLinks } from './cluster-links.js';
import { initializeMetadata } from './cluster-start.js';
import { joinFormation } from './formation.js';
import { readFormationRecord, writeFormationRecord } from './formation-record.js';
import { Growth } from './growth.js';
import { handOverLeaderships } from './hand-over.js';
import { joinForwardedMethod, joinMethod } from './join-call.js';
import { JoinDesk } from './join-desk.js';
import { joinCluster } from './joining.js';
import { LeaderGossip, leadersMethod } from './leader-gossip.js';
import { LedPartitions } from './led-partitions.js';
import { MetadataProposals, notLeader, reportMethod } from './metadata-proposals.js';
import { adoptNodeAlone } from './node-alone.js';
import { ownReplica } from './own-replicas.js';
import { PlacementController } from './placement-controller.js';
import { Rebuilder } from './rebuilder.js';
import { Reconciler } from './reconciler.js';
import { registerSelf, registrationHandler, registrationMethod } from './registration.js';
import { metadataPlacement } from './replica-directory.js';
import { ReplicaKeeper } from './replica-keeper.js';
import { keepRepositoryProof } from './repository-proof.js';
import { TableExchange, tableHandler, tableMethod } from './table-exchange.js';
import { handOverHere, encodeTransferRequest, transferHandler, transferMethod } from './transfer-call.js';
import { firstFeatureLevel } from '../../base/feature-level.js';
import type { NodeId, PartitionId, ReplicaId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { ClusterState, NodeDescription } from '../../metadata/index.js';
import type { PresenceTransport, ReplicaPlacement, ReplicaTransport, RepositoryAccess } from '../../partition/index.js';
import type { MakeLinks, NodeAddress } from '../../transport/index.js';
import type { Configuration, ListedNode } from '../config/index.js';
import type { DataDirectory } from '../data-directory.js';
import type { MetadataReplica, NodeManager, NodeReplica, OwnStreamsReplica } from '../replicas.js';
import type { MembershipDesk } from '../services/membership-methods.js';
import type { Partitions } from '../services/routing.js';
import type { LinkSecurity } from './cluster-links.js';
import type { FormationRecord, MetadataSeat } from './formation-record.js';
import type { FormationState } from './formation-verdict.js';
import type { RegistrationParts } from './registration.js';

/** Transfers take milliseconds; beyond this, an election is as good. */
const handOverMs = 2000;
/** It takes milliseconds; on a full disk it takes until there is room, and the node serves reads meanwhile. */
const leadAloneMs = 1000;
const otherAddressesMs = 3000;
/** A node that was removed goes on for so long, so that others take over what it leads. */
const removedGraceMs = 5000;

export interface ClusterMemberParts {
  readonly environment: Environment;
  readonly configuration: Configuration;
  readonly security: LinkSecurity;
  readonly makeLinks: MakeLinks;
  readonly directory: DataDirectory;
  readonly name: string;
  readonly version: string;
  /** What clients and other nodes are told. */
  readonly advertisedAddresses: readonly string[];
  /** A replica of streams is there: found at the start, or made since. Answers what ends the work on it. */
  readonly onReplica: (replica: OwnStreamsReplica) => () => Promise<void>;
  /** The node cannot hold what the metadata gives to it, or is a member no more. */
  readonly onFatal: (error: Error) => void;
}

export class ClusterMember {
  readonly #parts: ClusterMemberParts;
  #self: NodeDescription;
  readonly #links: ClusterLinks;
  readonly #catchUp: CatchUp;
  readonly #led: LedPartitions;
  readonly #gossip: LeaderGossip;
  readonly #exchange: TableExchange;
  readonly #proposals: MetadataProposals;
  readonly #reconciler: Reconciler;
  readonly #rebuilder: Rebuilder;
  readonly #desk: JoinDesk;
  readonly #growth: Growth;
  readonly #controller: PlacementController;
  readonly #stopping = new AbortController();
  /** Which node leads a partition, as far as known here. */
  readonly leaders: Leaders;
  /** What ends the work on each replica of streams. */
  readonly #ends = new Map<PartitionId, () => Promise<void>>();
  #record: FormationRecord | undefined;
  /** The newest table, from whoever had it. */
  #state: ClusterState | undefined;
  #onState: (() => void) | undefined;
  #slotPartitions: readonly PartitionId[] = [];
  #manager: NodeManager | undefined;
  #keeper: ReplicaKeeper | undefined;
  #loops: Promise<void>[] = [];
  #unwatch: (() => void) | undefined;
  #removed: LogboomError | undefined;

  constructor(parts: ClusterMemberParts) {
    this.#parts = parts;
    const { environment, configuration, directory, security, makeLinks } = parts;
    const { clock } = environment;
    this.#self = describe(parts);
    const links = new ClusterLinks({
      environment,
      configuration,
      security,
      makeLinks,
      self: this.#self,
      alone: () => this.#alone(),
    });
    this.#links = links;
    this.#gossip = new LeaderGossip({
      environment,
      led: () => this.#led.all.map((led) => ({ ...led, waitsFor: this.#reconciler.waitReason(led.partitionId) })),
      peers: () => links.connected,
      call: (nodeId, request) => links.call(nodeId, leadersMethod, request),
    });
    this.#catchUp = new CatchUp(clock);
    this.#led = new LedPartitions(clock, () => this.#gossip.changed());
    const nodeId = directory.identity.nodeId;
    this.leaders = new Leaders(
      {
        nodeId,
        replicaOf: (partitionId) => this.#led.get(partitionId),
        nodeOf: (partitionId, replicaId) => links.directory?.nodeOf(partitionId, replicaId),
        leaderOf: (partitionId) => this.#gossip.leaderOf(partitionId),
        watchLeaders: (onChange) => this.#gossip.watch(onChange),
        addressOf: (id) => this.#state?.nodes.get(id)?.advertisedAddresses[0],
      },
      clock,
    );
    this.#proposals = new MetadataProposals({
      clock,
      nodeId,
      replica: () => this.#metadataReplica,
      featureLevel: () => this.featureLevel,
      leader: () => this.#metadataLeader,
      call: (to, request) => links.call(to, reportMethod, request),
    });
    this.#reconciler = new Reconciler({
      environment,
      electionTimeoutMs: configuration.cluster.electionTimeoutMs,
      replicas: () => this.#replicas,
      desired: (partitionId) => this.#state?.partitions.get(partitionId),
      report: (reports) => this.#proposals.report(reports),
    });
    this.#desk = new JoinDesk({
      clock,
      nodeId,
      proposals: this.#proposals,
      state: () => this.#leaderState,
      record: () => this.#record,
      leader: () => this.#metadataLeader,
      connected: () => links.connected,
      sharedName: configuration.cluster.linkServerName,
      call: (to, request) => links.call(to, joinForwardedMethod, request),
      prepare: () => this.#growth.prepare(),
    });
    this.#growth = new Growth({
      clock,
      logger: environment.logger,
      replicas: () => this.#replicas,
      hasRepository: configuration.snapshots.repository !== '',
      isAlone: () => this.#state?.nodes.size === 1,
    });
    this.#rebuilder = new Rebuilder({
      environment,
      diverged: () => this.#manager?.divergedReplicas ?? [],
      report: (reports) => this.#proposals.report(reports),
    });
    this.#controller = new PlacementController({
      environment,
      nodeId,
      proposals: this.#proposals,
      leaderState: () => this.#leaderState,
      connected: () => links.connected,
      leaderOf: (partitionId) => this.#nodeThatLeads(partitionId),
      transfer: async (to, request) => {
        if (to === nodeId) await handOverHere((partitionId) => this.#manager?.findReplica(partitionId), request);
        else await links.call(to, transferMethod, encodeTransferRequest(request));
      },
    });
    this.#exchange = new TableExchange({
      environment,
      state: () => this.#state,
      isStale: () => this.#isStale,
      addresses: () => [...links.addresses, ...configuration.cluster.join],
      ask: (address, request) => links.callAt(address, tableMethod, request),
      onTable: (state) => this.#take(state),
      onRemoved: (error) => this.#onRemoved(error),
    });
    this.#handleCalls();
  }

  #handleCalls(): void {
    const links = this.#links;
    links.handle(
      registrationMethod,
      registrationHandler(() => {
        const replica = this.#metadataReplica;
        return replica && this.#record && this.#registration(this.#record);
      }),
    );
    links.handle(reportMethod, this.#proposals.handler);
    links.handle(joinMethod, this.#desk.door);
    links.handle(joinForwardedMethod, this.#desk.forwarded);
    links.handle(
      transferMethod,
      transferHandler((partitionId) => this.#manager?.findReplica(partitionId)),
    );
    links.handle(leadersMethod, this.#gossip.handler);
    links.handle(
      tableMethod,
      tableHandler(() => this.#state),
    );
  }

  /**
   * Listens for other nodes, and resolves when this one is a member of a cluster: at once when it was before, otherwise
   * when all listed nodes are there.
   *
   * @throws LogboomError ADDRESS_IN_USE, CLUSTER_MISMATCH, CONFIGURATION_INVALID, DATA_CORRUPT
   */
  async join(): Promise<FormationRecord> {
    const { environment, directory, configuration } = this.#parts;
    await adoptNodeAlone(environment, directory, this.#self, replicationFactorOf(configuration));
    const stored = await readFormationRecord(environment, directory.path);
    // Before it listens: asked in between, it would say that it is empty, and another cluster might be formed with it.
    if (stored) this.#joined(stored);
    this.#linksListen(await this.#links.run());
    if (stored) return stored;
    const record = await this.#findCluster();
    this.#joined(record);
    return record;
  }

  async #findCluster(): Promise<FormationRecord> {
    const { environment, directory, configuration } = this.#parts;
    const { nodes, join } = configuration.cluster;
    const parts = { environment, directory: directory.path, signal: this.#stopping.signal };
    if (join.length === 0) {
      const formed = await joinFormation({
        ...parts,
        own: this.#alone(),
        ask: (node) => this.#links.askFormation(node),
      });
      if (formed !== 'replace') return formed;
    }
    const listed = nodes.filter(({ id }) => id !== this.#self.id).map(({ linkAddress }) => linkAddress);
    return joinCluster({
      ...parts,
      self: this.#self,
      addresses: [...join, ...listed],
      ask: (address, request) => this.#links.callAt(address, joinMethod, request),
    });
  }

  #linksListen(address: NodeAddress | undefined): void {
    if (address === undefined || this.#self.linkAddress !== '') return;
    this.#self = { ...this.#self, linkAddress: reachableAddress(address.host, address.port) };
  }

  /** Others may be told of this node from here on: it listens at these addresses, as `host:port`, and sees this repository. */
  announce(advertisedAddresses: readonly string[], repository: RepositoryAccess | undefined): void {
    const record = this.#record;
    if (record === undefined) return;
    this.#self = { ...this.#self, advertisedAddresses };
    const registration = { ...this.#registration(record), self: this.#self, known: () => this.#state };
    const registered = registerSelf(registration).then(() => keepRepositoryProof(registration, repository));
    this.#loops.push(registered.catch((error: Error) => this.#parts.onFatal(error)));
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

  get presence(): PresenceTransport {
    return this.#links.presence;
  }

  /** Replicas that the node has whatever the metadata says. */
  placements(record: FormationRecord): readonly ReplicaPlacement[] {
    return [metadataPlacement(record, this.#self.id)];
  }

  /** Resolves when the metadata is known here, and the replicas that it gives to this node are there. */
  async attach(manager: NodeManager, record: FormationRecord): Promise<void> {
    this.#manager = manager;
    this.#links.attach(manager);
    this.#keeper = new ReplicaKeeper({
      nodeId: this.#self.id,
      manager,
      record: () => this.#record ?? record,
      changeSeat: (seat) => this.#changeSeat(seat),
      onAdded: (replica) => this.#added(replica),
      onRemoving: (partitionId) => this.#removing(partitionId),
      onFatal: (error) => this.#parts.onFatal(error),
    });
    const known = new Promise<void>((resolve) => (this.#onState = resolve));
    for (const replica of manager.replicas) this.#added(replica);
    this.#exchange.run();
    this.#loops = [this.#keepMetadata(record), this.#lookForPeers()].map((loop) =>
      loop.catch((error: Error) => this.#parts.onFatal(error)),
    );
    await known;
    await this.#keeper.settled;
    for (const replica of manager.replicas) if (this.isSettled(replica.partitionId)) this.#catchUp.watch(replica);
    this.#gossip.run();
    this.#reconciler.run();
    this.#rebuilder.run();
    this.#controller.run();
    // Nobody else could lead, and what is asked right after the start need not wait.
    if (this.nodesKnown === 1) await this.#led.awaitAll(leadAloneMs);
  }

  async #keepMetadata(record: FormationRecord): Promise<void> {
    const { environment } = this.#parts;
    const { signal } = this.#stopping;
    const replica = this.#metadataReplica;
    if (record.seat === undefined && replica !== undefined) {
      await initializeMetadata({
        environment,
        record,
        replica,
        isKnown: () => this.#state !== undefined,
        others: record.members.filter(({ id }) => id !== this.#self.id),
        ask: ({ id, linkAddress }) => this.#links.askFormation({ id, linkAddress }),
        signal,
      });
    }
  }

  async #lookForPeers(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await sleep(this.#parts.environment.clock, otherAddressesMs, signal);
      this.#links.tryOtherAddresses();
    }
  }

  #registration({ clusterId }: FormationRecord): Omit<RegistrationParts, 'self' | 'known'> {
    return {
      environment: this.#parts.environment,
      clusterId,
      proposals: this.#proposals,
      leader: () => this.#metadataLeader,
      call: (nodeId, request) => this.#links.call(nodeId, registrationMethod, request),
      signal: this.#stopping.signal,
    };
  }

  /** The snapshot repository that the node of a replica has proved to see, as the metadata knows it; empty: none. */
  repositoryOf(partitionId: PartitionId, replicaId: ReplicaId): string {
    const nodeId = this.#links.directory?.nodeOf(partitionId, replicaId);
    return (nodeId === undefined ? undefined : this.#state?.nodes.get(nodeId)?.repositoryId) ?? '';
  }

  /** With the one that is about to join a node alone. Before the metadata is known here, another one may be. */
  get nodesKnown(): number {
    const known = this.#state?.nodes.size ?? 2;
    return Math.max(known, this.#growth.hasBegun ? 2 : 1);
  }

  isBehind(partitionId: PartitionId): boolean {
    // A leader that serves has read what was acknowledged before, as the other does that catches up.
    return this.#catchUp.isBehind(partitionId) && this.#led.get(partitionId)?.isLeader !== true;
  }

  /** Whether the replica here is one that its group counts on: not one that is on its way in or out. */
  isSettled(partitionId: PartitionId): boolean {
    const partition = this.#state?.partitions.get(partitionId);
    return partition !== undefined && ownReplica(partition, this.#self.id)?.state === 'settled';
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

  /** The newest table, from whoever had it; undefined before there is one. */
  get state(): ClusterState | undefined {
    return this.#state;
  }

  /** Of a partition without a replica here: the term in which it was last heard to be led. */
  termOf(partitionId: PartitionId): number {
    return this.#gossip.termOf(partitionId);
  }

  /** Who belongs to the cluster, and where replicas are; to be changed on the node that leads the metadata. */
  get membership(): MembershipDesk {
    return {
      state: () => {
        const state = this.#leaderState;
        if (state === undefined) throw notLeader();
        return state;
      },
      pending: () => this.#desk.pending,
      waitReason: (id) => this.#reconciler.waitReason(id) || this.#gossip.waitReason(id),
      propose: (command) => this.#proposals.propose(command),
      approve: (nodeId) => this.#desk.approve(nodeId),
      replace: (nodeId) => this.#desk.replace(nodeId),
    };
  }

  /** Of the cluster, as far as known: it only rises, so what it allows stays allowed. */
  get featureLevel(): number {
    return this.#state?.featureLevel ?? firstFeatureLevel;
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
    const tasks = [this.#controller, this.#reconciler, this.#rebuilder, this.#exchange, this.#gossip, this.#catchUp];
    await Promise.all(tasks.map((task) => task.stop()));
    await Promise.all(this.#loops);
    await this.#keeper?.stop();
    await Promise.all([...this.#ends.values()].map((end) => end()));
  }

  /** Ends links; after the replicas were stopped. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#links.stop();
  }

  get #replicas(): readonly NodeReplica[] {
    return this.#manager?.replicas ?? [];
  }

  /** Undefined when it is not there, or cannot be read. */
  get #metadataReplica(): MetadataReplica | undefined {
    const replica = this.#manager?.findReplica(metadataPartition);
    return replica === undefined || replica.stopped !== undefined ? undefined : asMetadataReplica(replica);
  }

  get #metadataLeader(): NodeId | undefined {
    const leader = this.#metadataReplica?.leader ?? 0;
    const nodeId = leader === 0 ? undefined : this.#links.directory?.nodeOf(metadataPartition, leader);
    return nodeId ?? this.#gossip.leaderOf(metadataPartition);
  }

  /** The table as the leader of the metadata has it; undefined elsewhere, and before it has applied all before its term. */
  get #leaderState(): ClusterState | undefined {
    const isLeader = this.#led.get(metadataPartition)?.isLeader === true;
    const replica = isLeader ? this.#metadataReplica : undefined;
    return replica && stateOf(replica);
  }

  #nodeThatLeads(partitionId: PartitionId): NodeId | undefined {
    const route = this.leaders.routeOf(partitionId);
    return route?.type === 'local' ? this.#self.id : route?.nodeId;
  }

  get #isStale(): boolean {
    return this.#state === undefined || this.#metadataReplica === undefined || this.#metadataReplica.leader === 0;
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
    const { partitionId } = replica;
    this.#led.add(replica);
    if (holdsStreams(replica)) {
      this.#ends.set(partitionId, this.#parts.onReplica(asStreamsReplica(replica)));
      return;
    }
    const metadata = asMetadataReplica(replica);
    const onTable = (): void => {
      const state = stateOf(metadata);
      if (state !== undefined) this.#take(state);
    };
    this.#unwatch = metadata.watch(tableTopic, onTable);
    onTable();
  }

  async #removing(partitionId: PartitionId): Promise<void> {
    this.#led.remove(partitionId);
    this.#catchUp.forget(partitionId);
    if (partitionId === metadataPartition) this.#unwatch?.();
    await this.#ends.get(partitionId)?.();
    this.#ends.delete(partitionId);
  }

  async #changeSeat(seat: MetadataSeat): Promise<void> {
    const { environment, directory } = this.#parts;
    if (this.#record === undefined) return;
    const record = { ...this.#record, seat };
    await writeFormationRecord(environment, directory.path, record);
    this.#joined(record);
  }

  /** Takes over what a table says, unless a newer one was seen. */
  #take(state: ClusterState): void {
    if (this.#stopping.signal.aborted || state.tableVersion <= (this.#state?.tableVersion ?? 0)) return;
    if (state.clusterId !== this.#record?.clusterId) return;
    if (state.featureLevel > supportedFeatureLevel) return this.#parts.onFatal(tooOldBuild(state.featureLevel));
    this.#state = state;
    this.#slotPartitions = Array.from(state.slots, (id) => id as PartitionId);
    this.#links.follow(state);
    const { id, incarnation } = this.#self;
    const known = state.nodes.get(id);
    if (known?.incarnation !== incarnation) {
      // What it says of this id is of another data directory: the replicas there are not here, and must not begin here empty.
      if (known?.retiredIncarnations.includes(incarnation) === true) this.#onRemoved(removedError(id));
      return;
    }
    this.#keeper?.follow(state);
    this.#onState?.();
    // Until its groups have let it go, they may need its vote.
    if (known.state === 'removed' && !hasReplicaOn(state, id)) this.#onRemoved(removedError(id));
  }

  /** Others take over first, and the groups let it go. */
  #onRemoved(error: LogboomError): void {
    if (this.#removed !== undefined || this.#stopping.signal.aborted) return;
    this.#removed = error;
    const { environment, onFatal } = this.#parts;
    environment.logger.error('this node was removed from the cluster: it ends in a moment', { error });
    void sleep(environment.clock, removedGraceMs, this.#stopping.signal).then(() => {
      if (!this.#stopping.signal.aborted) onFatal(error);
    });
  }
}

const hasReplicaOn = (state: ClusterState, nodeId: NodeId): boolean =>
  [...state.partitions.values()].some(({ replicas }) => replicas.some((replica) => replica.nodeId === nodeId));

function tooOldBuild(level: number): LogboomError {
  return new LogboomError(
    'FEATURE_LEVEL_UNSUPPORTED',
    `the cluster runs at feature level ${level}, this build supports ${supportedFeatureLevel}: start a newer one`,
    { facts: { feature_level: level, supported: supportedFeatureLevel } },
  );
}

function removedError(nodeId: NodeId): LogboomError {
  return new LogboomError('NODE_REMOVED', `node ${nodeId} was removed from the cluster`, { facts: { node: nodeId } });
}

function describe({
  configuration,
  directory,
  name,
  version,
  advertisedAddresses,
}: ClusterMemberParts): NodeDescription {
  const { nodeId, incarnation } = directory.identity;
  return {
    id: nodeId,
    name,
    zone: configuration.zone,
    incarnation,
    advertisedAddresses,
    linkAddress: advertisedLinkAddress(configuration, advertisedAddresses),
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
