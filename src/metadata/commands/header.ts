/** The msgpackr header of a command: an array, its first elements the command's version and the leader's time. */
import { Packr } from 'msgpackr';
import { InvariantViolation } from '../../base/assert.js';
import { HeaderReader } from '../../base/header-reader.js';

const packr = new Packr({ useRecords: false });

/** A list holds texts, or one array of fields an item. */
export type HeaderField = number | string | boolean | null | readonly HeaderField[];

export function encodeHeader(fields: readonly HeaderField[]): Uint8Array {
  return packr.pack(fields);
}

/** @throws InvariantViolation */
export function readHeader(bytes: Uint8Array): HeaderReader {
  let header: unknown;
  try {
    header = packr.unpack(bytes);
  } catch (error) {
    throw new InvariantViolation(`entry cannot be decoded: its header is not valid: ${String(error)}`);
  }
  if (!Array.isArray(header)) throw new InvariantViolation('entry cannot be decoded: its header is not an array');
  return new HeaderReader(header);
}
