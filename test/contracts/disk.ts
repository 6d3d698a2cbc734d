/** The contract of {@link Disk}: every implementation passes it. */
import { describe, expect, test } from 'vitest';
import { isDiskError, replaceFile, type Disk, type DiskErrorCode } from '../../src/base/ports/disk.js';

export interface DiskHarness {
  /** Runs the test on a fresh disk, in an empty directory. */
  readonly run: (work: (disk: Disk, directory: string) => Promise<void>) => Promise<void>;
}

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const text = (content: Uint8Array): string => Buffer.from(content).toString();

async function expectDiskError(work: Promise<unknown>, code: DiskErrorCode): Promise<void> {
  const error: unknown = await work.then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(isDiskError(error, code), `expected ${code}, got ${String(error)}`).toBe(true);
}

async function write(disk: Disk, path: string, content: string): Promise<void> {
  const file = await disk.open(path, 'create');
  await file.write([bytes(content)], 0);
  await file.close();
}

export function diskContract(name: string, { run }: DiskHarness): void {
  const testDisk = (what: string, work: (disk: Disk, directory: string) => Promise<void>): void =>
    test(what, () => run(work));

  describe(`disk contract: ${name}`, () => {
    testDisk('create makes a file once; the other modes need one', async (disk, directory) => {
      const path = `${directory}/file`;
      await expectDiskError(disk.open(path, 'read'), 'ENOENT');
      await expectDiskError(disk.open(path, 'read-write'), 'ENOENT');
      await (await disk.open(path, 'create')).close();
      await expectDiskError(disk.open(path, 'create'), 'EEXIST');
      for (const mode of ['read', 'read-write'] as const) {
        const file = await disk.open(path, mode);
        expect(file.path).toBe(path);
        expect(await file.sizeBytes()).toBe(0);
        await file.close();
      }
    });

    testDisk('a file opened for reading is not written', async (disk, directory) => {
      await write(disk, `${directory}/file`, 'abc');
      const file = await disk.open(`${directory}/file`, 'read');
      await expect(file.write([bytes('x')], 0)).rejects.toSatisfy((error) => isDiskError(error));
      await file.close();
      expect(text(await disk.readFile(`${directory}/file`))).toBe('abc');
    });

    testDisk('a write puts all buffers one after another, over and beyond what is there', async (disk, directory) => {
      const file = await disk.open(`${directory}/file`, 'create');
      await file.write([bytes('0123456789')], 0);
      await file.write([bytes('ab'), bytes(''), bytes('cd')], 2);
      await file.write([bytes('tail')], 12);
      await file.write([], 3);
      await file.datasync();
      await file.close();
      expect(text(await disk.readFile(`${directory}/file`))).toBe('01abcd6789\0\0tail');
    });

    testDisk('a write takes more buffers than one system call does', async (disk, directory) => {
      const file = await disk.open(`${directory}/file`, 'create');
      const buffers = Array.from({ length: 5000 }, (_, index) => bytes(String(index % 10)));
      await file.write(buffers, 0);
      await file.close();
      const content = text(await disk.readFile(`${directory}/file`));
      expect(content).toBe(buffers.map(text).join(''));
    });

    testDisk('what is written uncached is the same, wherever it begins and ends', async (disk, directory) => {
      const block = 4096;
      const file = await disk.open(`${directory}/file`, 'create');
      const expected = Buffer.alloc(12 << 20, 0x2e);
      let stamp = 0;
      const write = async (position: number, lengths: readonly number[], uncached: boolean): Promise<void> => {
        const pieces = lengths.map((length) => {
          stamp += 1;
          return Buffer.alloc(length, `${stamp} of the pieces, `);
        });
        Buffer.concat(pieces).copy(expected, position);
        await file.write(pieces, position, { uncached });
      };
      await file.write([Buffer.alloc(expected.length, 0x2e)], 0, { uncached: true });
      for (const uncached of [true, false, true]) {
        await write(0, [block], uncached);
        await write(3, [block - 3, 1], uncached);
        await write(block - 1, [1, 0, block, 1], uncached);
        await write(5 * block + 7, [11, 8 * block, 300], uncached);
        await write(20 * block + 1, [block - 2], uncached);
        await write(30 * block + 4095, [2], uncached);
        await write(64 * block - 5, [3, 9 << 20, 8, 70_000], uncached);
        await file.write([], 0, { uncached });
        await file.datasync();
        expect(Buffer.from(await disk.readFile(`${directory}/file`)).equals(expected)).toBe(true);
      }
      await write(expected.length - 10, [10], true);
      const target = Buffer.alloc(expected.length + 1);
      expect(await file.read(target, 0)).toBe(expected.length);
      expect(target.subarray(0, expected.length).equals(expected)).toBe(true);
      await file.close();
      await expect(file.write([expected], 0, { uncached: true })).rejects.toSatisfy((error) => isDiskError(error));
    });

    testDisk('a file opened for reading is not written uncached either', async (disk, directory) => {
      await write(disk, `${directory}/file`, 'abc');
      const file = await disk.open(`${directory}/file`, 'read');
      const blocks = Buffer.alloc(64 * 1024, 'x');
      await expect(file.write([blocks], 0, { uncached: true })).rejects.toSatisfy((error) => isDiskError(error));
      await file.close();
      expect(text(await disk.readFile(`${directory}/file`))).toBe('abc');
    });

    testDisk('a read fills its target, less only at the end of the file', async (disk, directory) => {
      await write(disk, `${directory}/file`, '0123456789');
      const file = await disk.open(`${directory}/file`, 'read');
      const target = Buffer.alloc(4, '-');
      expect(await file.read(target, 3)).toBe(4);
      expect(text(target)).toBe('3456');
      expect(await file.read(target, 8)).toBe(2);
      expect(text(target.subarray(0, 2))).toBe('89');
      expect(await file.read(target, 10)).toBe(0);
      expect(await file.read(target, 100)).toBe(0);
      await file.close();
    });

    testDisk('truncate cuts, and extends with zeros', async (disk, directory) => {
      const file = await disk.open(`${directory}/file`, 'create');
      await file.write([bytes('0123456789')], 0);
      await file.truncate(3);
      expect(await file.sizeBytes()).toBe(3);
      await file.truncate(6);
      await file.close();
      expect(text(await disk.readFile(`${directory}/file`))).toBe('012\0\0\0');
    });

    testDisk('a closed file refuses, and closing twice is fine', async (disk, directory) => {
      const file = await disk.open(`${directory}/file`, 'create');
      await file.close();
      await file.close();
      await expect(file.write([bytes('x')], 0)).rejects.toSatisfy((error) => isDiskError(error));
      await expect(file.datasync()).rejects.toSatisfy((error) => isDiskError(error));
    });

    testDisk('list is sorted, and tells a missing directory', async (disk, directory) => {
      for (const name of ['b', 'a', 'B', '10', '9']) await write(disk, `${directory}/${name}`, name);
      await disk.makeDirectory(`${directory}/c`);
      expect(await disk.list(directory)).toEqual(['10', '9', 'B', 'a', 'b', 'c']);
      await expectDiskError(disk.list(`${directory}/missing`), 'ENOENT');
    });

    testDisk('entries are what list has, and what they are', async (disk, directory) => {
      await write(disk, `${directory}/file`, 'x');
      await disk.makeDirectory(`${directory}/a/b`);
      expect(await disk.entries(directory)).toEqual([
        { name: 'a', kind: 'directory' },
        { name: 'file', kind: 'file' },
      ]);
      expect(await disk.entries(`${directory}/a/b`)).toEqual([]);
      await expectDiskError(disk.entries(`${directory}/missing`), 'ENOENT');
      await expectDiskError(disk.entries(`${directory}/file/inner`), 'ENOENT');
    });

    testDisk('status tells kind and size, and when a file was written', async (disk, directory) => {
      await write(disk, `${directory}/first`, 'abc');
      await write(disk, `${directory}/second`, '');
      const first = await disk.status(`${directory}/first`);
      expect(first).toMatchObject({ kind: 'file', sizeBytes: 3 });
      const second = await disk.status(`${directory}/second`);
      expect(second.sizeBytes).toBe(0);
      expect(second.modifiedUnixMs).toBeGreaterThanOrEqual(first.modifiedUnixMs);
      expect(second.modifiedUnixMs - first.modifiedUnixMs).toBeLessThan(60_000);
      expect((await disk.status(directory)).kind).toBe('directory');
      await expectDiskError(disk.status(`${directory}/missing`), 'ENOENT');
      await expectDiskError(disk.status(`${directory}/first/inner`), 'ENOENT');
    });

    testDisk('link gives a second name and replaces nothing', async (disk, directory) => {
      await write(disk, `${directory}/from`, 'new');
      await write(disk, `${directory}/taken`, 'old');
      await disk.makeDirectory(`${directory}/folder`);
      await expectDiskError(disk.link(`${directory}/from`, `${directory}/taken`), 'EEXIST');
      await expectDiskError(disk.link(`${directory}/from`, `${directory}/folder`), 'EEXIST');
      await expectDiskError(disk.link(`${directory}/missing`, `${directory}/to`), 'ENOENT');
      await expectDiskError(disk.link(`${directory}/from`, `${directory}/missing/to`), 'ENOENT');
      await disk.link(`${directory}/from`, `${directory}/to`);
      await disk.syncDirectory(directory);
      await disk.removeFile(`${directory}/from`);
      expect(text(await disk.readFile(`${directory}/to`))).toBe('new');
      expect(text(await disk.readFile(`${directory}/taken`))).toBe('old');
      expect(await disk.list(directory)).toEqual(['folder', 'taken', 'to']);
    });

    testDisk('of many links to one name one succeeds', async (disk, directory) => {
      const sources = Array.from({ length: 16 }, (_, index) => `${directory}/from-${index}`);
      for (const source of sources) await write(disk, source, source);
      const outcomes = await Promise.allSettled(sources.map((source) => disk.link(source, `${directory}/to`)));
      const winners = sources.filter((_, index) => outcomes[index]?.status === 'fulfilled');
      expect(winners).toEqual([text(await disk.readFile(`${directory}/to`))]);
    });

    testDisk('exists, for files and directories', async (disk, directory) => {
      expect(await disk.exists(`${directory}/file`)).toBe(false);
      await write(disk, `${directory}/file`, 'x');
      expect(await disk.exists(`${directory}/file`)).toBe(true);
      expect(await disk.exists(directory)).toBe(true);
    });

    testDisk('makeDirectory makes parents too, and is content with one that is there', async (disk, directory) => {
      await disk.makeDirectory(`${directory}/a/b/c`);
      await disk.makeDirectory(`${directory}/a/b/c`);
      expect(await disk.list(`${directory}/a/b`)).toEqual(['c']);
      await expectDiskError(disk.open(`${directory}/missing/file`, 'create'), 'ENOENT');
    });

    testDisk('rename replaces', async (disk, directory) => {
      await write(disk, `${directory}/from`, 'new');
      await write(disk, `${directory}/to`, 'old');
      await disk.rename(`${directory}/from`, `${directory}/to`);
      await disk.syncDirectory(directory);
      expect(await disk.list(directory)).toEqual(['to']);
      expect(text(await disk.readFile(`${directory}/to`))).toBe('new');
      await expectDiskError(disk.rename(`${directory}/from`, `${directory}/to`), 'ENOENT');
    });

    testDisk('rename takes a directory with all in it', async (disk, directory) => {
      await disk.makeDirectory(`${directory}/from/inner`);
      await write(disk, `${directory}/from/inner/file`, 'x');
      await disk.rename(`${directory}/from`, `${directory}/to`);
      expect(await disk.list(directory)).toEqual(['to']);
      expect(text(await disk.readFile(`${directory}/to/inner/file`))).toBe('x');
    });

    testDisk('a file that is open stays usable when it is renamed or removed', async (disk, directory) => {
      const file = await disk.open(`${directory}/file`, 'create');
      await disk.rename(`${directory}/file`, `${directory}/other`);
      await file.write([bytes('abc')], 0);
      expect(text(await disk.readFile(`${directory}/other`))).toBe('abc');
      await disk.removeFile(`${directory}/other`);
      expect(await file.sizeBytes()).toBe(3);
      await file.close();
    });

    testDisk('removeFile tells a missing file; removeTree does not', async (disk, directory) => {
      await disk.makeDirectory(`${directory}/tree/inner`);
      await write(disk, `${directory}/tree/inner/file`, 'x');
      await disk.removeFile(`${directory}/tree/inner/file`);
      await expectDiskError(disk.removeFile(`${directory}/tree/inner/file`), 'ENOENT');
      await write(disk, `${directory}/tree/inner/file`, 'x');
      await disk.removeTree(`${directory}/tree`);
      await disk.removeTree(`${directory}/tree`);
      expect(await disk.exists(`${directory}/tree`)).toBe(false);
      await expectDiskError(disk.readFile(`${directory}/tree/inner/file`), 'ENOENT');
    });

    testDisk('freeBytes is a number of bytes', async (disk, directory) => {
      expect(await disk.freeBytes(directory)).toBeGreaterThan(0);
    });

    testDisk('a lock is exclusive until it is released', async (disk, directory) => {
      const lock = await disk.lock(`${directory}/lock`);
      await expectDiskError(disk.lock(`${directory}/lock`), 'EBUSY');
      const other = await disk.lock(`${directory}/other`);
      await lock.release();
      const again = await disk.lock(`${directory}/lock`);
      await again.release();
      await other.release();
    });

    testDisk('replaceFile replaces a small file, also after a crash left its staging file', async (disk, directory) => {
      const path = `${directory}/small`;
      await replaceFile(disk, path, bytes('one'));
      await write(disk, `${path}.new`, 'half of tw');
      await replaceFile(disk, path, bytes('two'));
      expect(text(await disk.readFile(path))).toBe('two');
      expect(await disk.list(directory)).toEqual(['small']);
    });
  });
}
