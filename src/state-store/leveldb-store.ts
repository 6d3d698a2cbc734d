/** {@link OrderedStore} on LevelDB, through classic-level. */
import { ClassicLevel } from 'classic-level';

import { assert } from '../base/assert.js';
import type { Disk } from '../base/ports/disk.js';
import {
  type OrderedStore,
  type OrderedStoreOptions,
  type OrderedStoreProvider,
  type StoreEntry,
  StoreCorruption,
  StoreFailure,
  type StoreOperation,
  type StoreRange,
  type StoreSnapshot,
} from './ordered-store.js';

type Database = ClassicLevel<Uint8Array, Uint8Array>;
type DatabaseSnapshot = ReturnType<Database['snapshot']>;

/** Below every key (they begin with a byte above 0x00): an empty range for `compactRange`. */
const belowEveryKey = Uint8Array.of(0);
/** Bytes that one step of a scan copies out of LevelDB, so that a step holds a pool thread for a few milliseconds only. */
const scanStepBytes = 1 << 20;
const scanStepEntries = 1024;
/** A table is mapped, and its file descriptor closed at once: this bounds mappings, not descriptors. */
const openTablesMax = 500;

/** Directories that this process has open. LevelDB's own lock comes too late: its logs are deleted before it is taken. */
const openDirectories = new Set<string>();

export class LevelDbProvider implements OrderedStoreProvider {
  readonly #disk: Disk;

