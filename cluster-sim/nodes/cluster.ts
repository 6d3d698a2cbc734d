/** All nodes of a run, what connects them, and the books about them. */
import type { ConfState, WireMessage } from '../../src/raft/types.js';
import { isDiskError } from '../../src/base/ports/disk.js';
import type { RaftMutant } from '../../src/raft/index.js';
import type { StateStoreSizes } from '../../src/state-store/index.js';
import type { WalOptions } from '../../src/wal/index.js';
import { ArchiveChecker } from '../checkers/archive-checker.js';
import { ClusterChecker } from '../checkers/cluster-checker.js';
import type { ReplicaRecord } from '../checkers/replica-record.js';
import { describeConfiguration, membersOf, votersOf } from '../checkers/quorums.js';
import { TableChecker } from '../checkers/table-checker.js';
import { Verdict } from '../checkers/verdict.js';
import { AppliedCommands, ObservedMachine } from '../clients/observed-machine.js';
import { RandomStream } from '../engine/random.js';
import type { World } from '../engine/world.js';
import { Network } from '../network/network.js';
import { LinkFabric } from '../network/simulated-links.js';
import { StaleMessages } from '../network/stale-messages.js';
import type { SimulationMutant } from '../mutants.js';
import type { Plan } from '../plan.js';
import type { TimeLine } from '../report/time-line.js';
import type { Counts } from '../report/counts.js';
import { wiredClusterId } from './node-repository.js';
import { SharedObjects } from './shared-objects.js';
import { SimulatedNode } from './simulated-node.js';
import type { Surroundings } from './surroundings.js';

const kibibyte = 1024;
/** From a leader's look at who has proved that it sees the repository until the trim is committed, at most. */
const proofMsMax = 30_000;

export interface Election {
  readonly partition: number;
  readonly node: number;
}

export interface ClusterParts {
  readonly world: World;
  readonly plan: Plan;
  readonly counts: Counts;
  readonly timeLine: TimeLine;
  readonly raftMutant: RaftMutant | undefined;
  readonly mutant: SimulationMutant | undefined;
}

export class Cluster implements Surroundings {
  readonly world: World;
  readonly plan: Plan;
  readonly network: Network;
  readonly staleMessages: StaleMessages | undefined;
  readonly verdict: Verdict;
  readonly checker: ClusterChecker;
  readonly objects: SharedObjects;
  readonly fabric: LinkFabric;
  readonly tables: TableChecker;
  readonly archives: ArchiveChecker;
  objectsDownUntilMs = 0;
  readonly applied = new AppliedCommands();
  readonly nodes: readonly SimulatedNode[];
  readonly raftMutant: RaftMutant | undefined;
  readonly mutant: SimulationMutant | undefined;
  /** Indexes of streams that the keeper is to delete. */
  readonly streamsToDelete: number[] = [];
  readonly walOptions: Partial<WalOptions>;
  readonly storeSizes: StateStoreSizes;
  /** Random faults happen; scheduled ones are the plan's. */
  faultsOn = false;
  replaceLater: (nodeId: number) => void = () => {};
  readonly #counts: Counts;
  readonly #timeLine: TimeLine;
  #awaitingElection: ((election: Election) => void)[] = [];
  readonly #voterSinceMs = new Map<number, number>();
  readonly #randoms = new Map<string, RandomStream>();

