/** Small files for people and machines: JSON with a checksum over its fields and the version of its format. */
import { LogboomError } from '../base/errors.js';
import { isDiskError, replaceFile } from '../base/ports/disk.js';
import type { Environment } from '../base/ports/environment.js';

type Parts = Pick<Environment, 'disk' | 'crc32'>;

/** As found in the file, without `crc32`. */
export type SealedFields = Readonly<Record<string, unknown>>;

export interface SealedFormat {
  /** The newest that this build reads. */
  readonly versionMax: number;
  /** What to do about a damaged file. */
  readonly advice: string;
}

/**
 * The fields of a sealed file; undefined when there is none.
 *
 * @throws LogboomError DATA_CORRUPT, or DATA_DIRECTORY_MISMATCH for a newer format
 */
export async function readSealedJson(
  { disk, crc32 }: Parts,
  file: string,
  { versionMax, advice }: SealedFormat,
): Promise<SealedFields | undefined> {
  if (!(await disk.exists(file))) return undefined;
  let content: Record<string, unknown>;
  try {
    content = parseObject(await disk.readFile(file));
  } catch (error) {
    if (isDiskError(error)) throw error;
    throw damaged(file, 'it is not a JSON object', advice);
  }
  const { crc32: stored, ...fields } = content;
  const { formatVersion: version } = fields;
  // Before the checksum: a newer format may compute it in another way.
  if (typeof version === 'number' && version > versionMax) {
    throw new LogboomError(
      'DATA_DIRECTORY_MISMATCH',
      `${file} was written in format ${version}, and this build reads up to ${versionMax}: run a newer Logboom on it, ` +
        'or choose another directory (dataDir)',
      { facts: { file, format_version: version, format_version_max: versionMax } },
    );
  }
  if (stored !== checksum(crc32, fields)) throw damaged(file, 'its checksum does not fit', advice);
  return fields;
}

/** Replaces the file as a whole; durable when it resolves. */
export async function writeSealedJson({ disk, crc32 }: Parts, file: string, fields: SealedFields): Promise<void> {
  await replaceFile(disk, file, encodeJson({ ...fields, crc32: checksum(crc32, fields) }));
}

export function damaged(file: string, problem: string, advice: string): LogboomError {
  return new LogboomError('DATA_CORRUPT', `${file} is damaged: ${problem}. ${advice}`, { facts: { file } });
}

/** Over the compact JSON of the fields in alphabetical order, so that formatting by hand does no harm. */
function checksum(crc32: Parts['crc32'], fields: SealedFields): string {
  const sorted = Object.keys(fields).toSorted();
  const text = JSON.stringify(sorted.map((name) => [name, fields[name]]));
  return crc32(new TextEncoder().encode(text)).toString(16).padStart(8, '0');
}

export function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
}

/** @throws SyntaxError, TypeError */
export function parseObject(bytes: Uint8Array): Record<string, unknown> {
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object');
  return value as Record<string, unknown>;
}
