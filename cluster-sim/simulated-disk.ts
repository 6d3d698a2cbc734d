/**
 * {@link Disk} in memory, with what real disks and file systems do to data: deterministic by its random numbers and
 * clock. What is not synced is lost in part at a power loss, sector by sector, and directory changes with it; beyond
 * that, `intercept` can make any operation fail, hang, go astray or be slow, and stored bits can be flipped.
 *
 * A disk outlives the processes that use it: each one `mount`s it, and a crash leaves the mounts of dead processes with
 * operations that never complete.
 */
import { assert } from '../src/base/assert.js';
import type { Clock } from '../src/base/ports/clock.js';
import {
  DiskError,
  type Disk,
  type DiskEntry,
  type DiskErrorCode,
  type DiskFile,
  type DiskLock,
  type DiskStatus,
} from '../src/base/ports/disk.js';
import { nextInteger, type Random } from '../src/base/ports/random.js';
import { Inode, Namespace, parentOf } from './simulated-file-system.js';

export type DiskOperationKind =
  | 'open'
  | 'read'
  | 'write'
  | 'datasync'
  | 'truncate'
  | 'size'
  | 'readFile'
  | 'list'
  | 'entries'
  | 'exists'
  | 'status'
  | 'makeDirectory'
  | 'rename'
  | 'link'
  | 'removeFile'
  | 'removeTree'
  | 'syncDirectory'
  | 'freeBytes'
  | 'lock';

export interface DiskOperation {
  /** Counts the operations of the disk, from 1. */
  readonly number: number;
  readonly kind: DiskOperationKind;
  readonly path: string;
  /** Of reads and writes. */
  readonly position: number;
  readonly bytes: number;
}

/** What becomes of an intercepted operation instead. */
export type DiskFault =
  /** It fails; of a write some sectors are written, and a failed sync loses what it was to sync (as Linux does: the pages count as clean). */
  | { readonly kind: 'fail'; readonly code: DiskErrorCode }
  /** It is done after a delay. */
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** It never completes. */
  | { readonly kind: 'hang' }
  /** A write that reports success and writes nothing. */
  | { readonly kind: 'lose' }
  /** A write that lands somewhere else. */
  | { readonly kind: 'misdirect'; readonly position: number; readonly path?: string };

export interface SimulatedDiskOptions {
  /** The unit that is written whole, unless it is torn. */
  readonly sectorBytes: number;
  /** Of 1,000 sectors that a power loss meets in flight, how many are written in part. */
  readonly tornSectorsPerMille: number;
  readonly operationMsMax: number;
  readonly syncMsMax: number;
  /** Told of every sector that is written in part. */
  readonly onTornSector?: () => void;
}

export const defaultSimulatedDiskOptions: SimulatedDiskOptions = {
  sectorBytes: 512,
  tornSectorsPerMille: 100,
  operationMsMax: 0.2,
  syncMsMax: 2,
};

/** What becomes of an operation that does not end well. */
interface Interruption {
  /** What a power loss in the middle of the operation leaves done of it. */
  readonly interrupted?: () => void;
  readonly failed?: () => void;
  readonly redirected?: (fault: DiskFault & { kind: 'lose' | 'misdirect' }) => void;
}

const allOrNothing: Interruption = {};

export class SimulatedDisk {
  /** Bytes that all files may take together. */
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Asked at the start of every operation. It may crash the disk. */
  intercept: ((operation: DiskOperation) => DiskFault | undefined) | undefined;
  /** Multiplies all durations. */
  slowness = 1;
  readonly options: SimulatedDiskOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #namespace = new Namespace();
  /** Operations under way of which an interruption leaves something. */
  readonly #inFlight = new Set<Interruption>();
  readonly #locks = new Set<string>();
  #operations = 0;
  /** Grows with every crash; operations of an older one never complete. */
  #life = 0;

  constructor(clock: Clock, random: Random, options: Partial<SimulatedDiskOptions> = {}) {
    this.options = { ...defaultSimulatedDiskOptions, ...options };
    this.#clock = clock;
    this.#random = random;
  }

  get operations(): number {
    return this.#operations;
  }

  /** Bytes written and not yet synced, over all files. */
  get unsyncedBytes(): number {
    return this.#namespace.files().reduce((sum, [, inode]) => sum + inode.unsyncedBytes, 0);
  }