  /** @param disk the real one: LevelDB itself goes past the port */
  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** @param directory absolute */
  async open(directory: string, options: OrderedStoreOptions): Promise<OrderedStore> {
    assert(directory.startsWith('/'), () => `the directory of a database is absolute, this one is ${directory}`);
    if (openDirectories.has(directory)) throw new StoreFailure(`${directory} is open already in this process`);
    openDirectories.add(directory);
    const close = (): void => void openDirectories.delete(directory);
    try {
      await this.#disk.removeTree(stagingOf(directory));
      if (!(await this.#disk.exists(directory))) await create(this.#disk, directory, options);
      await syncName(this.#disk, directory);
      await deleteLogs(this.#disk, directory);
      return new LevelDbStore(this.#disk, await openDatabase(directory, options, false), directory, close);
    } catch (error) {
      close();
      throw failure(`cannot open the database ${directory}`, error);
    }
  }
}

const stagingOf = (path: string): string => `${path}.creating`;
const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';

/**
 * LevelDB closes the first manifest of a new database without a sync, so a database that was just made can be gone, or
 * be refused as damaged, after power loss. Its first flush writes and syncs a manifest of its own. So the database is
 * made beside its place, flushed, and renamed: at its place there is either no database or a whole one.
 */
async function create(disk: Disk, path: string, options: OrderedStoreOptions): Promise<void> {
  const staging = stagingOf(path);
  await makeDirectoryDurably(disk, parentOf(path));
  const store = new LevelDbStore(disk, await openDatabase(staging, options, true), staging, () => {});
  try {
    await store.flush();
  } finally {
    await store.close();
  }
  await disk.rename(staging, path);
}

/**
 * Also of a database that was there: a process that made it, or its directory, may have ended before it synced the name.
 * A power loss would then take the name, and with it everything that has been flushed into the database since.
 */
async function syncName(disk: Disk, path: string): Promise<void> {
  await disk.syncDirectory(parentOf(path));
  await disk.syncDirectory(parentOf(parentOf(path)));
}

/** Makes a directory and what is missing above it; the entry of each is synced in its parent. */
async function makeDirectoryDurably(disk: Disk, path: string): Promise<void> {
  if (await disk.exists(path)) return;
  await makeDirectoryDurably(disk, parentOf(path));
  await disk.makeDirectory(path);
  await disk.syncDirectory(parentOf(path));
}

/**
 * The replicated log is the only log that is trusted. LevelDB's own is never synced, and its recovery passes over
 * damaged records: after power loss it could bring back a late write without an earlier one. Without its log a database
 * opens in the state of the last manifest that it synced, which is a prefix.
 */
async function deleteLogs(disk: Disk, path: string): Promise<void> {
  for (const name of await disk.list(path)) {
    if (logNumber(name) !== undefined) await disk.removeFile(`${path}/${name}`);
  }
}

async function openDatabase(path: string, options: OrderedStoreOptions, create: boolean): Promise<Database> {
  const database: Database = new ClassicLevel<Uint8Array, Uint8Array>(path, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    createIfMissing: create,
    errorIfExists: create,
    compression: false,
    writeBufferSize: options.writeBufferBytes,
    maxFileSize: options.tableBytes,
    cacheSize: options.blockCacheBytes,
    maxOpenFiles: openTablesMax,
  });
  await database.open();
  return database;
}

/**
 * The invariant of the port, a prefix at or above the last flush, holds because
 *  - writes reach LevelDB one at a time and in order, and after one that failed there is never another: LevelDB itself
 *    would take it, and leave a hole;
 *  - a table and the manifest that names it are synced before LevelDB drops the log that they replace, and the logs
 *    are deleted before LevelDB could read them.
 */
class LevelDbStore implements OrderedStore {
  readonly #disk: Disk;
  readonly #database: Database;
  readonly #path: string;
  readonly #onClose: () => void;
  #lastWrite: Promise<void> | undefined;
  #failed: StoreFailure | undefined;
  #closing: Promise<void> | undefined;

  constructor(disk: Disk, database: Database, path: string, onClose: () => void) {
    this.#disk = disk;
    this.#database = database;
    this.#path = path;
    this.#onClose = onClose;
  }

  write(operations: readonly StoreOperation[]): Promise<void> {
    for (const { key } of operations) {
      assert(key.length > 0 && key[0] !== 0, () => `a key begins with a byte above 0x00, this one is ${hex(key)}`);
    }
    // LevelDB would run two batches on two pool threads in either order.
    const previous = this.#lastWrite;
    const write = previous === undefined ? this.#writeNow(operations) : previous.then(() => this.#writeNow(operations));
    this.#lastWrite = write;
    return write.finally(() => {
      if (this.#lastWrite === write) this.#lastWrite = undefined;
    });
  }

  async #writeNow(operations: readonly StoreOperation[]): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    try {
      await this.#database.batch(operations as StoreOperation[]);
    } catch (error) {
      throw this.#fail('a write failed', error);
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#read(() => this.#database.getSync(key));
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    try {
      return await this.#database.getMany(keys as Uint8Array[]);
    } catch (error) {
      throw failure(`cannot read from ${this.#path}`, error);
    }
  }

  scan(range: StoreRange): Promise<StoreEntry[]> {
    return this.#scan(range, undefined);
  }

  snapshot(): StoreSnapshot {
    const snapshot = this.#database.snapshot();
    return {
      get: (key) => this.#read(() => this.#database.getSync(key, { snapshot })),
      scan: (range) => this.#scan(range, snapshot),
      close: () => snapshot.close(),
    };
  }

  async #scan(range: StoreRange, snapshot: DatabaseSnapshot | undefined): Promise<StoreEntry[]> {
    const maxBytes = range.maxBytes ?? Number.POSITIVE_INFINITY;
    const entries: StoreEntry[] = [];
    let bytes = 0;
    try {
      // The iterator pins its view here, synchronously.
      const iterator = this.#database.iterator({
        gte: range.from,
        lt: range.to,
        reverse: range.reverse ?? false,
        limit: range.limit,
        highWaterMarkBytes: Math.min(maxBytes, scanStepBytes),
        ...(snapshot === undefined ? {} : { snapshot }),
      });
      try {
        while (entries.length < range.limit && bytes < maxBytes) {
          const step = await iterator.nextv(Math.min(range.limit - entries.length, scanStepEntries));
          if (step.length === 0) break;
          for (const [key, value] of step) {
            entries.push({ key, value });
            bytes += key.length + value.length;
            if (bytes >= maxBytes) break;
          }
        }
      } finally {
        await iterator.close();
      }
    } catch (error) {
      throw failure(`cannot scan ${this.#path}`, error);
    }
    return entries;
  }

  #read<Value>(read: () => Value): Value {
    try {
      return read();
    } catch (error) {
      throw failure(`cannot read from ${this.#path}`, error);
    }
  }

