/**
 * What a partition knows of its snapshots, as part of its replicated state: checkpoints, and how far its log is archived and
 * trimmed. Index keys below 0x10 belong to the partition; see conf-state.ts. docs/formats/partition.md has the drawings.
 */
import { encodeUtf8 } from '../base/bytes.js';
import { LayoutReader, LayoutWriter, textBytes } from '../base/fixed-layout.js';
import { asLsn, type Lsn } from '../base/ids.js';
import type { StateHash } from '../state-store/types.js';

/** The newest checkpoints. */
export const checkpointsKey = Uint8Array.of(0x09);
export const archiveKey = Uint8Array.of(0x0a);

const version = 1;
/** Checkpoints that are kept: a leader confirms one while later ones may be applied already. */
export const checkpointsKept = 8;
const checkpointBytes = 16;

/** An entry at which every replica notes the state that it had reached, for comparing replicas. */
export interface CheckpointMark {
  readonly lsn: Lsn;
  /**
   * After the entry before. It is stored by the entry itself, and so is in the hash at `lsn`: equal marks at one LSN mean equal
   * hashes at that LSN.
   */
  readonly hashBefore: StateHash;
}

export interface ArchiveState {
  /** LSN of the newest snapshot that is complete, was read back, and agrees with a quorum of replicas. */
  readonly archivedLsn: Lsn;
  /** Name of its manifest. */
  readonly manifest: string;
  /** Entries at or below it may go. At or below `archivedLsn` (rule 1). */
  readonly trimPoint: Lsn;
}

export const nothingArchived: ArchiveState = { archivedLsn: asLsn(0), manifest: '', trimPoint: asLsn(0) };

/** Ascending by LSN. */
export function encodeCheckpoints(marks: readonly CheckpointMark[]): Uint8Array {
  const writer = new LayoutWriter(version, 2 + marks.length * checkpointBytes).uint8(marks.length);
  for (const { lsn, hashBefore } of marks) writer.uint64(lsn).uint32(hashBefore.low).uint32(hashBefore.high);
  return writer.finish();
}

/** @throws LogboomError DATA_CORRUPT */
export function decodeCheckpoints(bytes: Uint8Array | undefined): CheckpointMark[] {
  if (bytes === undefined) return [];
  const reader = new LayoutReader('list of checkpoints', bytes, version);
  const marks = Array.from({ length: reader.uint8() }, () => ({
    lsn: asLsn(reader.uint64()),
    hashBefore: { low: reader.uint32(), high: reader.uint32() },
  }));
  reader.end();
  return marks;
}

export function encodeArchive({ archivedLsn, manifest, trimPoint }: ArchiveState): Uint8Array {
  const name = encodeUtf8(manifest);
  return new LayoutWriter(version, 17 + textBytes(name)).uint64(archivedLsn).uint64(trimPoint).text(name).finish();
}

/** @throws LogboomError DATA_CORRUPT */
export function decodeArchive(bytes: Uint8Array | undefined): ArchiveState {
  if (bytes === undefined) return nothingArchived;
  const reader = new LayoutReader('archive state', bytes, version);
  const archivedLsn = asLsn(reader.uint64());
  const trimPoint = asLsn(reader.uint64());
  const manifest = reader.text();
  reader.end();
  if (trimPoint > archivedLsn) throw reader.corrupt(`trim point ${trimPoint} above archived LSN ${archivedLsn}`);
  return { archivedLsn, manifest, trimPoint };
}
