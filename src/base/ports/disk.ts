/**
 * A file system as far as the server needs one: real, or simulated with every fault a disk has. Paths are absolute and
 * use `/`. Operations reject with a {@link DiskError}; nothing is durable before the sync that covers it returned.
 */
export interface Disk {
  /** Opens for reading and writing; `create` makes the file and fails with EEXIST when there is one. */
  open(path: string, mode: 'read' | 'read-write' | 'create'): Promise<DiskFile>;
  /** The whole file. For small files only; ENOENT when there is none. */
  readFile(path: string): Promise<Uint8Array>;
  /** Names in a directory, sorted; ENOENT when there is none. */
  list(path: string): Promise<string[]>;
  /** What is in a directory, sorted by name; ENOENT when there is none. */
  entries(path: string): Promise<DiskEntry[]>;
  exists(path: string): Promise<boolean>;
  /** ENOENT when there is nothing. */
  status(path: string): Promise<DiskStatus>;
  makeDirectory(path: string): Promise<void>;
  /** Replaces `to`; durable after `syncDirectory` of the parent. */
  rename(from: string, to: string): Promise<void>;
  /**
   * Gives a file a second name, in one step; durable after `syncDirectory` of the parent of `to`. EEXIST when there is
   * anything at `to`, which then is left alone: of several that race for one name exactly one succeeds. ENOTSUP where
   * the file system has no such thing.
   */
  link(from: string, to: string): Promise<void>;
  /** ENOENT when there is none. */
  removeFile(path: string): Promise<void>;
  /** A directory with all in it; no error when there is none. */
  removeTree(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  /** Bytes that an unprivileged writer can still allocate on the file system of `path`. */
  freeBytes(path: string): Promise<number>;
  /**
   * Takes an exclusive lock that dies with the process, also under kill -9. EBUSY when another process (or another
   * holder in this one) has it.
   */
  lock(path: string): Promise<DiskLock>;
}

export interface DiskFile {
  readonly path: string;
  /** Fills `target` from `position`; answers the bytes read, fewer than asked only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes all buffers one after another from `position`, or rejects with an unknown part of them written. */
  write(buffers: readonly Uint8Array[], position: number, options?: WriteOptions): Promise<void>;
  /** fdatasync: data, and the size when it grew. */
  datasync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}

export interface WriteOptions {
  /** Large, and seldom read back: it need not pass through memory that the system keeps for files. What it means stays the same. */
  readonly uncached?: boolean;
}

export type DiskEntryKind = 'file' | 'directory' | 'other';

export interface DiskEntry {
  readonly name: string;
  readonly kind: DiskEntryKind;
}

export interface DiskStatus {
  readonly kind: DiskEntryKind;
  readonly sizeBytes: number;
  /** By the clock of the file system, which may be another machine's. */
  readonly modifiedUnixMs: number;
}

export interface DiskLock {
  release(): Promise<void>;
}

export type DiskErrorCode = 'ENOENT' | 'EEXIST' | 'ENOSPC' | 'EBUSY' | 'EIO' | 'EACCES' | 'ENOTSUP' | 'EOTHER';

export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: DiskErrorCode;
  readonly path: string;

  constructor(code: DiskErrorCode, path: string, detail: string, options?: { cause?: unknown }) {
    super(`${code}: ${detail} (${path})`, options);
    this.code = code;
    this.path = path;
  }
}

export function isDiskError(error: unknown, code?: DiskErrorCode): error is DiskError {
  return error instanceof DiskError && (code === undefined || error.code === code);
}

/**
 * Replaces a small file so that a crash at any point leaves the old or the new content, never a mixture: write beside
 * it, sync, rename, sync the directory.
 */
export async function replaceFile(disk: Disk, path: string, content: Uint8Array): Promise<void> {
  const staging = `${path}.new`;
  if (await disk.exists(staging)) await disk.removeFile(staging);
  const file = await disk.open(staging, 'create');
  try {
    await file.write([content], 0);
    await file.datasync();
  } finally {
    await file.close();
  }
  await disk.rename(staging, path);
  await disk.syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/');
}