  /**
   * `compactRange` answers nothing: it returns just so when LevelDB could not switch its memtable (no new log could be
   * created) or could not write the table. So a flush goes by evidence. Whatever resolved before it is in the newest log or an
   * older one; LevelDB deletes a log only after it synced a manifest whose tables replace it; so when that newest log
   * is gone, all of it is durable. When it is still there, or anything else is unclear, the database counts as failed.
   *
   * The manifest that LevelDB starts at each open is put in force by renaming CURRENT, which is not synced then. It is by
   * the next flush at the latest: LevelDB syncs the directory before each sync of a manifest.
   */
  async flush(): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    try {
      const log = await newestLog(this.#disk, this.#path);
      await this.#database.compactRange(belowEveryKey, belowEveryKey);
      if (await this.#disk.exists(`${this.#path}/${log}`)) throw new StoreFailure(`${log} was not replaced by a table`);
    } catch (error) {
      throw this.#fail(`a flush failed${await lastLoggedError(this.#disk, this.#path)}`, error);
    }
    // A write that failed meanwhile leaves a hole in what may have been flushed after it.
    if (this.#failed !== undefined) throw this.#failed as StoreFailure;
  }

  async compactRange(from: Uint8Array, to: Uint8Array): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    try {
      await this.#database.compactRange(from, to);
    } catch (error) {
      throw this.#fail('a compaction failed', error);
    }
  }

  async approximateBytes(from: Uint8Array, to: Uint8Array): Promise<number> {
    try {
      return await this.#database.approximateSize(from, to);
    } catch (error) {
      throw failure(`cannot read from ${this.#path}`, error);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    this.#failed ??= new StoreFailure(`${this.#path} is closed`);
    try {
      await this.#lastWrite?.catch(() => {});
      await this.#database.close();
    } catch (error) {
      throw failure(`cannot close ${this.#path}`, error);
    } finally {
      this.#onClose();
    }
  }

  #fail(what: string, cause: unknown): StoreFailure {
    this.#failed ??= failure(`${what} (${this.#path})`, cause);
    return this.#failed;
  }
}

function failure(what: string, cause: unknown): StoreFailure {
  const reasons: string[] = [];
  let corrupt = false;
  for (let error = cause; error instanceof Error && reasons.length < 4; error = error.cause) {
    reasons.push(error.message);
    corrupt ||= error instanceof StoreCorruption || (error as { code?: unknown }).code === 'LEVEL_CORRUPTION';
  }
  return new (corrupt ? StoreCorruption : StoreFailure)([what, ...reasons].join(': '), { cause });
}

/** The number of a log's file name, such as 000012.log. LevelDB's human-readable `LOG` is none. */
function logNumber(name: string): number | undefined {
  const match = /^(\d+)\.log$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

async function newestLog(disk: Disk, path: string): Promise<string> {
  const logs = (await disk.list(path)).filter((name) => logNumber(name) !== undefined);
  const newest = logs.sort((a, b) => (logNumber(b) ?? 0) - (logNumber(a) ?? 0))[0];
  if (newest === undefined) throw new StoreFailure(`${path} has no log: another process deleted it`);
  return newest;
}

/** The last error in LevelDB's own messages; it reports the cause of a background error nowhere else. */
async function lastLoggedError(disk: Disk, path: string): Promise<string> {
  try {
    const lines = Buffer.from(await disk.readFile(`${path}/LOG`))
      .toString()
      .split('\n');
    const line = lines.findLast((candidate) => /error/i.test(candidate));
    return line === undefined ? '' : `; LevelDB says: ${line}`;
  } catch {
    return '';
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