  constructor(parts: ClusterParts) {
    const { world, plan, counts, timeLine } = parts;
    this.world = world;
    this.plan = plan;
    this.raftMutant = parts.raftMutant;
    this.mutant = parts.mutant;
    this.#counts = counts;
    this.#timeLine = timeLine;
    this.verdict = new Verdict(
      () => world.nowMs,
      (violation) => {
        this.note(0, `BROKEN ${violation.invariant}: ${violation.message}`);
        world.stop();
      },
    );
    this.network = new Network(world, this.random('network'), plan.network);
    this.staleMessages = plan.profile === 'bootstrap' ? new StaleMessages(world, this.random('stale')) : undefined;
    this.checker = new ClusterChecker(this.verdict, this.#events(), {
      nodesKnown: () => this.#nodesKnown,
      isPlaced: plan.membership !== undefined,
    });
    this.objects = new SharedObjects(() => world.nowMs, 'simulated://');
    this.archives = new ArchiveChecker({
      verdict: this.verdict,
      objects: this.objects,
      clusterId: () => (plan.membership === undefined ? wiredClusterId : (this.tables.newest?.clusterId ?? '')),
      truths: this.checker.truths,
      recordsChecksum: (partitionId, lsn) => this.applied.recordsChecksum(partitionId, lsn),
    });
    const { segmentBytes } = plan;
    this.walOptions = {
      segmentBytes,
      maxGroupBytes: segmentBytes / 8,
      maxPendingBytes: segmentBytes / 4,
      recentEntriesCacheBytes: 256 * kibibyte,
      loadedEntriesCacheBytes: 64 * kibibyte,
      minFreeBytes: segmentBytes,
      lazySyncDelayMs: plan.lazySyncMs,
      zeroFillBytesPerSecond: 64 * segmentBytes,
      spareSegments: 1,
    };
    this.storeSizes = {
      records: { writeBufferBytes: 512 * kibibyte, tableBytes: 64 * kibibyte, blockCacheBytes: 0 },
      index: { writeBufferBytes: 256 * kibibyte, tableBytes: 64 * kibibyte, blockCacheBytes: 0 },
      indexMemtableBytesMax: 192 * kibibyte,
      heldBytesMax: 128 * kibibyte,
    };
    this.fabric = new LinkFabric(this.network, (machine) => this.node(machine)?.hasPower !== false);
    this.tables = new TableChecker(this.verdict);
    this.nodes = Array.from({ length: plan.nodes }, (_, index) => new SimulatedNode(this, index + 1));
  }

  random(subsystem: string): RandomStream {
    let random = this.#randoms.get(subsystem);
    if (random === undefined) {
      random = new RandomStream(this.plan.seed, subsystem);
      this.#randoms.set(subsystem, random);
    }
    return random;
  }

  node(id: number): SimulatedNode | undefined {
    return this.nodes[id - 1];
  }

  nodeOfReplica(partitionId: number, replicaId: number): SimulatedNode | undefined {
    return this.nodes.find((node) => node.replicaIdIn(partitionId) === replicaId);
  }

  /** The node that leads a partition as of the highest term; undefined when none does. */
  leaderOf(partitionId: number): SimulatedNode | undefined {
    let leader: { readonly node: SimulatedNode; readonly term: number } | undefined;
    for (const node of this.nodes) {
      const record = this.checker.record(partitionId, node.replicaIdIn(partitionId));
      if (record === undefined || !record.isLeader || !node.isUp) continue;
      if (leader === undefined || record.term > leader.term) leader = { node, term: record.term };
    }
    return leader?.node;
  }

  createMachine(partitionId: number): ObservedMachine {
    return new ObservedMachine(partitionId, this.applied, this.mutant === 'producers-forgotten-on-restart');
  }

  /** Every configuration that some replica has in force: what a quorum of must be there for the cluster to go on. */
  configurations(partitionId: number): readonly ConfState[] {
    const found = [...this.checker.records]
      .filter((record) => record.partitionId === partitionId && !record.discarded)
      .map(({ confState }) => confState);
    const newest = this.checker.truth(partitionId)?.newestConfiguration;
    return newest === undefined ? found : [newest, ...found];
  }

  isMember(partitionId: number, replicaId: number): boolean {
    return this.configurations(partitionId).some((confState) => membersOf(confState).includes(replicaId));
  }

  /** Resolves when the next leader is elected. */
  nextElection(): Promise<Election> {
    return new Promise((resolve) => this.#awaitingElection.push(resolve));
  }

  get networkCounts(): Record<string, number> {
    return Object.fromEntries(
      Object.entries(this.network.counts).map(([name, count]) => [`messages ${name}`, count as number]),
    );
  }

  /** A node that the cluster lets go has nothing that a group counts on; what is on its disk is of no use any more. */
  nodeExpelled(nodeId: number): void {
    const { checker, tables, verdict } = this;
    const known = tables.node(nodeId);
    verdict.require(
      known?.state === 'removed',
      'removed-nodes-hold-nothing',
      () => `node ${nodeId} is told that it was removed, and is ${known?.state ?? 'unknown'}`,
    );
    for (const [partitionId, { newestConfiguration }] of checker.truths) {
      const held = [...checker.records].find(
        (record) => record.partitionId === partitionId && record.nodeId === nodeId && !record.discarded,
      );
      verdict.require(
        held === undefined || !votersOf(newestConfiguration).includes(held.replicaId),
        'placement-keeps-majorities',
        () => `node ${nodeId} ends, and replica ${held?.replicaId} of partition ${partitionId} still votes`,
      );
    }
    checker.nodeLost(nodeId);
  }

  count(what: string, by = 1): void {
    this.#counts.add(what, by);
  }

  note(nodeId: number, text: string): void {
    this.world.trace.mix(nodeId);
    this.world.trace.mixText(text);
    this.#timeLine.event(this.world.nowMs, nodeId, text);
  }

  trace(nodeId: number, partitionId: number, message: WireMessage): void {
    this.world.trace.mix(nodeId * 1000 + partitionId);
    this.world.trace.mix(message.from * 1_000_000 + message.term);
    this.world.trace.mixText(message.type);
    this.#timeLine.message(this.world.nowMs, nodeId, partitionId, message);
  }

  #events(): ConstructorParameters<typeof ClusterChecker>[1] {
    const { plan } = this;
    return {
      onLeader: (record) => {
        this.count('elections');
        this.note(record.nodeId, `leads partition ${record.partitionId} in term ${record.term}`);
        // Clients know nothing of the metadata.
        if (record.partitionId === 0) return;
        const awaiting = this.#awaitingElection;
        this.#awaitingElection = [];
        for (const resolve of awaiting) resolve({ partition: record.partitionId, node: record.nodeId });
      },
      onTruncation: (record) => {
        this.count('log truncations');
        this.note(record.nodeId, `replaces entries of partition ${record.partitionId}`);
      },
      onCommit: () => this.count('commits'),
      onConfiguration: (record, confState) => {
        this.#noteVoters(confState);
        this.count('configuration changes');
        this.note(0, `partition ${record.partitionId} now has ${describeConfiguration(confState)}`);
      },
      onStoreReopened: (record) => {
        this.count('stores reopened');
        this.note(record.nodeId, `store of partition ${record.partitionId} reopened at ${record.applied}`);
      },
      onLeadershipGivenUp: (_record, fault) =>
        this.count(`leaders that stepped down for a disk that ${fault === 'hang' ? 'hung' : 'was full'}`),
      onTrim: (record) => {
        this.count('trims');
        if (plan.snapshots === undefined || this.#nodesKnown === 1) return;
        this.count('trims by archived LSN');
        this.archives.trimmed(record.partitionId, record.name, record.trimPoint);
      },
      onGroupTrim: (record, trimPoint) => this.#checkSight(record, trimPoint),
      onPersisted: () => this.count('flushes'),
      onArchived: (record, archive) => {
        this.count('snapshots archived');
        this.note(record.nodeId, `partition ${record.partitionId} is archived up to ${record.archivedLsn}`);
        this.archives.archived(record.partitionId, archive);
      },
      onInstalled: (record, isOfPeer) => {
        this.count('snapshots installed');
        if (isOfPeer) this.count('bootstraps from a peer');
        this.note(record.nodeId, `partition ${record.partitionId} goes on from a snapshot at ${record.applied}`);
        if (this.faultsOn)
          this.count(
            'old appends that arrived behind a snapshot',
            this.staleMessages?.deliver(record.nodeId, record.partitionId) ?? 0,
          );
      },
      onFault: (record, error) => this.#onFault(record, error),
    };
  }

  /** A node that is alone trims its log to what it has persisted; from the moment a second one is known none does. */
  get #nodesKnown(): number {
    const { plan } = this;
    return plan.membership === undefined ? plan.nodes : (this.tables.newest?.nodes.size ?? plan.initialVoters.length);
  }

  #noteVoters({ voters, votersOutgoing }: ConfState): void {
    for (const voter of [...voters, ...votersOutgoing]) {
      if (!this.#voterSinceMs.has(voter)) this.#voterSinceMs.set(voter, this.world.nowMs);
    }
  }

  /** A leader asks for proof before it proposes: of a voter that was added since then it has none. */
  #checkSight(record: ReplicaRecord, trimPoint: number): void {
    const { voters, votersOutgoing } = record.confState;
    for (const voter of [...voters, ...votersOutgoing]) {
      const node = this.nodeOfReplica(record.partitionId, voter);
      const isNew = this.world.nowMs - (this.#voterSinceMs.get(voter) ?? 0) < proofMsMax;
      this.verdict.require(
        node === undefined || isNew || node.repository?.hasSeenIt === true,
        'trims-where-all-voters-see-the-repository',
        () => `${record.name}: the group trims to ${trimPoint}, and node ${node?.id} has never seen the repository`,
      );
    }
  }

  #onFault(record: { readonly nodeId: number; readonly partitionId: number }, error: Error): void {
    const node = this.node(record.nodeId);
    if (node === undefined || node.state === 'down') return;
    this.note(record.nodeId, `partition ${record.partitionId} stops: ${error.message}`);
    const reason = (error as { reason?: string }).reason;
    if (reason === 'WAL_FAILED' || reason === 'SHUTTING_DOWN') return;
    const isDetected =
      reason === 'STATE_STORE_CORRUPT' || reason === 'DATA_CORRUPT' || reason === 'WAL_CORRUPT' || isDiskError(error);
    if (node.damaged && isDetected) {
      this.world.after(0, () => {
        if (node.state === 'down') return;
        node.crash('process', undefined);
        node.refusedToServe();
      });
      return;
    }
    this.verdict.broken(
      'assertion',
      `node ${record.nodeId}, partition ${record.partitionId}: ${error.stack ?? error.message}`,
    );
  }
}
