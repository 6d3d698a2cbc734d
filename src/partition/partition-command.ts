/**
 * Commands of the partition itself, in the same log as those of its state machine and in the same envelope
 * (base/command-entry.ts): types from 0xf0 on are the partition's. Every build applies them alike, for their effects are
 * part of the state and its hash.
 */
import { InvariantViolation } from '../base/assert.js';
import { encodeUtf8 } from '../base/bytes.js';
import { encodeEntry, splitEntry } from '../base/command-entry.js';
import { LayoutReader, LayoutWriter, textBytes } from '../base/fixed-layout.js';
import { asLsn, type Lsn } from '../base/ids.js';
import type { ApplyTransaction } from '../state-store/index.js';
import {
  archiveKey,
  checkpointsKept,
  checkpointsKey,
  decodeArchive,
  decodeCheckpoints,
  encodeArchive,
  encodeCheckpoints,
  type ArchiveState,
} from './archive-state.js';

/** Types below it are the state machine's. */
export const firstPartitionType = 0xf0;
const types = { checkpoint: 0xf0, archive: 0xf1 } as const;
const version = 1;
const nothing = new Uint8Array(0);

export type PartitionCommand =
  /** Every replica notes its state hash here; the leader may take a snapshot of exactly this LSN. */
  | { readonly type: 'checkpoint' }
  /** A snapshot is archived, and the log may be trimmed so far. */
  | ({ readonly type: 'archive' } & ArchiveState);

export function isPartitionCommand(entry: Uint8Array): boolean {
  return entry[0] === 1 && (entry[1] ?? 0) >= firstPartitionType;
}

export function encodePartitionCommand(command: PartitionCommand): Uint8Array {
  if (command.type === 'checkpoint') {
    return encodeEntry({ type: types.checkpoint, header: new LayoutWriter(version, 1).finish(), payload: nothing });
  }
  const { archivedLsn, trimPoint } = command;
  const manifest = encodeUtf8(command.manifest);
  const header = new LayoutWriter(version, 17 + textBytes(manifest))
    .uint64(archivedLsn)
    .uint64(trimPoint)
    .text(manifest)
    .finish();
  return encodeEntry({ type: types.archive, header, payload: nothing });
}

/** @throws InvariantViolation: what a quorum has accepted cannot be skipped, so a replica that cannot read it must stop */
export function decodePartitionCommand(entry: Uint8Array): PartitionCommand {
  const { type, header } = splitEntry(entry);
  try {
    const reader = new LayoutReader('partition command', header, version);
    if (type === types.checkpoint) {
      reader.end();
      return { type: 'checkpoint' };
    }
    if (type === types.archive) {
      const archivedLsn = asLsn(reader.uint64());
      const trimPoint = asLsn(reader.uint64());
      const manifest = reader.text();
      reader.end();
      return { type: 'archive', archivedLsn, trimPoint, manifest };
    }
  } catch (error) {
    throw new InvariantViolation(`a partition command cannot be decoded: ${String(error)}`);
  }
  throw new InvariantViolation(`partition command of the unknown type ${type}`);
}

/**
 * Deterministic, as the apply of a state machine is. What a leader proposed after an election that it has not noticed may be
 * out of date: archived LSN and trim point never go back, and no trim point passes the archived LSN (rule 1).
 */
export function applyPartitionCommand(command: PartitionCommand, lsn: Lsn, transaction: ApplyTransaction): void {
  if (command.type === 'checkpoint') {
    const marks = decodeCheckpoints(transaction.getIndex(checkpointsKey));
    const kept = [...marks, { lsn, hashBefore: transaction.stateHash }].slice(-checkpointsKept);
    transaction.putIndex(checkpointsKey, encodeCheckpoints(kept));
    return;
  }
  const before = decodeArchive(transaction.getIndex(archiveKey));
  const after = archiveAfter(before, command, lsn);
  if (after !== before) transaction.putIndex(archiveKey, encodeArchive(after));
}

function archiveAfter(before: ArchiveState, command: ArchiveState, lsn: Lsn): ArchiveState {
  if (command.archivedLsn >= lsn || command.trimPoint > command.archivedLsn) return before;
  const isNewer = command.archivedLsn > before.archivedLsn;
  const trimPoint = asLsn(Math.max(before.trimPoint, command.trimPoint));
  if (!isNewer && trimPoint === before.trimPoint) return before;
  const { archivedLsn, manifest } = isNewer ? command : before;
  return { archivedLsn, manifest, trimPoint };
}
