/**
 * {@link ObjectStore} in a directory: one file an object, under the object's name. Any number of processes and nodes may
 * share the directory.
 *
 * An object is written to a file of a random name in `.staging`, synced, and only then given its name by a hard link,
 * which is the one operation of a file system that names a whole file and fails when the name is taken (a rename replaces
 * it). So whoever sees a name sees all bytes of the object, a crash leaves nothing but a staging file, and of several that
 * race for a name the file system picks one. `exists` is answered only after the directory was synced here too: the one who
 * made the name may not have come that far.
 */
import type { Clock } from '../base/ports/clock.js';
import { isDiskError, type Disk, type DiskFile } from '../base/ports/disk.js';
import { nextIdentity, type Random } from '../base/ports/random.js';
import { abortable } from './abortable.js';
import { checkListLimit, checkNameBeginning, checkObjectName, isObjectName } from './names.js';
import { pieces } from './parts.js';
import { ObjectStoreError, type ObjectEntry, type ObjectOptions, type ObjectStore } from './types.js';

/** Not a name of an object: its first part begins with a dot. */
const stagingName = '.staging';
/** An upload that takes longer is cut off by whoever cleans up; it fails with UNAVAILABLE and can be tried again. */
const staleStagingMs = 60 * 60 * 1000;
const writeBytesMax = 4 * 1024 * 1024;
const knownDirectoriesMax = 10_000;

export interface FileObjectStoreOptions {
  /** Absolute. It is made when it is not there. */
  readonly directory: string;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
}

export class FileObjectStore implements ObjectStore {
  readonly description: string;
  readonly #root: string;
  readonly #staging: string;
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Directories whose own names are known to be durable. */
  readonly #durable = new Set<string>();
  #cleanedMs = Number.NEGATIVE_INFINITY;

  private constructor({ directory, disk, clock, random }: FileObjectStoreOptions) {
    this.description = `file://${directory}`;
    this.#root = directory === '/' ? '' : directory.replace(/\/+$/, '');
    this.#staging = `${this.#root}/${stagingName}`;
    this.#disk = disk;
    this.#clock = clock;
    this.#random = random;
  }

