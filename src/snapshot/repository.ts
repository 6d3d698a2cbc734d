import { createHash } from 'node:crypto';
import { LogboomError, isLogboomError } from '../base/errors.js';
import { asPartitionId, type PartitionId } from '../base/ids.js';
import { noLogger } from '../base/ports/logger.js';
import type { ObjectOptions, ObjectStore } from '../object-store/types.js';
import { PartitionArchive } from './archive.js';
import { corrupt, onObject } from './failures.js';
import { Fields } from './fields.js';
import { isClusterId, randomHex, repositoryName } from './names.js';
import { defaultGraceMs, defaultSnapshotSizes, type SnapshotOptions, type SnapshotTools } from './options.js';

const formatVersion = 1;
const repositoryBytesMax = 64 * 1024;
const documentBytesMax = 16 << 20;

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
    const tools = toolsOf(options);
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

  /**
   * One that is there already.
   *
   * @throws LogboomError as {@link open}, and SNAPSHOT_NOT_FOUND
   */
  static async find(options: SnapshotOptions, { signal }: ObjectOptions = {}): Promise<SnapshotRepository> {
    const tools = toolsOf(options);
    const id = await readId(tools, signal);
    if (id !== undefined) return new SnapshotRepository(id, tools);
    throw new LogboomError(
      'SNAPSHOT_NOT_FOUND',
      `${tools.store.description} is no snapshot repository: it has no ${repositoryName}`,
      {
        facts: { repository: tools.store.description, object: repositoryName },
      },
    );
  }

  partition(clusterId: string, partitionId: PartitionId): PartitionArchive {
    return new PartitionArchive(this.#tools, clusterId, partitionId);
  }

  /** Ids of the clusters of which there is anything. */
  async clusters(options: ObjectOptions = {}): Promise<string[]> {
    const folders = await foldersBelow(this.#tools.store, '', options);
    return folders.filter(isClusterId);
  }

  /** Partitions of a cluster of which there is anything, ascending. */
  async partitions(clusterId: string, options: ObjectOptions = {}): Promise<PartitionId[]> {
    const folders = await foldersBelow(this.#tools.store, `${clusterId}/`, options);
    const ids = folders
      .filter((name) => /^(?:0|[1-9][0-9]{0,9})$/.test(name))
      .map((name) => asPartitionId(Number(name)));
    return ids.sort((one, other) => one - other);
  }

  get description(): string {
    return this.#tools.store.description;
  }

  /** A small object of a cluster beside those of its partitions. @throws LogboomError SNAPSHOT_NOT_FOUND */
  readDocument(clusterId: string, name: string, options: ObjectOptions = {}): Promise<Uint8Array> {
    const { store } = this.#tools;
    const object = `${clusterId}/${name}`;
    return onObject(store, object, () => store.get(object, { ...options, bytesMax: documentBytesMax }));
  }

  /** Stores one that is not there; whether it was there before is for the caller to read. */
  async writeDocument(clusterId: string, name: string, bytes: Uint8Array, options: ObjectOptions = {}): Promise<void> {
    const { store } = this.#tools;
    const object = `${clusterId}/${name}`;
    await onObject(store, object, () => store.putIfAbsent(object, [bytes], options));
  }
}

function toolsOf(options: SnapshotOptions): SnapshotTools {
  return {
    ...options,
    logger: options.logger ?? noLogger,
    sizes: { ...defaultSnapshotSizes, ...options.sizes },
    graceMs: options.graceMs ?? defaultGraceMs,
  };
}

/**
 * First parts of the names below a prefix, ascending, each found by one listing of one object: what is within them may be
 * millions.
 */
async function foldersBelow(store: ObjectStore, prefix: string, options: ObjectOptions): Promise<string[]> {
  const folders = new Set<string>();
  for (let after = prefix; ;) {
    const [found] = await onObject(store, prefix, () => store.list(prefix, { ...options, after, limit: 1 }));
    if (found === undefined) return [...folders];
    const rest = found.name.slice(prefix.length);
    const slash = rest.indexOf('/');
    if (slash >= 0) folders.add(rest.slice(0, slash));
    // `0` comes right behind `/`.
    after = slash < 0 ? found.name : `${prefix}${rest.slice(0, slash)}0`;
    if (slash >= 0 && folders.size > foldersMax) return [...folders];
  }
}

const foldersMax = 100_000;

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
