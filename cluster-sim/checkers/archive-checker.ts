/**
 * What replicas say is archived, compared with what is in the object store: by reading the objects themselves, at the moment
 * when something comes to depend on them. Where the plan has damaged objects on purpose, nothing is expected of them.
 */
import { crc32 } from 'node:zlib';
import type { ArchiveState } from '../../src/partition/index.js';
import { Sha256 } from '../engine/sha256.js';
import { expandRuns } from '../nodes/simulated-compressor.js';
import type { SharedObjects } from '../nodes/shared-objects.js';
import type { PartitionTruth } from './partition-truth.js';
import type { Verdict } from './verdict.js';

interface KnownManifest {
  readonly lsn: number;
  /** Hexadecimal. */
  readonly stateHash: string;
  /** Names of objects. */
  readonly chunks: ReadonlyMap<string, { readonly bytes: number; readonly storedBytes: number }>;
}

interface Archived {
  readonly lsn: number;
  /** Name of the object. */
  readonly manifest: string;
}

/** More than any plan keeps. */
const archivedMax = 16;
const contentBytesMax = 1 << 24;

/** CRC-32 of the records value of an entry, as it was applied; undefined when it has none. */
type RecordsChecksum = (partitionId: number, lsn: number) => number | undefined;

export class ArchiveChecker {
  readonly #verdict: Verdict;
  readonly #objects: SharedObjects;
  readonly #clusterId: () => string;
  readonly #truths: ReadonlyMap<number, PartitionTruth>;
  readonly #recordsChecksum: RecordsChecksum;
  /** Of each partition, the last in ascending order of LSNs. */
  readonly #archived = new Map<number, Archived[]>();
  /** Objects whose content is right: what is stored never changes, unless it is damaged on purpose. */
  readonly #right = new WeakSet<object>();
  readonly #manifests = new WeakMap<object, KnownManifest>();

  constructor(parts: {
    readonly verdict: Verdict;
    readonly objects: SharedObjects;
    /** What the objects of the cluster are under. */
    readonly clusterId: () => string;
    readonly truths: ReadonlyMap<number, PartitionTruth>;
    readonly recordsChecksum: RecordsChecksum;
  }) {
    this.#verdict = parts.verdict;
    this.#objects = parts.objects;
    this.#clusterId = parts.clusterId;
    this.#truths = parts.truths;
    this.#recordsChecksum = parts.recordsChecksum;
    parts.objects.onDelete = (name) => this.#deleted(name);
  }

