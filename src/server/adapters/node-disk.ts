/** The disk port over the operating system's file system. */
import { ClassicLevel } from 'classic-level';
import * as fs from 'node:fs';
import * as fsPromises from 'node:fs/promises';
import {
  DiskError,
  type Disk,
  type DiskEntryKind,
  type DiskErrorCode,
  type DiskFile,
  type DiskLock,
  type WriteOptions,
} from '../../base/ports/disk.js';
import { openUncached, wholeBlocks, writeBlocks } from './uncached-writes.js';

export const nodeDisk: Disk = {
  open: openFile,

  async readFile(path) {
    return mapped(path, 'read file', fsPromises.readFile(path));
  },

  async list(path) {
    const names = await mapped(path, 'list', fsPromises.readdir(path));
    return names.sort();
  },

  async entries(path) {
    const entries = await mapped(path, 'list', fsPromises.readdir(path, { withFileTypes: true }));
    return entries
      .map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  },

  async exists(path) {
    try {
      await fsPromises.stat(path);
      return true;
    } catch (error) {
      const mappedError = toDiskError(error, path, 'stat');
      if (mappedError.code === 'ENOENT') return false;
      throw mappedError;
    }
  },

  async status(path) {
    const status = await mapped(path, 'stat', fsPromises.stat(path));
    return { kind: kindOf(status), sizeBytes: status.size, modifiedUnixMs: status.mtimeMs };
  },

  async makeDirectory(path) {
    await mapped(path, 'make directory', fsPromises.mkdir(path, { recursive: true }));
  },

  async rename(from, to) {
    await mapped(from, `rename to ${to}`, fsPromises.rename(from, to));
  },

  async link(from, to) {
    try {
      await fsPromises.link(from, to);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (!noLinkCodes.includes(code ?? '')) throw toDiskError(error, to, `link from ${from}`);
      throw new DiskError('ENOTSUP', to, `the file system has no hard links (${code})`, { cause: error });
    }
  },

  async removeFile(path) {
    await mapped(path, 'remove file', fsPromises.unlink(path));
  },

  async removeTree(path) {
    await mapped(path, 'remove tree', fsPromises.rm(path, { recursive: true, force: true }));
  },

  async syncDirectory(path) {
    const handle = await mapped(path, 'open directory', fsPromises.open(path, 'r'));
    try {
      await mapped(path, 'sync directory', handle.sync());
    } finally {
      await handle.close();
    }
  },

  async freeBytes(path) {
    const statistics = await mapped(path, 'statfs', fsPromises.statfs(path));
    return statistics.bavail * statistics.bsize;
  },

  lock: takeLock,
};

/** What link(2) answers on a file system without hard links. */
const noLinkCodes = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

function kindOf(of: { isFile(): boolean; isDirectory(): boolean }): DiskEntryKind {
  if (of.isFile()) return 'file';
  return of.isDirectory() ? 'directory' : 'other';
}

const flagsOfMode = { read: 'r', 'read-write': 'r+', create: 'wx+' } as const;

async function openFile(path: string, mode: 'read' | 'read-write' | 'create'): Promise<DiskFile> {
  // The plain descriptor and the callback functions: FileHandle's promises cost an append some ten microseconds more.
  const descriptor = await new Promise<number>((resolve, reject) => {
    fs.open(path, flagsOfMode[mode], 0o640, (error, opened) => {
      if (error) reject(toDiskError(error, path, `open (${mode})`));
      else resolve(opened);
    });
  });
  return new NodeDiskFile(path, descriptor, mode !== 'read');
}

class NodeDiskFile implements DiskFile {
  readonly path: string;
  private readonly descriptor: number;
  private readonly isWritable: boolean;
  /** For writes past the page cache, from the first of them on; undefined inside: there are none on this disk. */
  private uncached: Promise<number | undefined> | undefined;
  private closed = false;

