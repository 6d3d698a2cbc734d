/** What this machine can do right now: what figures are divided by, since absolute ones from shared machines do not last. */
import { constants } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export interface MachineFigures {
  /** Write of 4 KiB and fdatasync, one at a time, on a preallocated file. */
  readonly fdatasyncPerSecond: number;
  /** Write of 1 MiB and fdatasync, one at a time, on a preallocated file. */
  readonly diskMbPerSecond: number;
  /** Copy of 1 MiB buffers in memory. */
  readonly memcpyMbPerSecond: number;
  /** Bytes through a TCP connection to this same thread, for a second of CPU time: both ends of the way of every byte. */
  readonly loopbackMbPerCpuSecond: number;
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
      loopbackMbPerCpuSecond: await loopbackMbPerCpuSecond(),
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

async function loopbackMbPerCpuSecond(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const sender = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const receiver = await accepted;
  const block = Buffer.alloc(64 << 10, 0x5a);
  let received = 0;
  receiver.on('data', (bytes) => (received += bytes.length));
  const send = (): void => {
    while (!sender.destroyed && sender.write(block));
  };
  sender.on('drain', send);
  const before = process.cpuUsage();
  send();
  await delay(500);
  const { user, system } = process.cpuUsage(before);
  sender.destroy();
  receiver.destroy();
  server.close();
  return received / (user + system);
}
