/** How far a restore has come, in a file beside the databases that it builds. */
import { asLsn, type Lsn } from '../base/ids.js';
import { isLogboomError } from '../base/errors.js';
import { type Disk, isDiskError, replaceFile } from '../base/ports/disk.js';
import type { Crc32 } from '../base/ports/environment.js';
import { Fields } from './fields.js';

const formatVersion = 1;
const fileName = 'restore.json';

/** What both databases hold durably. */
export interface RestoreProgress {
  /** Of the manifest that is being restored. */
  readonly manifestSha256: string;
  readonly indexChunksDone: number;
  readonly recordsChunksDone: number;
  /** Records values that were imported, and the LSN of the last. */
  readonly records: number;
  readonly lastRecordsLsn: Lsn;
}

/** Undefined when there is none, or none that can be used: then the restore starts over. */
export async function readProgress(disk: Disk, directory: string, crc32: Crc32): Promise<RestoreProgress | undefined> {
  try {
    return parseProgress(await disk.readFile(`${directory}/${fileName}`), crc32);
  } catch (error) {
    if (isDiskError(error, 'ENOENT') || isLogboomError(error)) return undefined;
    throw error;
  }
}

/** Durable when it resolves. To be called after both databases were flushed. */
export async function writeProgress(
  disk: Disk,
  directory: string,
  progress: RestoreProgress,
  crc32: Crc32,
): Promise<void> {
  await replaceFile(disk, `${directory}/${fileName}`, encodeProgress(progress, crc32));
}

export async function removeProgress(disk: Disk, directory: string): Promise<void> {
  for (const name of await disk.list(directory)) {
    if (name.startsWith(fileName)) await disk.removeFile(`${directory}/${name}`);
  }
  await disk.syncDirectory(directory);
}

export function encodeProgress(progress: RestoreProgress, crc32: Crc32): Uint8Array {
  const { manifestSha256, indexChunksDone, recordsChunksDone, records, lastRecordsLsn } = progress;
  const fields = { formatVersion, manifestSha256, indexChunksDone, recordsChunksDone, records, lastRecordsLsn };
  return encodeText(`${JSON.stringify({ ...fields, crc32: checksum(fields, crc32) })}\n`);
}

/** @throws LogboomError */
export function parseProgress(bytes: Uint8Array, crc32: Crc32): RestoreProgress {
  const fields = Fields.parse(fileName, bytes);
  fields.version('formatVersion', formatVersion);
  const progress = {
    manifestSha256: fields.text('manifestSha256', /^[0-9a-f]{64}$/),
    indexChunksDone: fields.integer('indexChunksDone', 0),
    recordsChunksDone: fields.integer('recordsChunksDone', 0),
    records: fields.integer('records', 0),
    lastRecordsLsn: asLsn(fields.integer('lastRecordsLsn', 0)),
  };
  const stored = fields.integer('crc32', 0);
  fields.end();
  if (stored !== checksum({ formatVersion, ...progress }, crc32)) {
    throw fields.invalid('crc32', 'not the checksum of the rest');
  }
  return progress;
}

const checksum = (fields: object, crc32: Crc32): number => crc32(encodeText(JSON.stringify(fields)));
const encodeText = (text: string): Uint8Array => new TextEncoder().encode(text);
