import * as fs from 'node:fs';
import { expect, test, vi } from 'vitest';
import { nodeDisk } from '../../src/server/adapters/node-disk.js';
import { openUncached, wholeBlocks, writeBlocks } from '../../src/server/adapters/uncached-writes.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const block = 4096;

/** Descriptors of this process that are at `path`, and whether each goes past the page cache (O_DIRECT, octal 40000). */
function descriptorsAt(path: string): boolean[] {
  return fs.readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      if (fs.readlinkSync(`/proc/self/fd/${name}`) !== path) return [];
      const flags = /flags:\s*(\d+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${name}`, 'utf8'))?.[1] ?? '0';
      return [(Number.parseInt(flags, 8) & 0o40000) !== 0];
    } catch {
      // The descriptor that listed the directory.
      return [];
    }
  });
}

/** Not every file system that tests run on has it. */
async function takesUncached(path: string): Promise<boolean> {
  const descriptor = fs.openSync(path, 'r+');
  const uncached = await openUncached(descriptor);
  fs.closeSync(descriptor);
  if (uncached !== undefined) fs.closeSync(uncached);
  return uncached !== undefined;
}

test.for([
  { position: 0, bytes: 0, from: 0, to: 0 },
  { position: 0, bytes: block, from: 0, to: block },
  { position: 0, bytes: block - 1, from: 0, to: 0 },
  { position: 1, bytes: block, from: block, to: block },
  { position: 1, bytes: 2 * block - 2, from: block, to: block },
  { position: 1, bytes: 2 * block - 1, from: block, to: 2 * block },
  { position: 3 * block - 8, bytes: 4 * block, from: 3 * block, to: 6 * block },
])('of $bytes bytes at $position, [$from, $to) are whole blocks', ({ position, bytes, from, to }) => {
  expect(wholeBlocks(position, bytes)).toEqual({ from, to });
});

test('a second descriptor is opened by the first such write of whole blocks, and closed with the file', async ({
  skip,
}) => {
  const directory = await temporaryDirectory();
  const path = `${fs.realpathSync(directory)}/file`;
  const file = await nodeDisk.open(path, 'create');
  skip(!(await takesUncached(path)), 'this file system has no O_DIRECT');
  await file.write([Buffer.alloc(block, 1)], 0);
  await file.write([Buffer.alloc(block, 1)], 1, { uncached: true });
  expect(descriptorsAt(path)).toEqual([false]);
  await file.write([Buffer.alloc(2 * block, 1)], 1, { uncached: true });
  await file.write([Buffer.alloc(2 * block, 1)], 1, { uncached: true });
  expect(descriptorsAt(path)).toEqual([false, true]);
  await file.close();
  expect(descriptorsAt(path)).toEqual([]);
});

test('the file that is open is written, whatever has its path by now', async () => {
  const directory = await temporaryDirectory();
  const file = await nodeDisk.open(`${directory}/old`, 'create');
  await nodeDisk.rename(`${directory}/old`, `${directory}/new`);
  const other = await nodeDisk.open(`${directory}/old`, 'create');
  await file.write([Buffer.alloc(2 * block, 1)], 0, { uncached: true });
  expect(await other.sizeBytes()).toBe(0);
  expect(await file.sizeBytes()).toBe(2 * block);
  await Promise.all([file.close(), other.close()]);
});

test('what the file system refuses to take is answered as not written, any other error is one', async ({ skip }) => {
  const directory = await temporaryDirectory();
  const path = `${directory}/file`;
  fs.writeFileSync(path, Buffer.alloc(4 * block));
  skip(!(await takesUncached(path)), 'this file system has no O_DIRECT');
  const descriptor = fs.openSync(path, 'r+');
  const uncached = (await openUncached(descriptor)) as number;
  const bytes = [Buffer.alloc(100, 1), Buffer.alloc(2 * block - 100, 2)];
  expect(await writeBlocks(uncached, bytes, 1)).toBe(0);
  expect(fs.readFileSync(path).equals(Buffer.alloc(4 * block))).toBe(true);
  expect(await writeBlocks(uncached, bytes, block)).toBe(2 * block);
  fs.closeSync(uncached);
  await expect(writeBlocks(uncached, bytes, block)).rejects.toMatchObject({ code: 'EBADF' });
  fs.closeSync(descriptor);
});

test('without memory that begins at a page, everything is written through the page cache', async ({ skip }) => {
  const directory = await temporaryDirectory();
  const path = `${directory}/file`;
  fs.writeFileSync(path, '');
  skip(!(await takesUncached(path)), 'this file system has no O_DIRECT');
  // As where a limit of the process leaves no room for the gigabytes of addresses that it takes.
  vi.stubGlobal('WebAssembly', {
    Memory: class {
      constructor() {
        throw new RangeError('WebAssembly.Memory(): could not allocate memory');
      }
    },
  });
  try {
    // Anew: the memory that others have used already is kept.
    vi.resetModules();
    const { nodeDisk: disk } = await import('../../src/server/adapters/node-disk.js');
    const file = await disk.open(path, 'read-write');
    const bytes = Buffer.alloc(3 * block, 7);
    await file.write([bytes], 0, { uncached: true });
    await file.datasync();
    await file.close();
    expect(fs.readFileSync(path).equals(bytes)).toBe(true);
  } finally {
    vi.unstubAllGlobals();
    vi.resetModules();
  }
});