  constructor(path: string, descriptor: number, isWritable: boolean) {
    this.path = path;
    this.descriptor = descriptor;
    this.isWritable = isWritable;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const count = await this.run<number>('read', (callback) => {
        fs.read(this.descriptor, target, done, target.length - done, position + done, callback);
      });
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(buffers: readonly Uint8Array[], position: number, options?: WriteOptions): Promise<void> {
    return options?.uncached === true ? this.writeUncached(buffers, position) : this.writeCached(buffers, position);
  }

  /** The blocks that are whole go past the page cache, if the disk takes them so; both ends and what it refuses do not. */
  private async writeUncached(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const length = totalLength(buffers);
    const { from, to } = wholeBlocks(position, length);
    const descriptor = from === to ? undefined : await this.uncachedDescriptor();
    if (descriptor === undefined) return this.writeCached(buffers, position);
    // All have ended before this does: nobody may change the buffers under a write.
    const outcomes = await Promise.allSettled([
      this.writeBlocks(descriptor, slice(buffers, from - position, to - position), from),
      this.writeCached(slice(buffers, 0, from - position), position),
      this.writeCached(slice(buffers, to - position, length), to),
    ]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  private async writeBlocks(descriptor: number, blocks: readonly Uint8Array[], position: number): Promise<void> {
    const written = await writeBlocks(descriptor, blocks, position).catch((error: unknown) => {
      throw toDiskError(error, this.path, 'write');
    });
    await this.writeCached(dropFront(blocks, written), position + written);
  }

  private async uncachedDescriptor(): Promise<number | undefined> {
    if (this.closed || !this.isWritable) return undefined;
    const descriptor = await (this.uncached ??= openUncached(this.descriptor));
    // Closed meanwhile: its number may belong to another file by now.
    return this.closed ? undefined : descriptor;
  }

  private async writeCached(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let rest = buffers;
    let at = position;
    for (;;) {
      const length = totalLength(rest);
      if (length === 0) return;
      const count = await this.run<number>('write', (callback) => {
        const only = rest.length === 1 ? rest[0] : undefined;
        if (only !== undefined) fs.write(this.descriptor, only, 0, only.length, at, callback);
        else fs.writev(this.descriptor, rest as Uint8Array[], at, callback);
      });
      if (count === length) return;
      // A short write: the next attempt either goes on or is told why it cannot.
      rest = dropFront(rest, count);
      at += count;
    }
  }

  async datasync(): Promise<void> {
    await this.run<void>('fdatasync', (callback) => {
      fs.fdatasync(this.descriptor, callback);
    });
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.run<void>('truncate', (callback) => {
      fs.ftruncate(this.descriptor, sizeBytes, callback);
    });
  }

  async sizeBytes(): Promise<number> {
    const status = await this.run<fs.Stats>('fstat', (callback) => {
      fs.fstat(this.descriptor, callback);
    });
    return status.size;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    const uncached = await this.uncached;
    if (uncached !== undefined) await this.closeDescriptor(uncached);
    await this.closeDescriptor(this.descriptor);
  }

  private closeDescriptor(descriptor: number): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.close(descriptor, (error) => {
        if (error) reject(toDiskError(error, this.path, 'close'));
        else resolve();
      });
    });
  }

  private run<Result>(
    operation: string,
    start: (callback: (error: NodeJS.ErrnoException | null, result?: Result) => void) => void,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      // A closed descriptor's number may belong to another file by now.
      if (this.closed) return reject(new DiskError('EOTHER', this.path, `${operation} on a closed file`));
      start((error, result) => {
        if (error) reject(toDiskError(error, this.path, operation));
        else resolve(result as Result);
      });
    });
  }
}

function totalLength(buffers: readonly Uint8Array[]): number {
  let total = 0;
  for (const buffer of buffers) total += buffer.length;
  return total;
}

/** Bytes [from, to) of what the buffers hold together. */
function slice(buffers: readonly Uint8Array[], from: number, to: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let start = 0;
  for (const buffer of buffers) {
    const part = buffer.subarray(Math.max(0, from - start), Math.max(0, to - start));
    if (part.length > 0) parts.push(part);
    start += buffer.length;
  }
  return parts;
}

function dropFront(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length;
    else {
      rest.push(buffer.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

/**
 * Node has no file locks, and a file that holds a process id proves nothing: the number is used again after a restart,
 * means nothing in another container that shares the volume, and is left behind by kill -9. LevelDB holds an fcntl lock
 * on the LOCK file of an open database; the kernel gives it back when the process dies, however it dies, and it holds
 * between containers on one volume. fcntl locks do not exclude within one process; LevelDB's table of the databases it
 * has open does. So an empty database is the lock.
 */
async function takeLock(path: string): Promise<DiskLock> {
  const database = new ClassicLevel(path, { writeBufferSize: 64 * 1024, cacheSize: 0 });
  try {
    await database.open();
  } catch (error) {
    throw lockError(path, error);
  }
  return { release: () => database.close() };
}

/** By LevelDB's code: its messages name the file, and so each of them has the word "lock" in it. */
function lockError(path: string, error: unknown): DiskError {
  const { code, message } = ((error as Error).cause ?? error) as { code?: string; message: string };
  if (code === 'LEVEL_LOCKED' && !message.includes('No locks available'))
    return new DiskError('EBUSY', path, 'lock is held', { cause: error });
  const [, known] = lockErrorCodes.find(([words]) => message.includes(words)) ?? ['', 'EOTHER' as const];
  return new DiskError(known, path, `lock: ${message}`, { cause: error });
}

/** LevelDB gives the system's words, not its numbers. */
const lockErrorCodes: readonly (readonly [string, DiskErrorCode])[] = [
  ['No space left on device', 'ENOSPC'],
  ['Disk quota exceeded', 'ENOSPC'],
  ['Permission denied', 'EACCES'],
  ['Read-only file system', 'EACCES'],
  ['Input/output error', 'EIO'],
];

const errorCodes: Readonly<Record<string, DiskErrorCode>> = {
  ENOENT: 'ENOENT',
  // Nothing can be where a file is in the place of a directory.
  ENOTDIR: 'ENOENT',
  EEXIST: 'EEXIST',
  ENOSPC: 'ENOSPC',
  EDQUOT: 'ENOSPC',
  EBUSY: 'EBUSY',
  EIO: 'EIO',
  EACCES: 'EACCES',
  EPERM: 'EACCES',
  EROFS: 'EACCES',
  ENOTSUP: 'ENOTSUP',
  EOPNOTSUPP: 'ENOTSUP',
};

function toDiskError(error: unknown, path: string, operation: string): DiskError {
  const { code, message } = error as NodeJS.ErrnoException;
  return new DiskError(errorCodes[code ?? ''] ?? 'EOTHER', path, `${operation}: ${message}`, { cause: error });
}

async function mapped<Result>(path: string, operation: string, pending: Promise<Result>): Promise<Result> {
  try {
    return await pending;
  } catch (error) {
    throw toDiskError(error, path, operation);
  }
}
