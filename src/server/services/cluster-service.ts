/** ClusterService: the node and its partitions, as operators and clients see them. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { asPartitionId, type PartitionId } from '../../base/ids.js';
import { readLimits } from '../../streams/index.js';
import { formatStateHash } from '../../state-store/index.js';
import type { StateStoreVerification } from '../../state-store/types.js';
import type { ReplicaStatus } from '../../partition/index.js';
import type { WalStats } from '../../wal/types.js';
import type { Configuration } from '../config/index.js';
import type { NodeIdentity } from '../data-directory.js';
import { isForwarded } from '../forwarding/forwarding.js';
import type { Leaders } from '../forwarding/leaders.js';
import type { NodeView } from '../../metadata/index.js';
import type { CallContext, MessageSink } from '../rpc/calls.js';
import type { ClusterNodes, NodeAnswer } from './cluster-nodes.js';
import type { Partitions, Router, StreamsReplica } from './routing.js';

/** What the node says of itself, at the moment of the question. */
export interface NodeFacts {
  readonly identity: NodeIdentity;
  readonly clusterId: string;
  readonly name: string;
  readonly version: string;
  readonly startedUnixMs: number;
  readonly dataDirectory: string;
  readonly advertisedAddresses: readonly string[];
  readonly diskFreeBytes: number;
  readonly walStats: WalStats;
  readonly memoryRssBytes: number;
  /** "ok", or what keeps the node from accepting appends. */
  readonly state: string;
}

export interface ClusterParts {
  readonly configuration: Configuration;
  readonly partitions: Partitions;
  readonly router: Router;
  readonly nodeFacts: () => NodeFacts;
  readonly others: ClusterNodes;
  readonly leaders: Pick<Leaders, 'routeOf'>;
}

/** What is used of the answers of other nodes. */
interface NodesAnswer {
  readonly nodes: readonly object[];
}
interface PartitionAnswer {
  readonly id: number;
  readonly replicas: readonly object[];
  readonly slotCount: number;
  readonly streamCount: number;
}
interface PartitionsAnswer {
  readonly partitions: readonly PartitionAnswer[];
}

/** Damaged values that one message names. */
const damagedMax = 1000;

export class ClusterMethods {
  readonly #parts: ClusterParts;

  constructor(parts: ClusterParts) {
    this.#parts = parts;
  }

  /** All nodes; asked by one of them, this one alone. */
  async describeCluster({ ownView }: { readonly ownView: boolean }, context: CallContext): Promise<object> {
    const { caller } = context;
    // What clients need to find leaders and to cut batches, everybody is told.
    const isForClients = ownView && !caller.mayOnCluster(['read', 'admin']);
    if (!ownView) caller.require({ on: 'cluster', anyOf: ['read', 'admin'] }, '');
    const own = this.#describeSelf(isForClients);
    const { others } = this.#parts;
    if (isForwarded(context)) return own;
    if (ownView) return { ...own, nodes: [...own.nodes, ...others.known.map(knownNode)].toSorted(byId) };
    const answers = await others.ask<NodesAnswer>('DescribeCluster', context);
    const nodes = answers.map((asked) =>
      'answer' in asked
        ? (asked.answer.nodes[0] ?? unreachableNode(asked.node, 'it says nothing'))
        : unreachableNode(asked.node, asked.failure),
    );
    return { ...own, nodes: [...own.nodes, ...nodes].toSorted(byId) };
  }

