/**
 * Says that a quorum of the replicas had the state of a snapshot at its LSN: an object beside the manifest, put-if-absent
 * after they said so. Whoever has no leader to ask, because it begins with the snapshot, or because the cluster is lost,
 * takes none without it: a replica that has diverged can write a manifest that fits together and is wrong.
 *
 * It names the manifest by its checksum, so that it confirms no other one that came to have the name.
 */
import { createHash } from 'node:crypto';
import type { PartitionId } from '../base/ids.js';
import { corrupt } from './failures.js';
import { Fields } from './fields.js';
import { manifestChecksum } from './manifest.js';
import type { Manifest } from './types.js';

const formatVersion = 1;
export const confirmationBytesMax = 64 << 10;

export interface Confirmation {
  readonly clusterId: string;
  readonly partitionId: PartitionId;
  /** The manifest's name. */
  readonly manifest: string;
  /** Its `sha256`. */
  readonly manifestSha256: string;
}

export function confirmationOf(manifest: Manifest, name: string): Confirmation {
  const { clusterId, partitionId } = manifest;
  return { clusterId, partitionId, manifest: name, manifestSha256: manifestChecksum(manifest) };
}

export function encodeConfirmation(confirmation: Confirmation): Uint8Array {
  const fields = { ...plain(confirmation), sha256: checksum(confirmation) };
  return new TextEncoder().encode(`${JSON.stringify(fields, undefined, 2)}\n`);
}

/**
 * @param object where it was read, for errors
 * @param expected what it is to say
 * @throws LogboomError SNAPSHOT_CORRUPT, SNAPSHOT_VERSION_UNSUPPORTED
 */
export function requireConfirmation(object: string, bytes: Uint8Array, expected: Confirmation): void {
  const fields = Fields.parse(object, bytes);
  fields.version('formatVersion', formatVersion);
  const found = {
    clusterId: fields.text('clusterId', /^.{1,128}$/),
    partitionId: fields.integer('partition', 0) as PartitionId,
    manifest: fields.text('manifest', /^.{1,128}$/),
    manifestSha256: fields.text('manifestSha256', /^[0-9a-f]{64}$/),
  };
  const stored = fields.text('sha256', /^[0-9a-f]{64}$/);
  fields.end();
  if (stored !== checksum(found)) throw corrupt(object, 'is damaged: its checksum does not fit');
  if (stored !== checksum(expected)) throw corrupt(object, `confirms another manifest than ${expected.manifest}`);
  // White space is under no checksum, and nobody writes it otherwise.
  if (Buffer.compare(bytes, encodeConfirmation(expected)) !== 0) throw corrupt(object, 'is damaged between its fields');
}

function plain({ clusterId, partitionId, manifest, manifestSha256 }: Confirmation): Record<string, unknown> {
  return { formatVersion, clusterId, partition: partitionId, manifest, manifestSha256 };
}

const checksum = (confirmation: Confirmation): string =>
  createHash('sha256')
    .update(JSON.stringify(plain(confirmation)))
    .digest('hex');