  get usedBytes(): number {
    // A file of two names takes its bytes once.
    const inodes = new Set(this.#namespace.files().map(([, inode]) => inode));
    return [...inodes].reduce((sum, inode) => sum + inode.size, 0);
  }

  /** The disk as one process sees it, until the next crash. */
  mount(): Disk {
    const life = this.#life;
    return {
      open: (path, mode) => this.#open(life, path, mode),
      readFile: (path) => this.#simple(life, 'readFile', path, () => this.#file(path).contents()),
      list: (path) => this.#simple(life, 'list', path, () => this.#list(path)),
      entries: (path) => this.#simple(life, 'entries', path, () => this.#entries(path)),
      status: (path) => this.#simple(life, 'status', path, () => this.#status(path)),
      exists: (path) => this.#simple(life, 'exists', path, () => this.#namespace.exists(path)),
      makeDirectory: (path) => this.#change(life, 'makeDirectory', path, () => this.#namespace.makeDirectory(path)),
      rename: (from, to) => this.#change(life, 'rename', from, () => this.#namespace.rename(from, to)),
      link: (from, to) => this.#change(life, 'link', to, () => this.#namespace.link(from, to)),
      removeFile: (path) => this.#change(life, 'removeFile', path, () => this.#namespace.removeFile(path)),
      removeTree: (path) => this.#change(life, 'removeTree', path, () => this.#namespace.removeTree(path)),
      syncDirectory: (path) => this.#simple(life, 'syncDirectory', path, () => this.#namespace.sync(path)),
      freeBytes: (path) =>
        this.#simple(life, 'freeBytes', path, () => Math.max(0, this.capacityBytes - this.usedBytes)),
      lock: (path) => this.#simple(life, 'lock', path, () => this.#lock(life, path)),
    };
  }

  /** The machine stops: operations under way are done in part, and what is not synced is lost in part. */
  powerLoss(): void {
    this.#life++;
    for (const { interrupted } of this.#inFlight) interrupted?.();
    this.#inFlight.clear();
    this.#locks.clear();
    this.#namespace.powerLoss(this.#random, this.options);
  }

  /** A process is killed: its operations under way are done in part, what it wrote stays in the page cache. */
  processCrash(): void {
    this.#life++;
    for (const { interrupted } of this.#inFlight) interrupted?.();
    this.#inFlight.clear();
    this.#locks.clear();
  }

  /** An empty disk in its place; to be preceded by a crash. */
  wipe(): void {
    this.#namespace.clear();
  }

  /** Inverts a bit, on the platter and in the page cache. */
  flipBit(path: string, offset: number, bit: number): void {
    this.#file(path).flipBit(offset, bit);
  }

  /** What a process would read. */
  contents(path: string): Uint8Array {
    return this.#file(path).contents();
  }

  /** Puts a synced file there, or replaces its content. */
  putFile(path: string, content: Uint8Array): void {
    this.#namespace.putFile(path, content, this.#clock.wallMs());
  }

  /** Takes a file away, durably. */
  removeNow(path: string): void {
    this.#namespace.removeFile(path);
    this.#namespace.sync(parentOf(path));
  }

  /** Paths of all files, sorted. */
  paths(): string[] {
    return this.#namespace.files().map(([path]) => path);
  }

  /** A synced copy of everything, without the original's faults. */
  copy(clock: Clock, random: Random): SimulatedDisk {
    const copy = new SimulatedDisk(clock, random, this.options);
    for (const directory of this.#namespace.directories()) copy.#namespace.putDirectory(directory);
    for (const [path, inode] of this.#namespace.files()) copy.putFile(path, inode.contents());
    return copy;
  }

  #file(path: string): Inode {
    const inode = this.#namespace.get(path);
    if (inode instanceof Inode) return inode;
    throw new DiskError(
      inode === undefined ? 'ENOENT' : 'EOTHER',
      path,
      inode === undefined ? 'no such file' : 'a directory',
    );
  }

  #list(path: string): string[] {
    if (this.#namespace.get(path) !== 'directory') throw new DiskError('ENOENT', path, 'no such directory');
    return this.#namespace.children(path);
  }

  #entries(path: string): DiskEntry[] {
    return this.#list(path).map((name) => {
      const inner = this.#namespace.get(path === '/' ? `/${name}` : `${path}/${name}`);
      return { name, kind: inner === 'directory' ? 'directory' : 'file' };
    });
  }

  #status(path: string): DiskStatus {
    const node = this.#namespace.get(path);
    if (node === undefined) throw new DiskError('ENOENT', path, 'there is nothing');
    if (node === 'directory') return { kind: 'directory', sizeBytes: 0, modifiedUnixMs: 0 };
    return { kind: 'file', sizeBytes: node.size, modifiedUnixMs: node.modifiedUnixMs };
  }

