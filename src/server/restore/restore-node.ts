/**
 * Makes the data directory of a node from a snapshot repository, after the cluster is lost.
 *
 * ```
 *   restored.json    first of all: the plan, and a mark of this directory. Without node.json nothing else counts
 *   partitions/7     each replica's store, restored (src/partition/restored-replica.ts)
 *   wal/             each replica's log, empty, beginning behind its store
 *   cluster.json     the new cluster
 *   node.json        last: from here on it is a node's directory
 * ```
 *
 * Safety. A directory without node.json is no node's, so a restore that was interrupted never serves; called again, it goes
 * on. The new cluster shares nothing with the old one: another id, by which links refuse one another, another place in the
 * repository, other epochs of streams. And of each of its nodes there is one directory at most: before node.json is
 * written, the node is claimed in the repository for the mark of this directory. A second one, made later from the same
 * plan, would have forgotten what the first has voted for and acknowledged; it is refused.
 */
import { hostname } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { assert } from '../../base/assert.js';
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { asNodeId, asReplicaId, type NodeId, type PartitionId } from '../../base/ids.js';
import { nextIdentity } from '../../base/ports/random.js';
import type { Environment } from '../../base/ports/environment.js';
import { beginLogs, restoreReplica } from '../../partition/index.js';
import type { ReplicaPlacement, RestoredLog, RestoredReplica } from '../../partition/index.js';
import { manifestSha256, restoreSnapshot } from '../../snapshot/index.js';
import type { Manifest, PartitionArchive, SnapshotProgress, SnapshotRepository } from '../../snapshot/index.js';
import { LevelDbProvider, openStateStore } from '../../state-store/index.js';
import { StreamsStateMachine } from '../../streams/index.js';
import { initialCommand } from '../cluster/cluster-start.js';
import { writeFormationRecord } from '../cluster/formation-record.js';
import { confStateOf } from '../cluster/own-replicas.js';
import { replicationFactorOf, type Configuration } from '../config/index.js';
import { lockForRestore, restoredFile, writeIdentity } from '../data-directory.js';
import { partitionManagerOptions } from '../partition-options.js';
import { damaged, readSealedJson, writeSealedJson } from '../sealed-json.js';
import { makePlan, nodesOf, type PlanOptions } from './make-plan.js';
import { claimName, encodePlan, parsePlan, planName, planSchema, recordOf } from './plan.js';
import type { PlannedPartition, PlannedSnapshot, RestorePlan } from './plan.js';

export interface RestoreOptions extends PlanOptions {
  /** Id of the new cluster, when another node has made the plan. */
  readonly joinPlan: string | undefined;
  /** Told once, before anything is restored. */
  readonly onPlan?: (plan: RestorePlan, isResumed: boolean) => Promise<void>;
  readonly onProgress?: (partition: PartitionId, progress: SnapshotProgress) => void;
  readonly onRestored?: (partition: RestoredPartition) => Promise<void>;
}

export interface RestoredPartition extends PlannedPartition {
  /** Undefined: this node does not hold it, or it begins empty. */
  readonly streams: number | undefined;
}

const formatVersion = 1;
const advice = 'Empty the directory, and begin the restore anew';

interface Held {
  readonly plan: RestorePlan;
  readonly nodeId: NodeId;
  /** Of this directory; 14 hexadecimal digits. */
  readonly mark: string;
}

/**
 * What a restore would do, from a repository that is not changed by it.
 *
 * @throws LogboomError as {@link makePlan} does
 */
export async function planRestore(
  environment: Environment,
  repository: SnapshotRepository,
  configuration: Configuration,
  options: RestoreOptions,
): Promise<RestorePlan> {
  const { joinPlan } = options;
  if (joinPlan === undefined) return makePlan(environment, repository, configuration, options);
  const bytes = await repository.readDocument(joinPlan, planName, options).catch((error: unknown) => {
    throw isLogboomError(error, 'SNAPSHOT_NOT_FOUND') ? noPlan(repository, joinPlan) : error;
  });
  const plan = parsePlan(`${joinPlan}/${planName}`, bytes);
  checkConfiguration(configuration, plan);
  return plan;
}

