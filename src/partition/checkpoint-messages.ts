/**
 * What the replicas of a group tell each other about a checkpoint, as payload of host messages.
 *
 * ```
 * request  u8 version = 1 | u8 1 | u64 lsn | u8 agreed | agreed: u32 low, u32 high
 * report   u8 version = 1 | u8 2 | u64 lsn | u8 known | known: u32 low, u32 high | u64 applied | u64 persisted | text repository id
 * ```
 */
import { encodeUtf8 } from '../base/bytes.js';
import { LayoutReader, LayoutWriter, textBytes } from '../base/fixed-layout.js';
import { asLsn, type Lsn } from '../base/ids.js';
import type { StateHash } from '../state-store/types.js';

const version = 1;
const kinds = { request: 1, report: 2 } as const;

/** Of a leader: what do you have at this checkpoint? */
export interface CheckpointRequest {
  readonly type: 'request';
  readonly lsn: Lsn;
  /** What a majority has there; undefined as long as that is not known. */
  readonly agreed: StateHash | undefined;
}

export interface CheckpointReport {
  readonly type: 'report';
  readonly lsn: Lsn;
  /** Undefined: the replica has not applied it, or has forgotten it. */
  readonly hashBefore: StateHash | undefined;
  readonly appliedLsn: Lsn;
  readonly persistedLsn: Lsn;
  /** The snapshot repository that the node of the replica has proved to see; empty: none. */
  readonly repositoryId: string;
}

export type CheckpointMessage = CheckpointRequest | CheckpointReport;

export function encodeCheckpointMessage(message: CheckpointMessage): Uint8Array {
  const hash = message.type === 'request' ? message.agreed : message.hashBefore;
  const id = encodeUtf8(message.type === 'report' ? message.repositoryId : '');
  const tail = message.type === 'report' ? 16 + textBytes(id) : 0;
  const writer = new LayoutWriter(version, 11 + (hash === undefined ? 0 : 8) + tail)
    .uint8(kinds[message.type])
    .uint64(message.lsn)
    .uint8(hash === undefined ? 0 : 1);
  if (hash !== undefined) writer.uint32(hash.low).uint32(hash.high);
  if (message.type === 'report') writer.uint64(message.appliedLsn).uint64(message.persistedLsn).text(id);
  return writer.finish();
}

/** Undefined for what another build may send: what it means is not known, and nothing depends on an answer. */
export function decodeCheckpointMessage(bytes: Uint8Array): CheckpointMessage | undefined {
  try {
    const reader = new LayoutReader('checkpoint message', bytes, version);
    const kind = reader.uint8();
    const lsn = asLsn(reader.uint64());
    const hash = reader.uint8() === 1 ? { low: reader.uint32(), high: reader.uint32() } : undefined;
    if (kind === kinds.request) {
      reader.end();
      return { type: 'request', lsn, agreed: hash };
    }
    if (kind !== kinds.report) return undefined;
    const appliedLsn = asLsn(reader.uint64());
    const persistedLsn = asLsn(reader.uint64());
    const repositoryId = reader.text();
    reader.end();
    return { type: 'report', lsn, hashBefore: hash, appliedLsn, persistedLsn, repositoryId };
  } catch {
    return undefined;
  }
}
