/** Where the commit groups of a segment file lie: the real file, as the recovery reads it. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import type { RawFrame } from '../../../src/wal/frame.js';
import { scanGroup } from '../../../src/wal/group-scan.js';
import { decodeHeaderBlock, headerBlockBytes } from '../../../src/wal/segment-format.js';

export interface FoundGroup {
  readonly number: number;
  readonly offset: number;
  readonly endOffset: number;
  readonly frames: readonly RawFrame[];
}

export interface FoundSegment {
  readonly path: string;
  readonly bytes: Buffer;
  readonly groups: readonly FoundGroup[];
}

/** Every segment of a data directory that holds a group, oldest first. */
export function findSegments(dataDirectory: string): FoundSegment[] {
  const directory = path.join(dataDirectory, 'wal');
  return readdirSync(directory)
    .filter((name) => /^\d{12}\.wal$/.test(name))
    .sort()
    .map((name) => readSegment(path.join(directory, name)))
    .filter(({ groups }) => groups.length > 0);
}

function readSegment(file: string): FoundSegment {
  const bytes = readFileSync(file);
  const header = decodeHeaderBlock(bytes.subarray(0, headerBlockBytes), crc32);
  if (!header) throw new Error(`${file} has no intact header`);
  const groups: FoundGroup[] = [];
  for (let offset: number = headerBlockBytes; ;) {
    const number = groups.length + 1;
    const group = scanGroup(bytes, offset, number, header.id, crc32);
    if ('damagedAt' in group) return { path: file, bytes, groups };
    groups.push({ number, offset, ...group });
    offset = group.endOffset;
  }
}