/**
 * Restores this node. Resolves when its directory can be started with the same configuration.
 *
 * @throws LogboomError as {@link makePlan} does; DATA_DIRECTORY_MISMATCH for a directory that is not empty; CLUSTER_MISMATCH when the node was
 * restored before, into another directory; SNAPSHOT_CORRUPT when a snapshot of the plan turns out to be damaged; DISK_FULL
 */
export async function restoreNode(
  environment: Environment,
  repository: SnapshotRepository,
  configuration: Configuration,
  options: RestoreOptions,
): Promise<RestorePlan> {
  const directory = path.resolve(configuration.dataDir);
  const holder = { pid: process.pid, hostname: hostname() };
  const lock = await lockForRestore(environment, { path: directory, holder });
  try {
    const begun = await readHeld(environment, directory);
    const held = begun ?? (await begin(environment, repository, configuration, options, directory));
    checkResumed(held, configuration, options, directory);
    await options.onPlan?.(held.plan, begun !== undefined);
    await new NodeRestore({ environment, repository, configuration, options, directory, held }).run();
    return held.plan;
  } finally {
    await lock.release();
  }
}

async function readHeld(environment: Environment, directory: string): Promise<Held | undefined> {
  const file = `${directory}/${restoredFile}`;
  const fields = await readSealedJson(environment, file, { versionMax: formatVersion, advice });
  if (fields === undefined) return undefined;
  const plan = planSchema.safeParse(fields['plan']);
  const { nodeId, mark } = fields;
  if (!plan.success || typeof nodeId !== 'number' || typeof mark !== 'string') {
    throw damaged(file, 'a field is missing', advice);
  }
  return { plan: plan.data, nodeId: asNodeId(nodeId), mark };
}

async function begin(
  environment: Environment,
  repository: SnapshotRepository,
  configuration: Configuration,
  options: RestoreOptions,
  directory: string,
): Promise<Held> {
  const plan = await planRestore(environment, repository, configuration, options);
  const mark = nextIdentity(environment.random).toString(16).padStart(14, '0');
  const held = { plan, nodeId: asNodeId(configuration.nodeId), mark };
  // A node that has been restored by this plan needs no terabyte to be told so.
  await checkClaim(repository, held, options.signal);
  await writeSealedJson(environment, `${directory}/${restoredFile}`, { formatVersion, ...held });
  return held;
}

function checkResumed(
  { plan, nodeId }: Held,
  configuration: Configuration,
  { joinPlan, sourceClusterId }: RestoreOptions,
  directory: string,
): void {
  const isOther =
    nodeId !== configuration.nodeId ||
    (joinPlan !== undefined && joinPlan !== plan.clusterId) ||
    (sourceClusterId !== undefined && sourceClusterId !== plan.sourceClusterId);
  if (isOther) {
    throw new LogboomError(
      'DATA_DIRECTORY_MISMATCH',
      `${directory} holds an unfinished restore of node ${nodeId} of cluster ${plan.clusterId}, from snapshots of cluster ` +
        `${plan.sourceClusterId}: go on with that one, or empty the directory`,
      { facts: { directory, cluster: plan.clusterId } },
    );
  }
  checkConfiguration(configuration, plan);
}

/** All nodes of the new cluster are configured alike, as they are for a cluster that forms itself. */
function checkConfiguration(configuration: Configuration, plan: RestorePlan): void {
  const { partitions } = configuration;
  const listOf = (nodes: readonly { readonly id: number; readonly linkAddress: string }[]): string =>
    nodes.map(({ id, linkAddress }) => (linkAddress === '' ? `${id}` : `${id}@${linkAddress}`)).join(',');
  const factor = replicationFactorOf(configuration);
  const differences: [string, string | number, string | number][] = [
    ['cluster.nodes', listOf(nodesOf(configuration).toSorted((one, other) => one.id - other.id)), listOf(plan.nodes)],
    ['partitions', partitions, plan.partitionCount],
    ['cluster.replicationFactor', factor, plan.replicationFactor],
  ];
  for (const [setting, here, planned] of differences) {
    if (here === planned) continue;
    throw new LogboomError(
      'CONFIGURATION_INVALID',
      `${setting} is ${here}, and cluster ${plan.clusterId} is restored with ${planned}: configure all of its nodes alike`,
      { facts: { setting, cluster: plan.clusterId } },
    );
  }
}

