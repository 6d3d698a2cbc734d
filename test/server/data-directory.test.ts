import { spawn } from 'node:child_process';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { once } from 'node:events';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { asNodeId } from '../../src/base/ids.js';
import { isLogboomError } from '../../src/base/errors.js';
import type { LogboomError } from '../../src/base/errors.js';
import { DiskError } from '../../src/base/ports/disk.js';
import type { Disk } from '../../src/base/ports/disk.js';
import { nodeEnvironmentParts } from '../../src/server/adapters/node-environment.js';
import { openDataDirectory } from '../../src/server/data-directory.js';
import type { DataDirectory } from '../../src/server/data-directory.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const holder = { pid: process.pid, hostname: 'testhost' };

function open(
  directory: string,
  over: { nodeId?: number; partitionCount?: number; disk?: Disk } = {},
): Promise<DataDirectory> {
  const { nodeId = 1, partitionCount = 8, disk = nodeEnvironmentParts.disk } = over;
  const environment = { ...nodeEnvironmentParts, disk };
  return openDataDirectory(environment, {
    path: directory,
    nodeId: asNodeId(nodeId),
    partitionCount,
    holder,
  });
}

async function refusal(opening: Promise<DataDirectory>): Promise<LogboomError> {
  try {
    await (await opening).release();
  } catch (error) {
    if (isLogboomError(error)) return error;
    throw error;
  }
  throw new Error('the directory was opened');
}

test('the first start makes it, later starts find the same identity', async () => {
  const directory = path.join(await temporaryDirectory(), 'a', 'b');
  const first = await open(directory);
  expect(first.isNew).toBe(true);
  expect(first.identity.incarnation).toMatch(/^[0-9a-f]{14}$/);
  await first.release();
  const second = await open(directory);
  expect(second.isNew).toBe(false);
  expect(second.identity).toEqual(first.identity);
  await second.release();
  const other = await open(path.join(await temporaryDirectory(), 'c'));
  expect(other.identity.incarnation).not.toBe(first.identity.incarnation);
  await other.release();
});

test('node.json is readable, and may be formatted by hand', async () => {
  const directory = await temporaryDirectory();
  await (await open(directory)).release();
  const file = path.join(directory, 'node.json');
  const content = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  expect(content).toMatchObject({ formatVersion: 2, nodeId: 1, partitionCount: 8 });
  await writeFile(file, JSON.stringify(Object.fromEntries(Object.entries(content).reverse())));
  await (await open(directory)).release();
});