  #lock(life: number, path: string): DiskLock {
    if (this.#locks.has(path)) throw new DiskError('EBUSY', path, 'lock is held');
    this.#locks.add(path);
    return {
      release: () => {
        if (life === this.#life) this.#locks.delete(path);
        return Promise.resolve();
      },
    };
  }

  async #open(life: number, path: string, mode: 'read' | 'read-write' | 'create'): Promise<DiskFile> {
    const inode = await this.#change(life, 'open', path, () =>
      mode === 'create' ? this.#namespace.createFile(path, this.#clock.wallMs()) : this.#file(path),
    );
    return this.#handle(life, path, inode, mode !== 'read');
  }

  #handle(life: number, path: string, inode: Inode, writable: boolean): DiskFile {
    let closed = false;
    const check = (needsWrite: boolean): void => {
      if (closed) throw new DiskError('EOTHER', path, 'the file is closed');
      if (needsWrite && !writable) throw new DiskError('EOTHER', path, 'the file is open for reading only');
    };
    return {
      path,
      read: (target, position) =>
        this.#operation(life, { kind: 'read', path, position, bytes: target.length }, () => {
          check(false);
          return inode.read(target, position);
        }),
      write: (buffers, position) => this.#write(life, path, inode, { buffers, position, check: () => check(true) }),
      datasync: () =>
        this.#operation(
          life,
          { kind: 'datasync', path },
          () => {
            check(false);
            inode.sync();
          },
          { failed: () => inode.failSync(this.#random, this.options) },
        ),
      truncate: (sizeBytes) =>
        this.#operation(life, { kind: 'truncate', path }, () => {
          check(true);
          this.#checkSpace(path, inode, sizeBytes);
          inode.truncate(sizeBytes);
          inode.modifiedUnixMs = this.#clock.wallMs();
        }),
      sizeBytes: () =>
        this.#operation(life, { kind: 'size', path }, () => {
          check(false);
          return inode.size;
        }),
      close: () => {
        closed = true;
        return Promise.resolve();
      },
    };
  }

  #write(
    life: number,
    path: string,
    inode: Inode,
    request: { readonly buffers: readonly Uint8Array[]; readonly position: number; readonly check: () => void },
  ): Promise<void> {
    const bytes = copyOf(request.buffers);
    let target = { inode, position: request.position };
    let lost = false;
    const partly = (): void => {
      const length = Math.floor((bytes.length * nextInteger(this.#random, 1025)) / 1024);
      if (!lost) target.inode.write(bytes.subarray(0, length), target.position);
    };
    return this.#operation(
      life,
      { kind: 'write', path, position: request.position, bytes: bytes.length },
      () => {
        request.check();
        if (lost) return;
        this.#checkSpace(path, target.inode, target.position + bytes.length);
        target.inode.write(bytes, target.position);
        target.inode.modifiedUnixMs = this.#clock.wallMs();
      },
      {
        interrupted: partly,
        failed: partly,
        redirected: (fault) => {
          if (fault.kind === 'lose') lost = true;
          else target = { inode: fault.path === undefined ? inode : this.#file(fault.path), position: fault.position };
        },
      },
    );
  }

  #checkSpace(path: string, inode: Inode, sizeBytes: number): void {
    const growth = sizeBytes - inode.size;
    if (growth > 0 && this.usedBytes + growth > this.capacityBytes) {
      throw new DiskError('ENOSPC', path, `no space for ${growth} bytes`);
    }
  }

  #simple<Result>(life: number, kind: DiskOperationKind, path: string, run: () => Result): Promise<Result> {
    return this.#operation(life, { kind, path }, run);
  }

  /** An operation that an interruption leaves done or not done. */
  #change<Result>(life: number, kind: DiskOperationKind, path: string, run: () => Result): Promise<Result> {
    return this.#operation(life, { kind, path }, run, {
      interrupted: () => {
        if (nextInteger(this.#random, 2) === 0) return;
        try {
          run();
        } catch (error) {
          assert(error instanceof DiskError, () => String(error));
        }
      },
    });
  }

  #operation<Result>(
    life: number,
    what: { kind: DiskOperationKind; path: string; position?: number; bytes?: number },
    run: () => Result,
    partial: Interruption = allOrNothing,
  ): Promise<Result> {
    if (life !== this.#life) return new Promise(() => {});
    const { kind, path, position = 0, bytes = 0 } = what;
    const operation: DiskOperation = { number: ++this.#operations, kind, path, position, bytes };
    if (partial.interrupted !== undefined) this.#inFlight.add(partial);
    const fault = this.intercept?.(operation);
    if (life !== this.#life || fault?.kind === 'hang') return new Promise(() => {});
    if (fault?.kind === 'lose' || fault?.kind === 'misdirect') partial.redirected?.(fault);
    const durationMs = this.#durationMs(operation, fault);
    const finish = (): Result => {
      if (partial.interrupted !== undefined) this.#inFlight.delete(partial);
      if (fault?.kind !== 'fail') return run();
      partial.failed?.();
      throw new DiskError(fault.code, operation.path, `${operation.kind}: simulated`);
    };
    // At once, with no function around it: most operations of a calm disk.
    if (durationMs === 0) {
      try {
        return Promise.resolve(finish());
      } catch (error) {
        return Promise.reject(asError(error));
      }
    }
    return new Promise((resolve, reject) => {
      this.#clock.setTimer(durationMs, () => {
        if (life !== this.#life) return;
        try {
          resolve(finish());
        } catch (error) {
          reject(asError(error));
        }
      });
    });
  }

  #durationMs({ kind }: DiskOperation, fault: DiskFault | undefined): number {
    const { operationMsMax, syncMsMax } = this.options;
    const max = kind === 'datasync' || kind === 'syncDirectory' ? syncMsMax : operationMsMax;
    const delayMs = fault?.kind === 'delay' ? fault.delayMs : 0;
    if (max === 0) return delayMs;
    return delayMs + (this.slowness * max * (1 + nextInteger(this.#random, 1000))) / 1000;
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function copyOf(buffers: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const buffer of buffers) length += buffer.length;
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const buffer of buffers) {
    bytes.set(buffer, at);
    at += buffer.length;
  }
  return bytes;
}
