/**
 * What a cluster was formed of: `cluster.json`, beside node.json.
 *
 * Written by every member before it takes part in anything; later members are in the metadata, which replicates itself
 * among the members named here. Its first copy is what brings the cluster into being, see formation.ts. A node that came
 * later, or whose replica of the metadata was made anew, has besides where it begins with that (`seat`).
 */
import { z } from 'zod';
import { asNodeId, asReplicaId } from '../../base/ids.js';
import { damaged, readSealedJson, writeSealedJson } from '../sealed-json.js';
import type { NodeId, ReplicaId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import { metadataPartition } from '../replicas.js';
import { ownReplica } from './own-replicas.js';
import type { ClusterState, NodeDescription } from '../../metadata/index.js';

/** With a seat, which builds that know of none must not overlook. */
const formatVersions = { founder: 1, seat: 2 } as const;
const advice = 'Restore it from a copy; of the founders that never were replaced, others have the same';

export interface FormationRecord {
  /** 14 hexadecimal digits. */
  readonly clusterId: string;
  readonly formedUnixMs: number;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** Ascending by id. The position, from 1, is the member's replica id in the metadata group. */
  readonly members: readonly NodeDescription[];
  /** Undefined of a founder with its first replica of the metadata. */
  readonly seat?: MetadataSeat | undefined;
}

/** Where a node begins with the metadata: its own replica, and where it finds the others. */
export interface MetadataSeat {
  readonly replicaId: ReplicaId;
  readonly initialVoters: readonly ReplicaId[];
  /** Of the metadata group, when this was written. */
  readonly replicas: readonly { readonly replicaId: ReplicaId; readonly nodeId: NodeId }[];
  /** Of the cluster, when this was written. */
  readonly nodes: readonly NodeDescription[];
}

const identity = z.string().regex(/^[0-9a-f]{14}$/);

export const nodeDescriptionSchema: z.ZodType<NodeDescription> = z.object({
  id: z.int().min(1).transform(asNodeId),
  name: z.string(),
  zone: z.string(),
  incarnation: identity,
  advertisedAddresses: z.array(z.string()),
  linkAddress: z.string(),
  softwareVersion: z.string(),
  featureLevel: z.int().min(1),
  repositoryId: z.string(),
});

export const formationRecordSchema: z.ZodType<FormationRecord> = z.object({
  clusterId: identity,
  formedUnixMs: z.number(),
  partitionCount: z.int().min(1),
  replicationFactor: z.int().min(1),
  members: z.array(nodeDescriptionSchema).min(1),
  seat: z
    .object({
      replicaId: z.int().min(1).transform(asReplicaId),
      initialVoters: z.array(z.int().min(1).transform(asReplicaId)),
      replicas: z.array(
        z.object({ replicaId: z.int().min(1).transform(asReplicaId), nodeId: z.int().min(1).transform(asNodeId) }),
      ),
      nodes: z.array(nodeDescriptionSchema),
    })
    .optional(),
});

type Parts = Pick<Environment, 'disk' | 'crc32'>;

const fileOf = (directory: string): string => `${directory}/cluster.json`;

export function hasFormationRecord({ disk }: Pick<Parts, 'disk'>, directory: string): Promise<boolean> {
  return disk.exists(fileOf(directory));
}

/**
 * Undefined while the node belongs to no cluster.
 *
 * @throws LogboomError DATA_CORRUPT, DATA_DIRECTORY_MISMATCH (a newer format)
 */
export async function readFormationRecord(parts: Parts, directory: string): Promise<FormationRecord | undefined> {
  const file = fileOf(directory);
  const fields = await readSealedJson(parts, file, { versionMax: formatVersions.seat, advice });
  if (fields !== undefined) return parseRecord(file, fields);
  const { disk } = parts;
  for (const name of ['wal', 'partitions']) {
    if ((await disk.list(`${directory}/${name}`)).length > 0) {
      // Without it the node would count as empty, and its votes and entries as never given.
      throw damaged(file, `it is missing, and ${name} is not empty`, advice);
    }
  }
  return undefined;
}

function parseRecord(file: string, fields: unknown): FormationRecord {
  const parsed = formationRecordSchema.safeParse(fields);
  if (!parsed.success)
    throw damaged(file, `${parsed.error.issues[0]?.path.join('.')} is not what it should be`, advice);
  return parsed.data;
}

/** Durable when it resolves. */
export async function writeFormationRecord(parts: Parts, directory: string, record: FormationRecord): Promise<void> {
  const formatVersion = record.seat === undefined ? formatVersions.founder : formatVersions.seat;
  await writeSealedJson(parts, fileOf(directory), { formatVersion, ...record });
}

/** The nodes that are known without the metadata. */
export const nodesOf = ({ members, seat }: FormationRecord): readonly NodeDescription[] => seat?.nodes ?? members;

export function memberOf(record: FormationRecord, nodeId: NodeId): NodeDescription | undefined {
  return nodesOf(record).find(({ id }) => id === nodeId);
}

/** Where a node begins with the metadata, as the newest table says; undefined when the table has no place for it. */
export function seatIn({ nodes, partitions }: ClusterState, nodeId: NodeId): MetadataSeat | undefined {
  const partition = partitions.get(metadataPartition);
  const own = partition && ownReplica(partition, nodeId);
  if (partition === undefined || own === undefined) return undefined;
  return {
    replicaId: own.replicaId,
    initialVoters: partition.initialVoters,
    replicas: partition.replicas.map(({ replicaId, nodeId: holder }) => ({ replicaId, nodeId: holder })),
    nodes: [...nodes.values()].filter(({ state }) => state !== 'removed'),
  };
}