  archived(partitionId: number, { archivedLsn, manifest }: ArchiveState): void {
    const object = `${this.#clusterId()}/${partitionId}/manifests/${manifest}`;
    const archived = { lsn: archivedLsn, manifest: object };
    const known = [...(this.#archived.get(partitionId) ?? []), archived].slice(-archivedMax);
    this.#archived.set(partitionId, known);
  }

  /** A log was trimmed: what is gone must be in a snapshot that can be restored. */
  trimmed(partitionId: number, name: string, trimPoint: number): void {
    const candidates = (this.#archived.get(partitionId) ?? []).filter(({ lsn }) => lsn >= trimPoint);
    const problems: string[] = [];
    for (const archived of candidates.toReversed()) {
      const problem = this.#problemOf(partitionId, archived);
      if (problem === undefined) return;
      problems.push(`LSN ${archived.lsn}: ${problem}`);
    }
    const found = problems.length === 0 ? 'none was archived' : problems.join('; ');
    this.#verdict.broken(
      'archived-is-restorable',
      `${name}: trims to ${trimPoint}, and no snapshot of that LSN or above can be restored: ${found}`,
    );
  }

  /** The newest archived snapshot that is in the shared repository. */
  newest(partitionId: number): Archived | undefined {
    return this.#archived.get(partitionId)?.findLast(({ manifest }) => this.#objects.objects.has(manifest));
  }

  /** Names of the objects that a snapshot consists of: manifest, confirmation, and chunks, unless the manifest cannot be read. */
  objectsOf({ manifest }: Archived): readonly string[] {
    return [manifest, confirmationOf(manifest), ...(this.#read(manifest)?.chunks.keys() ?? [])];
  }

  /** Whether the newest snapshot that is archived depends on nothing that was damaged. */
  isNewestSound(partitionId: number): boolean {
    const last = this.#archived.get(partitionId)?.at(-1);
    if (last === undefined) return false;
    // These are written once, and a flipped bit may lie in a field that is not looked at here.
    const { damaged } = this.#objects;
    if (damaged.has(last.manifest) || damaged.has(confirmationOf(last.manifest))) return false;
    return this.#problemOf(partitionId, last, new Set()) === undefined;
  }

  #problemOf(
    partitionId: number,
    archived: Archived,
    excused: ReadonlySet<string> = this.#objects.damaged,
  ): string | undefined {
    if (excused.has(archived.manifest)) return undefined;
    const manifest = this.#read(archived.manifest);
    if (manifest === undefined) return `${archived.manifest} is missing or damaged`;
    if (manifest.lsn !== archived.lsn) return `${archived.manifest} is of LSN ${manifest.lsn}`;
    const confirmation = confirmationOf(archived.manifest);
    if (
      !excused.has(confirmation) &&
      !isConfirmation(archived.manifest, this.#objects.objects.get(confirmation)?.bytes)
    ) {
      return `${confirmation} is missing or damaged`;
    }
    const low = Number.parseInt(manifest.stateHash.slice(8), 16);
    const high = Number.parseInt(manifest.stateHash.slice(0, 8), 16);
    const other = this.#truths.get(partitionId)?.stateAt(manifest.lsn, { low, high });
    if (other !== undefined) return `its state hash is ${high}:${low}, replicas had ${other.high}:${other.low}`;
    for (const [name, { bytes, storedBytes }] of manifest.chunks) {
      if (excused.has(name)) continue;
      const object = this.#objects.objects.get(name);
      if (object === undefined) return `${name} is missing`;
      if (this.#right.has(object)) continue;
      const content = object.bytes.length === storedBytes ? contentOf(name, object.bytes, bytes) : undefined;
      if (content === undefined) return `${name} is damaged`;
      const wrongLsn = this.#wrongRecords(partitionId, content);
      if (wrongLsn !== undefined) return `${name} has other records at LSN ${wrongLsn} than were applied`;
      this.#right.add(object);
    }
    return undefined;
  }

  /** The LSN of a value that is not what replicas have applied. */
  #wrongRecords(partitionId: number, content: Uint8Array): number | undefined {
    for (const { lsn, value } of recordsIn(content)) {
      if (this.#recordsChecksum(partitionId, lsn) !== crc32(value)) return lsn;
    }
    return undefined;
  }

  #read(name: string): KnownManifest | undefined {
    const object = this.#objects.objects.get(name);
    if (object === undefined) return undefined;
    let known = this.#manifests.get(object);
    if (known === undefined) {
      known = parse(name.slice(0, name.indexOf('/manifests/')), object.bytes);
      if (known !== undefined) this.#manifests.set(object, known);
    }
    return known;
  }

  #deleted(name: string): void {
    const partitionId = Number(name.split('/')[1]);
    const newest = this.newest(partitionId);
    if (newest === undefined || newest !== this.#archived.get(partitionId)?.at(-1)) return;
    if (this.objectsOf(newest).some((damaged) => this.#objects.damaged.has(damaged))) return;
    this.#verdict.require(
      !this.objectsOf(newest).includes(name),
      'needed-chunks-stay',
      () => `${name} is deleted, and ${newest.manifest}, the newest archived snapshot, needs it`,
    );
  }
}

function parse(folder: string, bytes: Uint8Array): KnownManifest | undefined {
  try {
    const manifest = JSON.parse(new TextDecoder().decode(bytes)) as {
      readonly lsn: number;
      readonly stateHash: string;
      readonly chunks: readonly { readonly name: string; readonly bytes: number; readonly storedBytes: number }[];
    };
    // A flipped bit may leave JSON, with a field of another name or kind.
    if (!Number.isSafeInteger(manifest.lsn) || !/^[0-9a-f]{16}$/.test(manifest.stateHash)) return undefined;
    const chunks = new Map(manifest.chunks.map((chunk) => [`${folder}/chunks/${chunk.name}`, chunk]));
    return { lsn: manifest.lsn, stateHash: manifest.stateHash, chunks };
  } catch {
    return undefined;
  }
}

const confirmationOf = (manifest: string): string => manifest.replace('/manifests/', '/confirmations/');

function isConfirmation(manifest: string, bytes: Uint8Array | undefined): boolean {
  try {
    const confirmation = JSON.parse(new TextDecoder().decode(bytes)) as { readonly manifest: unknown };
    return bytes !== undefined && confirmation.manifest === manifest.slice(manifest.lastIndexOf('/') + 1);
  } catch {
    return false;
  }
}

/** The name of a chunk begins with the SHA-256 of its content. Undefined: it is damaged. */
function contentOf(name: string, stored: Uint8Array, bytes: number): Uint8Array | undefined {
  try {
    const content = expandRuns(stored, contentBytesMax);
    const sha256 = new Sha256().add(content).digest();
    return content.length === bytes && name.includes(`/chunks/${sha256}-`) ? content : undefined;
  } catch {
    return undefined;
  }
}

const chunkHeaderBytes = 8;
const recordsKind = 1;

/** docs/formats/snapshots.md: LSN, length, value; nothing of a chunk of another kind. */
function* recordsIn(content: Uint8Array): Generator<{ readonly lsn: number; readonly value: Uint8Array }> {
  if (content[5] !== recordsKind) return;
  const view = new DataView(content.buffer, content.byteOffset, content.length);
  for (let at = chunkHeaderBytes; at < content.length;) {
    const lsn = Number(view.getBigUint64(at));
    const valueEnd = at + 12 + view.getUint32(at + 8);
    yield { lsn, value: content.subarray(at + 12, valueEnd) };
    at = valueEnd;
  }
}
