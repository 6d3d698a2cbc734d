/** Chooses what a cluster is restored from: of each partition the newest snapshot that is confirmed and complete. */
import { isLogboomError, LogboomError } from '../../base/errors.js';
import { asNodeId, asPartitionId, type PartitionId } from '../../base/ids.js';
import { nextIdentity } from '../../base/ports/random.js';
import type { Environment } from '../../base/ports/environment.js';
import type { IndexEntry, StateReader } from '../../base/state-machine.js';
import { initialSlotPattern, MetadataMachine } from '../../metadata/index.js';
import { manifestSha256, readIndexEntries } from '../../snapshot/index.js';
import type { Manifest, PartitionArchive, SnapshotRepository } from '../../snapshot/index.js';
import { replicationFactorOf, type Configuration } from '../config/index.js';
import { metadataPartition } from '../replicas.js';
import type { PlannedPartition, RestorePlan, SkippedSnapshot } from './plan.js';

export interface PlanOptions {
  /** Undefined: the only cluster that the repository has snapshots of. */
  readonly sourceClusterId: string | undefined;
  /** Names of manifests that are not to be used. */
  readonly without: readonly string[];
  /** Whether partitions without a usable snapshot may begin empty. */
  readonly allowMissing: boolean;
  readonly signal: AbortSignal;
}

/**
 * @throws LogboomError SNAPSHOT_NOT_FOUND when there is nothing to restore, or nothing of a partition; CONFIGURATION_INVALID when the
 * old cluster was another than this configuration is for; INVALID_ARGUMENT when it is not clear which cluster
 */
export async function makePlan(
  { clock, random }: Pick<Environment, 'clock' | 'random'>,
  repository: SnapshotRepository,
  configuration: Configuration,
  options: PlanOptions,
): Promise<RestorePlan> {
  const { signal } = options;
  const sourceClusterId = options.sourceClusterId ?? (await onlyCluster(repository, signal));
  const found = await repository.partitions(sourceClusterId, { signal });
  if (found.length === 0) throw nothing(repository, sourceClusterId);
  const metadata = repository.partition(sourceClusterId, metadataPartition);
  await checkPartitions(configuration, metadata, found, options);
  const ids = Array.from({ length: configuration.partitions }, (_, index) => asPartitionId(1 + index));
  const partitions: PlannedPartition[] = [];
  for (const id of ids) {
    const archive = repository.partition(sourceClusterId, id);
    const { chosen, skipped } = await chooseSnapshot(archive, options);
    partitions.push({ id, snapshot: chosen && factsOf(chosen), skipped: [...skipped] });
  }
  checkMissing(sourceClusterId, partitions, options);
  const hex = (): string => nextIdentity(random).toString(16).padStart(14, '0');
  return {
    clusterId: hex(),
    sourceClusterId,
    repositoryId: repository.id,
    createdUnixMs: Math.floor(clock.wallMs()),
    salt: nextIdentity(random),
    partitionCount: configuration.partitions,
    replicationFactor: replicationFactorOf(configuration),
    nodes: nodesOf(configuration)
      .map(({ id, linkAddress }) => ({ id: asNodeId(id), linkAddress, incarnation: hex() }))
      .toSorted((one, other) => one.id - other.id),
    partitions,
  };
}

/** Those of the new cluster: the list of the configuration, or this node alone. */
export function nodesOf({ cluster, nodeId }: Configuration): Configuration['cluster']['nodes'] {
  return cluster.nodes.length > 0 ? cluster.nodes : [{ id: nodeId, linkAddress: '' }];
}

async function onlyCluster(repository: SnapshotRepository, signal: AbortSignal): Promise<string> {
  const clusters: string[] = [];
  for (const id of await repository.clusters({ signal })) {
    if ((await repository.partitions(id, { signal })).length > 0) clusters.push(id);
  }
  const [only, ...others] = clusters;
  if (only === undefined) {
    throw new LogboomError('SNAPSHOT_NOT_FOUND', `${repository.description} has no snapshot of any cluster`, {
      facts: { repository: repository.description },
    });
  }
  if (others.length === 0) return only;
  throw new LogboomError(
    'INVALID_ARGUMENT',
    `${repository.description} has snapshots of clusters ${clusters.join(', ')}: say which one is to be restored (--cluster)`,
    { facts: { clusters: clusters.join(' ') } },
  );
}

interface Choice {
  readonly chosen: { readonly name: string; readonly manifest: Manifest } | undefined;
  readonly skipped: readonly SkippedSnapshot[];
}