class NodeRestore {
  readonly #environment: Environment;
  readonly #repository: SnapshotRepository;
  readonly #options: RestoreOptions;
  readonly #directory: string;
  readonly #held: Held;
  readonly #sizing: Pick<ReturnType<typeof partitionManagerOptions>, 'storeProvider' | 'storeSizes' | 'wal'>;

  constructor(parts: {
    readonly environment: Environment;
    readonly repository: SnapshotRepository;
    readonly configuration: Configuration;
    readonly options: RestoreOptions;
    readonly directory: string;
    readonly held: Held;
  }) {
    this.#environment = parts.environment;
    this.#repository = parts.repository;
    this.#options = parts.options;
    this.#directory = parts.directory;
    this.#held = parts.held;
    const storeProvider = new LevelDbProvider(parts.environment.disk);
    const transport = { send: () => {}, ask: () => Promise.reject(new Error('a restore asks no other node')) };
    const nobody = { replicas: [], transport, nodesKnown: () => 1, clusterId: this.#held.plan.clusterId };
    this.#sizing = partitionManagerOptions(parts.configuration, parts.held.nodeId, storeProvider, () => {}, nobody);
  }

  async run(): Promise<void> {
    const { plan, nodeId } = this.#held;
    const { signal, onRestored } = this.#options;
    const { disk } = this.#environment;
    const directory = this.#directory;
    await this.#repository.writeDocument(plan.clusterId, planName, encodePlan(plan), { signal });
    if (!(await disk.exists(`${directory}/partitions`))) await disk.makeDirectory(`${directory}/partitions`);
    await disk.syncDirectory(directory);
    const logs: RestoredLog[] = [];
    for (const partition of plan.partitions) {
      const placement = placementOf(plan, nodeId, partition.id);
      let streams: number | undefined;
      if (placement !== undefined && partition.snapshot !== undefined) {
        const restored = await this.#restore(placement, partition.snapshot);
        logs.push({ partitionId: partition.id, replicaId: placement.replicaId, start: restored.start });
        streams = restored.streams;
      }
      await onRestored?.({ ...partition, streams });
    }
    signal.throwIfAborted();
    await beginLogs(this.#environment, this.#sizing.wal ?? {}, `${directory}/wal`, logs);
    await claim(this.#repository, this.#held, signal);
    await writeFormationRecord(this.#environment, directory, recordOf(plan));
    await this.#writeIdentity();
  }

  async #restore({ partitionId, confState }: ReplicaPlacement, snapshot: PlannedSnapshot): Promise<RestoredReplica> {
    const { disk, crc32, clock } = this.#environment;
    const { plan } = this.#held;
    const { signal, onProgress } = this.#options;
    const { storeProvider, storeSizes } = this.#sizing;
    const sizes = storeSizes === undefined ? {} : { sizes: storeSizes };
    const archive = this.#repository.partition(plan.sourceClusterId, partitionId);
    const manifest = await readPlanned(archive, snapshot, signal);
    return restoreReplica({
      disk,
      crc32,
      manifest,
      directory: `${this.#directory}/partitions/${partitionId}`,
      confState,
      salt: plan.salt,
      createMachine: () => new StreamsStateMachine(),
      openStore: (directory) => openStateStore({ directory, provider: storeProvider, clock, crc32, ...sizes }),
      restore: (directory) =>
        restoreSnapshot({
          source: archive,
          manifest,
          directory,
          disk,
          storeProvider,
          crc32,
          ...sizes,
          logicalView: (state) => new StreamsStateMachine().logicalView(state),
          signal,
          onProgress: (progress) => onProgress?.(partitionId, progress),
        }).catch((error: unknown) => {
          throw isLogboomError(error, 'SNAPSHOT_CORRUPT') ? isDamaged(error, snapshot) : error;
        }),
    });
  }

  /** From here on the directory is a node's. */
  async #writeIdentity(): Promise<void> {
    const { plan, nodeId } = this.#held;
    const planned = plan.nodes.find(({ id }) => id === nodeId);
    assert(planned !== undefined, () => `the plan of cluster ${plan.clusterId} has no node ${nodeId}`);
    await writeIdentity(this.#environment, this.#directory, {
      clusterId: undefined,
      nodeId,
      incarnation: planned.incarnation,
      partitionCount: plan.partitionCount,
      createdUnixMs: Math.floor(this.#environment.clock.wallMs()),
    });
  }
}

/** Where the new cluster puts the partition, as its first command will say; undefined: not on this node. */
function placementOf(plan: RestorePlan, nodeId: NodeId, partitionId: PartitionId): ReplicaPlacement | undefined {
  const partition = initialCommand(recordOf(plan)).partitions.find(({ id }) => id === partitionId);
  const own = partition?.replicas.find((replica) => replica.nodeId === nodeId);
  if (partition === undefined || own === undefined) return undefined;
  const voters = partition.replicas
    .map(({ replicaId }) => asReplicaId(replicaId))
    .toSorted((one, other) => one - other);
  return { partitionId, replicaId: asReplicaId(own.replicaId), confState: confStateOf(voters) };
}

/** The very snapshot of the plan. */
async function readPlanned(
  archive: PartitionArchive,
  snapshot: PlannedSnapshot,
  signal: AbortSignal,
): Promise<Manifest> {
  const { manifest: name, manifestSha256: expected } = snapshot;
  const manifest = await archive.read(name, { signal });
  if (manifestSha256(manifest) === expected) return manifest;
  throw new LogboomError('SNAPSHOT_CORRUPT', `${name} is not the snapshot that the plan of the restore names`, {
    facts: { object: name },
  });
}

const claimSchema = z.object({ formatVersion: z.literal(1), nodeId: z.int(), mark: z.string() });

/** Whose the node is: of this directory, of another one, or of none yet. */
async function readClaim(
  repository: SnapshotRepository,
  { plan, nodeId }: Held,
  signal: AbortSignal,
): Promise<string | undefined> {
  const object = `${plan.clusterId}/${claimName(nodeId)}`;
  try {
    const bytes = await repository.readDocument(plan.clusterId, claimName(nodeId), { signal });
    return claimSchema.parse(JSON.parse(new TextDecoder().decode(bytes))).mark;
  } catch (error) {
    if (isLogboomError(error, 'SNAPSHOT_NOT_FOUND')) return undefined;
    if (isLogboomError(error)) throw error;
    throw new LogboomError('SNAPSHOT_CORRUPT', `${object} of the snapshot repository is damaged`, {
      facts: { object },
    });
  }
}

async function checkClaim(repository: SnapshotRepository, held: Held, signal: AbortSignal): Promise<void> {
  const mark = await readClaim(repository, held, signal);
  if (mark === undefined || mark === held.mark) return;
  const { plan, nodeId } = held;
  throw new LogboomError(
    'CLUSTER_MISMATCH',
    `node ${nodeId} of cluster ${plan.clusterId} was restored before, into another directory: what it has voted for and stored since ` +
      'is not in the repository. Start it with that directory; if that is lost, the node is: see docs/recovery.md',
    { facts: { node: nodeId, cluster: plan.clusterId } },
  );
}

/** Of several directories for one node exactly one gets it. */
async function claim(repository: SnapshotRepository, held: Held, signal: AbortSignal): Promise<void> {
  const { plan, nodeId, mark } = held;
  const bytes = new TextEncoder().encode(`${JSON.stringify({ formatVersion: 1, nodeId, mark })}\n`);
  await repository.writeDocument(plan.clusterId, claimName(nodeId), bytes, { signal });
  await checkClaim(repository, held, signal);
}

function isDamaged(error: LogboomError, { manifest }: PlannedSnapshot): LogboomError {
  const { reason, message, facts } = error;
  const advice = `Empty the directory, and begin anew with an older snapshot: --without ${manifest}`;
  return new LogboomError(reason, `${message}. ${advice}`, { facts, cause: error });
}

function noPlan({ description }: SnapshotRepository, clusterId: string): LogboomError {
  return new LogboomError(
    'SNAPSHOT_NOT_FOUND',
    `${description} has no plan of a restore of cluster ${clusterId}: the node that makes it prints the id`,
    { facts: { repository: description, cluster: clusterId } },
  );
}