describe('refused, saying what and how to go on', () => {
  test('another node', async () => {
    const directory = await temporaryDirectory();
    await (await open(directory, { nodeId: 3 })).release();
    const error = await refusal(open(directory, { nodeId: 1 }));
    expect(error.reason).toBe('DATA_DIRECTORY_MISMATCH');
    expect(error.message).toContain('belongs to node 3, and nodeId is 1: set nodeId to 3');
  });

  test('another number of partitions', async () => {
    const directory = await temporaryDirectory();
    await (await open(directory)).release();
    const error = await refusal(open(directory, { partitionCount: 16 }));
    expect(error.reason).toBe('DATA_DIRECTORY_MISMATCH');
    expect(error.message).toContain('Set partitions to 8');
  });

  test('a newer format, whatever its checksum', async () => {
    const directory = await temporaryDirectory();
    await writeFile(path.join(directory, 'node.json'), '{"formatVersion": 3, "shape": "unknown"}');
    const error = await refusal(open(directory));
    expect(error.reason).toBe('DATA_DIRECTORY_MISMATCH');
    expect(error.message).toContain('format 3, and this build reads up to 2');
  });

  test('a damaged node.json: every byte flipped, every length cut', async () => {
    const directory = await temporaryDirectory();
    await (await open(directory)).release();
    const file = path.join(directory, 'node.json');
    const content = await readFile(file);
    const damage = [
      ...Array.from(content.keys(), (at) =>
        Buffer.from(content.map((byte, index) => (index === at ? byte ^ 0x01 : byte))),
      ),
      ...Array.from({ length: content.length - 2 }, (_, length) => content.subarray(0, length)),
    ];
    const fields = (bytes: Uint8Array): unknown => {
      try {
        return JSON.parse(bytes.toString());
      } catch {
        return undefined;
      }
    };
    let refused = 0;
    for (const bytes of damage) {
      await writeFile(file, bytes);
      try {
        const opened = await open(directory);
        // White space: the content is what it was.
        expect(fields(bytes)).toEqual(fields(content));
        await opened.release();
      } catch (error) {
        if (!isLogboomError(error)) throw error;
        expect(['DATA_CORRUPT', 'DATA_DIRECTORY_MISMATCH']).toContain(error.reason);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(damage.length * 0.8);
  });

  test('data without node.json is no new directory', async () => {
    const directory = await temporaryDirectory();
    await mkdir(path.join(directory, 'wal'));
    const error = await refusal(open(directory));
    expect(error.reason).toBe('DATA_DIRECTORY_MISMATCH');
    expect(error.message).toContain('it holds wal');
    expect(await readdir(directory)).not.toContain('node.json');
  });
});

describe('two at once', () => {
  test('in one process', async () => {
    const directory = await temporaryDirectory();
    const first = await open(directory);
    const error = await refusal(open(directory));
    expect(error.reason).toBe('DATA_DIRECTORY_LOCKED');
    expect(error.message).toContain(`process ${process.pid} on testhost`);
    expect(error.facts['pid']).toBe(process.pid);
    await first.release();
    await (await open(directory)).release();
  });

  test('in two processes; a kill -9 frees it', async () => {
    const directory = await temporaryDirectory();
    const root = path.resolve(import.meta.dirname, '../..');
    const script = `
      const { openDataDirectory } = await import('./src/server/data-directory.ts');
      const { nodeEnvironmentParts } = await import('./src/server/adapters/node-environment.ts');
      const holder = { pid: process.pid, hostname: 'child' };
      await openDataDirectory(nodeEnvironmentParts, { path: process.argv[1], nodeId: 1, partitionCount: 8, holder });
      console.log('held');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, directory], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(child.stdout, 'data');
      const error = await refusal(open(directory));
      expect(error.reason).toBe('DATA_DIRECTORY_LOCKED');
      expect(error.facts['pid']).toBe(child.pid);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await (await open(directory)).release();
  });
});

test('a first start that is cut off anywhere is simply repeated', async () => {
  // Every call of the disk fails once; the next start, on whatever is there, must succeed.
  for (let failAt = 1; failAt < 40; failAt++) {
    const directory = path.join(await temporaryDirectory(), 'data');
    let calls = 0;
    const cut = <Value>(value: () => Promise<Value>): Promise<Value> =>
      ++calls >= failAt ? Promise.reject(new DiskError('EIO', directory, 'cut off')) : value();
    const real = nodeEnvironmentParts.disk;
    const disk: Disk = {
      ...real,
      exists: (at) => cut(() => real.exists(at)),
      makeDirectory: (at) => cut(() => real.makeDirectory(at)),
      syncDirectory: (at) => cut(() => real.syncDirectory(at)),
      rename: (from, to) => cut(() => real.rename(from, to)),
      removeFile: (at) => cut(() => real.removeFile(at)),
      lock: (at) => cut(() => real.lock(at)),
      open: async (at, mode) => {
        const file = await cut(() => real.open(at, mode));
        return {
          path: at,
          read: (target, position) => file.read(target, position),
          write: (buffers, position) => cut(() => file.write(buffers, position)),
          datasync: () => cut(() => file.datasync()),
          truncate: (sizeBytes) => file.truncate(sizeBytes),
          sizeBytes: () => file.sizeBytes(),
          close: () => file.close(),
        };
      },
    };
    let finished = false;
    try {
      await (await open(directory, { disk })).release();
      finished = true;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
    }
    const opened = await open(directory);
    expect(opened.identity.nodeId).toBe(1);
    await opened.release();
    if (finished) {
      expect(calls).toBeGreaterThan(8);
      return;
    }
  }
  throw new Error('the first start needs more calls than were tried');
});

test('the checksum is CRC-32 over the sorted fields: a directory of today opens tomorrow', async () => {
  const directory = await temporaryDirectory();
  const fields = {
    formatVersion: 1,
    clusterId: '0a',
    nodeId: 5,
    incarnation: '0b',
    partitionCount: 2,
    createdUnixMs: 7,
  };
  const sorted = Object.entries(fields).sort(([left], [right]) => (left < right ? -1 : 1));
  const checksum = crc32(JSON.stringify(sorted)).toString(16).padStart(8, '0');
  expect(checksum).toBe('9b5ca131');
  await writeFile(path.join(directory, 'node.json'), JSON.stringify({ ...fields, crc32: checksum }));
  const opened = await open(directory, { nodeId: 5, partitionCount: 2 });
  expect(opened.identity).toEqual({
    clusterId: '0a',
    nodeId: 5,
    incarnation: '0b',
    partitionCount: 2,
    createdUnixMs: 7,
  });
  await opened.release();
});
