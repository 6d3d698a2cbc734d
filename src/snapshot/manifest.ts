/**
 * The manifest: JSON that people can read, a line a chunk, immutable. `sha256` is over the compact JSON of the other
 * fields in the order in which `encodeManifest` writes them, so a manifest that was cut, edited or damaged is refused.
 */
import { createHash } from 'node:crypto';
import { assert } from '../base/assert.js';
import { asLsn, asNodeId, asPartitionId, asReplicaId, asTerm, type ReplicaId } from '../base/ids.js';
import type { ConfState } from '../raft/types.js';
import { formatStateHash, type StateHash } from '../state-store/index.js';
import { corrupt } from './failures.js';
import { Fields } from './fields.js';
import { hashOfChunkName } from './names.js';
import type { IndexChunk, Manifest, ManifestChunk, RecordsChunk } from './types.js';

export const manifestVersion = 1;
/** A chunk takes 300 bytes of it. */
export const manifestBytesMax = 256 << 20;

const hex64 = /^[0-9a-f]{64}$/;
const hex16 = /^[0-9a-f]{16}$/;
const keyHex = /^(?:[0-9a-f]{2}){1,65535}$/;
const chunkNamePattern = /^[0-9a-f]{64}-[0-9a-f]{16}$/;
const clusterIdPattern = /^[A-Za-z0-9._-]{1,128}$/;
const anyText = /^[^\p{Cc}]{1,200}$/u;