  /** @throws ObjectStoreError DENIED, FULL or UNAVAILABLE when the directory cannot be made or written */
  static async open(options: FileObjectStoreOptions): Promise<FileObjectStore> {
    const store = new FileObjectStore(options);
    await store.#mapped(async () => {
      await store.#disk.makeDirectory(store.#staging);
      await store.#syncUpwards();
      await store.#cleanStaging();
    });
    return store;
  }

  putIfAbsent(name: string, parts: readonly Uint8Array[], options: ObjectOptions = {}): Promise<'created' | 'exists'> {
    return this.#run(options, () => {
      checkObjectName(name);
      return this.#put(name, parts, options.signal);
    });
  }

  get(name: string, options: ObjectOptions & { readonly bytesMax: number }): Promise<Uint8Array> {
    return this.#run(options, () => {
      checkObjectName(name);
      return this.#get(name, options.bytesMax);
    });
  }

  list(
    prefix: string,
    options: ObjectOptions & { readonly after?: string; readonly limit: number },
  ): Promise<ObjectEntry[]> {
    const { after = '', limit, signal } = options;
    return this.#run(options, async () => {
      checkNameBeginning('prefix', prefix);
      checkNameBeginning('after', after);
      checkListLimit(limit);
      await this.#checkPresent();
      const found: ObjectEntry[] = [];
      await this.#walk('', { prefix, after, limit, signal, found });
      return found;
    });
  }

  delete(names: readonly string[], options: ObjectOptions = {}): Promise<void> {
    return this.#run(options, async () => {
      for (const name of names) checkObjectName(name);
      await this.#checkPresent();
      for (const name of names) {
        options.signal?.throwIfAborted();
        await this.#delete(this.#pathOf(name));
      }
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #put(name: string, parts: readonly Uint8Array[], signal?: AbortSignal): Promise<'created' | 'exists'> {
    const path = this.#pathOf(name);
    if (this.#clock.monotonicMs() - this.#cleanedMs > staleStagingMs) await this.#cleanStaging();
    if (await this.#isThere(path, name)) {
      await this.#makeDurable(path);
      return 'exists';
    }
    const staging = await this.#stage(parts, signal);
    try {
      return await this.#publish(staging, path, name, signal);
    } finally {
      await this.#discard(staging);
    }
  }

  /** Answers the path of a synced file that has no other name yet. */
  async #stage(parts: readonly Uint8Array[], signal?: AbortSignal): Promise<string> {
    const file = await this.#createStagingFile();
    try {
      let position = 0;
      for (const piece of pieces(parts, writeBytesMax)) {
        signal?.throwIfAborted();
        await file.write(piece, position);
        position += piece.reduce((sum, { length }) => sum + length, 0);
      }
      await file.datasync();
      await file.close();
    } catch (error) {
      await file.close().catch(() => {});
      await this.#discard(file.path);
      throw error;
    }
    return file.path;
  }

  /** The directory is not made again when it is gone: a file system that was unmounted would be continued below its mount point. */
  async #createStagingFile(): Promise<DiskFile> {
    const identity = (): string => nextIdentity(this.#random).toString(36);
    try {
      return await this.#disk.open(`${this.#staging}/${identity()}-${identity()}`, 'create');
    } catch (error) {
      if (isDiskError(error, 'ENOENT')) throw this.#vanished(error);
      throw error;
    }
  }

  async #publish(
    staging: string,
    path: string,
    name: string,
    signal: AbortSignal | undefined,
  ): Promise<'created' | 'exists'> {
    for (let attempt = 1; ; attempt++) {
      await this.#makeParents(path, name);
      signal?.throwIfAborted();
      try {
        await this.#disk.link(staging, path);
      } catch (error) {
        if (isDiskError(error, 'EEXIST') && (await this.#isThere(path, name))) {
          await this.#makeDurable(path);
          return 'exists';
        }
        // A directory that someone took away, or a staging file that someone took for a leftover.
        if (isDiskError(error, 'ENOENT') && attempt === 1 && (await this.#disk.exists(staging))) {
          this.#durable.clear();
          continue;
        }
        throw error;
      }
      await this.#makeDurable(path);
      return 'created';
    }
  }

  async #get(name: string, bytesMax: number): Promise<Uint8Array> {
    const path = this.#pathOf(name);
    if (!(await this.#isFile(path))) throw await this.#notFound(name);
    let file: DiskFile;
    try {
      file = await this.#disk.open(path, 'read');
    } catch (error) {
      if (isDiskError(error, 'ENOENT')) throw await this.#notFound(name);
      throw error;
    }
    try {
      const sizeBytes = await file.sizeBytes();
      if (sizeBytes > bytesMax) {
        throw new ObjectStoreError(
          'TOO_LARGE',
          `${this.description}: ${name} has ${sizeBytes} bytes, more than ${bytesMax}.`,
        );
      }
      const bytes = new Uint8Array(sizeBytes);
      const read = await file.read(bytes, 0);
      if (read === sizeBytes) return bytes;
      throw new ObjectStoreError('CORRUPT', `${this.description}: ${name} ended after ${read} of ${sizeBytes} bytes.`);
    } finally {
      await file.close();
    }
  }

  /**
   * Children sort as their names do in whole object names: a directory with its `/`, so that `a-b` comes before `a/b`.
   * Whole directories outside of the prefix, or before the position, are not read.
   */
  async #walk(above: string, request: WalkRequest): Promise<void> {
    const { prefix, after, limit, signal, found } = request;
    const children = (await this.#entries(above))
      .filter(({ name, kind }) => kind !== 'other' && isObjectName(above + name))
      .map(({ name, kind }) => ({ name: above + name + (kind === 'directory' ? '/' : ''), kind }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { name, kind } of children) {
      if (found.length >= limit) return;
      signal?.throwIfAborted();
      if (kind === 'directory') {
        const mayMatch = name.startsWith(prefix) || prefix.startsWith(name);
        const isBefore = after > name && !after.startsWith(name);
        if (mayMatch && !isBefore) await this.#walk(name, request);
      } else if (name.startsWith(prefix) && name > after) {
        const entry = await this.#entry(name);
        if (entry !== undefined) found.push(entry);
      }
    }
  }

  async #entries(above: string): Promise<readonly { readonly name: string; readonly kind: string }[]> {
    try {
      return await this.#disk.entries(`${this.#root}/${above}`.replace(/\/$/, '') || '/');
    } catch (error) {
      if (isDiskError(error, 'ENOENT')) return [];
      throw error;
    }
  }

  /** Undefined when it has just been deleted. */
  async #entry(name: string): Promise<ObjectEntry | undefined> {
    try {
      const { sizeBytes, modifiedUnixMs } = await this.#disk.status(this.#pathOf(name));
      return { name, bytes: sizeBytes, modifiedUnixMs };
    } catch (error) {
      if (isDiskError(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  async #delete(path: string): Promise<void> {
    try {
      await this.#disk.removeFile(path);
    } catch (error) {
      // A directory is no object; what the system says of removing one differs.
      if (!isDiskError(error, 'ENOENT') && (await this.#isFile(path))) throw error;
    }
  }

  async #isFile(path: string): Promise<boolean> {
    try {
      return (await this.#disk.status(path)).kind === 'file';
    } catch (error) {
      if (isDiskError(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** @throws ObjectStoreError INVALID when the name is a folder of others */
  async #isThere(path: string, name: string): Promise<boolean> {
    try {
      if ((await this.#disk.status(path)).kind === 'file') return true;
    } catch (error) {
      if (isDiskError(error, 'ENOENT')) return false;
      throw error;
    }
    throw new ObjectStoreError('INVALID', `${this.description}: ${name} is a folder of other objects.`);
  }

  async #makeParents(path: string, name: string): Promise<void> {
    if (this.#durable.size > knownDirectoriesMax) this.#durable.clear();
    for (const directory of this.#foldersOf(path)) {
      if (this.#durable.has(directory)) continue;
      try {
        await this.#disk.makeDirectory(directory);
      } catch (error) {
        if (!isDiskError(error, 'EEXIST')) throw error;
        throw new ObjectStoreError('INVALID', `${this.description}: a folder of ${name} is an object.`, {
          cause: error,
        });
      }
    }
  }

  /** Syncs the directory that holds the name, and those above it where that was not done yet. */
  async #makeDurable(path: string): Promise<void> {
    await this.#disk.syncDirectory(parentOf(path));
    for (const directory of this.#foldersOf(path).reverse()) {
      if (this.#durable.has(directory)) break;
      await this.#disk.syncDirectory(parentOf(directory));
    }
    for (const directory of this.#foldersOf(path)) this.#durable.add(directory);
  }

  /** The directories between the root and a path, the highest first. */
  #foldersOf(path: string): string[] {
    const folders: string[] = [];
    for (let at = path.indexOf('/', this.#root.length + 1); at !== -1; at = path.indexOf('/', at + 1))
      folders.push(path.slice(0, at));
    return folders;
  }

  /** Who may not read a directory has not made anything in it. */
  async #syncUpwards(): Promise<void> {
    for (let directory = this.#root || '/'; ; directory = parentOf(directory)) {
      try {
        await this.#disk.syncDirectory(directory);
      } catch (error) {
        if (!isDiskError(error, 'EACCES')) throw error;
      }
      if (directory === '/') return;
    }
  }

  /** What crashes left. Errors are let pass: nothing depends on it, and whoever writes next meets them. */
  async #cleanStaging(): Promise<void> {
    this.#cleanedMs = this.#clock.monotonicMs();
    const names = await this.#disk.list(this.#staging).catch(() => []);
    for (const name of names) {
      const path = `${this.#staging}/${name}`;
      const status = await this.#disk.status(path).catch(() => undefined);
      if (status === undefined || this.#clock.wallMs() - status.modifiedUnixMs < staleStagingMs) continue;
      await this.#discard(path);
    }
  }

  /** One that stays is cleaned up later. */
  async #discard(staging: string): Promise<void> {
    await this.#disk.removeFile(staging).catch(() => {});
  }

  async #notFound(name: string): Promise<ObjectStoreError> {
    await this.#checkPresent();
    return new ObjectStoreError('NOT_FOUND', `${this.description}: there is no object ${name}.`);
  }

  /** An unmounted file system must not look like an empty store. */
  async #checkPresent(): Promise<void> {
    if (!(await this.#disk.exists(this.#staging))) throw this.#vanished();
  }

  #vanished(cause?: unknown): ObjectStoreError {
    return new ObjectStoreError(
      'UNAVAILABLE',
      `${this.description}: the directory has gone since the store was opened (${this.#staging} is missing); is it still mounted?`,
      { cause },
    );
  }

  #pathOf(name: string): string {
    return `${this.#root}/${name}`;
  }

  #run<Result>({ signal }: ObjectOptions, work: () => Promise<Result>): Promise<Result> {
    return abortable(signal, () => this.#mapped(async () => work()));
  }

  async #mapped<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      const code = error.code === 'ENOSPC' ? 'FULL' : error.code === 'EACCES' ? 'DENIED' : undefined;
      throw new ObjectStoreError(
        code ?? (error.code === 'ENOTSUP' ? 'INVALID' : 'UNAVAILABLE'),
        `${this.description}: ${error.message}`,
        { cause: error },
      );
    }
  }
}

interface WalkRequest {
  readonly prefix: string;
  readonly after: string;
  readonly limit: number;
  readonly signal: AbortSignal | undefined;
  readonly found: ObjectEntry[];
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