async function chooseSnapshot(
  archive: PartitionArchive,
  { without, signal }: Pick<PlanOptions, 'without' | 'signal'>,
): Promise<Choice> {
  const confirmed = await archive.confirmations({ signal });
  const skipped: SkippedSnapshot[] = [];
  for (const { name, lsn } of await archive.manifests({ signal })) {
    const skip = (problem: string): void => void skipped.push({ manifest: name, lsn, problem });
    if (without.includes(name)) skip('left out, as asked for');
    else if (!confirmed.has(name)) skip('no majority has confirmed it');
    else {
      try {
        const manifest = await archive.readBack(name, { signal });
        await archive.requireConfirmed(manifest, name, { signal });
        return { chosen: { name, manifest }, skipped };
      } catch (error) {
        const isUnusable = ['SNAPSHOT_CORRUPT', 'SNAPSHOT_NOT_FOUND', 'SNAPSHOT_VERSION_UNSUPPORTED'] as const;
        if (!isUnusable.some((reason) => isLogboomError(error, reason))) throw error;
        skip((error as LogboomError).message);
      }
    }
  }
  return { chosen: undefined, skipped };
}

function factsOf({ name, manifest }: NonNullable<Choice['chosen']>): NonNullable<PlannedPartition['snapshot']> {
  const { lsn, term, createdUnixMs, chunks } = manifest;
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
  return { manifest: name, manifestSha256: manifestSha256(manifest), lsn, term, createdUnixMs, bytes };
}

/** Streams are found by their hash slots: those must lie where they lay. */
async function checkPartitions(
  { partitions }: Configuration,
  metadata: PartitionArchive,
  found: readonly PartitionId[],
  options: PlanOptions,
): Promise<void> {
  const { chosen } = found.includes(metadataPartition)
    ? await chooseSnapshot(metadata, options)
    : { chosen: undefined };
  const state = chosen && (await clusterStateOf(metadata, chosen.manifest, options.signal));
  const known = state === undefined ? found : [...state.partitions.keys(), ...found];
  const last = Math.max(...known);
  const isOther = state === undefined ? last > partitions : last !== partitions;
  if (isOther) {
    throw new LogboomError(
      'CONFIGURATION_INVALID',
      `partitions is ${partitions}, and cluster ${metadata.clusterId} had ${state === undefined ? 'at least ' : ''}${last}: set ` +
        `partitions to ${last}`,
      { facts: { partitions, cluster_partitions: last } },
    );
  }
  const pattern = initialSlotPattern(partitions);
  if (state === undefined || state.slots.every((id, slot) => id === pattern[slot % pattern.length])) return;
  throw new LogboomError(
    'CONFIGURATION_INVALID',
    `cluster ${metadata.clusterId} has dealt its hash slots to its partitions in a way that this build cannot restore`,
    { facts: { cluster: metadata.clusterId } },
  );
}

async function clusterStateOf(
  archive: PartitionArchive,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<MetadataMachine['state']> {
  const machine = new MetadataMachine();
  await machine.load(readerOf(await readIndexEntries(archive, manifest, { signal }), manifest));
  return machine.state;
}

/** A small state in memory. */
function readerOf(entries: readonly IndexEntry[], { lsn }: Manifest): StateReader {
  const isIn = (key: Uint8Array, from: Uint8Array, to: Uint8Array): boolean =>
    Buffer.compare(key, from) >= 0 && Buffer.compare(key, to) < 0;
  return {
    appliedLsn: lsn,
    getIndex: (key) => entries.find((entry) => Buffer.compare(entry.key, key) === 0)?.value,
    scanIndex: ({ from, to, limit }) =>
      Promise.resolve(entries.filter(({ key }) => isIn(key, from, to)).slice(0, limit)),
    getRecords: (lsns) => Promise.resolve(lsns.map(() => undefined)),
  };
}

function checkMissing(
  clusterId: string,
  partitions: readonly PlannedPartition[],
  { allowMissing }: Pick<PlanOptions, 'allowMissing'>,
): void {
  const missing = partitions.filter(({ snapshot }) => snapshot === undefined);
  if (missing.length === 0 || (allowMissing && missing.length < partitions.length)) return;
  const which = missing.map(({ id, skipped }) => {
    const [newest] = skipped;
    return newest === undefined ? `${id}` : `${id} (LSN ${newest.lsn}: ${newest.problem})`;
  });
  throw new LogboomError(
    'SNAPSHOT_NOT_FOUND',
    `of cluster ${clusterId} there is no snapshot that can be used of partition ${which.join(', ')}. With --allow-missing they ` +
      'begin empty, and their streams are lost',
    { facts: { cluster: clusterId, partitions: missing.map(({ id }) => id).join(' ') } },
  );
}

function nothing({ description }: SnapshotRepository, clusterId: string): LogboomError {
  return new LogboomError('SNAPSHOT_NOT_FOUND', `${description} has no snapshot of cluster ${clusterId}`, {
    facts: { repository: description, cluster: clusterId },
  });
}
