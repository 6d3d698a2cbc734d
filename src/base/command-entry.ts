/**
 * The entry of a command in the log of a partition, whatever state machine it is for:
 *
 *      0         1         2                    6                      6 + header length
 *      | u8      | u8      | u32, big-endian    | header               | payload ...
 *      | envelope| command | header length      | version, time, ...   |
 *      | version | type    |                    |                      |
 */
import { InvariantViolation } from './assert.js';
import { allocateBytes, readUint32, writeUint32 } from './bytes.js';

const envelopeVersion = 1;
const envelopeBytes = 6;

export interface CommandEntry {
  /** 0 to 255. */
  readonly type: number;
  readonly header: Uint8Array;
  readonly payload: Uint8Array;
}

/** One copy of header and payload. */
export function encodeEntry({ type, header, payload }: CommandEntry): Uint8Array {
  const entry = allocateBytes(envelopeBytes + header.length + payload.length);
  entry[0] = envelopeVersion;
  entry[1] = type;
  writeUint32(entry, 2, header.length);
  entry.set(header, envelopeBytes);
  entry.set(payload, envelopeBytes + header.length);
  return entry;
}

/**
 * Header and payload are views of `entry`.
 *
 * @throws InvariantViolation: what a quorum has accepted cannot be skipped, so a replica that cannot read it must stop
 */
export function splitEntry(entry: Uint8Array): CommandEntry {
  if (entry[0] !== envelopeVersion) {
    throw new InvariantViolation(
      `entry cannot be decoded: envelope version ${entry[0]}, this node knows ${envelopeVersion}`,
    );
  }
  const headerEnd = envelopeBytes + readUint32(entry, 2);
  if (entry.length < envelopeBytes || headerEnd > entry.length) {
    throw new InvariantViolation(`entry cannot be decoded: its header ends at byte ${headerEnd} of ${entry.length}`);
  }
  return { type: entry[1] ?? 0, header: entry.subarray(envelopeBytes, headerEnd), payload: entry.subarray(headerEnd) };
}
