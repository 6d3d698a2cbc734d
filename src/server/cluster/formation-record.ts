/**
 * What a cluster was formed of: `cluster.json`, beside node.json.
 *
 * Written once by every member before it takes part in anything, and never changed: later members are in the metadata,
 * which replicates itself among the members named here. Its first copy is what brings the cluster into being, see
 * formation.ts.
 */
import { z } from 'zod';
import { asNodeId } from '../../base/ids.js';
import { damaged, readSealedJson, writeSealedJson } from '../sealed-json.js';
import type { NodeId } from '../../base/ids.js';
import type { Environment } from '../../base/ports/environment.js';
import type { NodeDescription } from '../../metadata/index.js';

const formatVersion = 1;
const advice = 'Restore it from another member of the cluster, where it is the same';

export interface FormationRecord {
  /** 14 hexadecimal digits. */
  readonly clusterId: string;
  readonly formedUnixMs: number;
  readonly partitionCount: number;
  readonly replicationFactor: number;
  /** Ascending by id. The position, from 1, is the member's replica id in the metadata group. */
  readonly members: readonly NodeDescription[];
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
  const fields = await readSealedJson(parts, file, { versionMax: formatVersion, advice });
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
  await writeSealedJson(parts, fileOf(directory), { formatVersion, ...record });
}

export function memberOf({ members }: FormationRecord, nodeId: NodeId): NodeDescription | undefined {
  return members.find(({ id }) => id === nodeId);
}
