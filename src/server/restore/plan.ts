/**
 * What a restore makes of a repository: which snapshot each partition comes back from, and who holds it. Made once, and then
 * followed by every node of the new cluster, so that all replicas of a partition begin with the same state.
 *
 * The plan lies in the repository, under the id of the new cluster, as `restore.json`; beside it each node that
 * was restored leaves `restored/<node id>.json`, put-if-absent, by which a second directory for the same node is refused:
 * it would know nothing of what the first has voted for.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { LogboomError } from '../../base/errors.js';
import { asLsn, asNodeId, asPartitionId, asTerm, type NodeId } from '../../base/ids.js';
import { supportedFeatureLevel } from '../../metadata/index.js';
import type { FormationRecord } from '../cluster/formation-record.js';

export const planVersion = 1;
export const planName = 'restore.json';

const identity = z.string().regex(/^[0-9a-f]{14}$/);
const lsn = z.int().min(1).transform(asLsn);

const partitionSchema = z.object({
  id: z.int().min(1).transform(asPartitionId),
  /** Undefined: it has no snapshot that can be used, and begins empty. */
  snapshot: z
    .object({
      manifest: z.string(),
      /** `sha256` of the manifest. */
      manifestSha256: z.string(),
      lsn,
      term: z.int().min(0).transform(asTerm),
      /** By the clock of the node that took it. */
      createdUnixMs: z.number(),
      bytes: z.number(),
    })
    .optional(),
  /** Newer snapshots that cannot be used, and why. */
  skipped: z.array(z.object({ manifest: z.string(), lsn, problem: z.string() })),
});

export const planSchema = z.object({
  /** Of the new cluster. */
  clusterId: identity,
  sourceClusterId: z.string(),
  repositoryId: z.string(),
  createdUnixMs: z.number(),
  /** Makes the new epochs of streams of the old ones: [1, 2^53). */
  salt: z.int().min(1),
  partitionCount: z.int().min(1),
  replicationFactor: z.int().min(1),
  /** Ascending by id; of one node alone without an address. */
  nodes: z
    .array(z.object({ id: z.int().min(1).transform(asNodeId), linkAddress: z.string(), incarnation: identity }))
    .min(1),
  partitions: z.array(partitionSchema),
});

export type RestorePlan = z.infer<typeof planSchema>;
export type PlannedPartition = RestorePlan['partitions'][number];
export type PlannedSnapshot = NonNullable<PlannedPartition['snapshot']>;
export type SkippedSnapshot = PlannedPartition['skipped'][number];

export function encodePlan(plan: RestorePlan): Uint8Array {
  const fields = { formatVersion: planVersion, ...plan };
  return new TextEncoder().encode(`${JSON.stringify({ ...fields, sha256: checksum(fields) }, undefined, 2)}\n`);
}

/** @throws LogboomError SNAPSHOT_CORRUPT, SNAPSHOT_VERSION_UNSUPPORTED */
export function parsePlan(object: string, bytes: Uint8Array): RestorePlan {
  const damaged = (problem: string): LogboomError =>
    new LogboomError('SNAPSHOT_CORRUPT', `${object} of the snapshot repository is damaged: ${problem}`, {
      facts: { object },
    });
  let content: Record<string, unknown>;
  try {
    content = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Record<string, unknown>;
  } catch {
    throw damaged('it is not JSON');
  }
  const { sha256, ...fields } = content;
  const { formatVersion, ...plan } = fields;
  if (typeof formatVersion === 'number' && formatVersion > planVersion) {
    throw new LogboomError(
      'SNAPSHOT_VERSION_UNSUPPORTED',
      `${object} of the snapshot repository has format ${formatVersion}; this build reads format ${planVersion}`,
      { facts: { object, format_version: formatVersion } },
    );
  }
  if (sha256 !== checksum(fields)) throw damaged('its checksum does not fit');
  const parsed = planSchema.safeParse(plan);
  if (!parsed.success) throw damaged(`${parsed.error.issues[0]?.path.join('.')} is not what it should be`);
  return parsed.data;
}

const checksum = (fields: object): string => createHash('sha256').update(JSON.stringify(fields)).digest('hex');

/** The new cluster as if it had been formed: what its members write as cluster.json. Names and addresses they tell later. */
export function recordOf(plan: RestorePlan): FormationRecord {
  const { clusterId, createdUnixMs, partitionCount, replicationFactor, nodes } = plan;
  return {
    clusterId,
    formedUnixMs: createdUnixMs,
    partitionCount,
    replicationFactor,
    members: nodes.map(({ id, linkAddress, incarnation }) => ({
      id,
      name: `node-${id}`,
      zone: '',
      incarnation,
      advertisedAddresses: [],
      linkAddress,
      softwareVersion: '',
      featureLevel: supportedFeatureLevel,
      repositoryId: '',
    })),
  };
}

export const claimName = (nodeId: NodeId): string => `restored/${nodeId}.json`;
