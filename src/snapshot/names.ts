/**
 * Names in the repository; docs/formats/snapshots.md has the layout.
 *
 *     manifest   <2^53 - 1 - LSN, 14 hex>-<2^53 - 1 - term, 14 hex>-<replica id>-<8 random hex>.json
 *     chunk      <SHA-256 of its content, 64 hex>-<16 random hex>
 *
 * Manifests list newest LSN first, and of one LSN highest term first. No two attempts to write a snapshot share a name, so
 * that old and new leaders never collide, and nothing that was deleted ever comes back under its name: a deletion that
 * arrives late finds nothing to delete (src/snapshot/collector.ts depends on it).
 */
import { assert } from '../base/assert.js';
import { asLsn, asTerm, type Lsn, type PartitionId, type ReplicaId, type Term } from '../base/ids.js';
import type { Random } from '../base/ports/random.js';
import type { ManifestEntry } from './types.js';

export const repositoryName = 'repository.json';

const numberDigits = 14;
const manifestPattern = /^([0-9a-f]{14})-([0-9a-f]{14})-[1-9][0-9]{0,15}-[0-9a-f]{8}\.json$/;
const chunkPattern = /^([0-9a-f]{64})-[0-9a-f]{16}$/;
const clusterIdPattern = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,128}$/;

export const isClusterId = (text: string): boolean => clusterIdPattern.test(text);

/** Prefixes of a partition's objects. */
export interface PartitionPrefixes {
  readonly manifests: string;
  /** Under the names of the manifests that they are of. */
  readonly confirmations: string;
  readonly chunks: string;
}

export function partitionPrefixes(clusterId: string, partitionId: PartitionId): PartitionPrefixes {
  assert(isClusterId(clusterId), () => `the cluster id '${clusterId}' cannot be part of an object's name`);
  const partition = `${clusterId}/${partitionId}`;
  return {
    manifests: `${partition}/manifests/`,
    confirmations: `${partition}/confirmations/`,
    chunks: `${partition}/chunks/`,
  };
}

export function manifestName(of: { lsn: Lsn; term: Term; replicaId: ReplicaId }, random: Random): string {
  return `${descending(of.lsn)}-${descending(of.term)}-${of.replicaId}-${randomHex(random, 1)}.json`;
}

/** Undefined for what is no manifest's name. */
export function parseManifestName(name: string): ManifestEntry | undefined {
  const match = manifestPattern.exec(name);
  if (match === null) return undefined;
  const [, lsn = '', term = ''] = match;
  const numbers = [ascending(lsn), ascending(term)];
  if (!numbers.every((number) => number >= 0)) return undefined;
  return { name, lsn: asLsn(ascending(lsn)), term: asTerm(ascending(term)) };
}

export function chunkName(sha256: string, random: Random): string {
  return `${sha256}-${randomHex(random, 2)}`;
}

/** The hash in a chunk's name; undefined for what is no chunk's name. */
export function hashOfChunkName(name: string): string | undefined {
  return chunkPattern.exec(name)?.[1];
}

/** Of 32 random bits each. */
export function randomHex(random: Random, words: number): string {
  return Array.from({ length: words }, () => random.nextUint32().toString(16).padStart(8, '0')).join('');
}

const descending = (number: number): string =>
  (Number.MAX_SAFE_INTEGER - number).toString(16).padStart(numberDigits, '0');
const ascending = (hex: string): number => Number.MAX_SAFE_INTEGER - Number.parseInt(hex, 16);
