/** The real disk with faults in front of it. LevelDB goes past it. */
import { DiskError } from '../../../src/base/ports/disk.js';
import type { Disk, DiskErrorCode, DiskFile } from '../../../src/base/ports/disk.js';
import { nodeDisk } from '../../../src/server/adapters/node-disk.js';

export type DiskOperation = 'open' | 'write' | 'datasync' | 'rename' | 'syncDirectory';

export class FaultyDisk implements Disk {
  /** Answers the error of an operation, or undefined to let it pass. */
  fault: (operation: DiskOperation, path: string) => DiskErrorCode | undefined = () => undefined;
  /** What `freeBytes` answers; the truth when undefined. */
  free: number | undefined;
  faults = 0;

  async open(path: string, mode: 'read' | 'read-write' | 'create'): Promise<DiskFile> {
    if (mode === 'create') this.#check('open', path);
    const file = await nodeDisk.open(path, mode);
    const check = (operation: DiskOperation): void => this.#check(operation, path);
    return {
      path,
      read: (target, position) => file.read(target, position),
      write: async (buffers, position, options) => {
        check('write');
        await file.write(buffers, position, options);
      },
      datasync: async () => {
        check('datasync');
        await file.datasync();
      },
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      sizeBytes: () => file.sizeBytes(),
      close: () => file.close(),
    };
  }

  readonly readFile = nodeDisk.readFile.bind(nodeDisk);
  readonly list = nodeDisk.list.bind(nodeDisk);
  readonly entries = nodeDisk.entries.bind(nodeDisk);
  readonly exists = nodeDisk.exists.bind(nodeDisk);
  readonly status = nodeDisk.status.bind(nodeDisk);
  readonly link = nodeDisk.link.bind(nodeDisk);
  readonly makeDirectory = nodeDisk.makeDirectory.bind(nodeDisk);
  readonly removeFile = nodeDisk.removeFile.bind(nodeDisk);
  readonly removeTree = nodeDisk.removeTree.bind(nodeDisk);
  readonly lock = nodeDisk.lock.bind(nodeDisk);

  async rename(from: string, to: string): Promise<void> {
    this.#check('rename', to);
    await nodeDisk.rename(from, to);
  }

  async syncDirectory(path: string): Promise<void> {
    this.#check('syncDirectory', path);
    await nodeDisk.syncDirectory(path);
  }

  async freeBytes(path: string): Promise<number> {
    return this.free ?? nodeDisk.freeBytes(path);
  }

  #check(operation: DiskOperation, path: string): void {
    const code = this.fault(operation, path);
    if (code === undefined) return;
    this.faults++;
    throw new DiskError(code, path, `${operation}: a fault of the test`);
  }
}