export function encodeManifest(manifest: Manifest): Uint8Array {
  const { header, chunks } = plain(manifest);
  const lines = [
    ...Object.entries(header).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)},`),
    `  "sha256": ${JSON.stringify(manifestChecksum(manifest))},`,
    '  "chunks": [',
    chunks.map((chunk) => `    ${JSON.stringify(chunk)}`).join(',\n'),
    '  ]',
  ];
  return new TextEncoder().encode(`{\n${lines.join('\n')}\n}\n`);
}

/** Identifies the content of a manifest, wherever it came from. */
export function manifestChecksum(manifest: Manifest): string {
  const { header, chunks } = plain(manifest);
  const hash = createHash('sha256').update(JSON.stringify(header));
  for (const chunk of chunks) hash.update(JSON.stringify(chunk));
  return hash.digest('hex');
}

/** The fields as they are written, in their order. */
function plain(manifest: Manifest): { header: Record<string, unknown>; chunks: readonly object[] } {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = manifest.confState;
  return {
    header: {
      formatVersion: manifestVersion,
      clusterId: manifest.clusterId,
      partition: manifest.partitionId,
      lsn: manifest.lsn,
      term: manifest.term,
      configuration: { voters, votersOutgoing, learners, learnersNext, autoLeave },
      stateHash: formatStateHash(manifest.stateHash),
      digest: manifest.digest,
      createdUnixMs: manifest.createdUnixMs,
      softwareVersion: manifest.softwareVersion,
      nodeId: manifest.nodeId,
      replicaId: manifest.replicaId,
    },
    chunks: manifest.chunks.map(plainChunk),
  };
}

function plainChunk(chunk: ManifestChunk): object {
  const { kind, name, bytes, storedBytes, entries } = chunk;
  const range =
    chunk.kind === 'records'
      ? { firstLsn: chunk.firstLsn, lastLsn: chunk.lastLsn }
      : { firstKey: chunk.firstKeyHex, lastKey: chunk.lastKeyHex };
  return { kind, name, bytes, storedBytes, entries, ...range };
}

/**
 * @param object where it was read, for errors
 * @throws LogboomError SNAPSHOT_CORRUPT, SNAPSHOT_VERSION_UNSUPPORTED
 */
export function parseManifest(object: string, bytes: Uint8Array): Manifest {
  const fields = Fields.parse(object, bytes);
  fields.version('formatVersion', manifestVersion);
  const manifest: Manifest = {
    clusterId: fields.text('clusterId', clusterIdPattern),
    partitionId: asPartitionId(fields.integer('partition', 0)),
    lsn: asLsn(fields.integer('lsn', 0)),
    term: asTerm(fields.integer('term', 0)),
    confState: parseConfiguration(fields.object('configuration')),
    stateHash: parseStateHash(fields.text('stateHash', hex16)),
    digest: fields.text('digest', hex64),
    createdUnixMs: fields.integer('createdUnixMs', 0),
    softwareVersion: fields.text('softwareVersion', anyText),
    nodeId: asNodeId(fields.integer('nodeId', 1)),
    replicaId: asReplicaId(fields.integer('replicaId', 1)),
    chunks: fields.list('chunks', parseChunk),
  };
  const checksum = fields.text('sha256', hex64);
  fields.end();
  if (checksum !== manifestChecksum(manifest)) throw corrupt(object, 'is damaged: its checksum does not fit');
  requireOrder(object, manifest);
  return manifest;
}

function parseConfiguration(fields: Fields): ConfState {
  const replicas = (name: string): readonly ReplicaId[] => fields.ids(name).map(asReplicaId);
  const configuration = {
    voters: replicas('voters'),
    votersOutgoing: replicas('votersOutgoing'),
    learners: replicas('learners'),
    learnersNext: replicas('learnersNext'),
    autoLeave: fields.flag('autoLeave'),
  };
  fields.end();
  return configuration;
}

export function parseStateHash(hex: string): StateHash {
  return { high: Number.parseInt(hex.slice(0, 8), 16), low: Number.parseInt(hex.slice(8), 16) };
}

function parseChunk(fields: Fields): ManifestChunk {
  const kind = fields.text('kind', /^(?:records|index)$/);
  const facts = {
    name: fields.text('name', chunkNamePattern),
    bytes: fields.integer('bytes', 1),
    storedBytes: fields.integer('storedBytes', 1),
    entries: fields.integer('entries', 1),
  };
  if (kind === 'records') {
    const firstLsn = asLsn(fields.integer('firstLsn', 1));
    return { kind, ...facts, firstLsn, lastLsn: asLsn(fields.integer('lastLsn', firstLsn)) };
  }
  const firstKeyHex = fields.text('firstKey', keyHex);
  return { kind: 'index', ...facts, firstKeyHex, lastKeyHex: fields.text('lastKey', keyHex) };
}

/** Hexadecimal texts have the order of the bytes that they stand for. */
function requireOrder(object: string, { lsn, chunks }: Manifest): void {
  const index = indexChunksOf(chunks);
  const records = recordsChunksOf(chunks);
  let lastKeyHex = '';
  for (const chunk of index) {
    if (chunk.firstKeyHex <= lastKeyHex || chunk.lastKeyHex < chunk.firstKeyHex) {
      throw corrupt(object, `does not fit together: its index chunks overlap at key ${chunk.firstKeyHex}`);
    }
    lastKeyHex = chunk.lastKeyHex;
  }
  let lastLsn = asLsn(0);
  for (const chunk of records) {
    if (chunk.firstLsn <= lastLsn) {
      throw corrupt(object, `does not fit together: its records chunks overlap at LSN ${chunk.firstLsn}`);
    }
    lastLsn = chunk.lastLsn;
  }
  if (lastLsn > lsn)
    throw corrupt(object, `does not fit together: it has records of LSN ${lastLsn}, its own is ${lsn}`);
  if (chunks.findLastIndex(({ kind }) => kind === 'index') !== index.length - 1) {
    throw corrupt(object, 'does not fit together: an index chunk comes after a records chunk');
  }
  if (new Set(chunks.map(({ name }) => name)).size !== chunks.length) {
    throw corrupt(object, 'does not fit together: it names a chunk twice');
  }
}

export function indexChunksOf(chunks: readonly ManifestChunk[]): IndexChunk[] {
  return chunks.filter((chunk) => chunk.kind === 'index');
}

export function recordsChunksOf(chunks: readonly ManifestChunk[]): RecordsChunk[] {
  return chunks.filter((chunk) => chunk.kind === 'records');
}

export function contentHashOf(chunk: ManifestChunk): string {
  const hash = hashOfChunkName(chunk.name);
  assert(hash !== undefined, () => `${chunk.name} is no chunk's name`);
  return hash;
}
