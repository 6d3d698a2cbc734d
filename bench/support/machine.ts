/** What this machine can do right now: what figures are divided by, since absolute ones from shared machines do not last. */
import { constants } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import path from 'node:path';

export interface MachineFigures {
  /** Write of 4 KiB and fdatasync, one at a time, on a preallocated file. */
  readonly fdatasyncPerSecond: number;
  /** Write of 1 MiB and fdatasync, one at a time, on a preallocated file. */
  readonly diskMbPerSecond: number;
  /** Copy of 1 MiB buffers in memory. */
  readonly memcpyMbPerSecond: number;
}

const fileBytes = 64 << 20;
const mebibyte = 1 << 20;

export async function measureMachine(parentDirectory: string): Promise<MachineFigures> {
  const directory = await mkdtemp(path.join(parentDirectory, 'logboom-bench-machine-'));
  const file = await open(path.join(directory, 'file'), constants.O_RDWR | constants.O_CREAT);
  try {
    const block = Buffer.alloc(mebibyte, 0x5a);
    for (let at = 0; at < fileBytes; at += mebibyte) await file.write(block, 0, mebibyte, at);
    await file.datasync();
    const perSecond = async (bytes: number, seconds: number): Promise<number> => {
      let count = 0;
      const startedMs = performance.now();
      while (performance.now() - startedMs < seconds * 1000) {
        await file.write(block, 0, bytes, (count * bytes) % (fileBytes - bytes));
        await file.datasync();
        count += 1;
      }
      return (count / (performance.now() - startedMs)) * 1000;
    };
    return {
      fdatasyncPerSecond: await perSecond(4096, 1),
      diskMbPerSecond: ((await perSecond(mebibyte, 1)) * mebibyte) / 1e6,
      memcpyMbPerSecond: memcpyMbPerSecond(block),
    };
  } finally {
    await file.close();
    await rm(directory, { recursive: true, force: true });
  }
}

function memcpyMbPerSecond(block: Buffer): number {
  const target = Buffer.allocUnsafe(block.length);
  let copies = 0;
  const startedMs = performance.now();
  while (performance.now() - startedMs < 300) {
    block.copy(target);
    copies += 1;
  }
  return (copies * block.length) / 1e6 / ((performance.now() - startedMs) / 1000);
}
