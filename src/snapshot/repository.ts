import { createHash } from 'node:crypto';
import { LogboomError, isLogboomError } from '../base/errors.js';
import type { PartitionId } from '../base/ids.js';
import { noLogger } from '../base/ports/logger.js';
import type { ObjectOptions } from '../object-store/types.js';
import { PartitionArchive } from './archive.js';
import { corrupt, onObject } from './failures.js';
import { Fields } from './fields.js';
import { randomHex, repositoryName } from './names.js';
import { defaultGraceMs, defaultSnapshotSizes, type SnapshotOptions, type SnapshotTools } from './options.js';

const formatVersion = 1;
const repositoryBytesMax = 64 * 1024;

/** A place for snapshots of any number of clusters, with an identity of its own. */
export class SnapshotRepository {
  /** Random, of 128 bits in hex; written once into the repository. Nodes that see the same id see the same repository. */
  readonly id: string;
  readonly #tools: SnapshotTools;

  private constructor(id: string, tools: SnapshotTools) {
    this.id = id;
    this.#tools = tools;
  }

  /**
   * Reads the identity, or makes one. Of several that make one at the same time all come to see the same.
   *
   * @throws LogboomError SNAPSHOT_CORRUPT or SNAPSHOT_VERSION_UNSUPPORTED, naming `repository.json`; REPOSITORY_UNAVAILABLE,
   * REPOSITORY_REFUSED
   */
  static async open(options: SnapshotOptions, { signal }: ObjectOptions = {}): Promise<SnapshotRepository> {
    const tools: SnapshotTools = {
      ...options,
      logger: options.logger ?? noLogger,
      sizes: { ...defaultSnapshotSizes, ...options.sizes },
      graceMs: options.graceMs ?? defaultGraceMs,
    };
    const found = await readId(tools, signal);
    if (found !== undefined) return new SnapshotRepository(found, tools);
    const content = encodeRepository(randomHex(tools.random, 4), tools.clock.wallMs());
    const { store } = tools;
    const outcome = await onObject(store, repositoryName, () =>
      store.putIfAbsent(repositoryName, [content], signal === undefined ? {} : { signal }),
    );
    const id = await readId(tools, signal);
    if (id === undefined) throw corrupt(repositoryName, `is not there after it was written (${outcome})`);
    return new SnapshotRepository(id, tools);
  }

  partition(clusterId: string, partitionId: PartitionId): PartitionArchive {
    return new PartitionArchive(this.#tools, clusterId, partitionId);
  }
}

async function readId({ store }: SnapshotTools, signal: AbortSignal | undefined): Promise<string | undefined> {
  try {
    const limits = { bytesMax: repositoryBytesMax, ...(signal === undefined ? {} : { signal }) };
    return parseRepository(await onObject(store, repositoryName, () => store.get(repositoryName, limits)));
  } catch (error) {
    if (isLogboomError(error, 'SNAPSHOT_NOT_FOUND')) return undefined;
    if (!isLogboomError(error, 'SNAPSHOT_CORRUPT')) throw error;
    const advice = 'Without it nobody can tell which repository this is: put it back as it was, or take an empty one.';
    throw new LogboomError('SNAPSHOT_CORRUPT', `${error.message} (${store.description}). ${advice}`, {
      facts: error.facts,
      cause: error,
    });
  }
}

export function encodeRepository(id: string, createdUnixMs: number): Uint8Array {
  const fields = { formatVersion, id, createdUnixMs: Math.floor(createdUnixMs) };
  const content = { ...fields, sha256: checksum(fields.id, fields.createdUnixMs) };
  return new TextEncoder().encode(`${JSON.stringify(content, null, 2)}\n`);
}

export function parseRepository(bytes: Uint8Array): string {
  const fields = Fields.parse(repositoryName, bytes);
  fields.version('formatVersion', formatVersion);
  const id = fields.text('id', /^[0-9a-f]{32}$/);
  const createdUnixMs = fields.integer('createdUnixMs', 0);
  const stored = fields.text('sha256', /^[0-9a-f]{64}$/);
  fields.end();
  if (stored !== checksum(id, createdUnixMs)) throw corrupt(repositoryName, 'is damaged: its checksum does not fit');
  return id;
}

const checksum = (id: string, createdUnixMs: number): string =>
  createHash('sha256').update(JSON.stringify({ formatVersion, id, createdUnixMs })).digest('hex');