  #describeSelf(isForClients: boolean): { readonly nodes: readonly object[]; readonly [field: string]: unknown } {
    const { configuration, partitions, router, nodeFacts } = this.#parts;
    const facts = nodeFacts();
    let streamCount = 0;
    for (const replica of router.replicas()) streamCount += streamCountOf(replica);
    const { limits } = configuration;
    const { identity, name, version, advertisedAddresses } = facts;
    const { nodeId: id, incarnation } = identity;
    const { zone } = configuration;
    return {
      clusterId: facts.clusterId,
      nodes: [
        isForClients
          ? { id, name, zone, version, advertisedAddresses, incarnation }
          : {
              id: facts.identity.nodeId,
              name: facts.name,
              zone: configuration.zone,
              version: facts.version,
              advertisedAddresses: facts.advertisedAddresses,
              incarnation: facts.identity.incarnation,
              startedUnixMs: facts.startedUnixMs,
              dataDirectory: facts.dataDirectory,
              diskFreeBytes: facts.diskFreeBytes,
              walBytes: facts.walStats.bytes,
              walSegments: facts.walStats.segments,
              streamCount,
              state: facts.state,
              memoryRssBytes: facts.memoryRssBytes,
            },
      ],
      slotPartitions: partitions.slotPartitions,
      answeredBy: facts.identity.nodeId,
      leaders: this.#partitionIds.flatMap((partitionId) => this.#leaderOf(partitionId)),
      limits: {
        recordBytes: limits.recordBytes,
        batchBytes: limits.batchBytes,
        batchRecords: limits.batchRecords,
        pageRecords: Math.min(limits.pageRecords, readLimits.recordsMax),
        attributesPerRecord: limits.attributesPerRecord,
        attributeBytesPerRecord: limits.attributeBytesPerRecord,
      },
    };
  }

  /** Of the whole cluster. */
  get #partitionIds(): readonly PartitionId[] {
    return this.#parts.others.partitions.map(({ id }) => id);
  }

  /** Of a partition without a known leader nothing is said. */
  #leaderOf(partitionId: PartitionId): readonly object[] {
    const { leaders, nodeFacts, partitions, others } = this.#parts;
    const replica = partitions.replicaOf(partitionId);
    const route = leaders.routeOf(partitionId);
    const node = route?.type === 'local' ? nodeFacts().identity.nodeId : route?.nodeId;
    const term = replica?.status.term ?? others.termOf(partitionId) ?? 0;
    return node === undefined ? [] : [{ partition: partitionId, node, term }];
  }

  /** All replicas of all nodes; asked by one of them, those of this one alone. */
  async listPartitions(context: CallContext): Promise<object> {
    const own = await this.#ownPartitions();
    const { others } = this.#parts;
    if (isForwarded(context)) return { partitions: own };
    const found = new Map(this.#partitionIds.map((id) => [id as number, own.find((one) => one.id === id)]));
    const partitions = new Map([...found].map(([id, one]) => [id, one ?? this.#partitionWithout(id)]));
    for (const asked of await others.ask<PartitionsAnswer>('ListPartitions', context)) {
      for (const { id, replicas, streamCount } of partitionsOf(asked, others)) {
        const known = partitions.get(id);
        if (known === undefined) continue;
        const all = [...known.replicas, ...replicas].toSorted(byReplicaId);
        partitions.set(id, { ...known, replicas: all, streamCount: Math.max(known.streamCount, streamCount) });
      }
    }
    return { partitions: [...partitions.values()] };
  }

  /** Of a partition that has no replica here. */
  #partitionWithout(id: number): PartitionAnswer {
    return { id, replicas: [], slotCount: this.#slotCounts.get(id) ?? 0, streamCount: 0 };
  }

  get #slotCounts(): ReadonlyMap<number, number> {
    const slots = new Map<number, number>();
    for (const partitionId of this.#parts.partitions.slotPartitions) {
      slots.set(partitionId, (slots.get(partitionId) ?? 0) + 1);
    }
    return slots;
  }

  async #ownPartitions(): Promise<PartitionAnswer[]> {
    const { router } = this.#parts;
    const slots = this.#slotCounts;
    const messages = [...router.replicas()].map(async (replica) => ({
      id: replica.partitionId,
      replicas: [await replicaMessage(replica)],
      slotCount: slots.get(replica.partitionId) ?? 0,
      streamCount: streamCountOf(replica),
    }));
    return Promise.all(messages);
  }

  async verifyPartition(
    { partition }: { readonly partition: number },
    sink: MessageSink<object>,
    { signal }: CallContext,
  ): Promise<void> {
    if (partition < 1) {
      throw new LogboomError('INVALID_ARGUMENT', `partition is ${partition}; partitions count from 1`, {
        facts: { field: 'partition', value: partition },
      });
    }
    const replica = this.#parts.router.replica(asPartitionId(partition));
    const totalBytes = await replica.storeBytes();
    // Progress is a courtesy: while one message is on its way, the next ones are left out.
    let writing: Promise<void> | undefined;
    let failure: unknown;
    const onProgress = (done: { values: number; bytes: number }): void => {
      writing ??= sink
        .write({ ...done, totalBytes, done: false })
        .catch((error: unknown) => void (failure = error))
        .finally(() => (writing = undefined));
    };
    const outcome = await replica.verify(onProgress, signal);
    await writing;
    if (signal.aborted || failure !== undefined) throw signal.reason ?? failure;
    await sink.write({ ...outcomeMessage(outcome), totalBytes: outcome.bytes, appliedLsn: outcome.appliedLsn });
  }
}

type FoundPartition = Pick<PartitionAnswer, 'id' | 'replicas' | 'streamCount'>;

function partitionsOf(asked: NodeAnswer<PartitionsAnswer>, nodes: ClusterNodes): readonly FoundPartition[] {
  if ('answer' in asked) return asked.answer.partitions;
  const nodeId = asked.node.id;
  const placed = nodes.replicas.filter((replica) => replica.nodeId === nodeId);
  return placed.map(({ partitionId, replicaId }) => {
    const replica = { replicaId, nodeId, role: 'unreachable', fault: `node ${nodeId}: ${asked.failure}` };
    return { id: partitionId, replicas: [replica], streamCount: 0 };
  });
}

/** What is known of a node without it. */
function knownNode({ id, name, zone, softwareVersion: version, advertisedAddresses, incarnation }: NodeView): object {
  return { id, name, zone, version, advertisedAddresses, incarnation };
}

function unreachableNode(node: NodeView, failure: string): object {
  return { ...knownNode(node), state: `unreachable: ${failure}` };
}

const byId = (left: object, right: object): number => (left as { id: number }).id - (right as { id: number }).id;
const byReplicaId = (left: object, right: object): number =>
  (left as { replicaId: number }).replicaId - (right as { replicaId: number }).replicaId;

/** Operators look at partitions above all when one of them does not serve. */
function streamCountOf(replica: StreamsReplica): number {
  try {
    return replica.machine.streamCount;
  } catch (error) {
    if (!isLogboomError(error)) throw error;
    return 0;
  }
}

function outcomeMessage({ values, bytes, digest, damaged }: StateStoreVerification): object {
  return { values, bytes, done: true, digest, damaged: damaged.slice(0, damagedMax) };
}

async function replicaMessage(replica: StreamsReplica): Promise<object> {
  const { status } = replica;
  return {
    replicaId: status.replicaId,
    nodeId: status.nodeId,
    role: status.role,
    term: status.term,
    firstLsn: status.firstLsn,
    durableLsn: status.durableLsn,
    commitLsn: status.commitLsn,
    appliedLsn: status.appliedLsn,
    persistedLsn: status.persistedLsn,
    ...(status.archivedLsn === undefined ? {} : { archivedLsn: status.archivedLsn }),
    trimPoint: status.trimPoint,
    trimMode: status.trimMode,
    trimHeldBecause: status.trimHeldBecause,
    stateHash: formatStateHash(status.stateHash),
    dirtyBytes: status.dirtyBytes,
    // A replica whose store is closed or being reopened has no size to tell, and status must show it all the same.
    storeBytes: await replica.storeBytes().catch(() => 0),
    fault: status.fault ?? '',
    groupTrimPoint: status.groupTrimPoint,
    archivedManifest: status.archivedManifest,
    snapshotFailure: status.snapshotFailure,
    snapshot: status.snapshot && progressMessage(status.snapshot.lsn, status.snapshot.progress),
    bootstrap: status.bootstrap && {
      neededLsn: status.bootstrap.neededLsn,
      progress: progressMessage(status.bootstrap.snapshotLsn, status.bootstrap.progress),
      problem: status.bootstrap.problem,
      fromReplica: status.bootstrap.fromReplica ?? 0,
      preparing: status.bootstrap.isPreparing,
    },
  };
}

function progressMessage(
  lsn: number | undefined,
  progress: NonNullable<ReplicaStatus['snapshot']>['progress'],
): object {
  return { lsn: lsn ?? 0, bytesDone: progress?.bytesDone ?? 0, bytesTotal: progress?.bytesTotal ?? 0 };
}
